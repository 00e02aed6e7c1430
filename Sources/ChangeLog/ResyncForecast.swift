import ByteCodec

/// When logs that are not sent reach half of their disk's size, at which a replica must be resynchronised.
///
/// The logs' size counts as it is allocated: holes take nothing.
public struct ResyncForecast: Sendable, Equatable {
    /// Shorter periods say nothing about the time to come.
    public static let leastSecondCount: UInt64 = 60
    /// Moments further off than a hundred years are none.
    private static let furthest: Double = 100 * 365.25 * 86_400

    /// Going on at some rate.
    public struct Outlook: Sendable, Equatable {
        /// Bytes a second by which the logs grow.
        public var bytesPerSecond: Double
        /// Seconds from the last write to the limit, and Unix time then; nil beyond a hundred years.
        public var secondCount: UInt64?
        public var unixSeconds: Int64?
    }

    public var diskByteCount: UInt64
    /// What the logs hold now.
    public var usedByteCount: UInt64
    public var limitByteCount: UInt64 { diskByteCount / 2 }
    public var isReached: Bool { usedByteCount >= limitByteCount }
    /// At the rate of the whole period, and at that of the busiest hour in it; nil when the period is too short, without
    /// writes, and when the limit is reached.
    public private(set) var average: Outlook?
    public private(set) var peak: Outlook?

    /// - Parameters:
    ///   - usedByteCount: allocated bytes of the logs.
    ///   - storedByteCount: bytes of data in them, holes left out; of all writes.
    public init(
        diskByteCount: UInt64, usedByteCount: UInt64, storedByteCount: UInt64, _ statistics: LogStatistics
    ) {
        (self.diskByteCount, self.usedByteCount) = (diskByteCount, usedByteCount)
        let seconds = statistics.secondCount
        guard !isReached, seconds >= Self.leastSecondCount, let last = statistics.lastTime,
            let busiest = statistics.churn.busiest(seconds: 3600)
        else { return }
        // Each byte of data brings its share of headers and metadata.
        let growth = storedByteCount == 0 ? 0 : Double(usedByteCount) / Double(storedByteCount)
        let counted = Double(statistics.byteCount - statistics.holeByteCount)
        let rate = storedByteCount == 0 ? Double(usedByteCount) / Double(seconds) : counted * growth / Double(seconds)
        let hour = Double(max(3600, statistics.churn.bucketSeconds))
        let average = outlook(rate, after: last)
        self.average = average
        peak = outlook(max(rate, Double(busiest.storedByteCount) * growth / hour), after: last)
    }

    private func outlook(_ rate: Double, after last: DiskTimestamp) -> Outlook {
        let seconds = Double(limitByteCount - usedByteCount) / rate
        guard rate > 0, seconds <= Self.furthest else { return Outlook(bytesPerSecond: rate) }
        let count = UInt64(seconds.rounded(.up))
        return Outlook(bytesPerSecond: rate, secondCount: count, unixSeconds: last.unixSeconds + Int64(count))
    }
}
