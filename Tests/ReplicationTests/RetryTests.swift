import Replication
import Testing

@Suite struct RetryTests {
    @Test func oneTwoFourEightTenThenThirtyMinutes() {
        let minutes = (1...9).map { RetryPolicy.delay(afterAttempt: $0) / 60 }
        #expect(minutes == [1, 2, 4, 8, 10, 30, 30, 30, 30])
        #expect(RetryPolicy.delay(afterAttempt: .max) == 1800)
    }

    @Test func theScheduleOfAMachine() throws {
        let world = World(seed: 30)
        try world.journey()
        var primary = world.primary
        var time: Int64 = 10_000
        var actions = try primary.handle(.sync, at: Moment(time))
        for delay in [60, 120, 240, 480, 600, 1800, 1800] as [Int64] {
            #expect(actions.last == .switchLogs)
            let failure = Failure(.network, message: "no route")
            #expect(try primary.handle(.failed(failure), at: Moment(time)) == [.save])
            #expect(primary.state.name == .replicating)
            #expect(primary.health(at: Moment(time)).reasons.contains(.cannotSend))
            #expect(primary.wakeTime == time + delay)
            #expect(try !primary.handle(.tick, at: Moment(time + delay - 1)).contains(.switchLogs))
            time += delay
            actions = try primary.handle(.tick, at: Moment(time))
        }
        // Success forgets.
        _ = try primary.handle(.logsSwitched([[], [], []]), at: Moment(time))
        #expect(primary.record.retry == nil)
        _ = try primary.handle(.failed(Failure(.lowMemory, message: "m")), at: Moment(time))
        #expect(primary.record.retry?.attempts == 1)
    }

    @Test func aWaitOutlivesTheProcessAndAnOperationEndsIt() throws {
        let world = World(seed: 31)
        try world.journey()
        var primary = world.primary
        _ = try primary.handle(.sync, at: Moment(0))
        _ = try primary.handle(.failed(Failure(.lowDiskSpace, message: "m")), at: Moment(0))
        var woken = try Primary(primary.record)
        #expect(try !woken.handle(.woke(nil), at: Moment(59)).contains(.switchLogs))
        #expect(try woken.handle(.sync, at: Moment(59)).contains(.switchLogs))
    }

    @Test(arguments: Failure.Cause.allCases) func whatIsRetried(_ cause: Failure.Cause) throws {
        let world = World(seed: 32)
        try world.journey()
        var primary = world.primary
        _ = try primary.handle(.sync, at: Moment(0))
        _ = try primary.handle(.failed(Failure(cause, message: "m")), at: Moment(0))
        let retried: [Failure.Cause] = [.network, .lowDiskSpace, .lowMemory, .replicaSuspended]
        #expect(cause.isRetried == retried.contains(cause))
        #expect(primary.state.name == (cause.isRetried ? .replicating : .error))
        #expect(!cause.remedy.isEmpty)
        if !cause.isRetried {
            #expect(try primary.handle(.tick, at: Moment(1_000_000)) == [])
            #expect(try primary.handle(.resume, at: Moment(1_000_000)) == [.save, .switchLogs])
        }
    }

    @Test func cyclesByTheClock() throws {
        let world = World(seed: 33)
        try world.journey()
        var primary = world.primary
        let due = try #require(primary.wakeTime)
        #expect(try primary.handle(.tick, at: Moment(due - 1)) == [])
        #expect(try primary.handle(.tick, at: Moment(due)) == [.save, .switchLogs])
        #expect(primary.wakeTime == due + 300)
        // A slow transfer delays the next one, and that is a missed cycle.
        #expect(try primary.handle(.tick, at: Moment(due + 300)) == [.save])
        #expect(primary.record.statistics.cyclesMissed == 1)
        #expect(try primary.handle(.tick, at: Moment(due + 1250)) == [.save])
        #expect(primary.record.statistics.cyclesMissed == 4)
        #expect(primary.wakeTime == due + 1500)
    }

    @Test func theReplicaRetriesToo() throws {
        var replica = Replica(disks: [disks[0]])
        for event in [
            .protect, .passBegan([nil]), .copyAdvanced(disk: 0, byte: 64), .diskCompleted(disk: 0, digest: ""),
            .finalize([nil]), .logStored(disk: 0, log(1, after: 0)),
            .cycleReceived(Cycle(number: 1, begun: 0, tips: [id(1)])),
        ] as [Replica.Event] {
            _ = try replica.handle(event, at: Moment(0))
        }
        #expect(try replica.handle(.failed(Failure(.lowDiskSpace, message: "full")), at: Moment(0)) == [.save])
        #expect(replica.wakeTime == 60)
        #expect(try replica.handle(.tick, at: Moment(59)) == [])
        let slot = StoredLog(sequence: 1, id: id(1), bytes: 1)
        #expect(try replica.handle(.tick, at: Moment(60)) == [.applyLogs(disk: 0, [slot])])
        _ = try replica.handle(.failed(Failure(.inputOutput, message: "EIO")), at: Moment(60))
        #expect(replica.state.name == .error)
        #expect(try replica.handle(.resume, at: Moment(61)) == [.save, .applyLogs(disk: 0, [slot])])
    }
}
