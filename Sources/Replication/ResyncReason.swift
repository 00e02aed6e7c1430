/// Why only a resynchronisation makes the replica equal to its source again.
public enum ResyncReason: Hashable, Codable, Sendable, CustomStringConvertible {
    case log(fault: LogFault)
    /// Logs that wait take more than half of the disk's size.
    case tooLarge(bytes: UInt64, size: UInt64)
    /// The disk was changed while nothing tracked it.
    case offline
    /// A log could not be written.
    case unlogged
    /// The disk was put back to an earlier state.
    case reverted
    /// The replica's logs are not where they were left: received is now `found`, and was `expected`.
    case changed(expected: LogID?, found: LogID?)
    /// The replica became the primary without the old primary's last changes.
    case reversed
    /// A resynchronisation was cancelled.
    case cancelled
    /// An administrator asked for it.
    case requested

    private enum CodingKeys: String, CodingKey {
        case log
        case tooLarge = "too_large"
        case offline, unlogged, reverted, changed, reversed, cancelled, requested
    }

    /// Stable word for each case.
    public var code: String {
        switch self {
        case .log(let fault): fault.code
        case .tooLarge: "logs_too_large"
        case .offline: "offline_change"
        case .unlogged: "log_write_failure"
        case .reverted: "disk_reverted"
        case .changed: "replica_changed"
        case .reversed: "reversed"
        case .cancelled: "resync_cancelled"
        case .requested: "requested"
        }
    }

    public var description: String {
        switch self {
        case .log(let fault): return fault.description
        case .tooLarge(let bytes, let size):
            return "waiting logs take \(bytes) bytes, more than half of the disk's \(size)"
        case .offline: return "the disk was changed while nothing tracked it"
        case .unlogged: return "a log could not be written"
        case .reverted: return "the disk was put back to an earlier state"
        case .changed(let expected, let found):
            let word = { (id: LogID?) in id?.description ?? "none" }
            return "the replica was changed: its last log is \(word(found)), and was \(word(expected))"
        case .reversed: return "the direction was reversed after an unplanned failover"
        case .cancelled: return "a resynchronisation was cancelled"
        case .requested: return "a resynchronisation was asked for"
        }
    }

    /// What to do about it, in one sentence.
    public var remedy: String {
        if case .log(let fault) = self { return fault.remedy }
        return "Resynchronise."
    }

    /// The 50 % rule: logs of `bytes` are too many for a disk of `size` bytes.
    static func rule(bytes: UInt64, size: UInt64) -> ResyncReason? {
        bytes > size / 2 ? .tooLarge(bytes: bytes, size: size) : nil
    }
}

/// A disk that stands still until it is resynchronised.
public struct DiskStop: Hashable, Codable, Sendable {
    /// Index of the disk; nil for all of them.
    public var disk: Int?
    public var reason: ResyncReason

    public init(disk: Int? = nil, reason: ResyncReason) { (self.disk, self.reason) = (disk, reason) }
}
