import Replication
import Testing

@Suite struct JourneyTests {
    @Test func threeDisksOneAfterTheOther() throws {
        let world = World(seed: 1)
        try world.perform(.protect)
        #expect(world.primary.state == .readyForInitialReplication(created: true))
        #expect(world.replica.state == .waitingForInitialReplication(nil))
        try world.perform(.start)
        #expect(world.primary.state == .replicating(nil))
        #expect(world.replica.state == .replicating)
        #expect(world.copies == world.source)
        #expect(world.copyTouched == [0, 1, 2])
        #expect(world.primary.progress.map(\.digest) == ["hash of 0", "hash of 1", "hash of 2"])

        let work = world.trace.filter { $0.hasPrefix("P copyDisk") || $0.hasPrefix("P verifyDisk") }
        #expect(
            work == [
                "P copyDisk(0, from: 0)", "P verifyDisk(0)", "P copyDisk(1, from: 0)", "P verifyDisk(1)",
                "P copyDisk(2, from: 0)", "P verifyDisk(2)",
            ])
    }

    @Test func cyclesAreStoredWholeBeforeAnyIsApplied() throws {
        let world = World(seed: 2)
        try world.journey()
        world.trace = []
        for _ in 0..<30 { world.guestWrites() }
        try world.perform(.sync)
        #expect(world.copies == world.source)
        let sent = try #require(world.trace.lastIndex { $0.hasPrefix("P sendLog") })
        let ended = try #require(world.trace.firstIndex { $0.hasPrefix("P endCycle") })
        let applied = try #require(world.trace.firstIndex { $0.hasPrefix("R applyLogs") })
        #expect(sent < ended)
        #expect(ended < applied)
        #expect(world.beside.allSatisfy { $0.isEmpty })
        #expect(world.primary.record.statistics.cyclesDone == 3)
        #expect(world.primary.record.statistics.pendingBytes == 0)
    }

    @Test func aFuzzyCopyAndItsLogsGiveTheSameBytes() throws {
        for seed in 0..<60 as Range<UInt64> {
            let world = World(seed: seed)
            world.guestRuns = true
            try world.journey()
            try world.finish()
        }
    }

    @Test func severalLogsOfADiskGoInChainOrder() throws {
        let world = World(seed: 3)
        try world.journey()
        for value in 1...5 as ClosedRange<UInt8> {
            world.source[1][7] = value
            world.addLog(1, writes: [(7, value)])
        }
        world.beside[1].reverse()
        try world.perform(.sync)
        #expect(world.copies == world.source)
    }

    @Test func aCopyThatDiffersIsMadeAgain() throws {
        let world = World(seed: 4)
        world.spoils = [1: 2]
        try world.journey()
        #expect(world.copyTouched == [0, 1, 1, 1, 2])
        #expect(world.copies == world.source)
    }

    @Test func aCopyThatAlwaysDiffersNeedsAnAdministrator() throws {
        let world = World(seed: 5)
        world.spoils = [1: 3]
        try world.perform(.protect)
        try world.perform(.start)
        #expect(world.copyTouched == [0, 1, 1, 1])
        guard case .error(let failure, _) = world.primary.state else {
            Issue.record("\(world.primary.state)")
            return
        }
        #expect(failure.cause == .copyMismatch)
        #expect(failure.disk == 1)
        #expect(world.primary.health(at: world.now).level == .critical)
        try world.perform(.resume)
        #expect(world.copyTouched == [0, 1, 1, 1, 1, 2])
        #expect(world.copies == world.source)
        #expect(world.primary.state == .replicating(nil))
    }

    @Test func logsFromBeforeTheCopyAreInItAlready() throws {
        let world = World(seed: 6)
        world.source[0][3] = 1
        world.addLog(0, writes: [(3, 1)])
        world.source[0][3] = 2
        world.addLog(0, writes: [(3, 2)])
        try world.journey()
        #expect(!world.trace.contains { $0.hasPrefix("P sendLog") })
        world.source[0][3] = 3
        world.addLog(0, writes: [(3, 3)])
        try world.perform(.sync)
        #expect(world.trace.count { $0.hasPrefix("P sendLog") } == 1)
        #expect(world.copies == world.source)
    }

    @Test func leftoversOfAnEarlierChainAreInTheCopyToo() throws {
        let leftover = log(1, after: 0)
        let live = log(10, after: 9, ending: .live)
        var primary = Primary(disks: [disks[0]])
        for event in [
            .protect, .replicaCreated, .start, .logsSwitched([[leftover, live]]), .baselineAnnounced,
            .copyCompleted(disk: 0), .diskVerified(disk: 0, digest: ""),
        ] as [Primary.Event] {
            _ = try primary.handle(event, at: Moment(0))
        }
        let closed = log(10, after: 9)
        let actions = try primary.handle(.logsSwitched([[leftover, closed]]), at: Moment(0))
        #expect(
            actions == [
                .save, .releaseLogs(disk: 0, names: ["log1"]),
                .sendLog(OutgoingLog(disk: 0, name: "log10", id: id(10), bytes: 1)),
            ])
    }

    @Test func suspendedNothingMovesAndLogsGrow() throws {
        let world = World(seed: 7)
        try world.journey()
        try world.perform(.suspend)
        #expect(world.primary.state.name == .suspended)
        #expect(world.primary.health(at: world.now).reasons == [.primarySuspended])
        world.guestWrites()
        #expect(throws: Refusal.self) { try world.perform(.sync) }
        try world.perform(.logsMeasured([10, 0, 0]))
        try world.perform(.resume)
        try world.finish()
    }

    @Test func suspendedInTheMiddleOfACopyGoesOnThere() throws {
        var primary = Primary(disks: disks)
        for event in [
            .protect, .replicaCreated, .start, .logsSwitched([[], [], []]), .baselineAnnounced,
            .copyAdvanced(disk: 0, byte: 40),
        ] as [Primary.Event] {
            _ = try primary.handle(event, at: Moment(0))
        }
        #expect(try primary.handle(.suspend, at: Moment(0)) == [.save, .interrupt])
        #expect(primary.progress[0].stage == .copying(byte: 40))
        #expect(try primary.handle(.resume, at: Moment(0)) == [.save, .copyDisk(0, from: 40)])
    }

    @Test func aResynchronisationEndsTheStop() throws {
        let world = World(seed: 8)
        try world.journey()
        world.addLog(2, writes: [(1, 1)])
        world.beside[2][0].descriptor.ending = .unclosed
        try world.perform(.sync)
        #expect(world.primary.state.name == .waitingForStartResynchronize)
        #expect(world.replica.state.name == .waitingForStartResynchronize)
        #expect(throws: Refusal.self) { try world.perform(.resync(sizesEqual: false)) }
        world.source[0][0] &+= 1
        try world.perform(.resync(sizesEqual: true))
        try world.finish()
    }

    @Test func resynchronisingWhileTheGuestWrites() throws {
        for seed in 0..<30 as Range<UInt64> {
            let world = World(seed: seed)
            try world.journey()
            try world.perform(.markForResync([DiskStop(disk: 1, reason: .offline)]))
            world.source[1][5] &+= 1
            world.guestRuns = true
            try world.perform(.resync(sizesEqual: true))
            try world.finish()
        }
    }

    @Test func unprotectRemovesBothSidesAndKeepsWholeDisks() throws {
        let world = World(seed: 9)
        try world.journey()
        try world.perform(.unprotect)
        try world.tell(.unprotect)
        #expect(world.primaryRecord == nil)
        #expect(world.removed)
        #expect(world.trace.contains { $0 == "R removeStore(keeping: [0, 1, 2])" })
    }

    @Test func unprotectInTheMiddleKeepsOnlyVerifiedDisks() throws {
        var replica = Replica(disks: disks)
        for event in [
            .protect, .passBegan([nil, nil, nil]), .copyAdvanced(disk: 0, byte: 64),
            .diskCompleted(disk: 0, digest: "x"), .copyAdvanced(disk: 1, byte: 10),
        ] as [Replica.Event] {
            _ = try replica.handle(event, at: Moment(0))
        }
        #expect(try replica.handle(.unprotect, at: Moment(0)) == [.save, .removeStore(keeping: [0])])
    }
}
