import BlockIO
import ByteCodec
import DiskModel
import ImageChain
public import Replication

/// The source's side: performs the primary's machine.
public final class PrimaryPerformer {
    /// What one run has done to a disk.
    public struct Tally: Sendable {
        public var copiedBytes: UInt64 = 0
        /// Of the whole copy, when it was verified.
        public var digest: String?
        public var sentLogs = 0
        public var sentBytes: UInt64 = 0
    }

    var document: SourceDocument
    private(set) var machine: Primary
    let target: any ReplicaTarget
    let surroundings: Surroundings
    private let statePath: String
    private var pending: Primary.Action?
    public private(set) var tallies: [Tally]
    /// Disks that stay at the target after the relationship was removed.
    public private(set) var keptDisks: [String] = []
    private(set) var isRemoved = false

    init(
        _ document: SourceDocument, _ machine: Primary, statePath: String, target: any ReplicaTarget,
        _ surroundings: Surroundings
    ) {
        (self.document, self.machine, self.target) = (document, machine, target)
        (self.statePath, self.surroundings) = (statePath, surroundings)
        tallies = document.disks.map { _ in Tally() }
    }

    public var state: PrimaryState { machine.state }
    private var name: String { document.name }
    func diskName(_ index: Int) -> String { machine.record.disks[index].identity.name }
    func logs(_ index: Int) -> LogFolder { LogFolder(imagePath: document.disks[index].path, files: surroundings.files) }

    func save() throws {
        document.record = machine.record
        try JSONFile.save(document, statePath)
    }

    /// Begins: meets the replica, and goes on with what was left undone. What waits to be tried again is tried now.
    func wake() throws {
        let report = machine.state == .readyForInitialReplication(created: false) ? nil : try target.wake()
        try handle(.woke(report))
        let now = surroundings.now()
        if let due = machine.record.retry?.due {
            try handle(.tick, at: Moment(max(due, now.unixSeconds), utcOffset: now.utcOffset))
        }
    }

    /// Lets the machine handle an event, and does what is to be done at once.
    func handle(_ event: Primary.Event, at moment: Moment? = nil) throws {
        let isBaseline = machine.state.awaitsBaselineLogs
        let actions = try machine.handle(event, at: moment ?? surroundings.now())
        if case .logsSwitched = event, isBaseline {
            for index in document.disks.indices {
                document.disks[index].covered = machine.record.disks[index].known
                document.disks[index].baseline = machine.record.disks[index].position.received
            }
        }
        for action in actions {
            try surroundings.step("primary \(action.label)")
            try perform(action)
        }
    }

    private func perform(_ action: Primary.Action) throws {
        switch action {
        case .save: try save()
        case .interrupt: pending = nil
        case .releaseLogs(let disk, let names): try release(disk, names)
        case .setAsideLogs(let disk, let names):
            for (name, place) in zip(names, try logs(disk).setAside(names)) {
                surroundings.watcher.warn(logs(disk).path(name), "not part of the chain: renamed \(place)")
            }
        case .reportStop(let stops):
            // The replica may have found it itself, and then knows.
            do { try target.stop(stops) } catch is TargetRefusal {} catch let error as DiskError {
                surroundings.watcher.warn(error.path, error.explanation)
            }
        case .reportCancelledResync, .lockMachine, .proposeResync: break
        case .createReplica, .switchLogs, .announceBaseline, .copyDisk, .compareDisk, .verifyDisk, .exportSeed,
            .sendLog, .endCycle, .finalize, .removeRelationship:
            pending = action
        }
    }

    /// Only what was sent goes; logs from before the copy stay.
    private func release(_ disk: Int, _ names: [String]) throws {
        guard !document.keepsLogs else { return }
        let sent = Set(machine.record.disks[disk].known).subtracting(document.disks[disk].covered)
        try logs(disk).remove(names, ids: sent)
    }

    /// Does what the machine asks for until nothing is left to do.
    ///
    /// - Throws: what stopped the work, after it was recorded; what another process is in the way of is not.
    func run() throws {
        while !isRemoved {
            if let action = pending {
                pending = nil
                try surroundings.step("primary begin \(action.label)")
                do { try answer(action) } catch { try failed(error, action) }
                continue
            }
            let messages = try target.messages()
            if messages.isEmpty { return }
            for message in messages { try hear(message) }
        }
    }

    /// What the replica says by itself may come when nothing waits for it any more.
    private func hear(_ message: Primary.Event) throws {
        do { try handle(message) } catch let refusal as Refusal {
            guard refusal.reason == .unexpected else { throw refusal }
        }
    }

    private func failed(_ error: any Error, _ action: Primary.Action) throws {
        let disk: Int? =
            switch action {
            case .copyDisk(let disk, _), .verifyDisk(let disk): disk
            case .sendLog(let log): log.disk
            default: nil
            }
        try note(error, disk: disk)
        throw error
    }

    /// Records what stopped the work, unless it is another process that is in the way.
    func note(_ error: any Error, disk: Int?) throws {
        if error is Interruption || (error as? DiskError)?.kind == .busy { return }
        let path = (error as? DiskError)?.path ?? (error as? IOError)?.path ?? ""
        let isTarget = error is TargetRefusal || path.hasPrefix(target.place + "/")
        // Refused where nothing is under way any more: then the error alone counts.
        do { try handle(.failed(Failure(error, disk: disk, isTarget: isTarget))) } catch is Refusal {}
    }

    private func answer(_ action: Primary.Action) throws {
        switch action {
        case .createReplica:
            try target.create(document.specification)
            try handle(.replicaCreated)
        case .switchLogs: try switchLogs()
        case .announceBaseline(let tips):
            try target.beginPass(tips)
            try hearAnswer()
        case .copyDisk(let disk, let from): try copy(disk, from: from)
        case .verifyDisk(let disk): try verify(disk)
        case .sendLog(let log): try send(log)
        case .endCycle(let cycle):
            try target.end(cycle)
            try hearAnswer()
        case .finalize(let tips): try finalize(tips)
        case .removeRelationship: try remove()
        default: throw DiskError(.refused, path: name, "this version cannot do what the state asks for")
        }
    }

    private func hearAnswer() throws { for message in try target.messages() { try hear(message) } }

    // MARK: Logs

    private func switchLogs() throws {
        var all: [[LogDescriptor]] = []
        for index in document.disks.indices {
            let known = Set(machine.record.disks[index].known)
            all.append(try logs(index).describe(known: known))
        }
        try handle(.logsSwitched(all))
    }

    private func send(_ log: OutgoingLog) throws {
        let file: any BlockFile
        do throws(DiskError) { file = try logs(log.disk).open(log.name) } catch {
            guard error.ioError?.isMissing == true else { throw error }
            // Whatever it held can be had by a comparison only.
            return try handle(
                .markForResync([DiskStop(disk: log.disk, reason: .log(fault: .gap(name: log.name, missing: log.id)))]))
        }
        surroundings.watcher.begin("\(diskName(log.disk)): \(log.name)", log.bytes)
        try target.store(log, from: file)
        try hearAnswer()
        guard case .some(let received) = machine.record.disks[log.disk].position.received, received == log.id else {
            return
        }
        tallies[log.disk].sentLogs += 1
        tallies[log.disk].sentBytes += log.bytes
        surroundings.watcher.advance(log.bytes)
    }

    // MARK: Copies

    func openSource(_ disk: Int) throws -> SourceDisk {
        let source = try SourceDisk(
            document.disks[disk].path, parentFolders: document.parentFolders, files: surroundings.files)
        let size = machine.record.disks[disk].identity.size
        guard source.blueprint.virtualByteCount == size else {
            throw SizeChange(path: source.path, now: source.blueprint.virtualByteCount, before: size)
        }
        return source
    }

    private func copy(_ disk: Int, from: UInt64) throws {
        let source = try openSource(disk)
        var from = from
        if from > 0, try unaccountedChange(disk, source.fingerprint) != nil {
            surroundings.watcher.warn(
                source.path, "changed since its copy was interrupted, and no log says how: copying it from the start")
            from = 0
        }
        if from == 0 {
            document.disks[disk].fingerprint = source.fingerprint
            try save()
        }
        if source.chain.hasReplayedLog {
            surroundings.watcher.warn(source.path, "log pending: replayed in memory, the file is unchanged")
        }
        let sink = try target.beginCopy(disk: disk, source.blueprint, from: from) {
            guard document.disks[disk].keyCommitment != nil else { return }
            document.disks[disk].keyCommitment = nil
            try save()
        }
        // Durable before the first mark, and so whenever a copy is gone on with.
        if document.disks[disk].keyCommitment != sink.keyCommitment {
            document.disks[disk].keyCommitment = sink.keyCommitment
            try save()
        }
        try DiskCopy(source.chain, sink, surroundings).run(name: diskName(disk)) { byte, written in
            tallies[disk].copiedBytes += written
            try handle(.copyAdvanced(disk: disk, byte: byte))
        }
        try handle(.copyCompleted(disk: disk))
    }

    private func verify(_ disk: Int) throws {
        let source = try openSource(disk)
        surroundings.watcher.begin("\(diskName(disk)): verifying", source.blueprint.virtualByteCount)
        var why: String?
        if let change = try unaccountedChange(disk, source.fingerprint) {
            why = "changed while it was copied (\(change)), and no log beside it says how"
        } else {
            switch try target.verifyCopy(disk: disk) {
            case .equal(let digest):
                tallies[disk].digest = digest
                // It tells who has a copy of the disk that this is one, too: no record of what is sealed has it.
                let noted = document.isSealed ? DiskProgress.withheldDigest : digest
                try target.completeCopy(disk: disk, digest: noted)
                return try handle(.diskVerified(disk: disk, digest: noted))
            case .differs(_, let what): why = what
            }
        }
        guard case .transferring(let position)? = machine.state.openPass, let why else { return }
        if position.attempt >= Primary.copyAttempts {
            throw CopyMismatch(path: source.path, why: why)
        }
        surroundings.watcher.warn(source.path, "\(why); copying it again")
        try handle(.diskDiffers(disk: disk))
    }

    /// What has changed at a source since its copy was begun; nil when nothing has, or when logs tell.
    private func unaccountedChange(_ disk: Int, _ now: Fingerprint) throws -> String? {
        guard let change = document.disks[disk].fingerprint?.change(to: now) else { return nil }
        if machine.record.disks[disk].position.received != document.disks[disk].baseline { return nil }
        let covered = Set(document.disks[disk].covered)
        let hasLogs = try logs(disk).describe(known: covered).contains { log in
            log.ending == .live || !(log.uniqueID.map(covered.contains) ?? false)
        }
        return hasLogs ? nil : change
    }

    private func finalize(_ tips: [LogID?]) throws {
        var stops: [DiskStop] = []
        for index in document.disks.indices {
            let source = try openSource(index)
            if let change = try unaccountedChange(index, source.fingerprint) {
                surroundings.watcher.warn(source.path, "changed after it was copied (\(change))")
                stops.append(DiskStop(disk: index, reason: .offline))
            }
            let isUntouched = document.disks[index].fingerprint?.change(to: source.fingerprint) == nil
            let hasLogs = machine.record.disks[index].position.received != document.disks[index].baseline
            let isSettled = isUntouched && !hasLogs
            setSettled(index, isSettled ? source.fingerprint : nil)
            document.disks[index].awaitsFirstComparison = isSettled ? nil : true
        }
        guard stops.isEmpty else { return try handle(.markForResync(stops)) }
        try target.finalize(tips)
        try hearAnswer()
    }

    // MARK: The end

    /// The replica's side first: what is left of it would be nobody's.
    private func remove() throws {
        if let kept = try target.remove() {
            keptDisks = kept
        } else {
            surroundings.watcher.doubt(target.place, "there is no replica here: nothing was removed")
        }
        try surroundings.step("primary remove state")
        try Folders.remove(statePath)
        let folder = splitPath(statePath).folder
        for name in try Folders.names(folder) where name.hasPrefix(".primary.json.") {
            try Folders.remove("\(folder)/\(name)")
        }
        do { try syncFolder(folder) } catch { throw DiskError(error) }
        Folders.removeEmpty(folder)
        isRemoved = true
    }
}

/// The source has another size than when it was protected.
struct SizeChange: Error, CustomStringConvertible {
    var path: String
    var now: UInt64
    var before: UInt64
    var description: String { "\(path): the disk has \(now) bytes, and had \(before) when it was protected" }
}

/// A copy is not its source, in every attempt.
struct CopyMismatch: Error, CustomStringConvertible {
    var path: String
    var why: String
    var description: String { "\(path): \(why), in \(Primary.copyAttempts) attempts" }
}

extension Primary.Action {
    /// The action's name without its values.
    var label: String { String(String(describing: self).prefix { $0 != "(" }) }
}

extension PrimaryState {
    var openPass: Pass? {
        if case .initialReplicationInProgress(.online(let pass)) = self { return pass }
        return nil
    }

    /// Whether the next switch of logs sets the baseline.
    var awaitsBaselineLogs: Bool { openPass == .baseline }
}
