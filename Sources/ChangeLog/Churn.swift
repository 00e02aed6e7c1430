public import ByteCodec

/// How much was written when: counters for stretches of time, in bounded memory, whatever the times.
///
/// Each second with writes has its counter. When there are more than `bucketLimit`, neighbours are joined, by 10 seconds,
/// by minutes and so on; clocks that jump over decades cost no more than others.
public struct Churn: Sendable {
    public static let bucketLimit = 100_000
    /// Widths in seconds; each divides the next, and with the last no times need too many.
    static let widths: [UInt32] = [1, 10, 60, 600, 3600, 21_600, 86_400]

    /// What was written in one stretch of time.
    public struct Bucket: Sendable, Equatable {
        /// Its first second, a multiple of the width since 2000.
        public var start: DiskTimestamp
        public var writeCount: UInt64 = 0
        public var byteCount: UInt64 = 0
        /// Bytes whose data is no hole in the log's file.
        public var storedByteCount: UInt64 = 0

        public init(start: DiskTimestamp) { self.start = start }

        mutating func add(_ other: Bucket) {
            writeCount += other.writeCount
            byteCount &+= other.byteCount
            storedByteCount &+= other.storedByteCount
        }
    }

    private let limit: Int
    /// Seconds of a bucket.
    public private(set) var bucketSeconds: UInt32 = 1
    /// By `start`.
    private var closed: [UInt32: Bucket] = [:]
    /// The bucket of the last write: most writes follow one another in time.
    private var current: Bucket?

    public init() { self.init(limit: Self.bucketLimit) }

    /// - Parameter limit: no fewer than a width of days can need of the times given.
    init(limit: Int) { self.limit = limit }

    public mutating func add(_ timestamp: DiskTimestamp, byteCount: UInt64, storedByteCount: UInt64) {
        let start = timestamp.rounded(downTo: bucketSeconds)
        if current?.start != start {
            settle()
            // Settling may have made the buckets wider.
            current = Bucket(start: timestamp.rounded(downTo: bucketSeconds))
        }
        current?.writeCount += 1
        current?.byteCount &+= byteCount
        current?.storedByteCount &+= storedByteCount
    }

    private mutating func settle() {
        guard let bucket = current else { return }
        current = nil
        closed[bucket.start.rawValue, default: Bucket(start: bucket.start)].add(bucket)
        while closed.count > limit, let wider = Self.widths.first(where: { $0 > bucketSeconds }) {
            bucketSeconds = wider
            closed = Self.joined(closed.values, wider)
        }
    }

    private static func joined(_ buckets: some Sequence<Bucket>, _ seconds: UInt32) -> [UInt32: Bucket] {
        var result: [UInt32: Bucket] = [:]
        for bucket in buckets {
            let start = bucket.start.rounded(downTo: seconds)
            result[start.rawValue, default: Bucket(start: start)].add(bucket)
        }
        return result
    }

    /// Buckets with writes, ascending.
    /// - Parameter seconds: their width, a multiple of `bucketSeconds`.
    public func buckets(ofSeconds seconds: UInt32) -> [Bucket] {
        Self.joined(Array(closed.values) + (current.map { [$0] } ?? []), seconds).values
            .sorted { $0.start < $1.start }
    }

    /// The stretch of at most `seconds` in which most bytes went to the logs' files; of several the last, which a burst
    /// begins rather than ends. It begins with a bucket, and has at least one.
    public func busiest(seconds: UInt32) -> Bucket? {
        let all = buckets(ofSeconds: bucketSeconds)
        var (sum, best): (Bucket?, Bucket?) = (nil, nil)
        var first = 0
        for bucket in all {
            sum = sum ?? Bucket(start: bucket.start)
            sum?.add(bucket)
            while first < all.count, bucket.start.rawValue - all[first].start.rawValue >= max(seconds, bucketSeconds) {
                sum?.remove(all[first])
                first += 1
            }
            sum?.start = all[first].start
            if (sum?.storedByteCount ?? 0) >= (best?.storedByteCount ?? 0) { best = sum }
        }
        return best
    }
}

extension Churn.Bucket {
    fileprivate mutating func remove(_ other: Self) {
        writeCount -= other.writeCount
        byteCount &-= other.byteCount
        storedByteCount &-= other.storedByteCount
    }
}

extension DiskTimestamp {
    func rounded(downTo seconds: UInt32) -> DiskTimestamp {
        DiskTimestamp(rawValue: rawValue - rawValue % seconds)
    }
}
