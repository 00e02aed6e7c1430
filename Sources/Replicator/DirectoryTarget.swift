public import BlockIO
public import ByteCodec
public import Cipher
import DiskModel
import ImageChain
public import Replication

/// A replica in a folder of this host: performs the replica's machine in this process.
public final class DirectoryTarget: ReplicaTarget {
    public let place: String
    let store: ReplicaStore
    let surroundings: Surroundings
    let seal: StoreSeal
    private let storeRoot: String
    /// The relationship that the store must be of; nil for whichever it is.
    private let relationship: GUID?
    private var lock: FolderLock?
    private var document: StoreDocument?
    private var machine: Replica?
    /// Work of the replica's own that is to be done next.
    private var pending: Replica.Action?
    private var outbox: [Primary.Event] = []
    private var kept: [String] = []
    /// Logs merged into each disk by this process.
    public private(set) var appliedCounts: [Int] = []

    /// - Parameters:
    ///   - storeRoot: the folder given with `--to`.
    ///   - name: the machine's.
    ///   - recipients: for whom everything with contents is sealed; none: nothing is sealed.
    public init(
        storeRoot: String, name: String, relationship: GUID?, recipients: [Recipient] = [], _ surroundings: Surroundings
    ) {
        self.storeRoot = storeRoot
        place = "\(storeRoot)/\(name)"
        store = ReplicaStore(folder: place)
        self.relationship = relationship
        self.surroundings = surroundings
        seal = StoreSeal(recipients, openingKey: surroundings.openingKey)
    }

    /// Locks and loads the store.
    /// - Returns: false when there is none.
    private func open() throws -> Bool {
        if machine != nil { return true }
        guard Folders.exists(store.document) else { return false }
        if lock == nil { lock = try FolderLock(place, "the replica's store") }
        guard let found = try JSONFile.load(StoreDocument.self, store.document) else { return false }
        guard relationship.map({ $0 == GUID(found.id) }) ?? true else { throw foreign(found) }
        machine = try found.check(store.document)
        appliedCounts = found.disks.map { _ in 0 }
        document = found
        return true
    }

    private func foreign(_ found: StoreDocument) -> DiskError {
        DiskError(
            .refused, path: place, "this folder holds another relationship's replica (id \(found.id))",
            hint: "choose another folder, or remove that one: vhdreplica unprotect \(found.name) --to \(storeRoot)")
    }

    private func opened() throws -> (Replica, StoreDocument) {
        guard try open(), let machine, let document else {
            throw DiskError(
                .refused, path: place, "there is no replica here any more",
                hint: "bring the folder back, or unprotect and protect again")
        }
        return (machine, document)
    }

    func disk(_ index: Int) throws -> (name: String, path: String, byteCount: UInt64, id: GUID) {
        let (machine, document) = try opened()
        let entry = document.disks[index]
        return (
            entry.name, store.disk(entry.name, entry.format), machine.record.disks[index].identity.size,
            GUID(document.id) ?? .zero
        )
    }

    // MARK: The machine

    /// Lets the machine handle an event, and does what is to be done at once.
    func handle(_ event: Replica.Event, at moment: Moment? = nil) throws {
        guard var machine else { throw DiskError(.refused, path: place, "the replica is not open") }
        let actions: [Replica.Action]
        do { actions = try machine.handle(event, at: moment ?? surroundings.now()) } catch {
            throw TargetRefusal(refusal: error, place: place)
        }
        self.machine = machine
        for action in actions {
            try surroundings.step("replica \(action.label)")
            try perform(action)
        }
    }

    private func perform(_ action: Replica.Action) throws {
        switch action {
        case .save: try save()
        case .pruneStore: try prune()
        case .removeStored(let disk, let logs): try removeStored(disk, logs)
        case .interrupt: pending = nil
        case .cycleApplied: break
        case .acknowledgeBaseline: outbox.append(.baselineAnnounced)
        case .acknowledgeLog(let disk, let id): outbox.append(.logAcknowledged(disk: disk, id: id))
        case .acknowledgeCycle(let number): outbox.append(.cycleAcknowledged(number: number))
        case .acknowledgeFinalize: outbox.append(.finalized)
        case .reportApplied(let tips): outbox.append(.applied(tips))
        case .reportSeedImported: outbox.append(.seedImported)
        case .reportStop(let stops): outbox.append(.replicaStopped(stops))
        case .reportFailedOver: outbox.append(.replicaFailedOver)
        case .applyLogs, .removeStore, .importSeed, .createTestCopy, .discardTestCopy, .undoResync, .prepareFailover,
            .undoFailover, .deletePoints:
            pending = action
        }
    }

    private func save() throws {
        guard let machine, document != nil else { return }
        document?.record = machine.record
        if let document { try JSONFile.save(document, store.document) }
    }

    public func messages() throws -> [Primary.Event] {
        while outbox.isEmpty, let action = pending {
            pending = nil
            try work(action)
        }
        defer { outbox = [] }
        return outbox
    }

    private func work(_ action: Replica.Action) throws {
        try surroundings.step("replica begin \(action.label)")
        switch action {
        case .applyLogs(let disk, let logs):
            do {
                try handle(try apply(disk, logs))
                appliedCounts[disk] += logs.count
            } catch let error as DiskError where error.kind != .busy {
                try handle(.failed(Failure(error, disk: disk, isTarget: true)))
                throw error
            }
        case .removeStore(let disks): try removeStore(keeping: disks)
        default: throw DiskError(.refused, path: place, "this version cannot do what the replica is in the middle of")
        }
    }

    // MARK: The primary's calls

    public func wake() throws -> ReplicaReport {
        _ = try opened()
        pending = nil
        try handle(.woke)
        try goBackToWhatIsThere()
        if machine?.record.complete == true { try checkDisks() }
        if case .error? = machine?.state { try handle(.resume) }
        let now = surroundings.now()
        if let due = machine?.record.retry?.due {
            try handle(.tick, at: Moment(max(due, now.unixSeconds), utcOffset: now.utcOffset))
        }
        return try opened().0.report
    }

    /// The record may say more than the files hold, if somebody touched them: then the copy goes back.
    private func goBackToWhatIsThere() throws {
        let report = try opened().0.report
        guard report.state == .waitingForInitialReplication, let copy = report.copy else { return }
        for index in 0..<min(copy.disk, report.received.count) {
            if !Folders.exists(try disk(index).path) { return try goBack(to: index, 0) }
        }
        guard copy.disk < report.received.count, copy.byte > 0 else { return }
        let durable = try durableByte(of: copy.disk, limit: copy.byte)
        if durable < copy.byte { try goBack(to: copy.disk, durable) }
    }

    private func checkDisks() throws {
        for index in 0..<(try opened().1.disks.count) {
            let path = try disk(index).path
            guard !Folders.isLink(path) else { throw ReplicaStore.link(at: path) }
            guard !Folders.exists(path) else { continue }
            throw DiskError(.refused, path: path, "the replica's disk is gone", hint: "put it back")
        }
    }

    /// Not possible any more once logs wait to be applied; then applying them says what is missing.
    private func goBack(to disk: Int, _ byte: UInt64) throws {
        do { try handle(.copyAdvanced(disk: disk, byte: byte)) } catch is TargetRefusal {}
    }

    public func create(_ specification: Specification) throws {
        if try open() {
            guard machine?.state == .disabled(removing: false) else { return }
        } else {
            try Folders.makePrivate(place)
            lock = try FolderLock(place, "the replica's store")
            guard try !open() else { return try create(specification) }
            try Folders.make(store.disksFolder)
            try Folders.make(store.logsFolder)
            for disk in specification.disks {
                try Folders.make(store.logFolder(disk.identity.name))
                let path = store.disk(disk.identity.name, disk.format.rawValue)
                guard !Folders.exists(path) else { throw Prerequisites.occupied(path) }
            }
            let machine = Replica(disks: specification.disks.map(\.identity), policy: specification.policy)
            self.machine = machine
            appliedCounts = specification.disks.map { _ in 0 }
            document = StoreDocument(
                id: specification.id.description, name: specification.name, created: surroundings.now().unixSeconds,
                disks: specification.disks.map { .init(name: $0.identity.name, format: $0.format.rawValue) },
                record: machine.record)
        }
        try handle(.protect)
    }

    public func beginPass(_ tips: [LogID?]) throws { try handle(.passBegan(tips)) }

    public func completeCopy(disk: Int, digest: String) throws {
        try handle(.diskCompleted(disk: disk, digest: digest))
    }

    public func end(_ cycle: Cycle) throws { try handle(.cycleReceived(cycle)) }

    public func finalize(_ tips: [LogID?]) throws {
        try checkDisks()
        try handle(.finalize(tips))
        try removeRecords()
    }

    public func stop(_ stops: [DiskStop]) throws {
        guard try open() else { return }
        try handle(.markForResync(stops))
        // The primary said it.
        outbox = []
    }

    public func store(_ log: OutgoingLog, from file: any BlockFile) throws {
        let (machine, document) = try opened()
        let name = document.disks[log.disk].name
        let slot = machine.slot(for: log.id, disk: log.disk, bytes: log.bytes)
        let path = store.log(name, slot)
        try Folders.make(store.logFolder(name))
        try write(file, to: path)
        var descriptor = try LogDescriptor.describing(
            try seal.files.open(path).contents, name: log.name, occupied: try Folders.occupiedBytes(path))
        if descriptor.uniqueID != log.id {
            try Folders.remove(path)
            throw DiskError(.io, path: file.path, "the log was changed while it was sent", hint: "run it again")
        }
        descriptor.byteCount = log.bytes
        try handle(.logStored(disk: log.disk, descriptor))
    }

    /// Copies a log into the store. The writer's lock is given up when this returns.
    private func write(_ file: any BlockFile, to path: String) throws {
        let pending: PendingFile
        do { pending = try PendingFile(path, replaces: true) } catch { throw DiskError(error, doing: "storing a log") }
        let target = try seal.create(
            on: surroundings.seam(pending.file), staysSmall: true, at: surroundings.now().unixSeconds)
        try copySparse(file, to: target)
        do {
            try target.sync()
            try seal.close(target)
            try surroundings.step("replica rename log")
            try pending.commit()
        } catch let error as IOError { throw DiskError(error, doing: "storing a log") }
    }

    public func remove() throws -> [String]? {
        kept = []
        guard try open() else { return nil }
        if machine?.state.name != .disabled { try handle(.unprotect) } else { try handle(.woke) }
        while pending != nil { _ = try messages() }
        return kept
    }

    // MARK: The store

    private func names() throws -> [String] { try opened().1.disks.map(\.name) }

    /// Removes logs that the record does not know, and what a kill left half-written.
    private func prune() throws {
        let (machine, document) = try opened()
        for (index, disk) in document.disks.enumerated() {
            let folder = store.logFolder(disk.name)
            let wanted = Set(machine.record.disks[index].pending.map { store.log(disk.name, $0) })
            for name in try Folders.names(folder) where !wanted.contains("\(folder)/\(name)") {
                try Folders.remove("\(folder)/\(name)")
            }
        }
        for folder in [store.folder, store.disksFolder] {
            for name in try Folders.names(folder) where name.hasPrefix(".") && name.hasSuffix(".tmp") {
                try Folders.remove("\(folder)/\(name)")
            }
        }
        if machine.record.complete { try removeRecords() }
    }

    private func removeRecords() throws {
        for name in try names() { try Folders.remove(store.records(name)) }
    }

    private func removeStored(_ disk: Int, _ logs: [StoredLog]) throws {
        let name = try diskName(disk)
        for log in logs { try Folders.remove(store.log(name, log)) }
        do { try syncFolder(store.logFolder(name)) } catch { throw DiskError(error) }
    }

    private func diskName(_ index: Int) throws -> String { try opened().1.disks[index].name }

    /// Everything but the disks named; the document last, so that a kill lets it be done again.
    private func removeStore(keeping disks: [Int]) throws {
        let (machine, document) = try opened()
        for (index, disk) in document.disks.enumerated() {
            for log in machine.record.disks[index].pending { try Folders.remove(store.log(disk.name, log)) }
            try Folders.remove(store.records(disk.name))
            Folders.removeEmpty(store.logFolder(disk.name))
            let path = store.disk(disk.name, disk.format)
            if disks.contains(index) { kept.append(path) } else { try Folders.remove(path) }
        }
        Folders.removeEmpty(store.logsFolder)
        Folders.removeEmpty(store.disksFolder)
        try Folders.remove(store.document)
        do { try syncFolder(place) } catch { throw DiskError(error) }
        Folders.removeEmpty(place)
        (self.machine, self.document) = (nil, nil)
    }
}

/// The replica's machine does not take what the primary says.
struct TargetRefusal: Error, CustomStringConvertible {
    let refusal: Refusal
    let place: String
    var description: String { "\(place): \(refusal)" }
}

extension Replica.Action {
    /// The action's name without its values.
    var label: String { String(String(describing: self).prefix { $0 != "(" }) }
}
