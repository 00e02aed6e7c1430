import BlockIO
import ByteCodec
public import DiskModel
public import Replication

/// How a relationship is, read from both sides' records without taking any lock: they are replaced as a whole.
public struct RelationshipStatus: Sendable {
    /// What stands in the way, and what to do about it.
    public struct Problem: Sendable, Equatable {
        public var side: Side
        /// The disk's name; nil when it concerns all.
        public var disk: String?
        /// Stable word: a failure's cause, a stop's code, `unreachable` or `disk_missing`.
        public var code: String
        public var message: String
        public var remedy: String
        /// Unix seconds when it is tried again by itself.
        public var retryTime: Int64?
    }

    public struct SideStatus: Sendable {
        public var state: StateName
        public var health: Health
        public var statistics: Statistics
        public var progress: [DiskProgress]
    }

    public struct Disk: Sendable {
        public var name: String
        public var path: String
        public var replicaPath: String
        public var format: ImageFormat
        /// Bytes of logs beside the source that were not sent.
        public var waitingBytes: UInt64
        /// Bytes of logs in the store that were not merged.
        public var storedBytes: UInt64
        public var primary: DiskProgress
        /// Nil when the replica's side cannot be read.
        public var replica: DiskProgress?
    }

    public var name: String
    public var id: String
    /// Unix seconds.
    public var created: Int64
    public var target: String
    public var interval: UInt32
    public var keepsLogs: Bool
    /// For whom the replica is sealed; none: it is not.
    public var recipients: [String]
    public var primary: SideStatus
    /// Nil when it cannot be read; then a problem says why, unless it has not been made yet.
    public var replica: SideStatus?
    public var disks: [Disk]
    public var problems: [Problem]

    /// The worse of both sides.
    public var level: Health.Level {
        let isUnreachable = problems.contains { ["unreachable", "disk_missing"].contains($0.code) }
        return max(primary.health.level, isUnreachable ? .critical : replica?.health.level ?? .normal)
    }

    /// - Throws: `.refused` when there is no such relationship; `.io` and damaged records of the source's side.
    /// - Parameter files: opens logs beside the disks; what it does not open counts as not sent.
    public init(_ name: String, in folder: StateFolder, at now: Moment, files: FileOpener = .plain) throws {
        try SafeName.check(name, "the machine's name")
        guard let document = try folder.load(name) else { throw folder.notProtected(name) }
        let machine = try document.check(folder.document(name))
        (self.name, id, created) = (document.name, document.id, document.created)
        (target, interval, keepsLogs) = (document.target, document.record.policy.interval, document.keepsLogs)
        recipients = document.recipients ?? []
        primary = SideStatus(
            state: machine.state.name, health: machine.health(at: now), statistics: machine.record.statistics,
            progress: machine.progress)
        problems = Self.problems(of: machine, name)

        let store = ReplicaStore(folder: "\(document.target)/\(name)")
        var other: Replica?
        do {
            guard let found = try JSONFile.load(StoreDocument.self, store.document) else {
                throw DiskError(.refused, path: store.folder, "there is no replica here")
            }
            guard found.id == document.id else {
                throw DiskError(.refused, path: store.folder, "this folder holds another relationship's replica")
            }
            other = try found.check(store.document)
        } catch let error as DiskError {
            switch machine.state {
            case .readyForInitialReplication(created: false), .disabled: break
            default:
                problems.append(
                    Problem(
                        side: .replica, code: "unreachable", message: error.description,
                        remedy: "bring the replica's folder back"))
            }
        }
        replica = other.map {
            SideStatus(
                state: $0.state.name, health: $0.health(at: now), statistics: $0.record.statistics,
                progress: $0.progress)
        }
        if let other { problems += Self.problems(of: other, name, besides: problems) }
        disks = machine.record.disks.indices.map { index in
            Self.disk(index, document, machine, other, store, files)
        }
        guard other?.record.complete == true else { return }
        for disk in disks {
            if Folders.isLink(disk.replicaPath) {
                problems.append(Self.missing(disk, ReplicaStore.linkProblem, ReplicaStore.linkRemedy))
            } else if !Folders.exists(disk.replicaPath) {
                problems.append(Self.missing(disk, "the replica's disk is gone", "put it back"))
            }
        }
    }

    private static func missing(_ disk: Disk, _ problem: String, _ remedy: String) -> Problem {
        Problem(
            side: .replica, disk: disk.name, code: "disk_missing", message: "\(disk.replicaPath): \(problem)",
            remedy: remedy)
    }

    private static func disk(
        _ index: Int, _ document: SourceDocument, _ machine: Primary, _ other: Replica?, _ store: ReplicaStore,
        _ files: FileOpener
    ) -> Disk {
        let record = machine.record.disks[index]
        let known = Set(record.known)
        let waiting = try? LogFolder(imagePath: document.disks[index].path, files: files).waitingBytes(known: known)
        let stored = other.map { $0.record.disks[index].pending.reduce(0) { $0 + $1.bytes } }
        return Disk(
            name: record.identity.name, path: document.disks[index].path,
            replicaPath: store.disk(record.identity.name, document.disks[index].format),
            format: ImageFormat(rawValue: document.disks[index].format) ?? .vhdx, waitingBytes: waiting ?? 0,
            storedBytes: stored ?? 0, primary: machine.progress[index], replica: other?.progress[index])
    }

    private static func problems(of machine: Primary, _ name: String) -> [Problem] {
        let names = machine.record.disks.map(\.identity.name)
        switch machine.state {
        case .error(let failure, let work):
            let verb =
                switch work {
                case .ready, .initial: "start"
                default: "sync"
                }
            return [problem(.primary, failure, names, name, verb: verb)]
        case .waitingForStartResynchronize(let stops): return stops.map { problem(.primary, $0, names, name) }
        default:
            guard let retry = machine.record.retry else { return [] }
            let verb = machine.state.name == .replicating ? "sync" : "start"
            return [problem(.primary, retry.failure, names, name, verb: verb, due: retry.due)]
        }
    }

    private static func problems(of machine: Replica, _ name: String, besides known: [Problem]) -> [Problem] {
        let names = machine.record.disks.map(\.identity.name)
        let found: [Problem]
        switch machine.state {
        case .error(let failure, let work):
            let verb =
                switch work {
                case .waiting: "start"
                default: "sync"
                }
            found = [problem(.replica, failure, names, name, verb: verb)]
        case .waitingForStartResynchronize(let stops): found = stops.map { problem(.replica, $0, names, name) }
        default:
            let verb = machine.state.name == .replicating ? "sync" : "start"
            found =
                machine.record.retry.map {
                    [problem(.replica, $0.failure, names, name, verb: verb, due: $0.due)]
                } ?? []
        }
        // Both sides say the same of a stop.
        return found.filter { one in !known.contains { $0.message == one.message && $0.disk == one.disk } }
    }

    private static func problem(
        _ side: Side, _ failure: Failure, _ disks: [String], _ name: String, verb: String, due: Int64? = nil
    ) -> Problem {
        Problem(
            side: side, disk: failure.disk.map { disks[$0] }, code: failure.cause.rawValue, message: failure.message,
            remedy: Remedy.text(for: failure.cause, name: name, verb: verb), retryTime: due)
    }

    private static func problem(_ side: Side, _ stop: DiskStop, _ disks: [String], _ name: String) -> Problem {
        Problem(
            side: side, disk: stop.disk.map { disks[$0] }, code: stop.reason.code, message: stop.reason.description,
            remedy: Remedy.resync(name: name))
    }
}
