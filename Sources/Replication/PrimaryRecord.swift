/// Everything about the primary side that must outlive the process. Plain values; `Codable` with stable keys.
public struct PrimaryRecord: Hashable, Codable, Sendable {
    public struct Disk: Hashable, Codable, Sendable {
        public let identity: DiskIdentity
        public internal(set) var position: ChainPosition
        /// Received logs of which the source may still have the file.
        public internal(set) var known: [LogID]
        /// Hash of the disk as copied; nil before it was verified.
        public internal(set) var digest: String?

        init(_ identity: DiskIdentity) {
            (self.identity, position, known, digest) = (identity, ChainPosition(), [], nil)
        }
    }

    public internal(set) var state: PrimaryState
    public internal(set) var disks: [Disk]
    public internal(set) var policy: Policy
    public internal(set) var statistics = Statistics()
    /// The failure that is waiting to be tried again.
    public internal(set) var retry: Retry?
    /// Number of the last cycle that was begun.
    public internal(set) var lastCycle: UInt64 = 0
    /// Unix seconds when the next cycle is due by the clock.
    public internal(set) var nextCycle: Int64?

    init(disks: [DiskIdentity], policy: Policy) {
        state = .disabled(removing: false)
        self.disks = disks.map(Disk.init)
        self.policy = policy
    }

    private enum CodingKeys: String, CodingKey {
        case state, disks, policy, statistics, retry
        case lastCycle = "last_cycle"
        case nextCycle = "next_cycle"
    }
}

/// A record that does not fit together: it was damaged or written by something else.
public struct RecordFault: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
}

extension PrimaryRecord {
    /// - Throws: `RecordFault` when a state speaks of disks that are not there.
    func check() throws(RecordFault) {
        guard !disks.isEmpty || state == .disabled(removing: false) else { throw RecordFault(description: "no disks") }
        switch state {
        case .initialReplicationInProgress(let replication): try check(replication)
        case .replicating(let delivery): try check(delivery)
        case .preparedForFailover(let cycle): try check(cycle)
        case .suspended(let work):
            try check(work)
            switch work {
            case .initial, .replicating: break
            default: throw RecordFault(description: "a suspended primary cannot go on with this")
            }
        case .error(_, let work): try check(work)
        case .waitingForStartResynchronize(let stops): try stops.check(disks: disks.count)
        case .resynchronizing(let pass), .resynchronizeSuspended(let pass): try check(pass)
        case .disabled, .readyForInitialReplication: break
        }
    }

    private func check(_ work: PrimaryWork) throws(RecordFault) {
        switch work {
        case .ready: break
        case .initial(let replication): try check(replication)
        case .replicating(let delivery): try check(delivery)
        case .prepared(let cycle): try check(cycle)
        case .resynchronizing(let pass): try check(pass)
        }
    }

    private func check(_ replication: InitialReplication) throws(RecordFault) {
        switch replication {
        case .online(let pass): try check(pass)
        case .seed(.awaiting(let delivery)): try check(delivery)
        case .seed: break
        }
    }

    private func check(_ pass: Pass) throws(RecordFault) {
        switch pass {
        case .baseline, .announcing, .finalizing: break
        case .transferring(let position):
            guard disks.indices.contains(position.disk) else { throw RecordFault(description: "no such disk") }
        case .settling(let cycle):
            guard cycle != .done else { throw RecordFault(description: "a pass cannot rest") }
            try check(cycle)
        }
    }

    private func check(_ cycle: FinalCycle) throws(RecordFault) {
        switch cycle {
        case .delivering(let delivery): try check(delivery)
        case .applying(let tips): try check(tips: tips)
        case .done: break
        }
    }

    private func check(_ delivery: Delivery?) throws(RecordFault) {
        switch delivery {
        case .sending(let cycle, let queue):
            try check(tips: cycle.tips)
            guard !queue.isEmpty, queue.allSatisfy({ disks.indices.contains($0.disk) }) else {
                throw RecordFault(description: "a cycle's logs are of no disk")
            }
        case .ending(let cycle): try check(tips: cycle.tips)
        case .switching, nil: break
        }
    }

    private func check(tips: [LogID?]) throws(RecordFault) {
        guard tips.count == disks.count else { throw RecordFault(description: "a cycle is not of these disks") }
    }
}

extension [DiskStop] {
    func check(disks: Int) throws(RecordFault) {
        guard !isEmpty, allSatisfy({ $0.disk.map { (0..<disks).contains($0) } ?? true }) else {
            throw RecordFault(description: "stopped, but no disk is")
        }
    }
}
