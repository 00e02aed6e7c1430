/// The primary side's state, with what is valid only in it.
public enum PrimaryState: Hashable, Sendable {
    /// `removing`: it was protected, and what unprotecting leaves to do is not done yet.
    case disabled(removing: Bool)
    /// `created`: the replica side exists.
    case readyForInitialReplication(created: Bool)
    case initialReplicationInProgress(InitialReplication)
    /// With the cycle that is under way, if one is.
    case replicating(Delivery?)
    case preparedForFailover(FinalCycle)
    /// With what goes on when it is resumed: an initial replication or replicating.
    case suspended(PrimaryWork)
    /// With what failed, and what goes on when it is resumed.
    case error(Failure, PrimaryWork)
    /// With every disk that is stopped and why; never empty.
    case waitingForStartResynchronize([DiskStop])
    case resynchronizing(Pass)
    case resynchronizeSuspended(Pass)

    public var name: StateName {
        switch self {
        case .disabled: .disabled
        case .readyForInitialReplication: .readyForInitialReplication
        case .initialReplicationInProgress: .initialReplicationInProgress
        case .replicating: .replicating
        case .preparedForFailover: .preparedForFailover
        case .suspended: .suspended
        case .error: .error
        case .waitingForStartResynchronize: .waitingForStartResynchronize
        case .resynchronizing: .resynchronizing
        case .resynchronizeSuspended: .resynchronizeSuspended
        }
    }
}

/// What a primary can be in the middle of, and so go on with.
public enum PrimaryWork: Hashable, Codable, Sendable {
    case ready(created: Bool)
    case initial(replication: InitialReplication)
    case replicating(delivery: Delivery?)
    case prepared(cycle: FinalCycle)
    case resynchronizing(pass: Pass)

    var state: PrimaryState {
        switch self {
        case .ready(let created): .readyForInitialReplication(created: created)
        case .initial(let replication): .initialReplicationInProgress(replication)
        case .replicating(let delivery): .replicating(delivery)
        case .prepared(let cycle): .preparedForFailover(cycle)
        case .resynchronizing(let pass): .resynchronizing(pass)
        }
    }
}

/// How the first copies get to the target.
public enum InitialReplication: Hashable, Codable, Sendable {
    case online(pass: Pass)
    case seed(step: SeedStep)
}

/// The steps of initial replication and of resynchronisation, in order.
public enum Pass: Hashable, Codable, Sendable {
    /// Tracking opens and the logs are switched: everything up to here will be in the copy.
    case baseline
    /// The replica is told where the disks' chains begin.
    case announcing
    /// The disks, one at a time.
    case transferring(position: CopyPosition)
    /// The first switch after the last disk: everything up to it must be applied.
    case settling(cycle: FinalCycle)
    /// The replica is told that it is complete.
    case finalizing
}

/// The steps of an initial replication by a seed, in order. After the last it settles as `Pass` does.
public enum SeedStep: Hashable, Codable, Sendable {
    case baseline
    case announcing
    case exporting
    /// Until the import is acknowledged; cycles flow meanwhile, one of which may be under way.
    case awaiting(delivery: Delivery?)
}

/// One cycle, from the switch until every log is durable at the target.
public enum Delivery: Hashable, Codable, Sendable {
    /// The logs are switched, and those beside each disk described.
    case switching
    /// The logs of `queue` are still to be sent, in this order; never empty.
    case sending(cycle: Cycle, queue: [OutgoingLog])
    /// All are there; the cycle's end is to be recorded.
    case ending(cycle: Cycle)
}

/// A cycle after which nothing more comes: it must be applied too.
public enum FinalCycle: Hashable, Codable, Sendable {
    case delivering(delivery: Delivery)
    case applying(tips: [LogID?])
    /// Only of a planned failover: every disk has applied everything.
    case done
}

/// A log on its way.
public struct OutgoingLog: Hashable, Codable, Sendable {
    /// Index of the disk.
    public let disk: Int
    /// The file's name beside it.
    public let name: String
    public let id: LogID
    /// Bytes that it occupies.
    public let bytes: UInt64

    public init(disk: Int, name: String, id: LogID, bytes: UInt64) {
        (self.disk, self.name, self.id, self.bytes) = (disk, name, id, bytes)
    }
}

extension PrimaryState {
    /// What can be gone on with after an error; nil in states that do nothing.
    var work: PrimaryWork? {
        switch self {
        case .readyForInitialReplication(let created): .ready(created: created)
        case .initialReplicationInProgress(let replication): .initial(replication: replication)
        case .replicating(let delivery): .replicating(delivery: delivery)
        case .preparedForFailover(let cycle): .prepared(cycle: cycle)
        case .resynchronizing(let pass): .resynchronizing(pass: pass)
        case .disabled, .suspended, .error, .waitingForStartResynchronize, .resynchronizeSuspended: nil
        }
    }

    /// The pass under way, of either kind.
    var pass: Pass? {
        get {
            switch self {
            case .initialReplicationInProgress(.online(let pass)), .resynchronizing(let pass): pass
            default: nil
            }
        }
        set {
            guard let newValue else { return }
            if case .resynchronizing = self {
                self = .resynchronizing(newValue)
            } else {
                self = .initialReplicationInProgress(.online(pass: newValue))
            }
        }
    }

    /// The final cycle of a pass or of a planned failover.
    var finalCycle: FinalCycle? {
        get {
            if case .preparedForFailover(let cycle) = self { return cycle }
            if case .settling(let cycle)? = pass { return cycle }
            return nil
        }
        set {
            guard let newValue else { return }
            if case .preparedForFailover = self {
                self = .preparedForFailover(newValue)
            } else {
                pass = .settling(cycle: newValue)
            }
        }
    }

    /// The cycle under way, wherever it is.
    var delivery: Delivery? {
        get {
            switch self {
            case .replicating(let delivery): return delivery
            case .initialReplicationInProgress(.seed(.awaiting(let delivery))): return delivery
            default:
                if case .delivering(let delivery)? = finalCycle { return delivery }
                return nil
            }
        }
        set {
            switch self {
            case .replicating: self = .replicating(newValue)
            case .initialReplicationInProgress(.seed(.awaiting)):
                self = .initialReplicationInProgress(.seed(step: .awaiting(delivery: newValue)))
            default:
                if let newValue { finalCycle = .delivering(delivery: newValue) }
            }
        }
    }

    /// Whether cycles begin by the clock.
    var cyclesByTheClock: Bool {
        switch self {
        case .replicating, .initialReplicationInProgress(.seed(.awaiting)): true
        default: false
        }
    }
}

extension PrimaryState: Codable {
    private enum CodingKeys: String, CodingKey {
        case name, removing, created, replication, delivery, cycle, work, failure, stops, pass
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        switch try values.decode(StateName.self, forKey: .name) {
        case .disabled: self = .disabled(removing: try values.decode(Bool.self, forKey: .removing))
        case .readyForInitialReplication:
            self = .readyForInitialReplication(created: try values.decode(Bool.self, forKey: .created))
        case .initialReplicationInProgress:
            self = .initialReplicationInProgress(try values.decode(InitialReplication.self, forKey: .replication))
        case .replicating: self = .replicating(try values.decodeIfPresent(Delivery.self, forKey: .delivery))
        case .preparedForFailover: self = .preparedForFailover(try values.decode(FinalCycle.self, forKey: .cycle))
        case .suspended: self = .suspended(try values.decode(PrimaryWork.self, forKey: .work))
        case .error:
            self = .error(
                try values.decode(Failure.self, forKey: .failure), try values.decode(PrimaryWork.self, forKey: .work))
        case .waitingForStartResynchronize:
            self = .waitingForStartResynchronize(try values.decode([DiskStop].self, forKey: .stops))
        case .resynchronizing: self = .resynchronizing(try values.decode(Pass.self, forKey: .pass))
        case .resynchronizeSuspended: self = .resynchronizeSuspended(try values.decode(Pass.self, forKey: .pass))
        case .waitingForInitialReplication, .failedOverWaitingCompletion, .failedOver:
            throw DecodingError.dataCorruptedError(
                forKey: .name, in: values, debugDescription: "not a state of the primary")
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(name, forKey: .name)
        switch self {
        case .disabled(let removing): try values.encode(removing, forKey: .removing)
        case .readyForInitialReplication(let created): try values.encode(created, forKey: .created)
        case .initialReplicationInProgress(let replication): try values.encode(replication, forKey: .replication)
        case .replicating(let delivery): try values.encodeIfPresent(delivery, forKey: .delivery)
        case .preparedForFailover(let cycle): try values.encode(cycle, forKey: .cycle)
        case .suspended(let work): try values.encode(work, forKey: .work)
        case .error(let failure, let work):
            try values.encode(failure, forKey: .failure)
            try values.encode(work, forKey: .work)
        case .waitingForStartResynchronize(let stops): try values.encode(stops, forKey: .stops)
        case .resynchronizing(let pass), .resynchronizeSuspended(let pass): try values.encode(pass, forKey: .pass)
        }
    }
}
