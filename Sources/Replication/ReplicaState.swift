/// The replica side's state, with what is valid only in it.
public enum ReplicaState: Hashable, Sendable {
    /// `removing`: it was protected, and what unprotecting leaves to do is not done yet.
    case disabled(removing: Bool)
    /// With how far the first copies are; nil before the primary has announced the baseline.
    case waitingForInitialReplication(CopyPosition?)
    case replicating
    case failedOverWaitingCompletion(Failover)
    /// `cleaned`: the other recovery points are deleted.
    case failedOver(planned: Bool, cleaned: Bool)
    case suspended(ReplicaWork)
    case error(Failure, ReplicaWork)
    /// With every disk that is stopped and why; never empty.
    case waitingForStartResynchronize([DiskStop])
    case resynchronizing(CopyPosition)
    case resynchronizeSuspended(CopyPosition)

    public var name: StateName {
        switch self {
        case .disabled: .disabled
        case .waitingForInitialReplication: .waitingForInitialReplication
        case .replicating: .replicating
        case .failedOverWaitingCompletion: .failedOverWaitingCompletion
        case .failedOver: .failedOver
        case .suspended: .suspended
        case .error: .error
        case .waitingForStartResynchronize: .waitingForStartResynchronize
        case .resynchronizing: .resynchronizing
        case .resynchronizeSuspended: .resynchronizeSuspended
        }
    }
}

/// What a replica can be in the middle of, and so go on with.
public enum ReplicaWork: Hashable, Codable, Sendable {
    case waiting(copy: CopyPosition?)
    case replicating
    case resynchronizing(copy: CopyPosition)

    var state: ReplicaState {
        switch self {
        case .waiting(let copy): .waitingForInitialReplication(copy)
        case .replicating: .replicating
        case .resynchronizing(let copy): .resynchronizing(copy)
        }
    }
}

/// A failover that is not committed yet.
public struct Failover: Hashable, Codable, Sendable {
    /// Where `cancelFailover` leads back to.
    public enum Origin: Hashable, Codable, Sendable {
        case replicating
        case suspended
        case stopped(stops: [DiskStop])
        /// A resynchronisation was under way, and is cancelled first.
        case resynchronizing

        var state: ReplicaState {
            switch self {
            case .replicating: .replicating
            case .suspended: .suspended(.replicating)
            case .stopped(let stops): .waitingForStartResynchronize(stops)
            case .resynchronizing: .waitingForStartResynchronize([DiskStop(reason: .cancelled)])
            }
        }
    }

    /// The steps, in order.
    public enum Step: String, Codable, Sendable {
        /// What a cancelled resynchronisation wrote is taken back.
        case cancellingResync = "cancelling_resync"
        /// Logs are applied: an interrupted cycle, and for the newest point every whole one.
        case applying
        /// The disks are brought to the point.
        case preparing
        /// The machine can be started.
        case ready
        /// Cancelled: the disks are brought back.
        case undoing
    }

    public let planned: Bool
    /// Id of the recovery point; nil for the newest.
    public let point: String?
    public let origin: Origin
    public internal(set) var step: Step
}

/// A disposable copy of the machine at a point.
public struct TestFailover: Hashable, Codable, Sendable {
    public enum Step: String, Codable, Sendable { case creating, ready, discarding }

    /// Id of the recovery point; nil for the newest.
    public let point: String?
    public internal(set) var step: Step
}

extension ReplicaState {
    var work: ReplicaWork? {
        switch self {
        case .waitingForInitialReplication(let copy): .waiting(copy: copy)
        case .replicating: .replicating
        case .resynchronizing(let copy): .resynchronizing(copy: copy)
        default: nil
        }
    }

    /// How far the pass is that the primary drives, if one is.
    var copy: CopyPosition? {
        get {
            switch self {
            case .waitingForInitialReplication(let copy): copy
            case .resynchronizing(let copy): copy
            default: nil
            }
        }
        set {
            guard let newValue else { return }
            switch self {
            case .waitingForInitialReplication: self = .waitingForInitialReplication(newValue)
            case .resynchronizing: self = .resynchronizing(newValue)
            default: break
            }
        }
    }
}

extension ReplicaState: Codable {
    private enum CodingKeys: String, CodingKey {
        case name, removing, copy, failover, planned, cleaned, work, failure, stops
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        switch try values.decode(StateName.self, forKey: .name) {
        case .disabled: self = .disabled(removing: try values.decode(Bool.self, forKey: .removing))
        case .waitingForInitialReplication:
            self = .waitingForInitialReplication(try values.decodeIfPresent(CopyPosition.self, forKey: .copy))
        case .replicating: self = .replicating
        case .failedOverWaitingCompletion:
            self = .failedOverWaitingCompletion(try values.decode(Failover.self, forKey: .failover))
        case .failedOver:
            self = .failedOver(
                planned: try values.decode(Bool.self, forKey: .planned),
                cleaned: try values.decode(Bool.self, forKey: .cleaned))
        case .suspended: self = .suspended(try values.decode(ReplicaWork.self, forKey: .work))
        case .error:
            self = .error(
                try values.decode(Failure.self, forKey: .failure), try values.decode(ReplicaWork.self, forKey: .work))
        case .waitingForStartResynchronize:
            self = .waitingForStartResynchronize(try values.decode([DiskStop].self, forKey: .stops))
        case .resynchronizing: self = .resynchronizing(try values.decode(CopyPosition.self, forKey: .copy))
        case .resynchronizeSuspended:
            self = .resynchronizeSuspended(try values.decode(CopyPosition.self, forKey: .copy))
        case .readyForInitialReplication, .initialReplicationInProgress, .preparedForFailover:
            throw DecodingError.dataCorruptedError(
                forKey: .name, in: values, debugDescription: "not a state of the replica")
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(name, forKey: .name)
        switch self {
        case .disabled(let removing): try values.encode(removing, forKey: .removing)
        case .waitingForInitialReplication(let copy): try values.encodeIfPresent(copy, forKey: .copy)
        case .replicating: break
        case .failedOverWaitingCompletion(let failover): try values.encode(failover, forKey: .failover)
        case .failedOver(let planned, let cleaned):
            try values.encode(planned, forKey: .planned)
            try values.encode(cleaned, forKey: .cleaned)
        case .suspended(let work): try values.encode(work, forKey: .work)
        case .error(let failure, let work):
            try values.encode(failure, forKey: .failure)
            try values.encode(work, forKey: .work)
        case .waitingForStartResynchronize(let stops): try values.encode(stops, forKey: .stops)
        case .resynchronizing(let copy), .resynchronizeSuspended(let copy): try values.encode(copy, forKey: .copy)
        }
    }
}
