import BlockIO
public import ByteCodec
public import Cipher
public import DiskModel
import ImageChain
import Glibc
public import Replication
import SealedFile

/// What `protect` is asked for.
public struct ProtectionRequest: Sendable {
    public var name: String
    public var imagePaths: [String]
    public var target: String
    public var interval: UInt32
    public var keepsLogs: Bool
    public var parentFolders: [String]
    /// For whom the replica is sealed; none: it is not.
    public var recipients: [Recipient]

    public init(
        name: String, imagePaths: [String], target: String, interval: UInt32 = 300, keepsLogs: Bool = false,
        parentFolders: [String] = [], recipients: [Recipient] = []
    ) {
        (self.name, self.imagePaths, self.interval) = (name, imagePaths, interval)
        (self.target, self.keepsLogs) = (Folders.absolute(target), keepsLogs)
        self.parentFolders = parentFolders.map(Folders.absolute)
        self.recipients = recipients
    }
}

/// What the checks before a relationship found: all is well.
public struct Prerequisites: Sendable {
    public struct Disk: Sendable {
        public var name: String
        /// From the root.
        public var path: String
        public var replicaPath: String
        public var blueprint: DiskBlueprint
        /// Bytes that its files occupy.
        public var occupiedBytes: UInt64
        public var layerCount: Int
        public var hasPendingLog: Bool
        public var findings: [Finding]
    }

    public var disks: [Disk]
    public var policy: Policy
    /// Bytes that the copies are expected to take, and that the target's volume has.
    public var neededBytes: UInt64
    public var freeBytes: UInt64

    /// Checks both ends; nothing is made or changed.
    /// - Parameter files: opens the disks.
    public init(_ request: ProtectionRequest, files: FileOpener = .plain) throws {
        try SafeName.check(request.name, "the machine's name")
        do { policy = try Policy(interval: request.interval) } catch {
            throw DiskError(.refused, path: request.name, error.description)
        }
        disks = try Self.checkSources(request, files)
        let added = request.recipients.isEmpty ? 0 : SealedImage.defaultJournalByteCount + (1 << 20)
        neededBytes = disks.reduce(0) { $0.adding(Self.need($1))?.adding(added) ?? .max }
        freeBytes = try Self.checkTarget(request, disks)
        guard neededBytes <= freeBytes else {
            throw DiskError(
                .refused, path: request.target,
                "the copies need about \(neededBytes) bytes, and \(freeBytes) are free",
                hint: "free space there, or choose another folder")
        }
    }

    /// Data, and a block, tables and a footer besides.
    private static func need(_ disk: Disk) -> UInt64 {
        disk.occupiedBytes.adding(disk.occupiedBytes / 100 + (8 << 20)) ?? .max
    }

    private static func checkSources(_ request: ProtectionRequest, _ opener: FileOpener) throws -> [Disk] {
        guard !request.imagePaths.isEmpty else {
            throw DiskError(.refused, path: request.name, "no disk is named", hint: "use --disk IMAGE")
        }
        var disks: [Disk] = []
        var names: [String: String] = [:]
        var files: [PosixFile.Identity: String] = [:]
        for given in request.imagePaths {
            let path = Folders.absolute(given)
            let name = SafeName.ofDisk(fileName: splitPath(path).name)
            try SafeName.check(name, "the disk's name")
            let source = try SourceDisk(path, parentFolders: request.parentFolders, files: opener)
            if let other = files.updateValue(path, forKey: try source.identity()) {
                throw DiskError(.refused, path: path, "is the same disk as \(other)", hint: "name each disk once")
            }
            if let other = names.updateValue(path, forKey: name) {
                throw DiskError(
                    .refused, path: path, "the disk's name \(name) is that of \(other), too",
                    hint: "the replica names disks without their extension: rename one of them")
            }
            disks.append(
                Disk(
                    name: name, path: path,
                    replicaPath: ReplicaStore(folder: "\(request.target)/\(request.name)").disk(
                        name, source.blueprint.fileExtension),
                    blueprint: source.blueprint, occupiedBytes: try source.occupiedBytes(),
                    layerCount: source.chain.layers.count, hasPendingLog: source.chain.hasReplayedLog,
                    findings: source.chain.findings + source.chain.layers.flatMap(\.findings)))
        }
        return disks
    }

    /// - Returns: bytes free there.
    private static func checkTarget(_ request: ProtectionRequest, _ disks: [Disk]) throws -> UInt64 {
        let store = ReplicaStore(folder: "\(request.target)/\(request.name)")
        if Folders.exists(request.target), !Folders.isFolder(request.target) {
            throw DiskError(.refused, path: request.target, "is not a folder", hint: "choose a folder for replicas")
        }
        if let found = try JSONFile.load(StoreDocument.self, store.document) {
            throw DiskError(
                .refused, path: store.folder, "this folder holds another relationship's replica (id \(found.id))",
                hint: "choose another folder, or remove that one: "
                    + "vhdreplica unprotect \(request.name) --to \(request.target)")
        }
        for disk in disks where Folders.exists(disk.replicaPath) { throw occupied(disk.replicaPath) }
        let existing = Folders.nearestExisting(store.folder)
        guard Folders.isWritable(existing) else {
            throw DiskError(
                IOError("access", path: existing, .errno(errno == 0 ? EACCES : errno)), doing: "checking the target")
        }
        return try Folders.freeBytes(existing)
    }

    static func occupied(_ path: String) -> DiskError {
        DiskError(
            .refused, path: path, "a disk of that name is there already, and belongs to no relationship",
            hint: "move it away, or choose another folder with --to")
    }
}
