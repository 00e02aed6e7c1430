extension PrimaryTurn {
    // MARK: Reports

    mutating func report() throws(Refusal) {
        switch event {
        case .woke(let report): woke(report)
        case .tick: tick()
        case .failed(let failure): try failed(failure)
        case .logsMeasured(let bytes): try logsMeasured(bytes)
        case .replicaCreated:
            guard case .readyForInitialReplication(created: false) = record.state else { throw unexpected }
            answered()
            record.state = .readyForInitialReplication(created: true)
        case .logsSwitched(let logs): try logsSwitched(logs)
        case .baselineAnnounced:
            if record.state.pass == .announcing {
                record.state.pass = .transferring(position: CopyPosition())
            } else if record.state == .initialReplicationInProgress(.seed(step: .announcing)) {
                record.state = .initialReplicationInProgress(.seed(step: .exporting))
            } else {
                throw unexpected
            }
            answered()
        case .copyAdvanced(let disk, let byte):
            var position = try copying(disk)
            guard byte <= record.disks[disk].identity.size else { throw unexpected }
            position.byte = max(position.byte, byte)
            record.state.pass = .transferring(position: position)
        case .copyCompleted(let disk): try copyCompleted(disk)
        case .diskVerified(let disk, let digest):
            let position = try verifying(disk)
            answered()
            record.disks[disk].digest = digest
            diskDone(position)
        case .diskDiffers(let disk): try diskDiffers(disk)
        case .seedExported:
            guard record.state == .initialReplicationInProgress(.seed(step: .exporting)) else { throw unexpected }
            answered()
            record.state = .initialReplicationInProgress(.seed(step: .awaiting(delivery: nil)))
            record.nextCycle = now.unixSeconds
        case .seedImported:
            guard case .initialReplicationInProgress(.seed(.awaiting)) = record.state else { throw unexpected }
            breakOff()
            record.state = .initialReplicationInProgress(
                .online(pass: .settling(cycle: .delivering(delivery: .switching))))
        case .logAcknowledged(let disk, let id): try logAcknowledged(disk, id)
        case .cycleAcknowledged(let number): try cycleAcknowledged(number)
        case .applied(let tips): try applied(tips)
        case .finalized:
            guard record.state.pass == .finalizing else { throw unexpected }
            answered()
            record.state = .replicating(nil)
            record.statistics.lastSync = now.unixSeconds
            record.nextCycle = now.unixSeconds.saturating(adding: Int64(record.policy.interval))
        case .replicaStopped(let stops):
            guard stopsFit(stops), record.state.isTracking else { throw unexpected }
            if case .waitingForStartResynchronize = record.state { return }
            stop(stops, telling: false)
        case .replicaFailedOver:
            guard record.state.isTracking, record.state.name != .preparedForFailover else { throw unexpected }
            replicaFailedOver()
        default: throw unexpected
        }
    }

    private mutating func replicaFailedOver() {
        let failure = Failure(.invalidReplicaState, message: Primary.failedOverMessage)
        if case .error(failure, _) = record.state { return }
        breakOff()
        record.statistics.note(failure.message, remedy: failure.cause.remedy, at: now)
        switch record.state {
        case .suspended(let work), .error(_, let work): record.state = .error(failure, work)
        case .resynchronizeSuspended(let pass): record.state = .error(failure, .resynchronizing(pass: pass))
        case let state: record.state = .error(failure, state.work ?? .resynchronizing(pass: .baseline))
        }
    }

    private mutating func woke(_ report: ReplicaReport?) {
        underWay = nil
        switch record.state {
        case .preparedForFailover: actions.append(.lockMachine(true))
        case .replicating: actions.append(.lockMachine(false))
        default: break
        }
        guard let report, record.state.isTracking, report.applied.count == record.disks.count,
            report.received.count == record.disks.count
        else { return }
        switch report.state {
        case .failedOverWaitingCompletion, .failedOver:
            if record.state.name != .preparedForFailover { replicaFailedOver() }
            return
        case .waitingForStartResynchronize:
            if stopsFit(report.stops), !awaitsBaseline { stop(report.stops, telling: false) }
            return
        default: break
        }
        if case .transferring(let position)? = record.state.pass { meet(position, report.copy) }
        if case .initialReplicationInProgress(.seed(.awaiting)) = record.state, let copy = report.copy,
            copy.disk == record.disks.count
        {
            record.state = .initialReplicationInProgress(
                .online(pass: .settling(cycle: .delivering(delivery: .switching))))
        }
        if case .sending(_, let queue)? = record.state.delivery, let log = queue.first,
            report.received[log.disk] == log.id
        {
            acknowledge(log)
        }
        note(applied: report.applied)
    }

    /// Whether what the replica was before does not matter any more, or was seen already.
    private var awaitsBaseline: Bool {
        switch record.state {
        case .error, .waitingForStartResynchronize: true
        default: record.state.pass == .baseline || record.state.pass == .announcing
        }
    }

    /// Goes on where both sides agree: the replica may have been put back, or hold an attempt that was given up.
    private mutating func meet(_ mine: CopyPosition, _ there: CopyPosition?) {
        guard let there else {
            // It does not know of the pass. No log was sent since the baseline, so that still holds.
            record.state.pass = .announcing
            return
        }
        var position = mine
        if there.disk < mine.disk {
            position = CopyPosition(disk: max(0, there.disk), byte: there.byte)
        } else if there.disk == mine.disk, there.byte < mine.byte {
            position.byte = there.byte
            position.verifying = false
        }
        record.state.pass = .transferring(position: position)
    }

    private mutating func tick() {
        if let retry = record.retry {
            guard now.unixSeconds < retry.due else { return }
        }
        if case .waitingForStartResynchronize = record.state {
            if record.policy.automaticResync, record.policy.resyncWindow.contains(now) {
                actions.append(.proposeResync)
            }
            return
        }
        guard record.state.cyclesByTheClock else { return }
        let interval = Int64(record.policy.interval)
        guard let due = record.nextCycle else {
            record.nextCycle = now.unixSeconds.saturating(adding: interval)
            return
        }
        guard now.unixSeconds >= due else { return }
        let late = now.unixSeconds.subtractingReportingOverflow(due)
        let whole = late.overflow ? 0 : late.partialValue / interval
        record.nextCycle = due.saturating(adding: (whole.saturating(adding: 1)).saturating(multipliedBy: interval))
        if record.state.delivery == nil {
            record.statistics.cyclesWereMissed(whole, at: now)
            record.state.delivery = .switching
        } else {
            record.statistics.cyclesWereMissed(whole.saturating(adding: 1), at: now)
        }
    }

    private mutating func failed(_ failure: Failure) throws(Refusal) {
        guard let work = record.state.work, failure.disk.map(record.disks.indices.contains) ?? true else {
            throw unexpected
        }
        underWay = nil
        record.statistics.note(failure.message, remedy: failure.cause.remedy, at: now)
        if failure.cause.isRetried {
            record.retry = Retry(failure, after: record.retry, at: now)
        } else {
            record.retry = nil
            record.state = .error(failure, work)
        }
    }

    private mutating func logsMeasured(_ bytes: [UInt64]) throws(Refusal) {
        guard bytes.count == record.disks.count, record.state.isTracking else { throw unexpected }
        record.statistics.pendingBytes = bytes.reduce(0) { $0.saturating(adding: $1) }
        if case .waitingForStartResynchronize = record.state { return }
        let stops = tooLarge(bytes)
        if !stops.isEmpty { stop(stops) }
    }

    private func tooLarge(_ bytes: [UInt64]) -> [DiskStop] {
        zip(record.disks, bytes).enumerated().compactMap { index, pair in
            ResyncReason.rule(bytes: pair.1, size: pair.0.identity.size).map { DiskStop(disk: index, reason: $0) }
        }
    }

    // MARK: The switch

    private mutating func logsSwitched(_ logs: [[LogDescriptor]]) throws(Refusal) {
        guard logs.count == record.disks.count else { throw unexpected }
        if record.state.pass == .baseline {
            setBaseline(logs)
            record.state.pass = .announcing
        } else if record.state == .initialReplicationInProgress(.seed(step: .baseline)) {
            setBaseline(logs)
            record.state = .initialReplicationInProgress(.seed(step: .announcing))
        } else if record.state.delivery == .switching {
            order(logs)
        } else {
            throw unexpected
        }
        answered()
    }

    private mutating func setBaseline(_ logs: [[LogDescriptor]]) {
        for index in record.disks.indices {
            let baseline = LogOrder.baseline(logs[index])
            record.disks[index].position = ChainPosition(received: baseline.tip, applied: baseline.tip)
            record.disks[index].known = baseline.covered
            if !baseline.setAside.isEmpty {
                early.append(.setAsideLogs(disk: index, names: baseline.setAside))
            }
        }
    }

    private mutating func order(_ logs: [[LogDescriptor]]) {
        underWay = nil
        var stops: [DiskStop] = []
        var queue: [OutgoingLog] = []
        var tips: [LogID?] = []
        var waiting: [UInt64] = []
        for index in record.disks.indices {
            let disk = record.disks[index]
            let pickup = LogOrder.pickup(
                logs[index], after: disk.position.received, known: Set(disk.known), diskSize: disk.identity.size)
            // Ids are remembered as long as their files are there.
            record.disks[index].known = pickup.known.compactMap(\.uniqueID)
            if !pickup.known.isEmpty {
                actions.append(.releaseLogs(disk: index, names: pickup.known.map(\.name)))
            }
            if let fault = pickup.fault { stops.append(DiskStop(disk: index, reason: .log(fault: fault))) }
            for log in pickup.take {
                guard let id = log.uniqueID else { continue }
                queue.append(OutgoingLog(disk: index, name: log.name, id: id, bytes: log.byteCount))
            }
            tips.append(pickup.take.last?.uniqueID ?? disk.position.received)
            let live = logs[index].filter { $0.ending == .live }
            waiting.append((pickup.take + live).reduce(0) { $0.saturating(adding: $1.byteCount) })
        }
        record.statistics.pendingBytes = waiting.reduce(0) { $0.saturating(adding: $1) }
        stops += tooLarge(waiting).filter { large in !stops.contains { $0.disk == large.disk } }
        guard stops.isEmpty else { return stop(stops) }
        record.lastCycle = record.lastCycle.saturating(adding: 1)
        let cycle = Cycle(number: record.lastCycle, begun: now.unixSeconds, tips: tips)
        record.state.delivery = queue.isEmpty ? .ending(cycle: cycle) : .sending(cycle: cycle, queue: queue)
    }

    // MARK: Copies

    private func copying(_ disk: Int) throws(Refusal) -> CopyPosition {
        guard case .transferring(let position)? = record.state.pass, position.disk == disk, !position.verifying else {
            throw unexpected
        }
        return position
    }

    private func verifying(_ disk: Int) throws(Refusal) -> CopyPosition {
        guard case .transferring(let position)? = record.state.pass, position.disk == disk, position.verifying else {
            throw unexpected
        }
        return position
    }

    private mutating func copyCompleted(_ disk: Int) throws(Refusal) {
        var position = try copying(disk)
        answered()
        position.byte = record.disks[disk].identity.size
        if case .resynchronizing = record.state {
            // Comparing is verifying.
            diskDone(position)
        } else {
            position.verifying = true
            record.state.pass = .transferring(position: position)
        }
    }

    private mutating func diskDone(_ position: CopyPosition) {
        let next = position.disk + 1
        record.state.pass =
            next < record.disks.count
            ? .transferring(position: CopyPosition(disk: next))
            : .settling(cycle: .delivering(delivery: .switching))
    }

    private mutating func diskDiffers(_ disk: Int) throws(Refusal) {
        let position = try verifying(disk)
        answered()
        let again = CopyPosition(disk: disk, attempt: position.attempt.saturating(adding: 1))
        record.state.pass = .transferring(position: again)
        let name = record.disks[disk].identity.name
        guard position.attempt < Primary.copyAttempts else {
            try failed(
                Failure(.copyMismatch, disk: disk, message: "\(name): the copy's hash is not the source's"))
            return
        }
        record.statistics.note(
            "\(name): the copy's hash is not the source's; copying it again", remedy: "None needed yet.", at: now)
    }

    // MARK: Deliveries

    private mutating func logAcknowledged(_ disk: Int, _ id: LogID) throws(Refusal) {
        guard case .sending(_, let queue)? = record.state.delivery, let log = queue.first, log.disk == disk,
            log.id == id
        else { throw unexpected }
        answered()
        acknowledge(log)
    }

    /// `log` is the first of the queue.
    private mutating func acknowledge(_ log: OutgoingLog) {
        guard case .sending(let cycle, let queue)? = record.state.delivery else { return }
        record.disks[log.disk].position.received = log.id
        record.disks[log.disk].known.append(log.id)
        record.statistics.roll(to: now)
        record.statistics.bytes = record.statistics.bytes.saturating(adding: log.bytes)
        record.statistics.pendingBytes -= min(record.statistics.pendingBytes, log.bytes)
        actions.append(.releaseLogs(disk: log.disk, names: [log.name]))
        let rest = Array(queue.dropFirst())
        record.state.delivery = rest.isEmpty ? .ending(cycle: cycle) : .sending(cycle: cycle, queue: rest)
    }

    private mutating func cycleAcknowledged(_ number: UInt64) throws(Refusal) {
        guard case .ending(let cycle)? = record.state.delivery, cycle.number == number else { throw unexpected }
        answered()
        record.statistics.cycleDone(begun: cycle.begun, at: now)
        if record.state.finalCycle != nil {
            record.state.finalCycle = .applying(tips: cycle.tips)
            settleIfApplied()
        } else {
            record.state.delivery = nil
        }
    }

    private mutating func applied(_ tips: [LogID?]) throws(Refusal) {
        guard tips.count == record.disks.count, record.state.isTracking else { throw unexpected }
        note(applied: tips)
    }

    private mutating func note(applied tips: [LogID?]) {
        // Before the baseline is announced the replica speaks of an earlier chain.
        if let pass = record.state.pass, pass == .baseline || pass == .announcing { return }
        for (index, tip) in tips.enumerated() { record.disks[index].position.applied = tip }
        if tips == record.disks.map(\.position.received) { record.statistics.lastApplied = now.unixSeconds }
        settleIfApplied()
    }

    private mutating func settleIfApplied() {
        guard case .applying(let tips)? = record.state.finalCycle, tips == record.disks.map(\.position.applied)
        else { return }
        if case .preparedForFailover = record.state {
            record.state.finalCycle = .done
        } else {
            record.state.pass = .finalizing
        }
    }
}

extension Primary {
    static let failedOverMessage = "the replica was failed over"
}

extension PrimaryState {
    /// Whether the relationship exists and its disks are being, or have been, copied.
    var isTracking: Bool {
        switch self {
        case .disabled, .readyForInitialReplication: false
        default: true
        }
    }
}
