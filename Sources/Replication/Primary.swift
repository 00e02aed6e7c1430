/// The side where the machine runs: decides, and does nothing. Feed it events, do the actions it returns.
///
/// ## Driving it
/// Load the record, `init(_:)`, `handle(.woke(report))`, then the operation asked for. Do the returned actions in order;
/// what stands after `save` is backed by what is stored, what stands before must not be lost. The last may be one that
/// is answered. Hand its answer to `handle`, and so on until no such action is under way. There is never more than
/// one. The replica's answers come from its own machine (`Replica`): an action that tells it something is done when the
/// replica's event was handled **and its record saved**, so the replica is never behind what the primary believes.
///
/// ## The walk of an initial replication
/// 1. `protect` → `save`, `createReplica` → `replicaCreated`: ReadyForInitialReplication.
/// 2. `start` → `switchLogs` → `logsSwitched`: every disk's baseline is set; what its logs hold now is in the copy.
/// 3. `announceBaseline` → `baselineAnnounced`: the replica begins empty at the same baseline.
/// 4. For each disk in turn: `copyDisk(i, from:)` → `copyAdvanced`… `copyCompleted` → `verifyDisk(i)` →
///    `diskVerified`. A copy that differs is made again from 0, three times in all, then Error.
/// 5. `switchLogs` → `logsSwitched`: the logs since the baseline, `sendLog` … `endCycle`, then wait for `applied`.
/// 6. `finalize` → `finalized`: Replicating.
///
/// A cycle is step 5 without the wait. Logs are judged all at once: if those of any disk are at fault, nothing is sent
/// of any disk, so that the replica's disks stay at one instant, and the state is WaitingForStartResynchronize.
///
/// ## Kills
/// The next action is a function of the record alone, so a kill loses at most the answer to the one action under way,
/// and it is done again. Before the baseline is announced nothing is at the target. A copy goes on at the lesser of the
/// two sides' positions. A log that was stored but not acknowledged is recognised by `woke`'s report, or sent again and
/// recognised by the replica. A log that was acknowledged but not released is recognised at the next switch. A cycle
/// that was ended twice is acknowledged twice.
public struct Primary: Sendable {
    /// How often a disk is copied before its hash must be right.
    public static let copyAttempts = 3

    /// What must be stored.
    public private(set) var record: PrimaryRecord
    /// The action that was given out and not answered; of this process only.
    var underWay: Action?

    /// A relationship that does not exist yet: Disabled.
    /// - Parameter disks: in the order in which they are to be copied.
    public init(disks: [DiskIdentity], policy: Policy = .standard) {
        record = PrimaryRecord(disks: disks, policy: policy)
    }

    /// - Throws: `RecordFault` when the record does not fit together.
    public init(_ record: PrimaryRecord) throws(RecordFault) {
        try record.check()
        self.record = record
    }

    init(unchecked record: PrimaryRecord) { self.record = record }

    public var state: PrimaryState { record.state }

    /// What happens on `event`.
    /// - Returns: what to do, in order; see `Action`.
    /// - Throws: `Refusal` when the event is not legal in the state; then nothing has changed.
    public mutating func handle(_ event: Event, at now: Moment) throws(Refusal) -> [Action] {
        var turn = PrimaryTurn(record: record, underWay: underWay, event: event, now: now)
        if event.operation != nil { try turn.operate() } else { try turn.report() }
        let changed = turn.record != record
        record = turn.record
        underWay = turn.underWay
        var actions = turn.early + (changed ? [.save] : []) + turn.actions
        if let next = next(at: now) {
            if !(underWay.map { next.isSameTask(as: $0) } ?? false) {
                actions.append(next)
                underWay = next
            }
        }
        return actions
    }

    /// When to send `tick` next, in Unix seconds; nil when time changes nothing.
    public var wakeTime: Int64? {
        if let retry = record.retry, underWay == nil { return retry.due }
        return record.state.cyclesByTheClock ? record.nextCycle : nil
    }

    /// The action that the record asks for now, nil while it waits or rests.
    private func next(at now: Moment) -> Action? {
        if let retry = record.retry, retry.due > now.unixSeconds { return nil }
        switch record.state {
        case .disabled(let removing): return removing ? .removeRelationship : nil
        case .readyForInitialReplication(let created): return created ? nil : .createReplica
        case .initialReplicationInProgress(.seed(let step)):
            switch step {
            case .baseline: return .switchLogs
            case .announcing: return .announceBaseline(received)
            case .exporting: return .exportSeed
            case .awaiting(let delivery): return next(of: delivery)
            }
        case .initialReplicationInProgress(.online(let pass)), .resynchronizing(let pass): return next(of: pass)
        case .replicating(let delivery): return next(of: delivery)
        case .preparedForFailover(let cycle): return next(of: cycle)
        case .suspended, .error, .waitingForStartResynchronize, .resynchronizeSuspended: return nil
        }
    }

    private func next(of pass: Pass) -> Action? {
        switch pass {
        case .baseline: return .switchLogs
        case .announcing: return .announceBaseline(received)
        case .transferring(let position):
            if case .resynchronizing = record.state { return .compareDisk(position.disk, from: position.byte) }
            return position.verifying
                ? .verifyDisk(position.disk) : .copyDisk(position.disk, from: position.byte)
        case .settling(let cycle): return next(of: cycle)
        case .finalizing: return .finalize(received)
        }
    }

    private func next(of cycle: FinalCycle) -> Action? {
        if case .delivering(let delivery) = cycle { return next(of: delivery) }
        return nil
    }

    private func next(of delivery: Delivery?) -> Action? {
        switch delivery {
        case .switching: .switchLogs
        case .sending(_, let queue): queue.first.map { .sendLog($0) }
        case .ending(let cycle): .endCycle(cycle)
        case nil: nil
        }
    }

    private var received: [LogID?] { record.disks.map(\.position.received) }
}

extension Primary {
    /// How far each disk is.
    public var progress: [DiskProgress] {
        let count = record.disks.count
        let stages: [DiskProgress.Stage]
        switch record.state {
        case .disabled, .readyForInitialReplication: stages = Array(repeating: .waiting, count: count)
        case .initialReplicationInProgress, .replicating, .preparedForFailover, .resynchronizing:
            stages = record.state.work.map { Primary.stages(of: $0, count: count) } ?? []
        case .suspended(let work), .error(_, let work): stages = Primary.stages(of: work, count: count)
        case .waitingForStartResynchronize(let stops): stages = DiskProgress.stages(count, stoppedBy: stops)
        case .resynchronizeSuspended(let pass): stages = Primary.stages(of: pass, count: count)
        }
        return zip(record.disks, stages).map {
            DiskProgress(disk: $0.identity, stage: $1, position: $0.position, digest: $0.digest)
        }
    }

    private static func stages(of work: PrimaryWork, count: Int) -> [DiskProgress.Stage] {
        switch work {
        case .ready: Array(repeating: .waiting, count: count)
        case .initial(.online(let pass)), .resynchronizing(let pass): stages(of: pass, count: count)
        case .initial(.seed(let step)):
            if case .awaiting = step {
                Array(repeating: .copied, count: count)
            } else {
                Array(repeating: .waiting, count: count)
            }
        case .replicating, .prepared: Array(repeating: .following, count: count)
        }
    }

    private static func stages(of pass: Pass, count: Int) -> [DiskProgress.Stage] {
        switch pass {
        case .baseline, .announcing: Array(repeating: .waiting, count: count)
        case .transferring(let position): DiskProgress.stages(count, at: position)
        case .settling, .finalizing: Array(repeating: .copied, count: count)
        }
    }

    /// How well the relationship is, seen from here.
    public func health(at now: Moment) -> Health {
        var reasons: [Health.Reason] = []
        if record.retry != nil { reasons.append(.cannotSend) }
        switch record.state {
        case .disabled: return Health([])
        case .readyForInitialReplication, .initialReplicationInProgress:
            reasons.append(.initialReplicationUnfinished)
        case .replicating:
            reasons += Health.reasons(record.statistics, interval: record.policy.interval, at: now)
        case .suspended: reasons.append(.primarySuspended)
        case .error: reasons.append(.error)
        case .waitingForStartResynchronize, .resynchronizing, .resynchronizeSuspended:
            reasons.append(.resyncRequired)
        case .preparedForFailover: break
        }
        return Health(reasons)
    }
}
