/// The side where the copies are: decides, and does nothing. Feed it events, do the actions it returns.
///
/// ## Driving it
/// As `Primary`: load the record, `init(_:)`, `handle(.woke)`, then whatever the primary says or an administrator asks.
/// Do the actions in order; `save` stands before every acknowledgement. At most one action that is answered is under
/// way; the primary's messages may come in between.
///
/// ## The walk of a log
/// 1. It is written to the store as `slot(for:disk:)` says, flushed, checked whole → `logStored`. In chain order it is
///    recorded and acknowledged; out of order, unclosed, damaged or beyond the disk it is removed and the state is
///    WaitingForStartResynchronize.
/// 2. `cycleReceived` when all logs of the cycle are there. Nothing of a cycle is applied before.
/// 3. `applyLogs` for each disk in turn → `logsApplied`; the first is preceded by a `save` that says a cycle has been
///    begun. When every disk has it: `cycleApplied`, `reportApplied`.
///
/// ## Kills
/// A log in the store that is not in the record is removed by `pruneStore` and sent again. A log that was applied and
/// not recorded is applied again, from its start. A cycle that was begun is finished before anything else happens to
/// the disks: failover, unprotect, suspension and a stop wait for it.
public struct Replica: Sendable {
    /// What must be stored.
    public private(set) var record: ReplicaRecord
    /// The action that was given out and not answered; of this process only.
    var underWay: Action?

    /// A relationship that does not exist yet: Disabled.
    /// - Parameter disks: the same, in the same order, as the primary's.
    public init(disks: [DiskIdentity], policy: Policy = .standard) {
        record = ReplicaRecord(disks: disks, policy: policy)
    }

    /// - Throws: `RecordFault` when the record does not fit together.
    public init(_ record: ReplicaRecord) throws(RecordFault) {
        try record.check()
        self.record = record
    }

    init(unchecked record: ReplicaRecord) { self.record = record }

    public var state: ReplicaState { record.state }

    /// What happens on `event`.
    /// - Returns: what to do, in order; see `Action`.
    /// - Throws: `Refusal` when the event is not legal in the state; then nothing has changed.
    public mutating func handle(_ event: Event, at now: Moment) throws(Refusal) -> [Action] {
        var turn = ReplicaTurn(record: record, underWay: underWay, event: event, now: now)
        if event.operation != nil { try turn.operate() } else { try turn.report() }
        turn.settle()
        let next = turn.record.next(at: now)
        if case .applyLogs? = next { turn.record.applying = true }
        let changed = turn.record != record
        record = turn.record
        underWay = turn.underWay
        var actions = turn.early + (changed ? [.save] : []) + turn.actions
        if let next, next != underWay {
            actions.append(next)
            underWay = next
        }
        return actions
    }

    /// When to send `tick` next, in Unix seconds; nil when time changes nothing.
    public var wakeTime: Int64? { underWay == nil ? record.retry?.due : nil }

    /// What the primary asks for when it wakes.
    public var report: ReplicaReport {
        var stops: [DiskStop] = []
        if case .waitingForStartResynchronize(let found) = record.state { stops = found }
        return ReplicaReport(
            state: record.state.name, copy: record.copy, received: record.disks.map(\.position.received),
            applied: record.disks.map(\.position.applied), stops: stops)
    }

    /// Under which sequence number and id a log of `bytes` bytes is stored; the one it has, if it was received before.
    /// - Precondition: `disk` is an index of `record.disks`.
    public func slot(for id: LogID, disk: Int, bytes: UInt64) -> StoredLog {
        let disk = record.disks[disk]
        return disk.pending.first { $0.id == id }
            ?? StoredLog(sequence: disk.lastSequence.saturating(adding: 1), id: id, bytes: bytes)
    }

    /// How far each disk is.
    public var progress: [DiskProgress] {
        let count = record.disks.count
        var stages: [DiskProgress.Stage]
        if case .waitingForStartResynchronize(let stops) = record.state {
            stages = DiskProgress.stages(count, stoppedBy: stops)
        } else if let copy = record.copy {
            stages = DiskProgress.stages(count, at: copy)
        } else {
            stages = Array(repeating: record.complete ? .following : .waiting, count: count)
        }
        return zip(record.disks, stages).map {
            DiskProgress(disk: $0.identity, stage: $1, position: $0.position, digest: $0.digest)
        }
    }

    /// How well the relationship is, seen from here.
    public func health(at now: Moment) -> Health {
        switch record.state {
        case .disabled: Health([])
        case .waitingForInitialReplication: Health([.initialReplicationUnfinished])
        case .replicating:
            Health(
                (record.retry == nil ? [] : [.cannotApply])
                    + Health.reasons(record.statistics, interval: record.policy.interval, at: now))
        case .failedOverWaitingCompletion, .failedOver: Health([.failedOverWithoutReverse])
        case .suspended, .resynchronizeSuspended: Health([.replicaSuspended])
        case .error: Health([.error])
        case .waitingForStartResynchronize, .resynchronizing: Health([.resyncRequired])
        }
    }
}

extension ReplicaRecord {
    /// How far the primary's pass is, also while it is suspended or failed.
    var copy: CopyPosition? {
        switch state {
        case .suspended(.waiting(let copy)), .error(_, .waiting(let copy)): copy
        case .error(_, .resynchronizing(let copy)), .resynchronizeSuspended(let copy): copy
        default: state.copy
        }
    }

    /// The action that the record asks for now, nil while it waits or rests.
    func next(at now: Moment) -> Replica.Action? {
        if let retry, retry.due > now.unixSeconds { return nil }
        if let work = applicable { return work }
        switch testFailover?.step {
        case .creating: return .createTestCopy(point: testFailover?.point)
        case .discarding: return .discardTestCopy
        case .ready, nil: break
        }
        switch state {
        case .disabled(let removing):
            guard removing else { return nil }
            return .removeStore(keeping: disks.indices.filter { complete || disks[$0].digest != nil })
        case .failedOverWaitingCompletion(let failover):
            switch failover.step {
            case .cancellingResync: return .undoResync
            case .preparing: return .prepareFailover(point: failover.point)
            case .undoing: return .undoFailover
            case .applying, .ready: return nil
            }
        case .failedOver(_, let cleaned): return cleaned ? nil : .deletePoints
        default: return nil
        }
    }

    /// The logs to apply now.
    private var applicable: Replica.Action? {
        guard let cycle = cycles.first, applying || mayBegin else { return nil }
        if case .error = state { return nil }
        for (index, disk) in disks.enumerated() where disk.position.applied != cycle.tips[index] {
            guard let tip = disk.pending.firstIndex(where: { $0.id == cycle.tips[index] }) else { continue }
            return .applyLogs(disk: index, Array(disk.pending[...tip]))
        }
        return nil
    }

    /// Whether a received cycle may be begun.
    private var mayBegin: Bool {
        switch state {
        case .replicating: true
        case .waitingForInitialReplication(let copy): copy?.disk == disks.count
        case .resynchronizing(let copy): copy.disk == disks.count
        case .failedOverWaitingCompletion(let failover): failover.step == .applying && failover.point == nil
        default: false
        }
    }
}
