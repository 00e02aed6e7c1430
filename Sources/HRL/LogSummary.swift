public import ByteCodec

/// What a walk through a whole log found.
public struct LogSummary: Sendable {
    public var writeCount: UInt64 = 0
    /// Data bytes of all writes.
    public var byteCount: UInt64 = 0
    public var blockCount: UInt64 = 0
    /// Time of the first and of the last write, in the order of the log.
    public var firstTime: DiskTimestamp?
    public var lastTime: DiskTimestamp?
    /// Smallest disk offset written, and the largest end of a write; nil and 0 without writes.
    public var minimumOffset: UInt64?
    public var maximumEnd: UInt64 = 0
    /// Writes that carry a DataChecksum.
    public var checksummedWriteCount: UInt64 = 0
    /// Offset in the file where the log ends.
    public var endOfLog: UInt64 = 0
    /// Everything noticed, header included.
    public var findings: [LogFinding] = []
    /// How many findings there are beyond those kept; of each kind the first 100 are kept.
    public var dropped: [Finding.Kind: Int] = [:]

    public init() {}
}
