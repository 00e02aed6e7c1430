import ByteCodec
import FaultInjection
import Testing

@testable import ChangeLog

/// Counters that hold little: what they join, and that they lose nothing.
@Suite struct BoundedCountTests {
    /// However little is held at a time, in many passes, each byte counts once.
    @Test(arguments: 1...20) func uniqueBytes(seed: UInt64) {
        var generator = SplitMix(seed: seed)
        let ranges = (0..<500).map { _ -> Range<UInt64> in
            let start = UInt64.random(in: 0..<20_000, using: &generator)
            return start..<start + UInt64.random(in: 0...60, using: &generator)
        }
        let plain = UInt64(Set(ranges.flatMap { $0 }).count)
        for (kept, pending) in [(2, 1), (3, 7), (20, 5), (150, 40), (100_000, 100)] {
            var unique = UniqueBytes(keptCount: kept, pendingCount: pending)
            var passes = 0
            repeat {
                for range in ranges { unique.add(range) }
                passes += 1
            } while unique.needsAnotherPass()
            #expect(unique.byteCount == plain, "kept \(kept), pending \(pending)")
            #expect(kept > 1000 ? passes == 1 : passes > 1 || kept >= 150)
        }
    }

    @Test(arguments: 1...10) func churnJoinsNeighbours(seed: UInt64) {
        var generator = SplitMix(seed: seed)
        let spread = UInt32([100, 10_000, 1_000_000, UInt64(UInt32.max)][Int(seed % 4)])
        let limit = [5, 50][Int(seed % 2)]
        // Days in 32 bits of seconds are some 50,000; the fewest buckets stand for them here.
        let days = (0..<4).map { _ in UInt32.random(in: 0...spread, using: &generator) }
        var churn = Churn(limit: limit)
        var plain: [UInt32: UInt64] = [:]
        for _ in 0..<2000 {
            let within = UInt32.random(in: 0..<80_000, using: &generator)
            let time = (days[Int.random(in: 0..<4, using: &generator)] / 86_400 * 86_400).addingReportingOverflow(
                within)
            let raw = time.overflow ? .max : time.partialValue
            churn.add(DiskTimestamp(rawValue: raw), byteCount: 512, storedByteCount: 3)
            plain[raw, default: 0] += 1
        }
        let width = churn.bucketSeconds
        #expect(Churn.widths.contains(width) && width > 1)
        let buckets = churn.buckets(ofSeconds: width)
        #expect(buckets.count <= limit + 1)
        var joined: [UInt32: UInt64] = [:]
        for (time, count) in plain { joined[time / width * width, default: 0] += count }
        #expect(Dictionary(uniqueKeysWithValues: buckets.map { ($0.start.rawValue, $0.writeCount) }) == joined)
        #expect(buckets.allSatisfy { $0.byteCount == $0.writeCount * 512 && $0.storedByteCount == $0.writeCount * 3 })
        // No narrower width would have done.
        if let narrower = Churn.widths.last(where: { $0 < width }) {
            #expect(Set(plain.keys.map { $0 / narrower }).count > limit)
        }
    }

    /// The widths that there are suffice for every second there is.
    @Test func theLastWidthIsEnoughForAllTimes() throws {
        let last = try #require(Churn.widths.last)
        #expect(Int(UInt32.max / last) + 1 <= Churn.bucketLimit)
        for (narrow, wide) in zip(Churn.widths, Churn.widths.dropFirst()) { #expect(wide % narrow == 0) }
    }

    @Test func rowsHaveNoGapsAndFit() {
        let times: [[UInt32]] = [
            [5], [0, .max], [800_000_000, 800_000_059], [800_000_000, 800_000_060], [.max - 1, .max],
            [0, 86_400 * 30, 86_400 * 59], [3599, 3600], [0, 1 << 31],
        ]
        for (times, unit) in times.flatMap({ list in [1, 60, 3600].map { (list, UInt32($0)) } }) {
            var churn = Churn()
            for time in times { churn.add(DiskTimestamp(rawValue: time), byteCount: 10, storedByteCount: 1) }
            for limit in [15, 16, 60, 240] {
                let table = ChurnRows(churn, atMost: limit, of: unit)
                #expect(table.rows.count <= limit && table.seconds >= unit, "\(times), \(unit), \(limit)")
                for (a, b) in zip(table.rows, table.rows.dropFirst()) {
                    #expect(b.start.rawValue - a.start.rawValue == table.seconds)
                }
                #expect(table.rows.reduce(0) { $0 + $1.byteCount } == UInt64(times.count) * 10)
                for time in times {
                    #expect(
                        table.rows.contains {
                            $0.byteCount > 0 && time >= $0.start.rawValue && time - $0.start.rawValue < table.seconds
                        })
                }
            }
        }
        #expect(ChurnRows(Churn(), atMost: 15, of: 1).rows.isEmpty)
        #expect(Churn().busiest(seconds: 60) == nil)
    }

    /// When there are too many regions they become larger, and nothing is lost.
    @Test(arguments: 1...10) func regionsGrow(seed: UInt64) {
        var generator = SplitMix(seed: seed)
        var hot = HotRanges(regionByteCount: 512, limit: 16)
        var heat = [UInt64](repeating: 0, count: 1 << 20)
        for _ in 0..<400 {
            let start = Int.random(in: 0..<(1 << 20) - 5000, using: &generator)
            let count = Int.random(in: 1...5000, using: &generator)
            hot.add(UInt64(start)..<UInt64(start + count))
            for index in start..<start + count { heat[index] += 1 }
        }
        // 1 MiB in at most 16 regions.
        #expect(hot.regionByteCount == 65_536)
        let all = hot.hottest(.max)
        #expect(all.reduce(0) { $0 + $1.writeCount } == 400)
        for found in all {
            #expect(found.byteCount == heat[Int(found.range.lowerBound)..<Int(found.range.upperBound)].reduce(0, +))
        }
        #expect(all.reduce(0) { $0 + $1.byteCount } == heat.reduce(0, +))
    }

    /// One write over the largest disk costs no more than the regions there may be.
    @Test func aWriteOverEverything() {
        var hot = HotRanges(regionByteCount: 512)
        hot.add(0..<64 << 40)
        #expect(hot.regionByteCount == 1 << 30)
        #expect(hot.hottest(5) == [.init(range: 0..<64 << 40, writeCount: 1, byteCount: 64 << 40)])
    }

    /// A region takes in those beside it that are at least half as hot, and no others.
    @Test func neighboursThatAreHalfAsHot() {
        var hot = HotRanges(regionByteCount: 1000)
        for (region, heat) in [(10, 100), (11, 50), (12, 49), (13, 60), (9, 99), (7, 100), (20, 1)] {
            for _ in 0..<heat { hot.add(UInt64(region * 1000)..<UInt64(region * 1000 + 1)) }
        }
        #expect(
            hot.hottest(9) == [
                .init(range: 9000..<12_000, writeCount: 249, byteCount: 249),
                .init(range: 12_000..<14_000, writeCount: 109, byteCount: 109),
                .init(range: 7000..<8000, writeCount: 100, byteCount: 100),
                .init(range: 20_000..<21_000, writeCount: 1, byteCount: 1),
            ])
    }
}
