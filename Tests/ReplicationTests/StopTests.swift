import Replication
import Testing

/// What stops a disk, and that nothing of it gets anywhere.
@Suite struct StopTests {
    static let faults: [(String, @Sendable (World) -> Void)] = [
        ("gap", { world in world.beside[1].removeFirst() }),
        ("unclosed", { world in world.beside[1][1].descriptor.ending = .unclosed }),
        ("damaged", { world in world.beside[1][0].descriptor.problem = "HRL012 at 8192" }),
        ("beyond_disk", { world in world.beside[1][1].descriptor.diskEnd = 65 }),
        ("duplicate", { world in world.beside[1].append(world.beside[1][0]) }),
        ("restart", { world in world.beside[1][0].descriptor.previousID = nil }),
        (
            "fork",
            { world in
                var other = world.beside[1][1]
                other.descriptor.uniqueID = id(99, disk: 1)
                world.beside[1].append(other)
            }
        ),
        (
            "cycle",
            { world in
                world.beside[1][0].descriptor.previousID = world.beside[1][1].descriptor.uniqueID
            }
        ),
        ("logs_too_large", { world in world.beside[1][0].descriptor.byteCount = 33 }),
    ]

    @Test(arguments: faults.indices) func aBadLogStopsTheDiskAndNothingMoves(_ index: Int) throws {
        let (code, spoil) = StopTests.faults[index]
        let world = World(seed: 20)
        try world.journey()
        // One good cycle first, then two more logs of every disk, of which one is spoilt.
        for round in 0..<3 {
            for disk in 0..<3 {
                world.source[disk][round] &+= 1
                world.addLog(disk, writes: [(round, world.source[disk][round])])
            }
            if round == 0 { try world.perform(.sync) }
        }
        spoil(world)
        let copies = world.copies
        let position = world.replica.record.disks.map(\.position)
        try world.perform(.sync)
        guard case .waitingForStartResynchronize(let stops) = world.primary.state else {
            Issue.record("\(world.primary.state)")
            return
        }
        #expect(stops.map(\.reason.code) == [code])
        #expect(stops.map(\.disk) == [1])
        #expect(world.copies == copies)
        #expect(world.replica.record.disks.map(\.position) == position)
        #expect(world.replica.state.name == .waitingForStartResynchronize)
        #expect(world.primary.progress.map(\.stage.name) == ["following", "stopped", "following"])
        #expect(world.primary.health(at: world.now).reasons == [.resyncRequired])
        #expect(world.primary.record.statistics.incidents.last?.message.hasPrefix("data: ") == true)
        #expect(throws: Refusal.self) { try world.perform(.sync) }
        // It stays so over a restart.
        try world.boot()
        #expect(world.primary.state == .waitingForStartResynchronize(stops))
    }

    @Test func everyBadDiskIsNamed() throws {
        let world = World(seed: 21)
        try world.journey()
        for disk in [0, 2] {
            world.addLog(disk, writes: [])
            world.beside[disk][0].descriptor.ending = .unclosed
        }
        try world.perform(.sync)
        #expect(world.primary.progress.map(\.stage.name) == ["stopped", "following", "stopped"])
    }

    @Test func halfOfTheDiskIsTheLimit() throws {
        for (bytes, state) in [
            (32, StateName.replicating), (33, .waitingForStartResynchronize),
        ] as [(UInt64, StateName)] {
            let world = World(seed: 22)
            try world.journey()
            try world.perform(.logsMeasured([0, bytes, 0]))
            #expect(world.primary.state.name == state)
            #expect(world.primary.record.statistics.pendingBytes == bytes)
        }
        // An odd size: more than half of 65 is 33.
        for (bytes, stops) in [(32, false), (33, true)] as [(UInt64, Bool)] {
            var primary = Primary(disks: [DiskIdentity(name: "odd", size: 65)])
            for event in [.protect, .replicaCreated, .start, .logsMeasured([bytes])] as [Primary.Event] {
                _ = try primary.handle(event, at: Moment(0))
            }
            #expect((primary.state.name == .waitingForStartResynchronize) == stops)
        }
    }

    @Test func theRuleHoldsWhileSuspended() throws {
        let world = World(seed: 23)
        try world.journey()
        try world.perform(.suspend)
        try world.perform(.logsMeasured([33, 0, 0]))
        #expect(world.primary.state.name == .waitingForStartResynchronize)
    }

    @Test func theReplicaJudgesForItself() throws {
        let cases: [(LogDescriptor, String)] = [
            (log(2, after: 1), "gap"), (log(2, after: 0), "restart"), (log(6, after: 4), "overtaken"),
            (log(6, after: 5, ending: .unclosed), "unclosed"), (log(6, after: 5, problem: "p"), "damaged"),
            (log(6, after: 5, end: 65), "beyond_disk"),
        ]
        for (bad, code) in cases {
            var replica = Replica(disks: [disks[0]])
            for event in [
                .protect, .passBegan([id(4)]), .copyAdvanced(disk: 0, byte: 64), .diskCompleted(disk: 0, digest: ""),
                .finalize([id(4)]), .logStored(disk: 0, log(5, after: 4)),
            ] as [Replica.Event] {
                _ = try replica.handle(event, at: Moment(0))
            }
            let actions = try replica.handle(.logStored(disk: 0, bad), at: Moment(0))
            guard case .waitingForStartResynchronize(let stops) = replica.state else {
                Issue.record("\(code): \(replica.state)")
                continue
            }
            #expect(stops.map(\.reason.code) == [code])
            let slot = StoredLog(sequence: 2, id: bad.uniqueID!, bytes: 1)
            #expect(actions == [.save, .removeStored(disk: 0, [slot]), .reportStop(stops)])
            #expect(replica.record.disks[0].position == ChainPosition(received: id(5), applied: id(4)))
        }
    }

    @Test func aLogThatCannotBeAppliedStops() throws {
        var replica = Replica(disks: [disks[0]])
        let cycle = Cycle(number: 1, begun: 0, tips: [id(1)])
        for event in [
            .protect, .passBegan([nil]), .copyAdvanced(disk: 0, byte: 64), .diskCompleted(disk: 0, digest: ""),
            .finalize([nil]), .logStored(disk: 0, log(1, after: 0)),
        ] as [Replica.Event] {
            _ = try replica.handle(event, at: Moment(0))
        }
        let slot = StoredLog(sequence: 1, id: id(1), bytes: 1)
        #expect(
            try replica.handle(.cycleReceived(cycle), at: Moment(0)) == [
                .save, .acknowledgeCycle(number: 1), .applyLogs(disk: 0, [slot]),
            ])
        #expect(replica.record.applying)
        let fault = LogFault.damaged(name: "log1", problem: "HRL016 at 8192")
        let stop = DiskStop(disk: 0, reason: .log(fault: fault))
        #expect(
            try replica.handle(.logsRejected(disk: 0, fault), at: Moment(0)) == [.save, .reportStop([stop])])
        #expect(replica.record.disks[0].position.applied == nil)
        _ = try Replica(replica.record)
    }

    @Test func sameLogTwiceIsAcknowledgedTwice() throws {
        var replica = Replica(disks: [disks[0]])
        for event in [
            .protect, .passBegan([nil]), .copyAdvanced(disk: 0, byte: 64), .diskCompleted(disk: 0, digest: ""),
            .finalize([nil]), .logStored(disk: 0, log(1, after: 0)),
        ] as [Replica.Event] {
            _ = try replica.handle(event, at: Moment(0))
        }
        #expect(
            try replica.handle(.logStored(disk: 0, log(1, after: 0)), at: Moment(0)) == [
                .acknowledgeLog(disk: 0, id: id(1))
            ])
        #expect(replica.record.disks[0].pending.count == 1)
        let cycle = Cycle(number: 1, begun: 0, tips: [id(1)])
        _ = try replica.handle(.cycleReceived(cycle), at: Moment(0))
        #expect(try replica.handle(.cycleReceived(cycle), at: Moment(0)) == [.acknowledgeCycle(number: 1)])
        #expect(replica.record.cycles == [cycle])
        _ = try replica.handle(.logsApplied(disk: 0, through: id(1)), at: Moment(0))
        // Also when it is applied already.
        #expect(
            try replica.handle(.logStored(disk: 0, log(1, after: 0)), at: Moment(0)) == [
                .acknowledgeLog(disk: 0, id: id(1))
            ])
        #expect(try replica.handle(.cycleReceived(cycle), at: Moment(0)) == [.acknowledgeCycle(number: 1)])
        #expect(replica.state == .replicating)
    }
}
