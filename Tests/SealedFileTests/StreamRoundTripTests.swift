import BlockIO
import ByteCodec
import Cipher
import DiskModel
import FaultInjection
import Testing

@testable import SealedFile

/// What was sealed comes back, and only then is it complete.
@Suite struct StreamRoundTripTests {
    static let byteCounts = [
        0, 1, 15, 16, 17, 65_535, 65_536, 65_537, 131_071, 131_072, 131_073, 524_287, 524_288, 524_289, 1_048_576,
        1_048_577,
        1_572_864, 3_500_000,
    ]

    @Test(arguments: byteCounts) func roundTrip(byteCount: Int) throws {
        let text = StreamSamples.text(byteCount)
        for (writing, reading) in [(Int.max, nil), (100_000, 70_001), (65_536, 65_536), (524_288, 4096)]
            as [(Int, Int?)]
        {
            let sealed = try StreamSamples.sealed(text, pieces: writing)
            let opened = StreamSamples.open(sealed, pieces: reading)
            #expect(opened.error == nil && opened.isComplete, "\(byteCount) bytes: \(String(describing: opened.error))")
            #expect(StreamSamples.isSame(opened.text, text))
            let segmentCount = max(1, (byteCount + 65_535) / 65_536)
            let layout = StreamSamples.Layout(sealed)
            #expect(layout.frames.map(\.segments.count) == (byteCount == 0 ? [1] : [segmentCount, 1]))
            let frameByteCount = byteCount == 0 ? 0 : 48 + byteCount + 20 * segmentCount
            #expect(sealed.count == layout.envelope.count + frameByteCount + 84)
        }
    }

    /// A source and a caller that take a byte at a time.
    @Test func singleBytes() throws {
        let text = StreamSamples.text(70_000)
        let sealed = try StreamSamples.sealed(text, pieces: 1)
        var place = 0
        let reader = try SealedStreamReader(secrets: [StreamSamples.secret()], path: "x") { (bytes) throws(IOError) in
            guard place < sealed.count else { return 0 }
            bytes.store(sealed[place], at: 0, .little)
            place += 1
            return 1
        }
        var (opened, one) = ([UInt8](), [UInt8].zeros(1))
        while true {
            var raw = one.mutableRawBytes
            guard try reader.read(into: &raw) == 1 else { break }
            opened += one
        }
        #expect(StreamSamples.isSame(opened, text))
        #expect(reader.isComplete)
        try reader.requireEnd()
    }

    @Test func severalFrames() throws {
        for sizes in [[0, 0, 0], [5, 65_536, 1], [70_000, 1_200_000, 65_536, 3]] {
            let frames = sizes.enumerated().map { StreamSamples.text($1, seed: UInt64($0) + 9) }
            let sealed = try StreamSamples.sealed(frames: frames)
            // What has no text makes no frame.
            #expect(StreamSamples.Layout(sealed).frames.count == sizes.count { $0 > 0 } + 1)
            let opened = StreamSamples.open(sealed, pieces: 30_000)
            #expect(opened.error == nil && opened.isComplete)
            #expect(StreamSamples.isSame(opened.text, frames.flatMap { $0 }))
        }
    }

    /// Every kind of slot leads to the stream, by itself and among others.
    @Test func slots() throws {
        let identity = try Identity()
        let phrase = Array("correct horse".utf8)
        let passphrase = SlotKey.passphrase(SecretBytes(copying: phrase.rawBytes), .scrypt(log2N: 14))
        let output = Output()
        let writer = try SealedStreamWriter(
            for: [passphrase, .recipient(identity.recipient), StreamSamples.secret()], creationTime: 5
        ) { (bytes) throws(IOError) in output.add(bytes) }
        let text = StreamSamples.text(1000)
        try writer.write(text.rawBytes)
        try writer.finish()
        for secret in [passphrase, .identity(identity), StreamSamples.secret()] {
            let opened = StreamSamples.open(output.bytes, secret: secret)
            #expect(opened.isComplete && opened.text == text)
        }
        let reader = try SealedStreamReader(secrets: [StreamSamples.secret()], from: MemoryFile(output.bytes))
        #expect(reader.envelope.creationTime == 5 && reader.envelope.containerID == writer.containerID)
        #expect(reader.envelope.slots.count == 3)
    }

    @Test func wrongKeys() throws {
        let sealed = try StreamSamples.sealed(StreamSamples.text(10))
        for secrets in [[], [StreamSamples.secret(8)], [.identity(try Identity())]] as [[SlotKey]] {
            let error = #expect(throws: DiskError.self) {
                try SealedStreamReader(secrets: secrets, from: MemoryFile(sealed))
            }
            #expect(error?.kind == .key)
        }
        // Of another stream with the same secret the envelope fits only itself.
        let other = try StreamSamples.sealed(StreamSamples.text(10))
        let mixed =
            Array(other[StreamSamples.Layout(other).envelope])
            + sealed.dropFirst(StreamSamples.Layout(sealed).envelope.count)
        let opened = StreamSamples.open(mixed)
        #expect(opened.error?.kind == .key && opened.text.isEmpty && !opened.isComplete)
    }

    @Test func numberOfSecrets() throws {
        for count in [0, 33] {
            let secrets = Array(repeating: StreamSamples.secret(), count: count)
            let error = #expect(throws: DiskError.self) {
                try SealedStreamWriter(for: secrets) { (_) throws(IOError) in }
            }
            #expect(error?.kind == .refused)
        }
        _ = try SealedStreamWriter(for: Array(repeating: StreamSamples.secret(), count: 32)) { (_) throws(IOError) in }
    }

    /// What is no sealed stream is told apart from what has another key.
    @Test func otherFiles() throws {
        func code(_ bytes: [UInt8]) -> String? { StreamSamples.open(bytes).error?.formatError?.code.rawValue }
        let sealed = try StreamSamples.sealed(StreamSamples.text(10))
        #expect(code([]) == "SEAL001")
        #expect(code([UInt8].zeros(4096)) == "SEAL001")
        #expect(code(Array(sealed.prefix(63))) == "SEAL001")
        #expect(code(Array(sealed.prefix(64))) == "SEAL006")
        #expect(code(Array(sealed.prefix(StreamSamples.Layout(sealed).envelope.count - 1))) == "SEAL006")
        var changed = sealed
        changed[12] = 2
        #expect(code(changed) == "SEAL003")
        changed[8] = 2
        #expect(code(changed) == "SEAL002")
        let (envelope, keys) = try Envelope.create(
            .image, chunkByteCount: 16_384, for: [StreamSamples.secret()], creationTime: 0, random: .system)
        #expect(code(envelope.bytes(keys)) == "SEAL003")
    }

    /// A sink or a source that fails says so in every further call.
    @Test func failingEnds() throws {
        let text = StreamSamples.text(3_000_000)
        for limit in [0, 1, 2, 4, 5] {
            var left = limit
            var calls = 0
            do throws(DiskError) {
                let writer = try SealedStreamWriter(for: [StreamSamples.secret()]) { (_) throws(IOError) in
                    calls += 1
                    left -= 1
                    if left < 0 { throw IOError("write", path: "out", .errno(28)) }
                }
                do throws(DiskError) {
                    try writer.write(text.rawBytes)
                    try writer.finish()
                } catch {
                    let before = calls
                    let again = #expect(throws: DiskError.self) { try writer.finish() }
                    #expect(again?.ioError == error.ioError && calls == before)
                    throw error
                }
                Issue.record("nothing failed after \(limit) writes")
            } catch { #expect(error.kind == .io && error.ioError?.reason == .errno(28)) }
        }
        let sealed = try StreamSamples.sealed(text)
        var place = 0
        let reader = try SealedStreamReader(secrets: [StreamSamples.secret()], path: "x") { (bytes) throws(IOError) in
            guard place < 2_000_000 else { throw IOError("read", path: "in", .errno(5)) }
            let count = min(bytes.byteCount, 10_000)
            let part = Array(sealed[place..<place + count])
            bytes.copy(part.rawBytes, at: 0)
            place += count
            return count
        }
        var opened: [UInt8] = []
        for _ in 0..<2 {
            let error = #expect(throws: DiskError.self) {
                try reader.forEachPiece { (part) throws(DiskError) in opened += [UInt8](copying: part) }
            }
            #expect(error?.kind == .io && !reader.isComplete)
        }
        #expect(StreamSamples.isPrefix(opened, of: text) && opened.count > 1_900_000)
    }
}
