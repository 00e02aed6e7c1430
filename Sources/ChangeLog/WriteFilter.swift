public import ByteCodec

/// Which writes of logs are looked at.
public struct WriteFilter: Sendable, Equatable {
    /// Writes of this second and later ones.
    public var since = DiskTimestamp(rawValue: 0)
    /// Writes up to this second.
    public var until = DiskTimestamp(rawValue: .max)
    /// Numbers of writes, counted in each log from 1.
    public var records: ClosedRange<UInt64> = 1 ... .max
    /// Writes that touch these bytes of the disk.
    public var disk: Range<UInt64> = 0 ..< .max

    /// Admits everything.
    public init() {}

    public func admits(
        number: UInt64, _ timestamp: DiskTimestamp, diskOffset: UInt64, byteCount: UInt64
    ) -> Bool {
        records.contains(number) && timestamp >= since && timestamp <= until
            && diskOffset < disk.upperBound && diskOffset &+ byteCount > disk.lowerBound
    }
}
