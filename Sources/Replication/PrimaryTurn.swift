/// One event's effect on a copy of the primary's record; thrown away when the event is refused.
struct PrimaryTurn {
    var record: PrimaryRecord
    var underWay: Primary.Action?
    /// What comes before the record is stored, because a kill in between must not lose it.
    var early: [Primary.Action] = []
    var actions: [Primary.Action] = []
    let event: Primary.Event
    let now: Moment

    init(record: PrimaryRecord, underWay: Primary.Action?, event: Primary.Event, now: Moment) {
        (self.record, self.underWay, self.event, self.now) = (record, underWay, event, now)
    }

    func refusal(_ reason: Refusal.Reason) -> Refusal {
        Refusal(subject: event.label, side: .primary, state: record.state.name, reason: reason)
    }

    var unexpected: Refusal { refusal(.unexpected) }

    /// The action under way was answered.
    mutating func answered() {
        underWay = nil
        record.retry = nil
    }

    /// Nothing may go on.
    mutating func breakOff() {
        if underWay != nil { actions.append(.interrupt) }
        underWay = nil
        record.retry = nil
    }

    mutating func stop(_ stops: [DiskStop], telling: Bool = true) {
        breakOff()
        record.state = .waitingForStartResynchronize(stops)
        record.nextCycle = nil
        for stop in stops {
            let name = stop.disk.map { "\(record.disks[$0].identity.name): " } ?? ""
            record.statistics.note("\(name)\(stop.reason)", remedy: stop.reason.remedy, at: now)
        }
        if telling { actions.append(.reportStop(stops)) }
    }

    // MARK: Operations

    mutating func operate() throws(Refusal) {
        guard let operation = event.operation else { throw unexpected }
        let legal = operation.legalStates(on: .primary)
        guard legal.contains(record.state.name) else { throw refusal(.state(legal: legal)) }
        switch event {
        case .protect:
            guard !record.disks.isEmpty else { throw refusal(.condition(.noDisks)) }
            guard record.state == .disabled(removing: false) else { throw refusal(.state(legal: legal)) }
            record.state = .readyForInitialReplication(created: false)
        case .start: try begin(.online(pass: .baseline))
        case .exportSeed: try begin(.seed(step: .baseline))
        case .sync: try sync()
        case .suspend: suspend()
        case .resume: resume()
        case .markForResync(let stops):
            guard stopsFit(stops) else { throw unexpected }
            stop(stops)
        case .resync(let sizesEqual):
            guard sizesEqual else { throw refusal(.condition(.sizesDiffer)) }
            record.state = .resynchronizing(.baseline)
        case .cancelResync:
            breakOff()
            record.state = .waitingForStartResynchronize([DiskStop(reason: .cancelled)])
            actions.append(.reportCancelledResync)
        case .plannedFailover(let stopped):
            guard stopped else { throw refusal(.condition(.machineRunning)) }
            actions.append(.lockMachine(true))
            // A cycle under way closed its logs while the machine ran: what came after must be sent as well.
            breakOff()
            record.state = .preparedForFailover(.delivering(delivery: .switching))
        case .cancelFailover:
            breakOff()
            record.state = .replicating(nil)
            actions.append(.lockMachine(false))
        case .unprotect:
            breakOff()
            record.state = .disabled(removing: true)
        default: throw unexpected
        }
    }

    private mutating func begin(_ replication: InitialReplication) throws(Refusal) {
        guard case .readyForInitialReplication(created: true) = record.state else {
            throw refusal(.condition(.replicaNotCreated))
        }
        record.state = .initialReplicationInProgress(replication)
    }

    private mutating func sync() throws(Refusal) {
        guard record.state.cyclesByTheClock else { throw refusal(.condition(.onlyWithSeed)) }
        record.retry = nil
        if underWay == nil || record.state.delivery == nil { beginCycle() }
    }

    private mutating func beginCycle() {
        record.state.delivery = .switching
        record.nextCycle = now.unixSeconds.saturating(adding: Int64(record.policy.interval))
    }

    private mutating func suspend() {
        breakOff()
        switch record.state {
        case .resynchronizing(let pass): record.state = .resynchronizeSuspended(pass)
        case let state: if let work = state.work { record.state = .suspended(work) }
        }
    }

    private mutating func resume() {
        switch record.state {
        case .suspended(let work): record.state = work.state
        case .error(let failure, let work):
            record.state = work.state
            if failure.cause == .copyMismatch, case .transferring(var position)? = record.state.pass {
                position.attempt = 1
                record.state.pass = .transferring(position: position)
            }
        case .resynchronizeSuspended(let pass): record.state = .resynchronizing(pass)
        default: break
        }
    }

    func stopsFit(_ stops: [DiskStop]) -> Bool {
        !stops.isEmpty && stops.allSatisfy { $0.disk.map(record.disks.indices.contains) ?? true }
    }
}
