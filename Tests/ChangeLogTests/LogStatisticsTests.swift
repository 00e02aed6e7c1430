import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import HRL
import Testing

@testable import ChangeLog

/// A write as the tests know it.
private struct PlainWrite {
    var offset: UInt64
    var byteCount: UInt64
    var time: UInt32
    var isZeroes: Bool
    var range: Range<UInt64> { offset..<offset + byteCount }
}

/// Statistics of random logs against the plainest count there is.
@Suite struct LogStatisticsTests {
    private let diskByteCount: UInt64 = 4 << 20

    private func randomWrites(_ generator: inout SplitMix, count: Int, spread: UInt32) -> [PlainWrite] {
        var time: UInt32 = 800_000_000
        var end: UInt64 = 0
        return (0..<count).map { _ in
            // Now and then the clock goes back, and a write goes on where the last one ended.
            time = time &+ UInt32.random(in: 0...spread, using: &generator)
            if Int.random(in: 0..<20, using: &generator) == 0 { time -= min(spread * 10, 1000) }
            let sector = UInt64.random(in: 0..<diskByteCount / 512, using: &generator)
            let goesOn = Int.random(in: 0..<4, using: &generator) == 0 && end < diskByteCount
            let offset = goesOn ? end : sector * 512
            let most = min(100, (diskByteCount - offset) / 512)
            let length = UInt64.random(in: 1...most, using: &generator) * 512
            end = offset + length
            let isZeroes = Int.random(in: 0..<4, using: &generator) == 0
            return PlainWrite(offset: offset, byteCount: length, time: time, isZeroes: isZeroes)
        }
    }

    private func log(_ writes: [PlainWrite]) throws -> MemoryFile {
        let file = MemoryFile(path: "test.hrl")
        let writer = try LogWriter.create(on: file, LogWriter.Options())
        for write in writes {
            let time = DiskTimestamp(rawValue: write.time)
            if write.isZeroes {
                try writer.appendZeroes(write.range, time: time)
            } else {
                try writer.append([UInt8](repeating: 7, count: Int(write.byteCount)), at: write.offset, time: time)
            }
        }
        try writer.close(at: DiskTimestamp(rawValue: .max))
        return file
    }

    /// The sectors of a file that are no holes; all writes and blocks here are whole sectors.
    private func heldSectors(_ file: MemoryFile) -> [Bool] {
        var held = [Bool](repeating: false, count: Int(file.byteCount() / 512))
        var position: UInt64 = 0
        while let data = file.data(from: position) {
            for index in sectors(data) { held[index] = true }
            position = data.upperBound
        }
        return held
    }

    private func sectors(_ range: Range<UInt64>) -> Range<Int> {
        Int(range.lowerBound / 512)..<Int(range.upperBound / 512)
    }

    private func count(_ files: [MemoryFile], _ filter: WriteFilter) throws -> (LogStatistics, [LogStatistics.Log]) {
        var statistics = LogStatistics(filter: filter, regionByteCount: 8192)
        let readers = try files.map { try LogReader($0) }
        let logs = try readers.map { try statistics.add($0, verifyingData: true) }
        while statistics.needsAnotherPass() { for reader in readers { try statistics.addAgain(reader) } }
        return (statistics, logs)
    }

    private func filter(_ kind: Int, _ writes: [PlainWrite]) -> WriteFilter {
        var filter = WriteFilter()
        let times = writes.map(\.time).sorted()
        if kind & 1 != 0 { filter.since = DiskTimestamp(rawValue: times[times.count / 4]) }
        if kind & 2 != 0 { filter.until = DiskTimestamp(rawValue: times[times.count / 4 * 3]) }
        if kind & 4 != 0 { filter.disk = 1 << 20..<(1 << 20) + 700_000 }
        return filter
    }

    @Test(arguments: 1...24) func randomLogs(seed: UInt64) throws {
        var generator = SplitMix(seed: seed)
        let spread = UInt32([1, 10, 600, 5000][Int(seed % 4)])
        let parts = (0..<3).map { _ in randomWrites(&generator, count: 150, spread: spread) }
        let files = try parts.map { try log($0) }
        let filter = filter(Int(seed % 8), parts.flatMap { $0 })
        let (statistics, logs) = try count(files, filter)

        var (holes, zeroWrites, wholeHoles) = ([UInt64](), 0, [UInt64]())
        var counted: [PlainWrite] = []
        for (file, writes) in zip(files, parts) {
            let held = heldSectors(file)
            wholeHoles.append(UInt64(held.filter { !$0 }.count) * 512)
            var number = 0
            try LogReader(file).forEachWrite(verifyingData: false) { write in
                let plain = writes[number]
                number += 1
                guard plain.time >= filter.since.rawValue, plain.time <= filter.until.rawValue,
                    plain.range.overlaps(filter.disk)
                else { return }
                counted.append(plain)
                holes.append(UInt64(sectors(write.dataRange).filter { !held[$0] }.count) * 512)
                if holes[holes.count - 1] == plain.byteCount { zeroWrites += 1 }
            }
            #expect(number == writes.count)
        }
        #expect(!counted.isEmpty && (zeroWrites > 0 || seed % 8 > 0))

        #expect(statistics.writeCount == UInt64(counted.count))
        let byteCount = counted.reduce(0) { $0 + $1.byteCount }
        #expect(statistics.byteCount == byteCount)
        var covered = [Bool](repeating: false, count: Int(diskByteCount / 512))
        for write in counted { for index in sectors(write.range) { covered[index] = true } }
        let unique = UInt64(covered.filter { $0 }.count) * 512
        #expect(statistics.uniqueByteCount == unique && statistics.overwrittenByteCount == byteCount - unique)
        #expect(statistics.firstTime?.rawValue == counted.map(\.time).min())
        #expect(statistics.lastTime?.rawValue == counted.map(\.time).max())
        #expect(statistics.holeByteCount == holes.reduce(0, +) && statistics.zeroWriteCount == UInt64(zeroWrites))
        for ((file, found), hole) in zip(zip(files, logs), wholeHoles) {
            #expect(found.allocatedByteCount == file.byteCount() - hole)
        }
        let aligned = counted.filter { $0.offset % 4096 == 0 && $0.byteCount % 4096 == 0 }
        #expect(statistics.alignedWriteCount == UInt64(aligned.count))
        #expect(statistics.alignedByteCount == aligned.reduce(0) { $0 + $1.byteCount })
        let following = zip(counted, counted.dropFirst()).filter { $0.range.upperBound == $1.offset }.map(\.1)
        #expect(statistics.sequentialWriteCount == UInt64(following.count))
        #expect(statistics.sequentialByteCount == following.reduce(0) { $0 + $1.byteCount })
        expectSizes(statistics, counted)
        expectChurn(statistics, counted, holes)
        expectRegions(statistics, counted)
    }

    private func expectSizes(_ statistics: LogStatistics, _ writes: [PlainWrite]) {
        var plain: [UInt64: (writes: UInt64, bytes: UInt64)] = [:]
        for write in writes {
            var power: UInt64 = 1
            while power * 2 <= write.byteCount { power *= 2 }
            plain[power, default: (0, 0)].writes += 1
            plain[power]?.bytes += write.byteCount
        }
        #expect(
            statistics.sizes.classes
                == plain.sorted { $0.key < $1.key }
                .map { WriteSizes.Class(lowerBound: $0.key, writeCount: $0.value.writes, byteCount: $0.value.bytes) })
    }

    private func expectChurn(_ statistics: LogStatistics, _ writes: [PlainWrite], _ holes: [UInt64]) {
        for seconds: UInt32 in [1, 60, 3600] {
            var plain: [UInt32: Churn.Bucket] = [:]
            for (write, hole) in zip(writes, holes) {
                let start = write.time / seconds * seconds
                var bucket = plain[start] ?? Churn.Bucket(start: DiskTimestamp(rawValue: start))
                bucket.writeCount += 1
                bucket.byteCount += write.byteCount
                bucket.storedByteCount += write.byteCount - hole
                plain[start] = bucket
            }
            #expect(statistics.churn.buckets(ofSeconds: seconds) == plain.values.sorted { $0.start < $1.start })
        }
        // The busiest stretch begins with some write's second.
        let stored = zip(writes, holes).map { ($0.time, $0.byteCount - $1) }
        for seconds: UInt32 in [1, 7, 3600] {
            let best = stored.map { start, _ in
                stored.filter { $0.0 >= start && $0.0 - start < seconds }.reduce(0) { $0 + $1.1 }
            }.max()
            #expect(statistics.churn.busiest(seconds: seconds)?.storedByteCount == best)
        }
    }

    private func expectRegions(_ statistics: LogStatistics, _ writes: [PlainWrite]) {
        let size = statistics.hotRanges.regionByteCount
        #expect(size == 8192)
        var heat = [UInt64](repeating: 0, count: Int(diskByteCount / size))
        for write in writes { for index in sectors(write.range) { heat[index / 16] += 512 } }
        let all = statistics.hotRanges.hottest(.max)
        #expect(all.map(\.byteCount) == all.map(\.byteCount).sorted(by: >))
        for hot in all {
            let regions = Int(hot.range.lowerBound / size)..<Int(hot.range.upperBound / size)
            #expect(hot.byteCount == heat[regions].reduce(0, +))
            #expect((heat[regions].min() ?? 0) * 2 >= heat[regions].max() ?? 0)
            #expect(hot.writeCount == UInt64(writes.filter { hot.range.contains($0.offset) }.count))
            for region in regions { heat[region] = 0 }
        }
        // Each region with writes is in one of them.
        #expect(heat.allSatisfy { $0 == 0 })
        #expect(statistics.hotRanges.hottest(3) == Array(all.prefix(3)))
    }
}
