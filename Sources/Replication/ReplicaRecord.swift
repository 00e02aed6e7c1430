/// A log in the replica's store: received, not yet applied.
public struct StoredLog: Hashable, Codable, Sendable {
    /// Place in the order of arrival at this disk, from 1; part of the file's name.
    public let sequence: UInt64
    public let id: LogID
    /// Bytes that it occupies.
    public let bytes: UInt64

    public init(sequence: UInt64, id: LogID, bytes: UInt64) {
        (self.sequence, self.id, self.bytes) = (sequence, id, bytes)
    }
}

/// Everything about the replica side that must outlive the process. Plain values; `Codable` with stable keys.
public struct ReplicaRecord: Hashable, Codable, Sendable {
    public struct Disk: Hashable, Codable, Sendable {
        public let identity: DiskIdentity
        public internal(set) var position: ChainPosition
        /// Received and not applied, in chain order.
        public internal(set) var pending: [StoredLog]
        public internal(set) var lastSequence: UInt64
        /// Hash of the disk as copied; nil before it was verified.
        public internal(set) var digest: String?

        init(_ identity: DiskIdentity) {
            (self.identity, position, pending, lastSequence, digest) = (identity, ChainPosition(), [], 0, nil)
        }

        private enum CodingKeys: String, CodingKey {
            case identity, position, pending
            case lastSequence = "last_sequence"
            case digest
        }
    }

    public internal(set) var state: ReplicaState
    public internal(set) var disks: [Disk]
    public internal(set) var policy: Policy
    public internal(set) var statistics = Statistics()
    public internal(set) var retry: Retry?
    /// Cycles whose logs are all here and not all applied, oldest first.
    public internal(set) var cycles: [Cycle] = []
    /// Whether the first of `cycles` has been begun: some disks may be at it and some not, or one half.
    public internal(set) var applying = false
    /// Number of the last cycle that was received.
    public internal(set) var lastCycle: UInt64 = 0
    /// Whether every disk has once been whole; without it there is nothing to fail over to.
    public internal(set) var complete = false
    public internal(set) var testFailover: TestFailover?

    init(disks: [DiskIdentity], policy: Policy) {
        state = .disabled(removing: false)
        self.disks = disks.map(Disk.init)
        self.policy = policy
    }

    private enum CodingKeys: String, CodingKey {
        case state, disks, policy, statistics, retry, cycles, applying
        case lastCycle = "last_cycle"
        case complete
        case testFailover = "test_failover"
    }
}

extension ReplicaRecord {
    /// - Throws: `RecordFault` when its parts do not fit together.
    func check() throws(RecordFault) {
        guard !disks.isEmpty || state == .disabled(removing: false) else { throw RecordFault(description: "no disks") }
        guard cycles.allSatisfy({ $0.tips.count == disks.count }) else {
            throw RecordFault(description: "a cycle is not of these disks")
        }
        for (index, disk) in disks.enumerated() {
            let chain = [disk.position.applied] + disk.pending.map(\.id)
            guard chain.last == disk.position.received else { throw RecordFault(description: "logs are missing") }
            var place = 0
            for cycle in cycles {
                guard let found = chain[place...].firstIndex(of: cycle.tips[index]) else {
                    throw RecordFault(description: "a cycle's logs are missing")
                }
                place = found
            }
        }
        guard !applying || !cycles.isEmpty else { throw RecordFault(description: "no cycle is there to be applied") }
        switch state {
        case .waitingForInitialReplication(let copy): try check(copy)
        case .suspended(let work):
            if case .resynchronizing = work {
                throw RecordFault(description: "a suspended replica cannot go on with this")
            }
            try check(work)
        case .error(_, let work): try check(work)
        case .waitingForStartResynchronize(let stops): try stops.check(disks: disks.count)
        case .resynchronizing(let copy), .resynchronizeSuspended(let copy): try check(copy)
        case .failedOverWaitingCompletion(let failover):
            if case .stopped(let stops) = failover.origin { try stops.check(disks: disks.count) }
        case .disabled, .replicating, .failedOver: break
        }
    }

    private func check(_ work: ReplicaWork) throws(RecordFault) {
        switch work {
        case .waiting(let copy): try check(copy)
        case .resynchronizing(let copy): try check(copy)
        case .replicating: break
        }
    }

    private func check(_ copy: CopyPosition?) throws(RecordFault) {
        guard copy.map({ (0...disks.count).contains($0.disk) }) ?? true else {
            throw RecordFault(description: "no such disk")
        }
    }
}

/// What the replica side says is durable there.
public struct ReplicaReport: Hashable, Codable, Sendable {
    public let state: StateName
    /// How far a pass is; nil when none was announced.
    public let copy: CopyPosition?
    /// Each disk's last log that is stored, and that is applied.
    public let received: [LogID?]
    public let applied: [LogID?]
    /// Why it waits for a resynchronisation; empty when it does not.
    public let stops: [DiskStop]

    public init(
        state: StateName, copy: CopyPosition?, received: [LogID?], applied: [LogID?], stops: [DiskStop] = []
    ) {
        (self.state, self.copy, self.received, self.applied, self.stops) = (state, copy, received, applied, stops)
    }
}
