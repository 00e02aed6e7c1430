import Foundation
import Replication
import Testing

/// A machine, its tracker, a target, and a performer that can be killed between any two of its steps. What the process
/// holds is lost then; what is in this object is on disk.
final class World {
    struct Killed: Error {}
    struct Log {
        var descriptor: LogDescriptor
        var writes: [(offset: Int, value: UInt8)]
    }

    // Durable: the source.
    var source: [[UInt8]]
    var beside: [[Log]]
    var open: [[(offset: Int, value: UInt8)]]
    var lastLog: [Int]
    var primaryRecord: Data?
    // Durable: the target.
    var copies: [[UInt8]]
    var store: [[String: Log]]
    var replicaRecord: Data?
    var removed = false

    // The process.
    let fresh: (Primary, Replica)
    var primary: Primary
    var replica: Replica
    var inbox: [Primary.Event] = []
    /// Steps until the process is killed; nil for never.
    var fuse: Int?
    var steps = 0
    var time: Int64 = 1_700_000_000

    var random: SplitMix
    /// Whether the guest writes while the performer works.
    var guestRuns = false
    /// Disks whose next verification finds the copy spoilt, with how often.
    var spoils: [Int: Int] = [:]
    var trace: [String] = []
    var copyTouched: [Int] = []

    init(seed: UInt64, disks: [DiskIdentity] = disks, policy: Policy = .standard) {
        random = SplitMix(seed)
        source = disks.map { _ in [] }
        beside = disks.map { _ in [] }
        open = disks.map { _ in [] }
        lastLog = disks.map { _ in 0 }
        copies = disks.map { Array(repeating: 0xee, count: Int($0.size)) }
        store = disks.map { _ in [:] }
        fresh = (Primary(disks: disks, policy: policy), Replica(disks: disks, policy: policy))
        (primary, replica) = fresh
        for index in disks.indices {
            source[index] = (0..<Int(disks[index].size)).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
        }
    }

    var now: Moment { Moment(time) }

    func step() throws {
        steps += 1
        time += 1
        if let left = fuse {
            if left == 0 { throw Killed() }
            fuse = left - 1
        }
        if guestRuns, random.chance(40) { guestWrites() }
    }

    func guestWrites() {
        let disk = random.below(source.count)
        guard !source[disk].isEmpty else { return }
        let offset = random.below(source[disk].count)
        let value = UInt8.random(in: 0 ... .max, using: &random)
        source[disk][offset] = value
        open[disk].append((offset, value))
    }

    // MARK: The process

    /// A new process: only what is on disk is known.
    func boot() throws {
        inbox = []
        primary = try primaryRecord.map { try Primary(JSONDecoder().decode(PrimaryRecord.self, from: $0)) } ?? fresh.0
        replica = try replicaRecord.map { try Replica(JSONDecoder().decode(ReplicaRecord.self, from: $0)) } ?? fresh.1
        if replicaRecord != nil { try tell(.woke) }
        if primaryRecord != nil { try happen(.woke(replica.report)) }
        try drain()
    }

    func perform(_ event: Primary.Event) throws {
        try happen(event)
        try drain()
    }

    func drain() throws {
        while !inbox.isEmpty { try happen(inbox.removeFirst()) }
    }

    func happen(_ event: Primary.Event) throws {
        let before = primary.record
        let actions = try primary.handle(event, at: now)
        if actions.contains(.save) != (before != primary.record) { Issue.record("\(event): \(actions)") }
        checkOneAtATime(primary.progress)
        for action in actions { try perform(action) }
    }

    func tell(_ event: Replica.Event) throws {
        let before = replica.record
        let actions = try replica.handle(event, at: now)
        if actions.contains(.save) != (before != replica.record) { Issue.record("\(event): \(actions)") }
        checkOneAtATime(replica.progress)
        for action in actions { try perform(action) }
    }

    func perform(_ action: Primary.Action) throws {
        try step()
        trace.append("P \(action)")
        switch action {
        case .save: primaryRecord = try JSONEncoder().encode(primary.record)
        case .createReplica:
            if replicaRecord == nil { try tell(.protect) }
            inbox.append(.replicaCreated)
        case .switchLogs:
            switchLogs()
            try step()
            inbox.append(.logsSwitched(beside.map { $0.map(\.descriptor) }))
        case .announceBaseline(let tips):
            try tell(.passBegan(tips))
            inbox.append(.baselineAnnounced)
        case .copyDisk(let disk, let from), .compareDisk(let disk, let from): try copy(disk, from)
        case .verifyDisk(let disk):
            if let count = spoils[disk], count > 0 {
                spoils[disk] = count - 1
                inbox.append(.diskDiffers(disk: disk))
            } else if !guestRuns, copies[disk] != source[disk] {
                inbox.append(.diskDiffers(disk: disk))
            } else {
                try tell(.diskCompleted(disk: disk, digest: "hash of \(disk)"))
                try step()
                inbox.append(.diskVerified(disk: disk, digest: "hash of \(disk)"))
            }
        case .sendLog(let log):
            let file = try #require(beside[log.disk].first { $0.descriptor.name == log.name })
            let slot = replica.slot(for: log.id, disk: log.disk, bytes: log.bytes)
            try step()
            store[log.disk]["\(slot.sequence)-\(slot.id)"] = file
            try step()
            try tell(.logStored(disk: log.disk, file.descriptor))
        case .endCycle(let cycle): try tell(.cycleReceived(cycle))
        case .finalize(let tips): try tell(.finalize(tips))
        case .removeRelationship: primaryRecord = nil
        case .releaseLogs(let disk, let names):
            beside[disk].removeAll { names.contains($0.descriptor.name) }
        case .setAsideLogs(let disk, let names):
            beside[disk].removeAll { names.contains($0.descriptor.name) }
        case .reportStop(let stops): try? tell(.markForResync(stops))
        case .reportCancelledResync: try? tell(.resyncCancelled)
        case .exportSeed, .interrupt, .lockMachine, .proposeResync: break
        }
    }

    func perform(_ action: Replica.Action) throws {
        try step()
        trace.append("R \(action)")
        switch action {
        case .save: replicaRecord = try JSONEncoder().encode(replica.record)
        case .applyLogs(let disk, let logs):
            let files = try logs.map { try #require(store[disk]["\($0.sequence)-\($0.id)"]) }
            for file in files {
                for write in file.writes {
                    try step()
                    copies[disk][write.offset] = write.value
                }
            }
            try step()
            try tell(.logsApplied(disk: disk, through: try #require(logs.last).id))
        case .pruneStore:
            for disk in store.indices {
                let keep = Set(replica.record.disks[disk].pending.map { "\($0.sequence)-\($0.id)" })
                store[disk] = store[disk].filter { keep.contains($0.key) }
            }
        case .removeStored(let disk, let logs):
            for log in logs { store[disk]["\(log.sequence)-\(log.id)"] = nil }
        case .removeStore:
            replicaRecord = nil
            removed = true
        case .acknowledgeLog(let disk, let id): inbox.append(.logAcknowledged(disk: disk, id: id))
        case .acknowledgeCycle(let number): inbox.append(.cycleAcknowledged(number: number))
        case .acknowledgeFinalize: inbox.append(.finalized)
        case .reportApplied(let tips): inbox.append(.applied(tips))
        case .reportStop(let stops): inbox.append(.replicaStopped(stops))
        default: break
        }
    }

    /// The tracker: closes every open log and begins new ones.
    func switchLogs() {
        for disk in open.indices where !open[disk].isEmpty {
            addLog(disk, writes: open[disk])
            open[disk] = []
        }
    }

    func addLog(_ disk: Int, writes: [(offset: Int, value: UInt8)]) {
        let number = lastLog[disk] + 1
        let descriptor = log(
            number, after: lastLog[disk], name: "\(disk).\(number).hrl",
            end: UInt64((writes.map(\.offset).max() ?? -1) + 1), disk: disk)
        beside[disk].append(Log(descriptor: descriptor, writes: writes))
        lastLog[disk] = number
    }

    func copy(_ disk: Int, _ from: UInt64) throws {
        copyTouched.append(disk)
        let size = source[disk].count
        var at = Int(from)
        try tell(.copyAdvanced(disk: disk, byte: UInt64(at)))
        while at < size {
            let end = min(size, at + 24)
            for byte in at..<end { copies[disk][byte] = source[disk][byte] }
            try step()
            at = end
            try tell(.copyAdvanced(disk: disk, byte: UInt64(at)))
            try happen(.copyAdvanced(disk: disk, byte: UInt64(at)))
        }
        if case .resynchronizing = primary.state { try tell(.diskCompleted(disk: disk, digest: nil)) }
        try step()
        inbox.append(.copyCompleted(disk: disk))
    }

    func checkOneAtATime(_ progress: [DiskProgress], sourceLocation: SourceLocation = #_sourceLocation) {
        let atWork = progress.filter { if case .copying = $0.stage { true } else { $0.stage == .verifying } }
        if atWork.count > 1 { Issue.record("\(atWork)", sourceLocation: sourceLocation) }
        // Copied disks, then the one at work, then those that wait.
        let ranks = progress.map { disk -> Int in
            switch disk.stage {
            case .copied, .following, .stopped: 0
            case .copying, .verifying: 1
            case .waiting: 2
            }
        }
        if ranks != ranks.sorted() { Issue.record("\(progress)", sourceLocation: sourceLocation) }
    }

    // MARK: Whole journeys

    /// What the tool's `protect`, `start` and `sync` do, whatever was done of it before.
    func journey() throws {
        try boot()
        if primary.state == .disabled(removing: false) { try perform(.protect) }
        if primary.state == .readyForInitialReplication(created: true) { try perform(.start) }
        try perform(.sync)
    }

    /// After the guest has stopped, one more cycle makes the copies equal.
    func finish() throws {
        guestRuns = false
        fuse = nil
        try boot()
        try perform(.sync)
        #expect(primary.state == .replicating(nil))
        #expect(replica.state == .replicating)
        #expect(copies == source)
        #expect(store.allSatisfy { $0.isEmpty })
        #expect(primary.record.disks.map(\.position) == replica.record.disks.map(\.position))
        #expect(primary.progress.allSatisfy { $0.stage == .following })
    }
}
