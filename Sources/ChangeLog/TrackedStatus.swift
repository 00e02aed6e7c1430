public import ByteCodec
public import DiskModel
public import HRL
import Glibc

/// How a disk is tracked.
public struct TrackingPolicy: Sendable {
    /// What the disk's logs may occupy together, in bytes; the logs that wait in the folder count as of the last switch,
    /// holes cost nothing. At the quota tracking stops. Nil for no limit.
    public var quotaByteCount: UInt64?
    /// The share of the quota at which a warning is given, once a log.
    public var warningShare = 0.8
    /// Whether logs carry checksums of their data.
    public var computesDataChecksums = false
    public var flushPolicy = LogWriter.FlushPolicy()
    public init() {}
}

/// What a tracked disk tells, from the thread in which it happens and outside of all locks.
public enum TrackingEvent: Sendable {
    /// The logs have come near their quota.
    case quotaWarning(occupiedByteCount: UInt64, quotaByteCount: UInt64)
    /// No write is logged any more; the disk goes on, and its dirty map.
    case stopped(TrackingStop)
    /// Logs before the one that is written now do not tell everything that happened to the disk.
    case continuityLost(reason: String)
    /// The dirty map could not be written and was removed: after a crash all of the disk has to be compared.
    case mapLost(DiskError)
}

/// Why tracking stopped. The log stays unclosed.
public enum TrackingStop: Sendable, CustomStringConvertible {
    /// The logs would have occupied more than this.
    case quota(byteCount: UInt64)
    /// The log could not be written.
    case logFailed(DiskError)
    /// A write to the disk failed after it was logged: log and disk may differ.
    case diskFailed(DiskError)

    public var description: String {
        switch self {
        case .quota(let byteCount): "the logs have used up their quota of \(byteCount) bytes"
        case .logFailed(let error): "the log failed: \(error)"
        case .diskFailed(let error): "a logged write to the disk failed: \(error)"
        }
    }
}

public enum TrackingStatus: Sendable {
    /// Writes go to the log with this UniqueId.
    case tracking(GUID)
    case stopped(TrackingStop)
    case closed
}

/// The time of day, for entries of logs.
public func trackingTime() -> DiskTimestamp {
    var now = timespec()
    _ = unsafe clock_gettime(CLOCK_REALTIME_COARSE, &now)
    return DiskTimestamp(unixSeconds: Int64(now.tv_sec))
}
