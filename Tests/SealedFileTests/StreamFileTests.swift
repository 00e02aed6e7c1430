import BlockIO
import ByteCodec
import Dispatch
import DiskModel
import FaultInjection
import Synchronization
import Testing

@testable import SealedFile

/// The text of a stream at any place is that which comes in order.
@Suite struct StreamFileTests {
    private let secrets = [StreamSamples.secret()]

    private func file(_ bytes: [UInt8]) throws -> SealedStreamFile {
        try SealedStreamFile(reading: MemoryFile(bytes), secrets: secrets)
    }

    /// Reads at places that are often near to those where segments and frames meet.
    private static func readAnywhere(
        _ file: SealedStreamFile, _ text: [UInt8], seed: UInt64, count: Int = 60
    ) throws {
        var random = SplitMix(seed: seed)
        for _ in 0..<count {
            let near = Int.random(in: 0...text.count / 65_536, using: &random) * 65_536
            let anywhere = Int.random(in: 0...text.count, using: &random)
            let jitter = Int.random(in: -20...20, using: &random)
            let start = max(0, min(text.count, Bool.random(using: &random) ? near + jitter : anywhere))
            let length = [1, 40, 4096, 65_536, 200_000, 1_200_000][Int.random(in: 0..<6, using: &random)]
            let end = min(text.count, start + length)
            let found = try file.bytes(at: UInt64(start), count: end - start)
            guard StreamSamples.isSame(found, Array(text[start..<end])) else { throw Wrong(start: start, end: end) }
        }
    }

    private struct Wrong: Error { var start, end: Int }

    @Test(arguments: StreamRoundTripTests.byteCounts) func oneFrame(byteCount: Int) throws {
        let text = StreamSamples.text(byteCount)
        let file = try file(StreamSamples.sealed(text))
        #expect(file.byteCount() == UInt64(byteCount))
        #expect(StreamSamples.isSame(try file.bytes(at: 0, count: byteCount), text))
        try Self.readAnywhere(file, text, seed: UInt64(byteCount))
    }

    @Test(arguments: [
        [0, 0, 0], [5, 65_536, 1], [70_000, 600_000, 65_536, 3], [0, 1, 0, 0, 131_072, 0, 7, 0], [16, 16, 16],
    ])
    func frames(sizes: [Int]) throws {
        var builder = try StreamRuleTests.Builder()
        var text: [UInt8] = []
        for (number, size) in sizes.enumerated() {
            let part = StreamSamples.text(size, seed: UInt64(number))
            let starts = Array(stride(from: 0, to: max(1, size), by: 65_536))
            builder.add(
                starts.map {
                    StreamRuleTests.Segment(
                        text: Array(part[$0..<min($0 + 65_536, size)]), isLast: $0 == starts[starts.count - 1])
                })
            text += part
        }
        builder.end(UInt64(sizes.count), UInt64(text.count))
        let opened = StreamSamples.open(builder.bytes)
        #expect(opened.isComplete && StreamSamples.isSame(opened.text, text))
        let file = try file(builder.bytes)
        #expect(file.byteCount() == UInt64(text.count) && file.frames.count == sizes.count { $0 > 0 })
        try Self.readAnywhere(file, text, seed: 3, count: 200)
    }

    @Test func byAppending() throws {
        let frames = [10, 65_536, 300_000, 1].enumerated().map { StreamSamples.text($1, seed: UInt64($0)) }
        let file = try file(StreamSamples.sealed(frames: frames))
        try Self.readAnywhere(file, frames.flatMap { $0 }, seed: 8)
    }

    @Test func threads() throws {
        let frames = [1_000_000, 3, 700_000].enumerated().map { StreamSamples.text($1, seed: UInt64($0)) }
        let text = frames.flatMap { $0 }
        let file = try file(StreamSamples.sealed(frames: frames))
        let failures = Mutex<[String]>([])
        DispatchQueue.concurrentPerform(iterations: 6) { number in
            do { try Self.readAnywhere(file, text, seed: UInt64(number)) } catch {
                failures.withLock { $0.append("\(error)") }
            }
        }
        #expect(failures.withLock { $0 } == [])
    }

    @Test func bounds() throws {
        let file = try file(StreamSamples.sealed(StreamSamples.text(100)))
        #expect(try file.bytes(at: 100, count: 0) == [])
        for (offset, count) in [(100, 1), (0, 101), (99, 2), (UInt64.max, 1)] as [(UInt64, Int)] {
            let error = #expect(throws: IOError.self) { try file.bytes(at: offset, count: count) }
            #expect(error?.reason == .endOfFile(byteCount: 100))
        }
        #expect(try file.data(from: 0) == 0..<100 && file.data(from: 40) == 40..<100 && file.data(from: 100) == nil)
        #expect(file.hostFile == nil && file.envelope.kind == .stream)
    }

    @Test func nothingIsWritten() throws {
        let sealed = try StreamSamples.sealed(StreamSamples.text(100))
        let below = MemoryFile(sealed)
        let file = try SealedStreamFile(reading: below, secrets: secrets)
        for change in [
            { try file.write([1], at: 0) }, { try file.resize(to: 1) }, { try file.zero(0..<1) },
        ] as [() throws -> Void] {
            let error = #expect(throws: IOError.self) { try change() }
            #expect(error?.reason == .readOnly)
        }
        file.sync()
        #expect(below.allBytes == sealed)
    }

    @Test func keys() throws {
        let sealed = try StreamSamples.sealed(StreamSamples.text(100))
        let error = #expect(throws: DiskError.self) {
            try SealedStreamFile(reading: MemoryFile(sealed), secrets: [StreamSamples.secret(9)])
        }
        #expect(error?.kind == .key)
        let image = MemoryFile()
        _ = try SealedImage.create(on: image, for: secrets, creationTime: 0)
        let other = #expect(throws: DiskError.self) { try SealedStreamFile(reading: image, secrets: secrets) }
        #expect(other?.formatError?.code == .sealedEnvelope)
    }

    /// A long frame is not read to find its end.
    @Test func openingReadsLittle() throws {
        let text = StreamSamples.text(100 * 65_536 + 77)
        let below = CountingFile(MemoryFile(try StreamSamples.sealed(text)))
        let file = try SealedStreamFile(reading: below, secrets: secrets)
        let (calls, byteCount) = below.counts
        #expect(calls < 30 && byteCount < 100_000, "\(calls) reads of \(byteCount) bytes")
        #expect(StreamSamples.isSame(try file.bytes(at: 6_000_000, count: 500_000), Array(text[6_000_000..<6_500_000])))
        // Places near to each other are opened once.
        let before = below.counts.calls
        for place in 0..<16 { _ = try file.bytes(at: 4 * 65_536 + UInt64(place) * 4096, count: 4096) }
        #expect(below.counts.calls == before + 1)
    }

    /// A frame of 8 GiB, of which only the head, the words and the end are there.
    @Test func eightGibibytes() throws {
        let segmentCount: UInt64 = 131_073
        var builder = try StreamRuleTests.Builder()
        let start = builder.bytes.count + FrameHeader.byteCount
        builder.add([.init(text: [1, 2, 3], counter: segmentCount - 1)])
        let textByteCount = (segmentCount - 1) * 65_536 + 3
        builder.end(1, textByteCount)
        let below = LongFrameFile(builder.bytes, segments: start, count: segmentCount - 1)
        let file = try SealedStreamFile(reading: below, secrets: secrets)
        #expect(file.byteCount() == textByteCount && textByteCount > 8 << 30)
        #expect(below.readCount < 60)
        #expect(try file.bytes(at: textByteCount - 2, count: 2) == [2, 3])
        let error = #expect(throws: IOError.self) { try file.bytes(at: 5 << 30, count: 100_000) }
        #expect(error?.reason == .notAuthentic && error?.offset == 5 << 30)
    }

    /// Ciphertext that looks like the word of a full segment, behind the frame and where one is looked for.
    @Test(arguments: [4, 7]) func misledSearch(slot: Int) throws {
        let first = StreamSamples.text(3 * 65_536 + 10)
        var second = StreamSamples.text(6 * 65_536, seed: 2)
        func sealed() throws -> [UInt8] {
            try StreamSamples.sealed(frames: [first, second], random: StreamSamples.countingRandom())
        }
        let plain = try sealed()
        let frames = StreamSamples.Layout(plain).frames
        let place = frames[0].segments[0].lowerBound + slot * 65_556
        let segment = try #require(frames[1].segments.firstIndex { $0.contains(place) })
        let inText = segment * 65_536 + place - frames[1].segments[segment].lowerBound - 4
        for (number, byte) in [0, 0, 1, 0].enumerated() as EnumeratedSequence<[UInt8]> {
            second[inText + number] ^= plain[place + number] ^ byte
        }
        let misleading = try sealed()
        #expect(Array(misleading[place..<place + 4]) == [0, 0, 1, 0])
        let file = try file(misleading)
        #expect(StreamSamples.isSame(try file.bytes(at: 0, count: Int(file.byteCount())), first + second))
    }

    /// Frames without text take no room; those with are counted before memory is given.
    @Test func manyFrames() throws {
        var builder = try StreamRuleTests.Builder()
        for number in 0..<3000 { builder.add([.init(text: number % 1000 == 999 ? [7] : [])]) }
        builder.end(3000, 3)
        let below = MemoryFile(builder.bytes)
        let file = try SealedStreamFile(reading: below, secrets: secrets, frameLimit: 3)
        #expect(file.frames.count == 3)
        #expect(try file.bytes(at: 0, count: 3) == [7, 7, 7])
        let error = #expect(throws: DiskError.self) {
            try SealedStreamFile(reading: below, secrets: secrets, frameLimit: 2)
        }
        #expect(error?.kind == .refused)
        #expect(StreamFrameTable.frameLimit * MemoryLayout<StreamFrameTable.Entry>.stride <= 16 << 20)
    }

    /// More frames than one block of the table has.
    @Test func blocksOfFrames() throws {
        var builder = try StreamRuleTests.Builder()
        let text = StreamSamples.text(2500)
        for byte in text { builder.add([.init(text: [byte])]) }
        builder.end(2500, 2500)
        let file = try file(builder.bytes)
        #expect(file.frames.count == 2500)
        #expect(try file.bytes(at: 0, count: 2500) == text)
        for place in [0, 1023, 1024, 2047, 2048, 2499] {
            #expect(try file.bytes(at: UInt64(place), count: 1) == [text[place]])
        }
    }

    /// Each read that fails is told as that, at opening and later; the next one is right.
    @Test func failingReads() throws {
        let text = StreamSamples.text(3 * 65_536 + 5)
        let sealed = try StreamSamples.sealed(frames: [text, [1, 2, 3]])
        var after = 0
        while true {
            let failing = FailingFile(MemoryFile(sealed), after: after, failsReads: true, recovers: true)
            do {
                let file = try SealedStreamFile(reading: failing, secrets: secrets)
                if failing.hasFailed { Issue.record("opened in spite of a failure") }
                let found = try? file.bytes(at: 10, count: text.count - 10)
                #expect((found == nil) == failing.hasFailed)
                if !failing.hasFailed { break }
                let again = try file.bytes(at: 10, count: text.count - 10)
                #expect(StreamSamples.isSame(again, Array(text[10...])))
            } catch { #expect((error as? DiskError)?.kind == .io, "read \(after): \(error)") }
            after += 1
            try #require(after < 100)
        }
        #expect(after > 5)
    }
}

/// Counts what is read.
private final class CountingFile: BlockFile {
    private let base: MemoryFile
    private let read = Mutex((calls: 0, byteCount: 0))
    var counts: (calls: Int, byteCount: Int) { read.withLock { $0 } }
    var path: String { base.path }

    init(_ base: MemoryFile) { self.base = base }

    func byteCount() throws(IOError) -> UInt64 { base.byteCount() }
    func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        let count = buffer.byteCount
        read.withLock { $0 = ($0.calls + 1, $0.byteCount + count) }
        try base.read(into: &buffer, at: offset)
    }
    func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) { try base.write(bytes, at: offset) }
    func resize(to byteCount: UInt64) throws(IOError) { base.resize(to: byteCount) }
    func zero(_ range: Range<UInt64>) throws(IOError) { base.zero(range) }
    func sync() throws(IOError) {}
}

/// A stream's bytes, with so many full segments put in that have words, and zeros for the rest.
private final class LongFrameFile: BlockFile {
    private let bytes: [UInt8]
    private let inserted: Range<UInt64>
    private let calls = Mutex(0)
    var readCount: Int { calls.withLock { $0 } }
    let path = "long"

    init(_ bytes: [UInt8], segments start: Int, count: UInt64) {
        (self.bytes, inserted) = (bytes, UInt64(start)..<UInt64(start) + count * 65_556)
    }

    private func byte(_ offset: UInt64) -> UInt8 {
        if offset < inserted.lowerBound { return bytes[Int(offset)] }
        if offset >= inserted.upperBound { return bytes[Int(offset - UInt64(inserted.count))] }
        return (offset - inserted.lowerBound) % 65_556 == 2 ? 1 : 0
    }

    func byteCount() throws(IOError) -> UInt64 { UInt64(bytes.count + inserted.count) }
    func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        calls.withLock { $0 += 1 }
        for place in 0..<buffer.byteCount { buffer.store(byte(offset + UInt64(place)), at: place, .little) }
    }
    func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) { throw IOError("write", path: path, .readOnly) }
    func resize(to byteCount: UInt64) throws(IOError) { throw IOError("resize", path: path, .readOnly) }
    func zero(_ range: Range<UInt64>) throws(IOError) { throw IOError("zero", path: path, .readOnly) }
    func sync() throws(IOError) {}
}
