/// One event's effect on a copy of the replica's record; thrown away when the event is refused.
struct ReplicaTurn {
    var record: ReplicaRecord
    var underWay: Replica.Action?
    /// What comes before the record is stored, because a kill in between must not lose it.
    var early: [Replica.Action] = []
    var actions: [Replica.Action] = []
    let event: Replica.Event
    let now: Moment

    init(record: ReplicaRecord, underWay: Replica.Action?, event: Replica.Event, now: Moment) {
        (self.record, self.underWay, self.event, self.now) = (record, underWay, event, now)
    }

    func refusal(_ reason: Refusal.Reason) -> Refusal {
        Refusal(subject: event.label, side: .replica, state: record.state.name, reason: reason)
    }

    var unexpected: Refusal { refusal(.unexpected) }

    /// The action under way was answered.
    mutating func answered() {
        underWay = nil
        record.retry = nil
    }

    /// Nothing may go on, but for logs that are being applied: they are finished.
    mutating func breakOff() {
        record.retry = nil
        if case .applyLogs? = underWay { return }
        if underWay != nil { actions.append(.interrupt) }
        underWay = nil
    }

    mutating func stop(_ stops: [DiskStop]) {
        breakOff()
        record.state = .waitingForStartResynchronize(stops)
        for stop in stops {
            let name = stop.disk.map { "\(record.disks[$0].identity.name): " } ?? ""
            record.statistics.note("\(name)\(stop.reason)", remedy: stop.reason.remedy, at: now)
        }
        actions.append(.reportStop(stops))
    }

    /// Counts off cycles that every disk holds, and lets a failover go on once there is nothing to apply.
    mutating func settle() {
        let applied = record.disks.map(\.position.applied)
        while let cycle = record.cycles.first, cycle.tips == applied {
            record.cycles.removeFirst()
            record.applying = false
            record.statistics.lastApplied = now.unixSeconds
            early.append(.cycleApplied(cycle))
            actions.append(.reportApplied(applied))
        }
        guard case .failedOverWaitingCompletion(var failover) = record.state, failover.step == .applying,
            !record.applying, failover.point != nil || record.cycles.isEmpty
        else { return }
        failover.step = .preparing
        record.state = .failedOverWaitingCompletion(failover)
    }

    // MARK: Operations

    mutating func operate() throws(Refusal) {
        guard let operation = event.operation else { throw unexpected }
        let legal = operation.legalStates(on: .replica)
        guard legal.contains(record.state.name) else { throw refusal(.state(legal: legal)) }
        switch event {
        case .protect:
            guard !record.disks.isEmpty else { throw refusal(.condition(.noDisks)) }
            guard record.state == .disabled(removing: false) else { throw refusal(.state(legal: legal)) }
            record.state = .waitingForInitialReplication(nil)
        case .importSeed:
            guard let copy = record.state.copy, copy.disk < record.disks.count else {
                throw refusal(.condition(.seedNotAnnounced))
            }
            guard underWay != .importSeed else { throw unexpected }
            underWay = .importSeed
            actions.append(.importSeed)
        case .suspend: suspend()
        case .resume: resume()
        case .markForResync(let stops):
            guard stopsFit(stops) else { throw unexpected }
            if case .waitingForStartResynchronize = record.state { return }
            stop(stops)
        case .testFailover(let point):
            guard record.complete else { throw refusal(.condition(.initialReplicationUnfinished)) }
            guard record.testFailover == nil else { throw refusal(.condition(.testFailoverRunning)) }
            record.testFailover = TestFailover(point: point, step: .creating)
        case .cancelTestFailover:
            guard record.testFailover != nil else { throw refusal(.condition(.noTestFailover)) }
            record.testFailover?.step = .discarding
            if case .createTestCopy? = underWay { breakOff() }
        case .plannedFailover(let prepared):
            guard prepared else { throw refusal(.condition(.primaryNotPrepared)) }
            guard record.disks.allSatisfy({ $0.position.applied == $0.position.received }), record.cycles.isEmpty
            else { throw refusal(.condition(.logsNotApplied)) }
            record.state = .failedOverWaitingCompletion(
                Failover(planned: true, point: nil, origin: .replicating, step: .applying))
        case .unplannedFailover(let point, let running): try failOver(point, running)
        case .cancelFailover:
            guard case .failedOverWaitingCompletion(var failover) = record.state else { throw unexpected }
            breakOff()
            failover.step = .undoing
            record.state = .failedOverWaitingCompletion(failover)
        case .commit:
            guard case .failedOverWaitingCompletion(let failover) = record.state, failover.step == .ready else {
                throw refusal(.condition(.failoverUnfinished))
            }
            record.state = .failedOver(planned: failover.planned, cleaned: false)
        case .unprotect:
            breakOff()
            record.state = .disabled(removing: true)
            record.testFailover?.step = .discarding
        default: throw unexpected
        }
    }

    private mutating func suspend() {
        breakOff()
        switch record.state {
        case .resynchronizing(let copy): record.state = .resynchronizeSuspended(copy)
        case let state: if let work = state.work { record.state = .suspended(work) }
        }
    }

    private mutating func resume() {
        record.retry = nil
        switch record.state {
        case .suspended(let work), .error(_, let work): record.state = work.state
        case .resynchronizeSuspended(let copy): record.state = .resynchronizing(copy)
        default: break
        }
    }

    private mutating func failOver(_ point: String?, _ running: Bool) throws(Refusal) {
        guard !running else { throw refusal(.condition(.primaryRunning)) }
        guard record.complete else { throw refusal(.condition(.initialReplicationUnfinished)) }
        let origin: Failover.Origin
        switch record.state {
        case .suspended: origin = .suspended
        case .waitingForStartResynchronize(let stops): origin = .stopped(stops: stops)
        case .resynchronizing, .resynchronizeSuspended, .error(_, .resynchronizing): origin = .resynchronizing
        default: origin = .replicating
        }
        breakOff()
        record.state = .failedOverWaitingCompletion(
            Failover(
                planned: false, point: point, origin: origin,
                step: origin == .resynchronizing ? .cancellingResync : .applying))
        actions.append(.reportFailedOver)
    }

    func stopsFit(_ stops: [DiskStop]) -> Bool {
        !stops.isEmpty && stops.allSatisfy { $0.disk.map(record.disks.indices.contains) ?? true }
    }
}
