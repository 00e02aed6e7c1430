import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Glibc
import RawDisk
import Synchronization
import Testing
import ToolTesting

@testable import ImageChain

/// Two disks compared, against the plainest comparison there is.
@Suite struct DiskComparisonTests {
    static let seeds: [UInt64] = [1, 2, 3, UInt64.random(in: 0 ... .max)]

    /// Every byte and every sector, one after the other; the shorter disk is zeros past its end.
    private struct Model: Equatable {
        var first: UInt64?
        var bytes: UInt64 = 0
        var sectors: UInt64 = 0
        var ranges: [Range<UInt64>] = []

        init(_ a: [UInt8], _ b: [UInt8], _ range: Range<UInt64>) {
            var sector = UInt64.max
            for offset in range {
                let index = Int(offset)
                guard (index < a.count ? a[index] : 0) != (index < b.count ? b[index] : 0) else { continue }
                first = first ?? offset
                bytes += 1
                guard offset / 512 != sector else { continue }
                sector = offset / 512
                sectors += 1
                let run = (sector * 512..<(sector + 1) * 512).clamped(to: range)
                if let last = ranges.last, last.upperBound == run.lowerBound {
                    ranges[ranges.count - 1] = last.lowerBound..<run.upperBound
                } else {
                    ranges.append(run)
                }
            }
        }

        init(_ result: ComparisonResult) {
            self.init([], [], 0..<0)
            (first, bytes, sectors) = (
                result.firstDifference, result.differingByteCount, result.differingSectorCount
            )
            ranges = result.differingRanges
        }
    }

    private func raw(_ bytes: [UInt8]) throws -> ImageChain {
        try ImageChain(leafFirst: [try RawLayer(MemoryFile(bytes))])
    }

    private func compare(
        _ a: any VirtualDisk, _ b: any VirtualDisk, _ range: Range<UInt64>? = nil, first: Bool = false, list: Int = 1000
    ) throws -> ComparisonResult {
        var options = ComparisonOptions()
        (options.range, options.stopsAtFirst, options.listLimit) = (range, first, list)
        return try compareDisks(a, b, options)
    }

    /// Chains in random shapes, the second one like the first but for a few bytes, cut or longer.
    @Test(arguments: seeds) func randomChains(_ seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        for round in 0..<30 {
            let depth = Int.random(in: 1...4, using: &random)
            let layers = try (0..<depth).map { level in
                try RandomLayer(
                    sectors: Int.random(in: 1...80, using: &random), hasParent: level < depth - 1, using: &random)
            }
            let chain = try ImageChain(leafFirst: layers)
            let contents = try expectedContents(layers)
            var other = contents
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                let place = Int.random(in: 0..<other.count, using: &random)
                for index in place..<min(other.count, place + Int.random(in: 1...600, using: &random)) {
                    other[index] ^= UInt8.random(in: 0...255, using: &random)
                }
            }
            switch Int.random(in: 0..<4, using: &random) {
            case 0: other += [UInt8].zeros(512)
            case 1: other += random.bytes(512)
            case 2 where other.count > 512: other.removeLast(512)
            default: break
            }
            let size = UInt64(max(contents.count, other.count))
            let start = Bool.random(using: &random) ? 0 : UInt64.random(in: 0..<size, using: &random)
            let end = Bool.random(using: &random) ? size : UInt64.random(in: start...size, using: &random)
            let expected = Model(contents, other, start..<end)
            let note: Comment = "seed \(seed), round \(round), \(start)..<\(end)"
            for (a, b) in [(chain, try raw(other)), (try raw(other), chain)] {
                let result = try compare(a, b, start..<end)
                try #require(Model(result) == expected, note)
                try #require(result.differingRangeCount == UInt64(expected.ranges.count), note)
                try #require(
                    result.comparedByteCount + result.zeroByteCount + result.sharedByteCount == end - start, note)
                let short = try compare(a, b, start..<end, list: 2)
                try #require(short.differingRanges == Array(expected.ranges.prefix(2)), note)
                try #require(short.differingRangeCount == UInt64(expected.ranges.count), note)
                try #require(try compare(a, b, start..<end, first: true).firstDifference == expected.first, note)
            }
        }
    }

    /// However the whole is cut into parts, and in whatever order adjoining parts are merged.
    @Test(arguments: seeds) func tallies(_ seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        for round in 0..<100 {
            let (a, b) = (random.bytes(12_000), random.bytes(12_000))
            // Mostly equal, so that there are several ranges.
            var mixed = a
            for index in mixed.indices where (index / 300) % 4 == 0 && index % 7 < 2 { mixed[index] = b[index] }
            let offset = UInt64.random(in: 0...1024, using: &random)
            let limit = Int.random(in: 0...4, using: &random)
            func part(_ range: Range<Int>) -> DifferenceTally {
                var tally = DifferenceTally(listLimit: limit)
                tally.compare(
                    a.rawBytes.extracting(range), with: mixed.rawBytes.extracting(range),
                    at: offset + UInt64(range.lowerBound), stopsAtFirst: false)
                return tally
            }
            let whole = part(0..<a.count)
            var cuts = Set((0..<8).map { _ in Int.random(in: 0...a.count, using: &random) })
            cuts.formUnion([0, a.count])
            let places = cuts.sorted()
            var parts = zip(places, places.dropFirst()).map { part($0..<$1) }
            while parts.count > 1 {
                let index = Int.random(in: 0..<parts.count - 1, using: &random)
                parts[index].merge(parts.remove(at: index + 1))
            }
            let note: Comment = "seed \(seed), round \(round)"
            try #require(parts[0].firstByte == whole.firstByte && parts[0].byteCount == whole.byteCount, note)
            try #require(parts[0].sectorCount == whole.sectorCount && parts[0].rangeCount == whole.rangeCount, note)
            try #require(parts[0].ranges == whole.ranges && whole.ranges.count <= limit, note)
            try #require(whole.rangeCount >= 4)
        }
    }

    /// Single bytes around the edges of pieces and jobs, on disks of many jobs.
    @Test func edges() throws {
        var random = SplitMix(seed: 7)
        let base = random.bytes(1 << 16)
        let size = 9 << 20
        var bytes: [UInt8] = []
        while bytes.count < size { bytes += base }
        let a = try raw(bytes)
        let piece = Int(ComparisonPlan.pieceByteCount)
        for place in [
            0, 1, 511, 512, 4095, 4096, piece - 1, piece, piece + 1, (1 << 20) - 1, 1 << 20, (5 << 20) - 1, size - 512,
            size - 1,
        ] {
            let file = MemoryFile(bytes)
            try file.write([bytes[place] ^ 0x80], at: UInt64(place))
            let b = try ImageChain(leafFirst: [try RawLayer(file)])
            for (left, right) in [(a, b), (b, a)] {
                let result = try compare(left, right)
                #expect(result.firstDifference == UInt64(place) && result.differingByteCount == 1)
                #expect(result.differingRanges == [UInt64(place / 512 * 512)..<UInt64(place / 512 * 512 + 512)])
                #expect(try compare(left, right, first: true).firstDifference == UInt64(place))
                #expect(try firstDifferingByte(between: left, and: right) == UInt64(place))
            }
        }
        #expect(try compare(a, try raw(bytes)).firstDifference == nil)
        #expect(try firstDifferingByte(between: a, and: try raw(Array(bytes.dropLast(512)))) == UInt64(size - 512))
    }

    /// Which thread is faster changes nothing: many differences, and the smallest one is told every time, with the
    /// same counts.
    @Test func alwaysTheSame() throws {
        let bytes = [UInt8](repeating: 1, count: 6 << 20)
        let file = MemoryFile(bytes)
        for place in stride(from: (1 << 20) + 5, to: bytes.count, by: 100_000) {
            try file.write([2], at: UInt64(place))
        }
        let (a, b) = (try raw(bytes), try ImageChain(leafFirst: [try RawLayer(file)]))
        for _ in 0..<30 {
            let first = try compare(a, b, first: true)
            #expect(first.firstDifference == (1 << 20) + 5 && first.differingByteCount == 1)
            // The first MiB, and the piece with the difference.
            #expect(first.comparedByteCount == (1 << 20) + ComparisonPlan.pieceByteCount)
            let all = try compare(a, b)
            #expect(all.firstDifference == (1 << 20) + 5 && all.differingByteCount == 53)
            #expect(all.differingRangeCount == 53 && all.comparedByteCount == 6 << 20)
        }
    }

    /// A file with a spot that cannot be read.
    private final class BadSpot: BlockFile {
        let base: MemoryFile
        let spots: [UInt64]
        init(_ base: MemoryFile, _ spots: [UInt64]) { (self.base, self.spots) = (base, spots) }
        var path: String { "bad" }
        func byteCount() -> UInt64 { base.byteCount() }
        func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
            for spot in spots where spot >= offset && spot < offset + UInt64(buffer.byteCount) {
                throw IOError("pread", path: path, .errno(EIO), offset: spot)
            }
            try base.read(into: &buffer, at: offset)
        }
        func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) {}
        func resize(to byteCount: UInt64) throws(IOError) {}
        func zero(_ range: Range<UInt64>) throws(IOError) {}
        func sync() throws(IOError) {}
    }

    /// What comes first on the disk counts: a failure, or the difference that makes the rest uninteresting.
    @Test func failures() throws {
        let bytes = [UInt8](repeating: 1, count: 6 << 20)
        let changed = MemoryFile(bytes)
        try changed.write([2], at: 3 << 20)
        func result(_ spots: [UInt64], first: Bool) throws -> ComparisonResult {
            let bad = try ImageChain(leafFirst: [try RawLayer(BadSpot(changed, spots))])
            return try compare(try raw(bytes), bad, first: first)
        }
        for _ in 0..<20 {
            let error = try #require(throws: DiskError.self) {
                _ = try result([5 << 20, (2 << 20) + 9, (4 << 20) + 1], first: false)
            }
            #expect(error.ioError?.offset == (2 << 20) + 9)
            #expect(error.explanation.hasPrefix("reading the disk at 2097152: pread: "))
            #expect(throws: DiskError.self) { _ = try result([2 << 20], first: true) }
            #expect(try result([4 << 20, 5 << 20], first: true).firstDifference == 3 << 20)
        }
    }

    /// What both take from one file is not read, and counts as equal.
    @Test func sharedBytes() throws {
        let scratch = try Scratch()
        var random = SplitMix(seed: 3)
        let path = try scratch.write("disk.raw", random.bytes(3 << 20))
        let same = try compare(
            try ImageChain.open(path, .init(format: .raw)), try ImageChain.open(path, .init(format: .raw)))
        #expect(same.sharedByteCount == 3 << 20 && same.comparedByteCount == 0 && same.firstDifference == nil)
        let copy = try scratch.write("copy.raw", try fileBytes(path))
        let other = try compare(
            try ImageChain.open(path, .init(format: .raw)), try ImageChain.open(copy, .init(format: .raw)))
        #expect(other.sharedByteCount == 0 && other.comparedByteCount == 3 << 20)
    }

    private final class Collector: ComparisonObserver {
        var seen: [ComparisonSide: [UInt8]] = [.a: [], .b: []]
        func data(_ side: ComparisonSide, _ bytes: RawSpan) {
            seen[side, default: []] += bytes.array(0..<bytes.byteCount)
        }
        func zeros(_ side: ComparisonSide, _ byteCount: UInt64) { seen[side, default: []] += .zeros(Int(byteCount)) }
    }

    /// An observer sees each disk whole, also what both share, and nothing past its end.
    @Test func observer() throws {
        var random = SplitMix(seed: 4)
        let scratch = try Scratch()
        var bytes = random.bytes(1 << 20) + [UInt8].zeros(1 << 20)
        bytes += random.bytes(512)
        let path = try scratch.write("disk.raw", bytes)
        let a = try ImageChain.open(path, .init(format: .raw))
        for (other, contents) in [
            (try ImageChain.open(path, .init(format: .raw)), bytes), (try raw([1] + .zeros(511)), [1] + .zeros(511)),
        ] {
            for isSwapped in [false, true] {
                let collector = Collector()
                var options = ComparisonOptions()
                options.observer = collector
                _ = isSwapped ? try compareDisks(other, a, options) : try compareDisks(a, other, options)
                #expect(try #require(collector.seen[isSwapped ? .b : .a]) == bytes)
                #expect(try #require(collector.seen[isSwapped ? .a : .b]) == contents)
            }
        }
    }

    @Test func progressAndRange() throws {
        let a = try raw([UInt8](repeating: 1, count: 8 << 20))
        let b = try raw([UInt8](repeating: 1, count: 8 << 20))
        var seen: [UInt64] = []
        _ = try compareDisks(a, b) { seen.append($0) }
        #expect(seen == seen.sorted() && seen.allSatisfy { $0 <= 8 << 20 } && !seen.isEmpty)
        struct Enough: Error {}
        let error = try #require(throws: DiskError.self) {
            _ = try compareDisks(a, b) { (_) throws(DiskError) in throw DiskError(.io, path: "here", "enough") }
        }
        #expect(error.path == "here")
        #expect(try #require(throws: DiskError.self) { _ = try compare(a, b, 0..<(8 << 20) + 1) }.kind == .outOfRange)
        #expect(try compare(a, b, 5..<5).firstDifference == nil)
    }
}
