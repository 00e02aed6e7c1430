import BlockIO
import ByteCodec
import Cipher
import DiskModel
public import Replication

/// A machine and its replica: what the verbs of `vhdreplica` do. One process at a time has it.
public final class Relationship {
    public let name: String
    private let folder: StateFolder
    private let lock: FolderLock
    public let performer: PrimaryPerformer
    let target: DirectoryTarget

    private init(
        _ document: SourceDocument, _ machine: Primary, _ folder: StateFolder, _ lock: FolderLock,
        _ surroundings: Surroundings, wrapping wrap: (DirectoryTarget) -> any ReplicaTarget
    ) {
        (name, self.folder, self.lock) = (document.name, folder, lock)
        target = DirectoryTarget(
            storeRoot: document.target, name: document.name, relationship: GUID(document.id),
            recipients: (document.recipients ?? []).compactMap { Recipient($0) }, surroundings)
        for (disk, entry) in zip(document.disks, document.record.disks) {
            target.seal.expect(disk.keyCommitment, at: target.store.disk(entry.identity.name, disk.format))
        }
        performer = PrimaryPerformer(
            document, machine, statePath: folder.document(document.name), target: wrap(target), surroundings)
    }

    /// Opens the relationship of a machine.
    /// - Parameter wrap: for tests: stands between the two sides.
    /// - Throws: `.busy` while another process has it; `.refused` when there is none.
    public static func open(
        _ name: String, in folder: StateFolder, _ surroundings: Surroundings,
        wrapping wrap: (DirectoryTarget) -> any ReplicaTarget = { $0 }
    ) throws -> Relationship {
        try SafeName.check(name, "the machine's name")
        guard Folders.isFolder(folder.folder(name)) else { throw folder.notProtected(name) }
        let lock = try FolderLock(folder.folder(name), "\(name)")
        guard let document = try folder.load(name) else { throw folder.notProtected(name) }
        return Relationship(
            document, try document.check(folder.document(name)), folder, lock, surroundings, wrapping: wrap)
    }

    /// Makes a relationship, after the prerequisites were checked.
    /// - Throws: `.refused` when the machine is protected already.
    public static func protect(
        _ request: ProtectionRequest, _ found: Prerequisites, in folder: StateFolder, _ surroundings: Surroundings,
        wrapping wrap: (DirectoryTarget) -> any ReplicaTarget = { $0 }
    ) throws -> Relationship {
        try checkUnprotected(request.name, in: folder)
        try checkDisks(found, in: folder)
        try Folders.makePrivate(folder.folder(request.name))
        let lock = try FolderLock(folder.folder(request.name), request.name)
        try checkUnprotected(request.name, in: folder)
        let machine = Primary(
            disks: found.disks.map {
                Replication.DiskIdentity(name: $0.name, size: $0.blueprint.virtualByteCount)
            }, policy: found.policy)
        let document = SourceDocument(
            id: GUID.random().description, name: request.name, created: surroundings.now().unixSeconds,
            target: request.target, keepsLogs: request.keepsLogs, parentFolders: request.parentFolders,
            recipients: request.recipients.isEmpty ? nil : request.recipients.map(\.description),
            disks: found.disks.map { .init(path: $0.path, format: $0.blueprint.format.rawValue) },
            record: machine.record)
        let relationship = Relationship(document, machine, folder, lock, surroundings, wrapping: wrap)
        do {
            try relationship.performer.handle(.protect)
            try relationship.performer.run()
        } catch {
            if !(error is Interruption) { relationship.takeBack() }
            throw error
        }
        return relationship
    }

    /// The logs beside a disk can be taken by one relationship only.
    /// - Throws: `.refused` when a disk is part of another one.
    public static func checkDisks(_ found: Prerequisites, in folder: StateFolder) throws {
        for other in try folder.names() {
            guard let document = try? folder.load(other), document.record.state.name != .disabled else { continue }
            let paths = Set(document.disks.map(\.path))
            for disk in found.disks where paths.contains(disk.path) {
                throw DiskError(
                    .refused, path: disk.path, "is protected already, as a disk of \(other)",
                    hint: "vhdreplica unprotect \(other) ends that")
            }
        }
    }

    /// Removes what a `protect` that was cut short has left, if there is anything.
    public static func discardUnfinished(_ name: String, in folder: StateFolder, _ surroundings: Surroundings) throws {
        guard SafeName.fault(name) == nil, let document = try folder.load(name) else { return }
        try checkUnprotected(name, in: folder)
        let relationship = try open(name, in: folder, surroundings)
        guard try document.check(folder.document(name)).state == .readyForInitialReplication(created: false) else {
            return
        }
        relationship.takeBack()
    }

    /// - Throws: `.refused` when the machine is protected; one whose making was cut short is not.
    public static func checkUnprotected(_ name: String, in folder: StateFolder) throws {
        guard let document = try folder.load(name) else { return }
        switch try document.check(folder.document(name)).state {
        case .readyForInitialReplication(created: false), .disabled: return
        case let state:
            throw DiskError(
                .refused, path: name, "is protected already, and is in state \(state.name)",
                hint: "vhdreplica status \(name) shows more; vhdreplica unprotect \(name) ends it")
        }
    }

    /// A relationship that could not be made leaves nothing.
    private func takeBack() {
        _ = try? target.remove()
        try? Folders.remove(folder.document(name))
        Folders.removeEmpty(folder.folder(name))
    }

    public var state: PrimaryState { performer.state }

    /// Goes on with initial replication, from wherever it is, to its end.
    public func start() throws {
        switch performer.state.name {
        case .readyForInitialReplication, .initialReplicationInProgress, .error: break
        default: throw refused("start")
        }
        try checkKeys(readsReplica: true)
        try performer.wake()
        try mend(for: "start")
        try performer.run()
        if case .readyForInitialReplication(created: true) = performer.state {
            try performer.handle(.start)
            try performer.run()
        }
        if performer.state == .replicating(nil) { try performer.settle(verifying: false, isStart: true) }
        try checkOutcome("start")
    }

    /// One delta cycle, from the switch of the logs until they are merged into the replica.
    /// - Parameter verifying: compare the disks' contents afterwards, also where nothing asks for it.
    public func sync(verifying: Bool = false) throws {
        switch performer.state.name {
        case .replicating, .error: break
        default: throw refused("sync")
        }
        try checkKeys(readsReplica: try verifying || mayReadReplica())
        try performer.wake()
        try mend(for: "sync")
        let suspects = try performer.suspectReplicas()
        // What a kill left undone comes first: it may be that a cycle is half sent.
        try performer.run()
        if performer.state.name == .replicating {
            try performer.handle(.sync)
            try performer.run()
        }
        if performer.state == .replicating(nil) {
            try performer.settle(verifying: verifying, suspects: suspects, isStart: false)
        }
        try checkOutcome("sync")
    }

    /// Ends the relationship on both sides.
    /// - Returns: paths of the replica's disks, which stay.
    public func unprotect() throws -> [String] {
        if performer.state.name != .disabled {
            try performer.handle(.unprotect)
        } else {
            try performer.handle(.woke(nil))
        }
        try performer.run()
        return performer.keptDisks
    }

    /// Removes a replica whose source's state is lost.
    /// - Returns: paths of its disks, which stay.
    /// - Throws: `.refused` when there is none, or when it is that of a relationship here.
    public static func removeReplica(
        _ name: String, of root: String, in folder: StateFolder, _ surroundings: Surroundings
    ) throws -> [String] {
        try SafeName.check(name, "the machine's name")
        let store = ReplicaStore(folder: "\(Folders.absolute(root))/\(name)")
        guard let found = try JSONFile.load(StoreDocument.self, store.document) else {
            throw DiskError(.refused, path: store.folder, "there is no replica here")
        }
        if let mine = try folder.load(name), mine.id == found.id {
            throw DiskError(
                .refused, path: store.folder, "this replica is that of \(name), which is protected here",
                hint: "vhdreplica unprotect \(name) ends it on both sides")
        }
        return try DirectoryTarget(storeRoot: Folders.absolute(root), name: name, relationship: nil, surroundings)
            .remove() ?? []
    }

    /// Logs merged into each disk of the replica by this process.
    public var appliedCounts: [Int] { target.appliedCounts }

    /// An administrator has come: an error is tried again.
    private func mend(for verb: String) throws {
        guard case .error(let failure, let work) = performer.state else { return }
        let isInitial =
            switch work {
            case .ready, .initial: true
            default: false
            }
        guard isInitial == (verb == "start") else { throw refused(verb) }
        surroundingsSay("trying again after: \(failure.message)")
        try performer.handle(.resume)
    }

    private func surroundingsSay(_ text: String) { performer.surroundings.watcher.say(text) }

    private func refused(_ verb: String) -> DiskError {
        let hint =
            switch performer.state.name {
            case .readyForInitialReplication, .initialReplicationInProgress: "vhdreplica start \(name)"
            case .replicating: "vhdreplica sync \(name) sends the logs"
            case .waitingForStartResynchronize: Remedy.resync(name: name)
            case .disabled: "vhdreplica unprotect \(name) ends it"
            default: "vhdreplica status \(name) shows more"
            }
        if case .waitingForStartResynchronize(let stops) = performer.state, let stop = stops.first {
            return stopped(stop)
        }
        return DiskError(
            .refused, path: name, "\(verb) is not possible in state \(performer.state.name)", hint: hint)
    }

    private func stopped(_ stop: DiskStop) -> DiskError {
        let disk = stop.disk.map { performer.machine.record.disks[$0].identity.name }
        return DiskError(
            .refused, path: name,
            "\(StateName.waitingForStartResynchronize): \(disk.map { "disk \($0): " } ?? "")\(stop.reason)",
            hint: Remedy.resync(name: name))
    }

    /// - Throws: when the work came to rest short of its end.
    private func checkOutcome(_ verb: String) throws {
        switch performer.state {
        case .replicating(nil): return
        case .waitingForStartResynchronize(let stops): if let stop = stops.first { throw stopped(stop) }
        case .error(let failure, _):
            throw DiskError(
                .io, path: name, "\(StateName.error): \(failure.message)",
                hint: Remedy.text(for: failure.cause, name: name, verb: verb))
        default: break
        }
        throw DiskError(
            .io, path: name, "\(verb) came to rest in state \(performer.state.name), short of its end",
            hint: "run it again; vhdreplica status \(name) shows more")
    }
}
