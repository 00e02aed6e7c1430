import BlockIO
import ByteCodec
import HRL
import Testing

@testable import ChangeLog

/// When the logs reach half of the disk, reckoned by hand.
@Suite struct ResyncForecastTests {
    /// Three hours of 1 MiB a minute, and 60 MiB more in the second one.
    private func statistics() throws -> (LogStatistics, LogStatistics.Log) {
        let file = MemoryFile(path: "test.hrl")
        let writer = try LogWriter.create(on: file, LogWriter.Options())
        let bytes = [UInt8](repeating: 1, count: 1 << 20)
        let start: UInt32 = 800_000_000
        for minute: UInt32 in 0..<180 {
            let time = DiskTimestamp(rawValue: start + minute * 60)
            for _ in 0..<((60..<120).contains(minute) ? 2 : 1) { try writer.append(bytes, at: 0, time: time) }
        }
        try writer.append(bytes, at: 0, time: DiskTimestamp(rawValue: start + 10_799))
        try writer.close(at: DiskTimestamp(rawValue: start + 10_799))
        var statistics = LogStatistics()
        let log = try statistics.add(try LogReader(file), verifyingData: false)
        _ = statistics.needsAnotherPass()
        return (statistics, log)
    }

    private func forecast(_ diskByteCount: UInt64) throws -> ResyncForecast {
        let (statistics, log) = try statistics()
        #expect(statistics.secondCount == 10_800 && log.storedByteCount == 241 << 20)
        #expect(statistics.churn.busiest(seconds: 3600)?.storedByteCount == 120 << 20)
        return ResyncForecast(
            diskByteCount: diskByteCount, usedByteCount: log.allocatedByteCount,
            storedByteCount: log.storedByteCount, statistics)
    }

    @Test func bothRates() throws {
        let forecast = try forecast(10 << 30)
        let used = Double(forecast.usedByteCount)
        #expect(used > Double(241 << 20) && used < Double(242 << 20))
        let left = Double(5 << 30) - used
        #expect(!forecast.isReached && forecast.limitByteCount == 5 << 30)
        let average = try #require(forecast.average)
        #expect(abs(average.bytesPerSecond - used / 10_800) < 0.001)
        #expect(abs(Double(average.secondCount ?? 0) - left / (used / 10_800)) <= 1)
        let peak = try #require(forecast.peak)
        let busiest = used * 120 / 241 / 3600
        #expect(abs(peak.bytesPerSecond - busiest) < 0.001)
        #expect(abs(Double(peak.secondCount ?? 0) - left / busiest) <= 1)
        let last = DiskTimestamp(rawValue: 800_010_799).unixSeconds
        #expect(average.unixSeconds == last + Int64(average.secondCount ?? 0))
    }

    @Test func thereAndTooFarOff() throws {
        let reached = try forecast(482 << 20)
        #expect(reached.isReached && reached.average == nil && reached.peak == nil)
        let far = try forecast(64 << 40)
        #expect(far.average?.secondCount != nil && far.average?.unixSeconds != nil)
        // More than a hundred years away.
        let farther = try forecast(1 << 60)
        #expect(farther.average?.bytesPerSecond == far.average?.bytesPerSecond)
        #expect(farther.average?.secondCount == nil && farther.peak?.unixSeconds == nil)
    }

    @Test func noWritesAndShortPeriods() throws {
        let none = ResyncForecast(diskByteCount: 1 << 30, usedByteCount: 8192, storedByteCount: 0, LogStatistics())
        #expect(none.average == nil && !none.isReached)
        let file = MemoryFile(path: "test.hrl")
        let writer = try LogWriter.create(on: file, LogWriter.Options())
        for second: UInt32 in [0, 58] {
            try writer.append([1, 2], at: 0, time: DiskTimestamp(rawValue: 800_000_000 + second))
        }
        try writer.close(at: DiskTimestamp(rawValue: 800_000_060))
        var statistics = LogStatistics()
        let log = try statistics.add(try LogReader(file), verifyingData: false)
        #expect(statistics.secondCount == 59)
        let short = ResyncForecast(
            diskByteCount: 1 << 30, usedByteCount: log.allocatedByteCount, storedByteCount: 4, statistics)
        #expect(short.average == nil && short.peak == nil)
    }
}
