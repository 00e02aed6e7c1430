import ByteCodec
import ChangeLog

/// What a run says, whatever form it takes.
struct Answer {
    let counted: CountedLogs
    let unit: ChurnUnit
    /// Seconds of a bucket: those of the unit, or more where times lie too far apart for so many.
    let bucketSeconds: UInt32
    /// Those with writes, ascending.
    let buckets: [Churn.Bucket]
    let busiestHour: Churn.Bucket?
    let hotRanges: [HotRanges.HotRange]
    let diskByteCount: UInt64?
    let forecast: ResyncForecast?

    init(_ counted: CountedLogs, by unit: ChurnUnit?, hot: Int, diskByteCount: UInt64?, mayForecast: Bool) {
        let statistics = counted.statistics
        self.counted = counted
        self.unit = unit ?? ChurnUnit(for: statistics.secondCount)
        bucketSeconds = max(self.unit.seconds, statistics.churn.bucketSeconds)
        buckets = statistics.churn.buckets(ofSeconds: bucketSeconds)
        busiestHour = statistics.churn.busiest(seconds: 3600)
        hotRanges = statistics.hotRanges.hottest(hot)
        self.diskByteCount = diskByteCount
        forecast =
            mayForecast
            ? diskByteCount.map {
                ResyncForecast(
                    diskByteCount: $0, usedByteCount: counted.allocatedByteCount,
                    storedByteCount: counted.storedByteCount, statistics)
            } : nil
    }

    var statistics: LogStatistics { counted.statistics }

    /// The bucket with most bytes, the first of several.
    var peak: Churn.Bucket? {
        buckets.max { ($0.byteCount, $1.start.rawValue) < ($1.byteCount, $0.start.rawValue) }
    }

    /// Overwritten bytes for each byte written.
    var overwriteRatio: Double { ratio(statistics.overwrittenByteCount, statistics.byteCount) }
    /// Bytes written a second, over the whole period.
    var bytesPerSecond: Double { ratio(statistics.byteCount, statistics.secondCount) }
    /// Bytes of the disk that were written, for each hour of the period.
    var uniqueBytesPerHour: Double { ratio(statistics.uniqueByteCount, statistics.secondCount) * 3600 }
}

/// 0 where there is nothing to divide by.
func ratio(_ part: UInt64, _ whole: UInt64) -> Double { whole == 0 ? 0 : Double(part) / Double(whole) }
