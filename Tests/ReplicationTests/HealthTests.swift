@testable import Replication
import Testing

@Suite struct HealthTests {
    private func replicating(interval: UInt32 = 300, _ change: (inout Statistics) -> Void) throws -> Primary {
        var record = PrimaryRecord(disks: disks, policy: try Policy(interval: interval))
        record.state = .replicating(nil)
        record.statistics.windowStart = Statistics.windowStart(containing: Moment(1_000_000))
        record.statistics.lastSync = 1_000_000
        change(&record.statistics)
        return Primary(unchecked: record)
    }

    private func reasons(_ primary: Primary, at time: Int64 = 1_000_000) -> [Health.Reason] {
        primary.health(at: Moment(time)).reasons
    }

    @Test func twentyPercentMissedIsNormal() throws {
        for (done, missed, expected) in [
            (80, 20, []), (79, 20, [.cyclesMissed]), (4, 1, []), (3, 1, [.cyclesMissed]), (0, 1, [.cyclesMissed]),
            (0, 0, []),
        ] as [(UInt64, UInt64, [Health.Reason])] {
            let primary = try replicating {
                $0.cyclesDone = done
                $0.cyclesMissed = missed
            }
            #expect(reasons(primary) == expected, "\(done) \(missed)")
        }
    }

    @Test(arguments: [1, 30, 300, 900] as [UInt32]) func theLastSyncIsYoungerThanTwelveIntervals(_ interval: UInt32)
        throws
    {
        let primary = try replicating(interval: interval) { _ in }
        let limit = 12 * Int64(interval)
        #expect(reasons(primary, at: 1_000_000 + limit - 1) == [])
        #expect(reasons(primary, at: 1_000_000 + limit) == [.syncOld])
        #expect(primary.health(at: Moment(1_000_000 + limit)).level == .warning)
    }

    @Test func anHourAtFiveMinutes() throws {
        let primary = try replicating { _ in }
        #expect(reasons(primary, at: 1_003_599) == [])
        #expect(reasons(primary, at: 1_003_600) == [.syncOld])
    }

    @Test func averageLatencyUpToOneInterval() throws {
        for (total, expected) in [(900, []), (901, [.latencyHigh])] as [(Int64, [Health.Reason])] {
            let primary = try replicating {
                $0.cyclesDone = 3
                $0.latencyTotal = total
            }
            #expect(reasons(primary) == expected)
        }
    }

    @Test func theWindowBeginsAtNineAndTwentyOne() {
        let day: Int64 = 20_000 * 86_400
        for (second, start) in [
            (32_400, 32_400), (32_399, -10_800), (75_599, 32_400), (75_600, 75_600), (86_399, 75_600), (0, -10_800),
        ] as [(Int64, Int64)] {
            #expect(Statistics.windowStart(containing: Moment(day + second)) == day + start, "\(second)")
        }
        // 10:00 UTC is 08:00 two hours further west.
        #expect(
            Statistics.windowStart(containing: Moment(day + 36_000, utcOffset: -7200)) == day + 36_000 - 11 * 3600)
        #expect(Statistics.windowStart(containing: Moment(-1)) == -10_800)
    }

    @Test func aNewWindowCountsAnew() throws {
        var statistics = Statistics()
        statistics.cyclesWereMissed(5, at: Moment(32_400))
        statistics.cycleDone(begun: 32_400, at: Moment(32_410))
        #expect(statistics.cyclesMissed == 5)
        #expect(statistics.latencyAverage == 10)
        statistics.cycleDone(begun: 75_600, at: Moment(75_604))
        #expect(statistics.cyclesMissed == 0)
        #expect(statistics.cyclesDone == 1)
        #expect(statistics.latencyMaximum == 4)
        #expect(statistics.lastSync == 75_604)
        // Yesterday's misses do not count today, before anything else was counted.
        let primary = try replicating { $0.cyclesMissed = 5 }
        #expect(reasons(primary) == [.cyclesMissed])
        #expect(!reasons(primary, at: 1_000_000 + 43_200).contains(.cyclesMissed))
    }

    @Test func everyStateHasItsLevel() throws {
        let stops = [DiskStop(reason: .requested)]
        let failure = Failure(.authentication, message: "m")
        for (state, level) in [
            (.disabled(removing: false), .normal), (.readyForInitialReplication(created: true), .warning),
            (.initialReplicationInProgress(.online(pass: .baseline)), .warning), (.preparedForFailover(.done), .normal),
            (.suspended(.replicating(delivery: nil)), .warning),
            (.error(failure, .replicating(delivery: nil)), .critical),
            (.waitingForStartResynchronize(stops), .critical), (.resynchronizing(.baseline), .critical),
            (.resynchronizeSuspended(.baseline), .critical), (.replicating(nil), .normal),
        ] as [(PrimaryState, Health.Level)] {
            var record = PrimaryRecord(disks: disks, policy: .standard)
            record.state = state
            #expect(Primary(unchecked: record).health(at: Moment(0)).level == level, "\(state.name)")
        }
        for (state, level) in [
            (.disabled(removing: false), .normal), (.waitingForInitialReplication(nil), .warning),
            (.replicating, .normal), (.failedOver(planned: true, cleaned: true), .warning),
            (.suspended(.replicating), .critical), (.error(failure, .replicating), .critical),
            (.waitingForStartResynchronize(stops), .critical), (.resynchronizing(CopyPosition()), .critical),
        ] as [(ReplicaState, Health.Level)] {
            var record = ReplicaRecord(disks: disks, policy: .standard)
            record.state = state
            #expect(Replica(unchecked: record).health(at: Moment(0)).level == level, "\(state.name)")
        }
    }
}

@Suite struct PolicyTests {
    @Test func ranges() throws {
        #expect(throws: PolicyFault.intervalTooShort) { try Policy(interval: 0) }
        #expect(throws: PolicyFault.intervalTooLong) { try Policy(interval: 86_401) }
        #expect(throws: PolicyFault.tooManyPoints) { try Policy(recoveryPoints: 25) }
        #expect(throws: PolicyFault.windowOutOfRange) { try DailyWindow(from: 86_400, to: 0) }
        #expect(try Policy(interval: 1, recoveryPoints: 24).interval == 1)
        #expect(try Policy() == .standard)
        #expect(!Policy.standard.automaticResync)
    }

    @Test func overnight() {
        for (second, inside) in [
            (66_599, false), (66_600, true), (86_399, true), (0, true), (21_599, true), (21_600, false),
        ] as [(Int64, Bool)] {
            #expect(DailyWindow.overnight.contains(Moment(second)) == inside, "\(second)")
        }
        #expect(DailyWindow.overnight.contains(Moment(43_200, utcOffset: 23_400)))
    }

    @Test func automaticResyncIsProposedInItsWindow() throws {
        for (automatic, time, proposed) in [(true, 70_000, true), (true, 43_200, false), (false, 70_000, false)] {
            var record = PrimaryRecord(disks: disks, policy: try Policy(automaticResync: automatic))
            record.state = .waitingForStartResynchronize([DiskStop(reason: .offline)])
            var primary = Primary(unchecked: record)
            #expect(try primary.handle(.tick, at: Moment(Int64(time))) == (proposed ? [.proposeResync] : []))
        }
    }
}
