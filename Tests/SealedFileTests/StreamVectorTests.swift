import BlockIO
import ByteCodec
import Cipher
import Digest
import DiskModel
import Foundation
import Testing

@testable import SealedFile

/// The streams in Fixtures/sealed/stream.json, which another program made by the format's document alone: ours are the
/// same, byte for byte, and we read theirs.
@Suite struct StreamVectorTests {
    private struct Vectors: Decodable {
        struct Frame: Decodable {
            var offset: Int
            var kind: UInt8
            var salt: String
            var chain: String
            var key: String
            var text: String
        }
        struct Small: Decodable {
            var creationTime: UInt64
            var envelopeByteCount: Int
            var frames: [Frame]
            var stream: String
        }
        struct Long: Decodable {
            var creationTime: UInt64
            var textByteCounts: [Int]
            var byteCount: Int
            var sha256: String
        }
        var keyFile: String
        var containerId: String
        var masterKey: String
        var streamKey: String
        var small: Small
        var long: Long
    }

    private let vectors: Vectors
    private let secret: SlotKey

    init() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let data = try Data(contentsOf: folder.appendingPathComponent("Fixtures/sealed/stream.json"))
        vectors = try JSONDecoder().decode(Vectors.self, from: data)
        let key = Self.bytes(vectors.keyFile)
        secret = .keyFile(SecretBytes(copying: key.rawBytes))
    }

    private static func bytes(_ text: String) -> [UInt8] {
        let digits = Array(text.utf8).map { UInt8(String(UnicodeScalar($0)), radix: 16)! }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    /// The same texts, sealed here with the same randomness.
    private func sealed(_ texts: [[UInt8]], creationTime: UInt64) throws -> [UInt8] {
        let (random, output) = (StreamSamples.countingRandom(), Output())
        // Never ended: what follows the envelope is the appender's.
        _ = try SealedStreamWriter(for: [secret], creationTime: creationTime, random: random) {
            (bytes) throws(IOError) in
            output.add(bytes)
        }
        let file = MemoryFile(output.bytes)
        for text in texts.dropLast() {
            let appender = try SealedStreamAppender(on: file, secrets: [secret], random: random)
            try appender.write(text.rawBytes)
            try appender.flush()
        }
        let appender = try SealedStreamAppender(on: file, secrets: [secret], random: random)
        let last = texts[texts.count - 1]
        try appender.write(last.rawBytes)
        try appender.finish()
        return file.allBytes
    }

    @Test func threeFrames() throws {
        let (small, stream) = (vectors.small, Self.bytes(vectors.small.stream))
        let texts = small.frames.filter { $0.kind == 1 }.map { Self.bytes($0.text) }
        #expect(texts.count == 3)
        #expect(try sealed(texts, creationTime: small.creationTime) == stream)
        let opened = StreamSamples.open(stream, secret: secret)
        #expect(opened.isComplete && opened.error == nil && opened.text == texts.flatMap { $0 })
    }

    /// The steps between, so that whoever writes another program sees where it goes astray.
    @Test func keysOfFrames() throws {
        let (small, stream) = (vectors.small, Self.bytes(vectors.small.stream))
        let reader = try SealedStreamReader(secrets: [secret], from: MemoryFile(stream))
        #expect(reader.envelope.containerID == Self.bytes(vectors.containerId))
        #expect(reader.envelope.creationTime == small.creationTime)
        let keys = [reader.keys.masterKey, reader.keys.streamKey].map { [UInt8](copying: $0.bytes) }
        #expect(keys == [Self.bytes(vectors.masterKey), Self.bytes(vectors.streamKey)])
        let envelope = Array(stream.prefix(small.envelopeByteCount))
        var chain = StreamChain(
            envelope: envelope.rawBytes, containerID: reader.envelope.containerID, keys: reader.keys)
        let layout = StreamSamples.Layout(stream)
        #expect(layout.envelope.count == small.envelopeByteCount && layout.frames.count == small.frames.count)
        for (frame, wanted) in zip(layout.frames, small.frames) {
            #expect(frame.range.lowerBound == wanted.offset)
            let head = Array(stream[frame.range.prefix(FrameHeader.byteCount)])
            let header = try FrameHeader(parsing: head.rawBytes)
            #expect(header.kind == wanted.kind && header.salt == Self.bytes(wanted.salt))
            let key = [UInt8](copying: chain.key(of: header).bytes)
            #expect(key == Self.bytes(wanted.key))
            let tag = Array(stream[frame.range.suffix(16)])
            chain.advance(over: header, lastTag: tag.rawBytes)
        }
    }

    @Test func longFrames() throws {
        let long = vectors.long
        let texts = long.textByteCounts.map { count in
            (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7 + $0 / 251) }
        }
        let stream = try sealed(texts, creationTime: long.creationTime)
        #expect(stream.count == long.byteCount)
        #expect(Digest.hash(.sha256, stream.rawBytes) == Self.bytes(long.sha256))
        let opened = StreamSamples.open(stream, secret: secret)
        #expect(opened.isComplete && StreamSamples.isSame(opened.text, texts.flatMap { $0 }))
    }
}
