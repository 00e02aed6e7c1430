import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import FaultInjection
import Glibc
import Testing

@Suite struct DirtyMapTests {
    private static let regionByteCount: UInt64 = 4096

    private static var exact: DirtyMap.Options {
        var options = DirtyMap.Options()
        (options.regionByteCount, options.marksAhead) = (regionByteCount, false)
        return options
    }

    private static func range(_ regions: Range<Int>, _ size: UInt64, _ generator: inout SplitMix) -> Range<UInt64> {
        let end = min(size, UInt64(regions.upperBound) * regionByteCount)
        let (first, last) = (UInt64(regions.lowerBound) * regionByteCount, (end - 1).roundedDown(to: regionByteCount))
        let start = UInt64.random(in: first..<min(end, first + regionByteCount), using: &generator)
        return start..<UInt64.random(in: max(start, last)..<end, using: &generator) + 1
    }

    /// Random marks, logs, acknowledgements, clears, growths, clean and unclean ends: always what plain sets say.
    @Test(arguments: 1...6) func asPlainSets(seed: UInt64) throws {
        var generator = SplitMix(seed: seed)
        // The last region is a part of one, and there are several pages.
        var size = UInt64([37, 33_000, 700][Int(seed % 3)]) * Self.regionByteCount - 1000
        var regionCount: Int { Int((size + Self.regionByteCount - 1) / Self.regionByteCount) }
        let file = MemoryFile()
        var map = try DirtyMap.create(on: file, virtualByteCount: size, fingerprint: sampleFingerprint, Self.exact)
        var model = DirtyMapModel()
        var kinds = Set<Int>()
        for step in 0..<300 {
            let kind = Int.random(in: 0..<20, using: &generator)
            kinds.insert(kind)
            switch kind {
            case 0..<11:
                let first = Int.random(in: 0..<regionCount, using: &generator)
                let count = Bool.random(using: &generator) ? 1 : Int.random(in: 1...200, using: &generator)
                let regions = first..<min(regionCount, first + count)
                let range = Self.range(regions, size, &generator)
                try map.mark(range)
                model.mark(regions)
            case 11..<14:
                guard model.logs.count < 16 else { continue }
                let id = GUID.random(using: &generator)
                try map.beginLog(id)
                model.begin(id)
            case 14..<17:
                guard model.logs.count > 1 else { continue }
                let index = Int.random(in: 0..<model.logs.count - 1, using: &generator)
                try map.acknowledge(through: model.logs[index].id)
                model.acknowledge(index)
            case 17:
                guard let index = model.logs.indices.randomElement(using: &generator) else { continue }
                try map.clear(before: model.logs[index].id)
                model.clear(before: index)
            case 18:
                size += UInt64.random(in: 0..<40 * Self.regionByteCount, using: &generator)
                try map.resize(to: size)
            default:
                let isClosed = Bool.random(using: &generator)
                let wasOwed = model.owesResynchronisation
                if isClosed { try map.close(sampleFingerprint) }
                map = try DirtyMap.open(
                    on: file, virtualByteCount: size, fingerprint: sampleFingerprint, Self.exact)
                model.reopen(clean: isClosed && !wasOwed)
                #expect(map.continuity.state == (model.owesResynchronisation ? .notClosed : .clean))
            }
            guard step % 4 == 0 || kind > 16 else { continue }
            let isSame = dirtyRegions(map) == model.dirty
            try #require(isSame, "seed \(seed), step \(step), kind \(kind)")
            try #require(map.findings.isEmpty)
        }
        #expect(kinds.count == 20)
        #expect(map.virtualByteCount == size && map.regionByteCount == Self.regionByteCount)
    }

    /// With marks ahead more is dirty, never less, and acknowledging frees all of it.
    @Test func marksAheadAreASuperset() throws {
        var generator = SplitMix(seed: 5)
        let size: UInt64 = 1 << 30
        let file = MemoryFile()
        let map = try DirtyMap.create(on: file, virtualByteCount: size)
        var model = DirtyMapModel()
        let (first, second) = (GUID.random(), GUID.random())
        try map.beginLog(first)
        model.begin(first)
        for _ in 0..<2000 {
            let start = UInt64.random(in: 0..<size - 4096, using: &generator)
            try map.mark(start..<start + 4096)
            model.mark(Int(start >> 16)..<Int((start + 4095) >> 16) + 1)
        }
        let isSuperset = dirtyRegions(map).isSuperset(of: model.dirty)
        #expect(isSuperset)
        try map.beginLog(second)
        try map.mark(0..<1)
        try map.acknowledge(through: first)
        #expect(map.dirtyRanges == [0..<65536])
    }

    /// Few scattered writes mark what they touch; many mark more each time, so that one log costs a bounded number of
    /// flushes; and the next log begins with exact marks again.
    @Test func manyScatteredWritesNeedFewerFlushes() throws {
        var generator = SplitMix(seed: 8)
        // 2048 groups of 64 regions.
        let size: UInt64 = 8 << 30
        let file = SlowFile(syncMicroseconds: 0)
        let map = try DirtyMap.create(on: file, virtualByteCount: size)
        let (first, second) = (GUID.random(), GUID.random())
        try map.beginLog(first)
        var model: Set<Int> = []
        let before = file.syncs.count
        for number in 0..<20_000 {
            // The first ones stand in groups of their own.
            let region = number < 500 ? number * 32 : Int.random(in: 0..<Int(size >> 16), using: &generator)
            try map.mark(UInt64(region) << 16..<UInt64(region) << 16 + 4096)
            model.insert(region)
            if number == 499 { #expect(dirtyRegions(map) == model && file.syncs.count - before == 500) }
        }
        let isSuperset = dirtyRegions(map).isSuperset(of: model)
        #expect(isSuperset)
        #expect(file.syncs.count - before <= 6 * 512 + 2048)
        let again = try DirtyMap.open(
            on: MemoryFile(file.base.contents), virtualByteCount: size, fingerprint: sampleFingerprint)
        #expect(again.dirtyRanges == map.dirtyRanges)

        try map.beginLog(second)
        try map.acknowledge(through: first)
        try map.mark(5 << 16..<5 << 16 + 1)
        #expect(dirtyRegions(map) == [5])
    }

    @Test func aRegionWrittenAgainStaysForTheLaterLog() throws {
        let map = try DirtyMap.create(on: MemoryFile(), virtualByteCount: 1 << 20, Self.exact)
        let ids = (0..<3).map { _ in GUID.random() }
        try map.beginLog(ids[0])
        try map.mark(0..<8192)
        try map.beginLog(ids[1])
        try map.mark(0..<1)
        try map.beginLog(ids[2])
        try map.acknowledge(through: ids[0])
        #expect(map.dirtyRanges == [0..<4096])
        try map.acknowledge(through: ids[0])
        #expect(map.dirtyRanges == [0..<4096])
        try map.acknowledge(through: ids[1])
        #expect(map.dirtyRanges == [])
    }

    /// More logs than are held apart: the oldest go together, none too early.
    @Test func manyLogsAreJoinedAtTheOldEnd() throws {
        let map = try DirtyMap.create(on: MemoryFile(), virtualByteCount: 1 << 20, Self.exact)
        let ids = (0..<20).map { _ in GUID.random() }
        for (number, id) in ids.enumerated() {
            try map.beginLog(id)
            try map.mark(UInt64(number) * 4096..<UInt64(number) * 4096 + 1)
        }
        try map.acknowledge(through: ids[0])
        #expect(map.dirtyRanges == [0..<20 * 4096])
        try map.acknowledge(through: ids[4])
        #expect(map.dirtyRanges == [5 * 4096..<20 * 4096])
        try map.acknowledge(through: ids[18])
        #expect(map.dirtyRanges == [19 * 4096..<20 * 4096])
    }

    @Test func refusals() throws {
        let map = try DirtyMap.create(on: MemoryFile(), virtualByteCount: 1 << 20, Self.exact)
        let id = GUID.random()
        try map.beginLog(id)
        func kind(_ body: () throws -> Void) -> DiskError.Kind? {
            do { try body() } catch { return (error as? DiskError)?.kind }
            return nil
        }
        #expect(kind { try map.mark(1 << 20..<1 << 20 | 1) } == .outOfRange)
        #expect(kind { try map.beginLog(id) } == .refused)
        #expect(kind { try map.acknowledge(through: id) } == .refused)
        #expect(kind { try map.clear(before: .random()) } == .refused)
        #expect(kind { try map.resize(to: 4096) } == .refused)
        try map.mark(77..<77)
        #expect(map.dirtyByteCount == 0)
        try map.close(sampleFingerprint)
        #expect(kind { try map.mark(0..<1) } == .refused)
        for size: UInt64 in [0, 256, 5000, 1 << 50] {
            var options = Self.exact
            options.regionByteCount = size
            #expect(kind { _ = try DirtyMap.create(on: MemoryFile(), virtualByteCount: 1 << 40, options) } == .refused)
        }
    }

    private static let usual: [(size: UInt64, region: UInt64)] = [
        (0, 64 << 10), (64 << 30, 64 << 10), ((64 << 30) + 1, 128 << 10), (64 << 40, 64 << 20),
    ]

    @Test func usualRegions() throws {
        for (size, region) in Self.usual {
            let map = try DirtyMap.create(on: MemoryFile(), virtualByteCount: size)
            #expect(map.regionByteCount == region)
            #expect(map.summary.regionCount <= 1 << 20)
        }
    }

    /// A disk that grows out of its regions gets larger ones, and what was dirty stays so.
    @Test func growthFoldsRegions() throws {
        let file = MemoryFile()
        var options = DirtyMap.Options()
        (options.regionByteCount, options.marksAhead) = (512, false)
        let map = try DirtyMap.create(on: file, virtualByteCount: 512 << 20, options)
        let (first, second) = (GUID.random(), GUID.random())
        try map.beginLog(first)
        try map.mark(512..<1024)
        try map.beginLog(second)
        try map.mark(4096..<4097)
        try map.resize(to: 2 << 30)
        #expect(map.regionByteCount == 2048)
        #expect(map.dirtyRanges == [0..<2048, 4096..<6144])
        try map.mark((2 << 30) - 1..<2 << 30)
        try map.beginLog(.random())
        try map.acknowledge(through: first)
        #expect(map.dirtyRanges == [4096..<6144, (2 << 30) - 2048..<2 << 30])
        let again = try DirtyMap.open(on: file, virtualByteCount: 2 << 30, fingerprint: sampleFingerprint)
        #expect(again.dirtyRanges == map.dirtyRanges && again.findings.isEmpty)
    }

    // MARK: Threads

    private final class SlowFile: BlockFile {
        let base = MemoryFile()
        let syncs = SyncCounter()
        private let syncMicroseconds: UInt32
        init(syncMicroseconds: UInt32 = 500) { self.syncMicroseconds = syncMicroseconds }
        var path: String { base.path }
        func byteCount() -> UInt64 { base.byteCount() }
        func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
            try base.read(into: &buffer, at: offset)
        }
        func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) { try base.write(bytes, at: offset) }
        func resize(to byteCount: UInt64) { base.resize(to: byteCount) }
        func zero(_ range: Range<UInt64>) { base.zero(range) }
        func sync() {
            syncs.add()
            if syncMicroseconds > 0 { usleep(syncMicroseconds) }
        }
    }

    /// Threads that mark at the same time share flushes; what is marked is in the file when `mark` returns.
    @Test func threadsShareFlushes() async throws {
        let file = SlowFile()
        let size: UInt64 = 64 << 20
        let map = try DirtyMap.create(on: file, virtualByteCount: size, Self.exact)
        try map.beginLog(.random())
        let before = file.syncs.count
        let marked = await withTaskGroup(of: Set<Int>.self) { group in
            for seed in 1...8 {
                group.addTask {
                    var generator = SplitMix(seed: UInt64(seed))
                    var regions: Set<Int> = []
                    for _ in 0..<100 {
                        let region = Int.random(in: 0..<Int(size / 4096), using: &generator)
                        do { try map.mark(UInt64(region) * 4096..<UInt64(region) * 4096 + 512) } catch {
                            Issue.record("\(error)")
                        }
                        regions.insert(region)
                        guard regions.count % 16 == 0 else { continue }
                        let copy = try? DirtyMap.open(
                            on: MemoryFile(file.base.contents), virtualByteCount: size, fingerprint: sampleFingerprint)
                        if copy.map({ dirtyRegions($0).contains(region) }) != true {
                            Issue.record("region \(region) is not in the file")
                        }
                    }
                    return regions
                }
            }
            return await group.reduce(into: Set<Int>()) { $0.formUnion($1) }
        }
        let isSame = dirtyRegions(map) == marked
        #expect(isSame)
        #expect(marked.count > 700)
        #expect(file.syncs.count - before <= marked.count)
    }

    /// Logs change and are acknowledged while threads mark between switches: nothing of an unacknowledged log is lost.
    @Test func acknowledgingWhileMarking() async throws {
        let size: UInt64 = 4 << 20
        let map = try DirtyMap.create(on: MemoryFile(), virtualByteCount: size, Self.exact)
        var previous: GUID?
        for round in 0..<15 {
            let id = GUID.random()
            try map.beginLog(id)
            let acknowledged = previous
            let marked = await withTaskGroup(of: Set<Int>.self) { group in
                for seed in 0..<3 {
                    group.addTask {
                        var generator = SplitMix(seed: UInt64(round * 8 + seed))
                        var regions: Set<Int> = []
                        for _ in 0..<60 {
                            let region = Int.random(in: 0..<Int(size / 4096), using: &generator)
                            do { try map.mark(UInt64(region) * 4096..<UInt64(region) * 4096 + 1) } catch {
                                Issue.record("\(error)")
                            }
                            regions.insert(region)
                        }
                        return regions
                    }
                }
                group.addTask {
                    if let acknowledged {
                        do { try map.acknowledge(through: acknowledged) } catch { Issue.record("\(error)") }
                    }
                    return []
                }
                return await group.reduce(into: Set<Int>()) { $0.formUnion($1) }
            }
            let isSame = dirtyRegions(map) == marked
            #expect(isSame, "round \(round)")
            previous = id
        }
    }
}
