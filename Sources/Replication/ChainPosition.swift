/// Where one disk's copy stands in the chain of its logs. nil stands for "before the first log".
public struct ChainPosition: Hashable, Codable, Sendable {
    /// The last log that is durable at the target.
    public internal(set) var received: LogID?
    /// The last log that is merged into the replica image. Never after `received`.
    public internal(set) var applied: LogID?

    public init(received: LogID? = nil, applied: LogID? = nil) {
        (self.received, self.applied) = (received, applied)
    }
}

/// One delta cycle: all logs that one switch closed, of all disks.
public struct Cycle: Hashable, Codable, Sendable {
    /// Counts up over the whole life of the relationship, from 1.
    public let number: UInt64
    /// Unix seconds of the switch.
    public let begun: Int64
    /// Each disk's last log; that of the cycle before where the disk has no new one.
    public let tips: [LogID?]

    public init(number: UInt64, begun: Int64, tips: [LogID?]) {
        (self.number, self.begun, self.tips) = (number, begun, tips)
    }
}

/// Where a pass over all disks stands. There is one disk at most at work: those before `disk` are done, those after it
/// have not been begun.
public struct CopyPosition: Hashable, Codable, Sendable {
    /// Index of the disk at work; the number of disks when all are done.
    public internal(set) var disk: Int
    /// All bytes of it below this are durable at the target.
    public internal(set) var byte: UInt64
    /// Whether its bytes are all there and its hash is being compared.
    public internal(set) var verifying: Bool
    /// 1 for the first attempt; more after a copy whose hash differed.
    public internal(set) var attempt: Int

    public init(disk: Int = 0, byte: UInt64 = 0, verifying: Bool = false, attempt: Int = 1) {
        (self.disk, self.byte, self.verifying, self.attempt) = (disk, byte, verifying, attempt)
    }
}

/// A disk that is replicated.
public struct DiskIdentity: Hashable, Codable, Sendable {
    /// Unique within the machine.
    public let name: String
    /// Virtual size in bytes.
    public let size: UInt64

    public init(name: String, size: UInt64) { (self.name, self.size) = (name, size) }
}

/// How far one disk is: for people, and for `status`.
public struct DiskProgress: Hashable, Sendable {
    public enum Stage: Hashable, Sendable {
        case waiting
        /// `byte` of the disk's size are durable at the target, or compared with it.
        case copying(byte: UInt64)
        case verifying
        case copied
        /// Logs flow; nothing else is to be done for this disk.
        case following
        case stopped(ResyncReason)

        public var name: String {
            switch self {
            case .waiting: "waiting"
            case .copying: "copying"
            case .verifying: "verifying"
            case .copied: "copied"
            case .following: "following"
            case .stopped: "stopped"
            }
        }
    }

    public let disk: DiskIdentity
    public let stage: Stage
    public let position: ChainPosition
    /// Hash of the disk as copied, in the performer's notation; nil before it was verified.
    public let digest: String?

    static func stages(_ count: Int, at position: CopyPosition) -> [Stage] {
        (0..<count).map { index in
            if index < position.disk { return .copied }
            if index > position.disk { return .waiting }
            if position.verifying { return .verifying }
            return position.byte == 0 && position.attempt == 1 ? .waiting : .copying(byte: position.byte)
        }
    }

    static func stages(_ count: Int, stoppedBy stops: [DiskStop]) -> [Stage] {
        (0..<count).map { index in
            stops.first { $0.disk == index || $0.disk == nil }.map { .stopped($0.reason) } ?? .following
        }
    }
}
