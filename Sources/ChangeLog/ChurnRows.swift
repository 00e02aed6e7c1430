import ByteCodec

/// Churn for the eye: rows of equal length without gaps, no more than fit.
public struct ChurnRows: Sendable {
    /// Lengths that people count in.
    private static let lengths: [UInt32] = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 432_000,
        864_000, 2_592_000, 8_640_000, 31_536_000, 315_360_000,
    ]

    /// Of a row.
    public let seconds: UInt32
    /// From the first one with writes to the last one, those without writes among them.
    public let rows: [Churn.Bucket]

    /// - Parameters:
    ///   - limit: how many rows at most; 15 or more.
    ///   - unit: seconds that a row should have; it gets more where there would be too many rows.
    public init(_ churn: Churn, atMost limit: Int, of unit: UInt32) {
        let fine = churn.buckets(ofSeconds: churn.bucketSeconds)
        guard let first = fine.first, let last = fine.last else {
            (seconds, rows) = (unit, [])
            return
        }
        let least = max(unit, churn.bucketSeconds)
        let fits = Self.lengths.first {
            $0 >= least && $0 % churn.bucketSeconds == 0
                && last.start.rawValue / $0 - first.start.rawValue / $0 < UInt32(limit)
        }
        let seconds = fits ?? Self.lengths[Self.lengths.count - 1]
        let start = first.start.rounded(downTo: seconds).rawValue
        let count = (last.start.rawValue - start) / seconds + 1
        var rows = (0..<count).map { Churn.Bucket(start: DiskTimestamp(rawValue: start + $0 * seconds)) }
        for bucket in fine { rows[Int((bucket.start.rawValue - start) / seconds)].add(bucket) }
        (self.seconds, self.rows) = (seconds, rows)
    }

    /// The row with most bytes, the first of several.
    public var peak: Churn.Bucket? {
        rows.max { ($0.byteCount, $1.start.rawValue) < ($1.byteCount, $0.start.rawValue) }
    }
}
