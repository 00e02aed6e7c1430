@testable import Replication
import Testing

@Suite struct FailoverTests {
    @Test func plannedAndReversed() throws {
        let world = World(seed: 40)
        try world.journey()
        world.guestWrites()
        try world.perform(.plannedFailover(stopped: true))
        #expect(world.primary.state == .preparedForFailover(.done))
        #expect(world.trace.contains("P lockMachine(true)"))
        #expect(world.copies == world.source)
        try world.tell(.plannedFailover(primaryPrepared: true))
        try world.tell(.failoverPrepared)
        #expect(world.replica.state.name == .failedOverWaitingCompletion)
        let primary = try world.replica.reversed()
        let replica = try world.primary.reversed()
        #expect(primary.state == .replicating(nil))
        #expect(replica.state == .replicating)
        _ = try Primary(primary.record)
        _ = try Replica(replica.record)
    }

    @Test func cancelledPreparationReplicatesOn() throws {
        let world = World(seed: 41)
        try world.journey()
        world.guestWrites()
        try world.perform(.plannedFailover(stopped: true))
        try world.perform(.cancelFailover)
        #expect(world.trace.contains("P lockMachine(false)"))
        world.guestWrites()
        try world.finish()
    }

    /// A replica with one cycle of two disks, of which one is applied.
    private func interrupted() throws -> Replica {
        var replica = Replica(disks: Array(disks.prefix(2)))
        for event in [
            .protect, .passBegan([nil, nil]), .copyAdvanced(disk: 0, byte: 64), .diskCompleted(disk: 0, digest: ""),
            .copyAdvanced(disk: 1, byte: 64), .diskCompleted(disk: 1, digest: ""), .finalize([nil, nil]),
            .logStored(disk: 0, log(1, after: 0)), .logStored(disk: 1, log(1, after: 0, disk: 1)),
            .cycleReceived(Cycle(number: 1, begun: 0, tips: [id(1), id(1, disk: 1)])),
            .logsApplied(disk: 0, through: id(1)),
        ] as [Replica.Event] {
            _ = try replica.handle(event, at: Moment(0))
        }
        return try Replica(replica.record)
    }

    @Test func anInterruptedCycleIsFinishedFirst() throws {
        let apply = Replica.Action.applyLogs(disk: 1, [StoredLog(sequence: 1, id: id(1, disk: 1), bytes: 1)])
        for (event, then) in [
            (.unplannedFailover(point: nil, primaryRunning: false), .prepareFailover(point: nil)),
            (.unplannedFailover(point: "p", primaryRunning: false), .prepareFailover(point: "p")),
            (.unprotect, .removeStore(keeping: [0, 1])), (.suspend, nil),
            (.markForResync([DiskStop(reason: .requested)]), nil),
        ] as [(Replica.Event, Replica.Action?)] {
            var replica = try interrupted()
            #expect(try replica.handle(event, at: Moment(1)).last == apply, "\(event)")
            let next = try replica.handle(.logsApplied(disk: 1, through: id(1, disk: 1)), at: Moment(2))
            #expect(!replica.record.applying)
            if let then { #expect(next.last == then, "\(event)") }
        }
    }

    @Test func anApplyUnderWayIsNotBrokenOff() throws {
        var replica = try interrupted()
        _ = try replica.handle(.woke, at: Moment(0))
        let actions = try replica.handle(.suspend, at: Moment(1))
        #expect(actions == [.save])
        #expect(replica.state.name == .suspended)
    }

    @Test func aCycleThatDidNotArriveWholeIsNotApplied() throws {
        var replica = Replica(disks: Array(disks.prefix(2)))
        for event in [
            .protect, .passBegan([nil, nil]), .copyAdvanced(disk: 0, byte: 64), .diskCompleted(disk: 0, digest: ""),
            .copyAdvanced(disk: 1, byte: 64), .diskCompleted(disk: 1, digest: ""), .finalize([nil, nil]),
            .logStored(disk: 0, log(1, after: 0)),
        ] as [Replica.Event] {
            _ = try replica.handle(event, at: Moment(0))
        }
        let actions = try replica.handle(.unplannedFailover(point: nil, primaryRunning: false), at: Moment(0))
        #expect(actions == [.save, .reportFailedOver, .prepareFailover(point: nil)])
    }

    @Test func unplannedWithCancelAndCommit() throws {
        var replica = try interrupted()
        _ = try replica.handle(.logsApplied(disk: 1, through: id(1, disk: 1)), at: Moment(0))
        _ = try replica.handle(.unplannedFailover(point: "p", primaryRunning: false), at: Moment(0))
        _ = try replica.handle(.failoverPrepared, at: Moment(0))
        var committed = replica
        #expect(try replica.handle(.cancelFailover, at: Moment(0)) == [.save, .undoFailover])
        _ = try replica.handle(.failoverUndone, at: Moment(0))
        #expect(replica.state == .replicating)
        #expect(try committed.handle(.commit, at: Moment(0)) == [.save, .deletePoints])
        _ = try committed.handle(.pointsDeleted, at: Moment(0))
        #expect(throws: Refusal.self) { _ = try committed.handle(.cancelFailover, at: Moment(0)) }
        #expect(try committed.reversed().state.name == .waitingForStartResynchronize)
    }

    @Test func failingOverCancelsAResynchronisation() throws {
        var replica = try interrupted()
        _ = try replica.handle(.passBegan([id(5), nil]), at: Moment(0))
        #expect(replica.state.name == .resynchronizing)
        let actions = try replica.handle(.unplannedFailover(point: nil, primaryRunning: false), at: Moment(0))
        #expect(actions == [.save, .reportFailedOver, .undoResync])
        #expect(try replica.handle(.resyncUndone, at: Moment(0)) == [.save, .prepareFailover(point: nil)])
        _ = try replica.handle(.cancelFailover, at: Moment(0))
        _ = try replica.handle(.failoverUndone, at: Moment(0))
        #expect(replica.state.name == .waitingForStartResynchronize)
    }

    @Test func thePrimaryLearnsOfAFailover() throws {
        let world = World(seed: 42)
        try world.journey()
        try world.tell(.unplannedFailover(point: nil, primaryRunning: false))
        try world.boot()
        #expect(world.primary.state.name == .error)
        #expect(try world.primary.reversed().state.name == .waitingForStartResynchronize)
    }

    @Test func testFailovers() throws {
        var replica = LegalityTests.replica(.replicating)
        #expect(try replica.handle(.testFailover(point: "p"), at: Moment(5)) == [.save, .createTestCopy(point: "p")])
        _ = try replica.handle(.testCopyCreated, at: Moment(6))
        #expect(replica.state == .replicating)
        #expect(replica.record.statistics.lastTestFailover == 6)
        #expect(try replica.handle(.cancelTestFailover, at: Moment(7)) == [.save, .discardTestCopy])
        _ = try replica.handle(.testCopyDiscarded, at: Moment(8))
        #expect(replica.record.testFailover == nil)
    }

    @Test func aSeedAndTheDeltasMeanwhile() throws {
        let world = World(seed: 43)
        try world.perform(.protect)
        try world.perform(Primary.Event.exportSeed)
        #expect(world.trace.last == "P exportSeed")
        let seed = world.source
        world.inbox.append(.seedExported)
        try world.drain()
        for _ in 0..<10 { world.guestWrites() }
        try world.perform(.sync)
        #expect(world.primary.state.name == .initialReplicationInProgress)
        #expect(!world.trace.contains { $0.hasPrefix("R applyLogs") })
        try world.tell(.importSeed)
        world.copies = seed
        try world.tell(.seedImported(["a", "b", "c"]))
        #expect(world.copies == world.source)
        // The message was lost; waking tells.
        world.guestWrites()
        try world.boot()
        try world.finish()
    }
}
