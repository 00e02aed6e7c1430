import Replication
import Testing

/// The performer is killed at each of its steps, and run again.
@Suite struct KillTests {
    /// Runs `journey` killed at step `fuse`, then again without; false when it was not killed.
    private func run(_ world: World, fuse: Int, _ journey: (World) throws -> Void) throws -> Bool {
        world.fuse = fuse
        do {
            try journey(world)
            return false
        } catch is World.Killed {
            world.fuse = nil
            try journey(world)
            return true
        }
    }

    @Test(arguments: [false, true]) func atEveryStepOfTheFirstJourney(guestRuns: Bool) throws {
        var killed = 0
        for fuse in 0... {
            let world = World(seed: UInt64(fuse))
            world.guestRuns = guestRuns
            guard try run(world, fuse: fuse, { try $0.journey() }) else { break }
            killed += 1
            try world.finish()
        }
        #expect(killed > 60)
    }

    @Test func atEveryStepOfACycle() throws {
        var killed = 0
        for fuse in 0... {
            let world = World(seed: 11)
            try world.journey()
            for _ in 0..<12 { world.guestWrites() }
            world.switchLogs()
            for _ in 0..<12 { world.guestWrites() }
            let again = try run(world, fuse: fuse) {
                try $0.boot()
                try $0.perform(.sync)
            }
            #expect(world.copies == world.source)
            try world.finish()
            guard again else { break }
            killed += 1
        }
        #expect(killed > 60)
    }

    @Test func atEveryStepOfAResynchronisation() throws {
        var killed = 0
        for fuse in 0... {
            let world = World(seed: 12)
            try world.journey()
            world.guestWrites()
            try world.perform(.markForResync([DiskStop(reason: .requested)]))
            world.source[1][9] &+= 1
            world.addLog(0, writes: [(1, world.source[0][1])])
            world.beside[0][world.beside[0].count - 1].descriptor.problem = "HRL015: bad entry"
            world.lastLog[0] -= 1
            let again = try run(world, fuse: fuse) {
                try $0.boot()
                if case .waitingForStartResynchronize = $0.primary.state {
                    try $0.perform(.resync(sizesEqual: true))
                }
            }
            try world.finish()
            // The bad log is out of the way for good: nothing has stopped a second time.
            #expect(world.primary.record.statistics.incidents.count == 1, "fuse \(fuse)")
            guard again else { break }
            killed += 1
        }
        #expect(killed > 40)
    }

    @Test func atEveryStepOfUnprotecting() throws {
        for fuse in 0... {
            let world = World(seed: 13)
            try world.journey()
            let again = try run(world, fuse: fuse) {
                try $0.boot()
                if $0.replicaRecord != nil, $0.replica.state.name != .disabled { try $0.tell(.unprotect) }
                if $0.primaryRecord != nil, $0.primary.state.name != .disabled { try $0.perform(.unprotect) }
            }
            #expect(world.primaryRecord == nil)
            #expect(world.replicaRecord == nil)
            guard again else { break }
        }
    }

    @Test func againAndAgainWhileTheGuestWrites() throws {
        for seed in 0..<60 as Range<UInt64> {
            let world = World(seed: seed)
            world.guestRuns = true
            var kills = 0
            while kills < 40 {
                world.fuse = world.random.below(60)
                do {
                    try world.journey()
                } catch is World.Killed {
                    kills += 1
                } catch {
                    Issue.record("seed \(seed): \(error)")
                    return
                }
                if world.primary.state.name == .replicating { kills += 1 }
            }
            world.fuse = nil
            try world.journey()
            try world.finish()
            if world.copies != world.source {
                Issue.record("seed \(seed)")
                return
            }
        }
    }

    /// The control: this suite notices a target that loses what it said was durable.
    @Test func aTargetThatLosesACopyIsCaught() throws {
        var caught = 0
        for fuse in 0..<120 {
            let world = World(seed: 14)
            world.fuse = fuse
            do {
                try world.journey()
            } catch is World.Killed {}
            world.fuse = nil
            world.copies[1] = Array(repeating: 0, count: 64)
            do {
                try world.journey()
            } catch {}
            if world.copies != world.source { caught += 1 }
        }
        #expect(caught > 0)
    }

    @Test func aTargetThatWasPutBackIsNoticed() throws {
        let world = World(seed: 15)
        try world.journey()
        let old = world.replicaRecord
        world.guestWrites()
        try world.perform(.sync)
        world.replicaRecord = old
        try world.boot()
        try world.perform(.sync)
        #expect(world.primary.state.name == .waitingForStartResynchronize)
        guard case .waitingForStartResynchronize(let stops) = world.primary.state else { return }
        #expect(stops.map(\.reason.code) == ["replica_changed"])
    }

    @Test func aCopyGoesOnWhereBothSidesAgree() throws {
        var primary = Primary(disks: disks)
        for event in [
            .protect, .replicaCreated, .start, .logsSwitched([[], [], []]), .baselineAnnounced,
            .copyAdvanced(disk: 0, byte: 64), .copyCompleted(disk: 0), .diskVerified(disk: 0, digest: ""),
            .copyAdvanced(disk: 1, byte: 40),
        ] as [Primary.Event] {
            _ = try primary.handle(event, at: Moment(0))
        }
        func next(_ copy: CopyPosition?) throws -> Primary.Action? {
            var woken = try Primary(primary.record)
            let none: [LogID?] = [nil, nil, nil]
            let report = ReplicaReport(state: .waitingForInitialReplication, copy: copy, received: none, applied: none)
            return try woken.handle(.woke(report), at: Moment(0)).last
        }
        #expect(try next(CopyPosition(disk: 1, byte: 48)) == .copyDisk(1, from: 40))
        #expect(try next(CopyPosition(disk: 1, byte: 24)) == .copyDisk(1, from: 24))
        #expect(try next(CopyPosition(disk: 0, byte: 30)) == .copyDisk(0, from: 30))
        #expect(try next(CopyPosition(disk: 2)) == .copyDisk(1, from: 40))
        #expect(try next(nil) == .announceBaseline([nil, nil, nil]))
        var alone = try Primary(primary.record)
        #expect(try alone.handle(.woke(nil), at: Moment(0)) == [.copyDisk(1, from: 40)])
        _ = try primary.handle(.copyCompleted(disk: 1), at: Moment(0))
        #expect(try next(CopyPosition(disk: 1, byte: 64)) == .verifyDisk(1))
        #expect(try next(CopyPosition(disk: 1, byte: 63)) == .copyDisk(1, from: 63))
    }
}
