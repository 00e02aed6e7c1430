extension ReplicaTurn {
    // MARK: Reports and the primary's messages

    mutating func report() throws(Refusal) {
        switch event {
        case .passBegan(let tips): try passBegan(tips)
        case .copyAdvanced(let disk, let byte): try copyAdvanced(disk, byte)
        case .diskCompleted(let disk, let digest): try diskCompleted(disk, digest)
        case .logStored(let disk, let log): try logStored(disk, log)
        case .cycleReceived(let cycle): try cycleReceived(cycle)
        case .finalize(let tips): try finalize(tips)
        case .resyncCancelled:
            guard case .resynchronizing = record.state else { throw unexpected }
            stop([DiskStop(reason: .cancelled)])
        case .woke:
            underWay = nil
            actions.append(.pruneStore)
        case .tick: break
        case .failed(let failure): try failed(failure)
        case .logsApplied(let disk, let id): try logsApplied(disk, id)
        case .logsRejected(let disk, let fault): try logsRejected(disk, fault)
        case .seedImported(let digests): try seedImported(digests)
        case .testCopyCreated:
            guard record.testFailover?.step == .creating else { throw unexpected }
            answered()
            record.testFailover?.step = .ready
            record.statistics.lastTestFailover = now.unixSeconds
        case .testCopyDiscarded:
            guard record.testFailover?.step == .discarding else { throw unexpected }
            answered()
            record.testFailover = nil
        case .resyncUndone: try step(from: .cancellingResync, to: .applying)
        case .failoverPrepared: try step(from: .preparing, to: .ready)
        case .failoverUndone:
            guard case .failedOverWaitingCompletion(let failover) = record.state, failover.step == .undoing else {
                throw unexpected
            }
            answered()
            record.state = failover.origin.state
        case .pointsDeleted:
            guard case .failedOver(let planned, cleaned: false) = record.state else { throw unexpected }
            answered()
            record.state = .failedOver(planned: planned, cleaned: true)
        default: throw unexpected
        }
    }

    private mutating func step(from: Failover.Step, to: Failover.Step) throws(Refusal) {
        guard case .failedOverWaitingCompletion(var failover) = record.state, failover.step == from else {
            throw unexpected
        }
        answered()
        failover.step = to
        record.state = .failedOverWaitingCompletion(failover)
    }

    private mutating func failed(_ failure: Failure) throws(Refusal) {
        guard underWay != nil, failure.disk.map(record.disks.indices.contains) ?? true else { throw unexpected }
        let seed = underWay == .importSeed
        underWay = nil
        record.statistics.note(failure.message, remedy: failure.cause.remedy, at: now)
        // An administrator began the import, and sees that it failed.
        if seed { return }
        // Outside of these states something has been begun that must be finished: it is tried again whatever the cause.
        if !failure.cause.isRetried, let work = record.state.work {
            record.retry = nil
            record.state = .error(failure, work)
        } else {
            record.retry = Retry(failure, after: record.retry, at: now)
        }
    }

    // MARK: A pass

    private mutating func passBegan(_ tips: [LogID?]) throws(Refusal) {
        guard tips.count == record.disks.count else { throw unexpected }
        switch record.state {
        case .waitingForInitialReplication: record.state = .waitingForInitialReplication(CopyPosition())
        case .replicating, .waitingForStartResynchronize, .resynchronizing:
            record.state = .resynchronizing(CopyPosition())
        default: throw unexpected
        }
        if underWay != nil { actions.append(.interrupt) }
        answered()
        for index in record.disks.indices {
            let pending = record.disks[index].pending
            if !pending.isEmpty { actions.append(.removeStored(disk: index, pending)) }
            record.disks[index].pending = []
            record.disks[index].position = ChainPosition(received: tips[index], applied: tips[index])
            record.disks[index].digest = nil
        }
        record.cycles = []
        record.applying = false
        measure()
        actions.append(.acknowledgeBaseline)
    }

    private mutating func copyAdvanced(_ disk: Int, _ byte: UInt64) throws(Refusal) {
        guard let copy = record.state.copy, record.disks.indices.contains(disk), disk <= copy.disk,
            byte <= record.disks[disk].identity.size, record.cycles.isEmpty
        else { throw unexpected }
        record.state.copy = CopyPosition(disk: disk, byte: byte)
        for index in disk..<record.disks.count { record.disks[index].digest = nil }
    }

    private mutating func diskCompleted(_ disk: Int, _ digest: String?) throws(Refusal) {
        guard let copy = record.state.copy, record.disks.indices.contains(disk) else { throw unexpected }
        // Said again after a kill of the primary.
        if disk + 1 == copy.disk, copy.byte == 0, record.disks[disk].digest == digest { return }
        guard disk == copy.disk, copy.byte == record.disks[disk].identity.size else { throw unexpected }
        record.disks[disk].digest = digest
        record.state.copy = CopyPosition(disk: disk + 1)
    }

    private mutating func seedImported(_ digests: [String]) throws(Refusal) {
        guard case .waitingForInitialReplication(.some) = record.state, underWay == .importSeed,
            digests.count == record.disks.count
        else { throw unexpected }
        answered()
        for index in record.disks.indices { record.disks[index].digest = digests[index] }
        record.state = .waitingForInitialReplication(CopyPosition(disk: record.disks.count))
        actions.append(.reportSeedImported)
    }

    private mutating func finalize(_ tips: [LogID?]) throws(Refusal) {
        if case .replicating = record.state, tips == record.disks.map(\.position.received) {
            actions.append(.acknowledgeFinalize)
            return
        }
        guard let copy = record.state.copy, copy.disk == record.disks.count, record.cycles.isEmpty,
            tips == record.disks.map(\.position.applied)
        else { throw unexpected }
        record.state = .replicating
        record.complete = true
        record.statistics.lastSync = now.unixSeconds
        actions.append(.acknowledgeFinalize)
    }

    // MARK: Logs

    private var receives: Bool {
        switch record.state {
        case .replicating, .resynchronizing: true
        case .waitingForInitialReplication(let copy): copy != nil
        default: false
        }
    }

    private mutating func logStored(_ disk: Int, _ log: LogDescriptor) throws(Refusal) {
        guard receives, record.disks.indices.contains(disk), let id = log.uniqueID else { throw unexpected }
        let target = record.disks[disk]
        if id == target.position.received || target.pending.contains(where: { $0.id == id }) {
            actions.append(.acknowledgeLog(disk: disk, id: id))
            return
        }
        let slot = StoredLog(
            sequence: target.lastSequence.saturating(adding: 1), id: id, bytes: log.byteCount)
        if let fault = fault(of: log, on: target) {
            actions.append(.removeStored(disk: disk, [slot]))
            stop([DiskStop(disk: disk, reason: .log(fault: fault))])
            return
        }
        record.disks[disk].pending.append(slot)
        record.disks[disk].lastSequence = slot.sequence
        record.disks[disk].position.received = id
        record.statistics.roll(to: now)
        record.statistics.bytes = record.statistics.bytes.saturating(adding: log.byteCount)
        measure()
        actions.append(.acknowledgeLog(disk: disk, id: id))
    }

    private func fault(of log: LogDescriptor, on disk: ReplicaRecord.Disk) -> LogFault? {
        if let fault = log.fault(diskSize: disk.identity.size) { return fault }
        guard log.previousID != disk.position.received else { return nil }
        guard let previous = log.previousID else {
            return disk.position.received.map { .restart(name: log.name, expected: $0) }
        }
        let passed = previous == disk.position.applied || disk.pending.contains { $0.id == previous }
        return passed ? .overtaken(name: log.name, after: previous) : .gap(name: log.name, missing: previous)
    }

    private mutating func cycleReceived(_ cycle: Cycle) throws(Refusal) {
        guard receives, cycle.tips.count == record.disks.count else { throw unexpected }
        for (index, disk) in record.disks.enumerated() where disk.position.received != cycle.tips[index] {
            return stop([
                DiskStop(
                    disk: index, reason: .changed(expected: cycle.tips[index], found: disk.position.received))
            ])
        }
        if cycle.number > record.lastCycle {
            record.lastCycle = cycle.number
            record.cycles.append(cycle)
            record.statistics.cycleDone(begun: cycle.begun, at: now)
        }
        actions.append(.acknowledgeCycle(number: cycle.number))
    }

    private mutating func logsApplied(_ disk: Int, _ id: LogID) throws(Refusal) {
        guard record.applying, let cycle = record.cycles.first, record.disks.indices.contains(disk),
            cycle.tips[disk] == id, let tip = record.disks[disk].pending.firstIndex(where: { $0.id == id })
        else { throw unexpected }
        answered()
        let done = Array(record.disks[disk].pending[...tip])
        record.disks[disk].pending.removeFirst(done.count)
        record.disks[disk].position.applied = id
        measure()
        actions.append(.removeStored(disk: disk, done))
    }

    private mutating func logsRejected(_ disk: Int, _ fault: LogFault) throws(Refusal) {
        guard record.applying, record.disks.indices.contains(disk) else { throw unexpected }
        answered()
        // The cycle can never be finished, so nothing may wait for it. Only its whole logs were merged into any disk.
        record.applying = false
        record.cycles = []
        switch record.state {
        case .failedOverWaitingCompletion, .disabled:
            let name = record.disks[disk].identity.name
            record.statistics.note("\(name): \(fault)", remedy: fault.remedy, at: now)
        default: stop([DiskStop(disk: disk, reason: .log(fault: fault))])
        }
    }

    private mutating func measure() {
        record.statistics.pendingBytes = record.disks.reduce(0) { sum, disk in
            disk.pending.reduce(sum) { $0.saturating(adding: $1.bytes) }
        }
    }
}
