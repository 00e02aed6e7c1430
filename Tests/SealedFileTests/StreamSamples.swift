import BlockIO
import ByteCodec
import Cipher
import DiskModel
import FaultInjection
import Synchronization

@testable import SealedFile

/// Sealed streams for tests, and ways to look at them that share nothing with the reader.
enum StreamSamples {
    static let segmentByteCount = 65_536

    /// Quick in builds without optimisation, and quiet where they differ.
    static func isSame(_ a: [UInt8], _ b: [UInt8]) -> Bool { bytesEqual(a.rawBytes, b.rawBytes) }

    static func isPrefix(_ start: some Collection<UInt8>, of bytes: [UInt8]) -> Bool {
        start.count <= bytes.count && isSame(Array(start), Array(bytes[..<start.count]))
    }

    /// A key file's secret: 32 equal bytes.
    static func secret(_ byte: UInt8 = 7) -> SlotKey {
        let bytes = [UInt8](repeating: byte, count: 32)
        return .keyFile(SecretBytes(copying: bytes.rawBytes))
    }

    /// The bytes 00 01 02 … ff 00 …, in order.
    static func countingRandom() -> RandomSource {
        let next = Counter()
        return RandomSource { bytes in
            for place in 0..<bytes.byteCount { bytes.store(next.take(), at: place, .little) }
        }
    }

    private final class Counter: Sendable {
        private let value = Mutex(UInt8(0))
        func take() -> UInt8 {
            value.withLock {
                $0 &+= 1
                return $0 &- 1
            }
        }
    }

    static func text(_ byteCount: Int, seed: UInt64 = 1) -> [UInt8] {
        var random = SplitMix(seed: seed)
        var result: [UInt8] = []
        result.reserveCapacity(byteCount + 8)
        while result.count < byteCount {
            let word = random.next()
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                result.append(UInt8(truncatingIfNeeded: word >> shift))
            }
        }
        return Array(result.prefix(byteCount))
    }

    /// A stream of one frame (none for no text).
    /// - Parameter isFinished: whether it gets its end; it is open otherwise, what was not passed on being lost.
    static func sealed(
        _ text: [UInt8], pieces: Int = .max, secret: SlotKey = secret(), random: RandomSource = .system,
        isFinished: Bool = true
    ) throws -> [UInt8] {
        let output = Output()
        let writer = try SealedStreamWriter(for: [secret], random: random) { (bytes) throws(IOError) in
            output.add(bytes)
        }
        try forEachPart(text, pieces) { (part) throws(DiskError) in try writer.write(part.rawBytes) }
        if isFinished { try writer.finish() }
        return output.bytes
    }

    static func forEachPart(_ text: [UInt8], _ pieces: Int, _ body: ([UInt8]) throws(DiskError) -> Void)
        throws(DiskError)
    {
        var start = 0
        while start < text.count {
            let end = start + min(pieces, text.count - start)
            try body(Array(text[start..<end]))
            start = end
        }
    }

    /// A stream of several frames, by appending.
    static func sealed(
        frames: [[UInt8]], secret: SlotKey = secret(), random: RandomSource = .system, isFinished: Bool = true
    ) throws -> [UInt8] {
        let file = MemoryFile(try sealed([], secret: secret, random: random))
        let appender = try SealedStreamAppender(on: file, secrets: [secret], random: random)
        for frame in frames {
            try appender.write(frame.rawBytes)
            try appender.flush()
        }
        if isFinished { try appender.finish() }
        return file.allBytes
    }

    /// What a reader gives.
    struct Opened {
        var text: [UInt8] = []
        var isComplete = false
        var error: DiskError?
    }

    /// What `SealedStreamReader` gives; compared with what `SealedStreamFile` does.
    /// - Parameter pieces: bytes asked for at a time; nil for `forEachPiece`.
    static func open(_ bytes: [UInt8], secret: SlotKey = secret(), pieces: Int? = nil) -> Opened {
        var opened = Opened()
        do throws(DiskError) {
            let reader = try SealedStreamReader(secrets: [secret], from: MemoryFile(bytes))
            do throws(DiskError) { try read(reader, pieces, &opened.text) } catch { opened.error = error }
            opened.isComplete = reader.isComplete
        } catch { opened.error = error }
        StreamFileAgreement(bytes, secret: secret).expectSame(opened)
        return opened
    }

    private static func read(_ reader: SealedStreamReader, _ pieces: Int?, _ text: inout [UInt8]) throws(DiskError) {
        guard let pieces else {
            return try reader.forEachPiece { (part) throws(DiskError) in text += [UInt8](copying: part) }
        }
        var buffer = [UInt8].zeros(pieces)
        while true {
            var raw = buffer.mutableRawBytes
            let count = try reader.read(into: &raw)
            guard count > 0 else { return }
            text += buffer.prefix(count)
        }
    }

    /// Places in a stream, by the lengths it tells: for streams that are whole.
    struct Layout {
        struct Frame: Equatable {
            /// Head and segments.
            var range: Range<Int>
            /// Words, ciphertexts and tags.
            var segments: [Range<Int>] = []
        }
        var envelope: Range<Int>
        /// The end frame is the last.
        var frames: [Frame] = []

        init(_ stream: [UInt8]) {
            func integer(_ place: Int) -> Int { (0..<4).reduce(0) { $0 | Int(stream[place + $1]) << (8 * $1) } }
            envelope = 0..<integer(16)
            var place = envelope.upperBound
            while place < stream.count {
                var frame = Frame(range: place..<place)
                place += 48
                var isLast = false
                while !isLast {
                    let word = integer(place)
                    isLast = word >> 31 == 1
                    let end = place + 4 + word & 0x7fff_ffff + 16
                    frame.segments.append(place..<end)
                    place = end
                }
                frame.range = frame.range.lowerBound..<place
                frames.append(frame)
            }
        }
    }

    /// A stream's envelope and these parts behind it.
    static func spliced(_ stream: [UInt8], _ parts: [ArraySlice<UInt8>]) -> [UInt8] {
        Array(stream[Layout(stream).envelope]) + parts.flatMap { Array($0) }
    }
}

/// Bytes that a sink got.
final class Output {
    private(set) var bytes: [UInt8] = []
    func add(_ more: RawSpan) { bytes += [UInt8](copying: more) }
}
