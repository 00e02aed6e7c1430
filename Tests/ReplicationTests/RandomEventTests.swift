import Foundation
@testable import Replication
import Testing

/// Whatever comes in whatever order: nothing traps, refusals change nothing, and what must always hold does.
@Suite struct RandomEventTests {
    /// As `#expect`, which is too slow to be called a million times.
    private func check(_ holds: Bool, _ comment: @autoclosure () -> Comment) {
        if !holds { Issue.record(comment()) }
    }

    private func tips(_ random: inout SplitMix) -> [LogID?] {
        (0..<(random.chance(95) ? 3 : 2)).map { logID(random.below(4), disk: $0) }
    }

    private func descriptors(_ random: inout SplitMix, _ positions: [ChainPosition]) -> [[LogDescriptor]] {
        positions.indices.map { disk in
            var logs: [LogDescriptor] = []
            var last = positions[disk].received
            for _ in 0..<random.below(3) {
                let number = 100 + random.below(1_000_000)
                var next = log(number, after: 0, disk: disk)
                next.previousID = last
                last = next.uniqueID
                if random.chance(2) { next.ending = .unclosed }
                if random.chance(2) { next.diskEnd = 65 }
                logs.append(next)
            }
            return logs.shuffled(using: &random)
        }
    }

    private func stops(_ random: inout SplitMix) -> [DiskStop] {
        random.chance(90) ? [DiskStop(disk: random.below(4), reason: .unlogged)] : []
    }

    private func failure(_ random: inout SplitMix) -> Failure {
        Failure(Failure.Cause.allCases.randomElement(using: &random)!, disk: nil, message: "m")
    }

    private func event(for primary: Primary, _ random: inout SplitMix) -> Primary.Event {
        // Mostly what answers the action under way.
        if random.chance(70), let action = primary.underWay {
            switch action {
            case .createReplica: return .replicaCreated
            case .switchLogs: return .logsSwitched(descriptors(&random, primary.record.disks.map(\.position)))
            case .announceBaseline: return .baselineAnnounced
            case .copyDisk(let disk, let from), .compareDisk(let disk, let from):
                return random.chance(50)
                    ? .copyAdvanced(disk: disk, byte: min(64, from + UInt64(random.below(40))))
                    : .copyCompleted(disk: disk)
            case .verifyDisk(let disk):
                return random.chance(80) ? .diskVerified(disk: disk, digest: "d") : .diskDiffers(disk: disk)
            case .exportSeed: return .seedExported
            case .sendLog(let log): return .logAcknowledged(disk: log.disk, id: log.id)
            case .endCycle(let cycle): return .cycleAcknowledged(number: cycle.number)
            case .finalize: return .finalized
            default: break
            }
        }
        let received = primary.record.disks.map(\.position.received)
        switch random.below(24) {
        case 0: return .protect
        case 1, 2: return .start
        case 3: return .sync
        case 4: return .suspend
        case 5, 6, 7: return .resume
        case 8: return random.chance(30) ? .markForResync(stops(&random)) : .tick
        case 9, 10: return .resync(sizesEqual: random.chance(90))
        case 11: return random.chance(30) ? .cancelResync : .tick
        case 12: return .plannedFailover(stopped: random.chance(80))
        case 13: return .cancelFailover
        case 14: return random.chance(5) ? .unprotect : .exportSeed
        case 15: return .failed(failure(&random))
        case 16: return .logsMeasured((0..<3).map { _ in UInt64(random.below(34)) })
        case 17, 18: return .applied(random.chance(80) ? received : tips(&random))
        case 19: return random.chance(20) ? .replicaStopped(stops(&random)) : .seedImported
        case 20: return random.chance(10) ? .replicaFailedOver : .tick
        case 21:
            let copy = random.chance(50) ? CopyPosition(disk: random.below(4), byte: UInt64(random.below(65))) : nil
            let state = Side.replica.states.randomElement(using: &random)!
            return .woke(
                random.chance(80)
                    ? ReplicaReport(state: state, copy: copy, received: received, applied: tips(&random), stops: [])
                    : nil)
        case 22: return .copyAdvanced(disk: random.below(5) - 1, byte: UInt64(random.below(70)))
        default: return .logAcknowledged(disk: random.below(5) - 1, id: id(1))
        }
    }

    @Test func thePrimary() throws {
        var visited: Set<StateName> = []
        for seed in 0..<150 as Range<UInt64> {
            var random = SplitMix(seed)
            var primary = Primary(disks: disks)
            var time: Int64 = 0
            for step in 0..<250 {
                time += Int64(random.below(400))
                let before = primary
                let event = event(for: primary, &random)
                var comment: Comment { "seed \(seed) step \(step): \(event) in \(before.state)" }
                do {
                    let actions = try primary.handle(event, at: Moment(time))
                    check(actions.count { $0 == .save } == (before.record != primary.record ? 1 : 0), comment)
                    let asked = actions.filter { action in primary.underWay == action }
                    check(asked.count <= 1, comment)
                    // A new piece of work only after the old one was answered, failed or broken off.
                    if let old = before.underWay, let new = primary.underWay, !new.isSameTask(as: old) {
                        check(asked.count == 1, comment)
                    }
                } catch {
                    check(primary.record == before.record, comment)
                    check(error.state == before.state.name, comment)
                }
                let atWork = primary.progress.filter {
                    if case .copying = $0.stage { true } else { $0.stage == .verifying }
                }
                check(atWork.count <= 1, comment)
                check(primary.progress.count == 3, comment)
                visited.insert(primary.state.name)
                if step % 10 == 0 {
                    let data = try JSONEncoder().encode(primary.record)
                    let read = try JSONDecoder().decode(PrimaryRecord.self, from: data)
                    check(read == primary.record, comment)
                    _ = try Primary(read)
                    if random.chance(20) { primary = try Primary(read) }
                }
            }
        }
        #expect(visited == Set(Side.primary.states))
    }

    private func event(for replica: Replica, _ random: inout SplitMix) -> Replica.Event {
        if random.chance(50), let action = replica.underWay {
            switch action {
            case .applyLogs(let disk, let logs):
                return random.chance(95)
                    ? .logsApplied(disk: disk, through: logs[logs.count - 1].id)
                    : .logsRejected(disk: disk, .unclosed(name: "x"))
            case .importSeed: return .seedImported(["a", "b", "c"])
            case .createTestCopy: return .testCopyCreated
            case .discardTestCopy: return .testCopyDiscarded
            case .undoResync: return .resyncUndone
            case .prepareFailover: return .failoverPrepared
            case .undoFailover: return .failoverUndone
            case .deletePoints: return .pointsDeleted
            default: break
            }
        }
        let received = replica.record.disks.map(\.position.received)
        switch random.below(30) {
        case 0: return .protect
        case 1: return random.chance(20) ? .importSeed : .tick
        case 2: return .suspend
        case 3, 4, 5: return .resume
        case 6: return random.chance(20) ? .markForResync(stops(&random)) : .tick
        case 7: return .testFailover(point: nil)
        case 8: return .cancelTestFailover
        case 9: return .plannedFailover(primaryPrepared: random.chance(70))
        case 10:
            return .unplannedFailover(point: random.chance(50) ? nil : "p", primaryRunning: random.chance(20))
        case 11, 12: return .cancelFailover
        case 13: return random.chance(60) ? .commit : .tick
        case 14: return random.chance(5) ? .unprotect : .tick
        case 15: return random.chance(40) ? .passBegan(tips(&random)) : .tick
        case 16, 17, 18:
            return .copyAdvanced(
                disk: replica.record.copy?.disk ?? random.below(4), byte: UInt64(random.below(3) * 32))
        case 19, 20, 21:
            return .diskCompleted(
                disk: replica.record.copy?.disk ?? random.below(4), digest: random.chance(90) ? "d" : nil)
        case 22, 23, 24:
            let disk = random.below(3)
            var next = log(100 + random.below(1_000_000), after: 0, disk: disk)
            next.previousID = random.chance(98) ? received[disk] : id(7)
            return .logStored(disk: random.chance(98) ? disk : 3, next)
        case 25, 26:
            return .cycleReceived(
                Cycle(
                    number: replica.record.lastCycle + UInt64(random.below(2)), begun: 0,
                    tips: random.chance(98) ? received : tips(&random)))
        case 27: return .finalize(received)
        case 28: return random.chance(30) ? .woke : .resyncCancelled
        default: return .failed(failure(&random))
        }
    }

    @Test func theReplica() throws {
        var visited: Set<StateName> = []
        var applied = 0
        for seed in 0..<150 as Range<UInt64> {
            var random = SplitMix(seed)
            var replica = Replica(disks: disks)
            var time: Int64 = 0
            for step in 0..<300 {
                time += Int64(random.below(400))
                let before = replica
                let event = event(for: replica, &random)
                var comment: Comment { "seed \(seed) step \(step): \(event) in \(before.record)" }
                do {
                    let actions = try replica.handle(event, at: Moment(time))
                    check(actions.count { $0 == .save } == (before.record != replica.record ? 1 : 0), comment)
                    // What is acknowledged is saved first.
                    if let answer = actions.firstIndex(where: { "\($0)".hasPrefix("acknowledge") }),
                        let save = actions.firstIndex(of: .save)
                    {
                        check(save < answer, comment)
                    }
                    for case .applyLogs(let disk, let logs) in actions {
                        applied += 1
                        // Saved as begun, and of a whole cycle only.
                        check(replica.record.applying, comment)
                        check(logs.last?.id == replica.record.cycles.first?.tips[disk], comment)
                    }
                } catch {
                    check(replica.record == before.record, comment)
                    check(error.state == before.state.name, comment)
                }
                visited.insert(replica.state.name)
                if step % 10 == 0 {
                    let data = try JSONEncoder().encode(replica.record)
                    let read = try JSONDecoder().decode(ReplicaRecord.self, from: data)
                    check(read == replica.record, comment)
                    check((try? Replica(read)) != nil, comment)
                    if random.chance(20) { replica = try Replica(read) }
                }
            }
        }
        #expect(visited == Set(Side.replica.states))
        #expect(applied > 100)
    }
}
