import ByteCodec
import Cipher
public import DiskModel
public import Replication

/// The contents of `primary.json`.
struct SourceDocument: Codable {
    static let schema = "vhdreplica-primary/1"

    struct Disk: Codable {
        /// From the root.
        var path: String
        var format: String
        /// Logs that were beside the disk when its copy was begun: they are in the copy, were never sent, and stay.
        var covered: [LogID] = []
        /// What the disk's files were like when its copy was begun.
        var fingerprint: Fingerprint?
        /// What they were like when the disk and its replica were last found, or taken, to be equal; nil while they are
        /// not known to be.
        var settled: Fingerprint?
        /// The last log sent then.
        var settledTip: LogID?
        /// Whether the disk changed while it was copied, and what the logs made of the copy was not compared yet: nothing but
        /// a change that escaped them explains a difference then.
        var awaitsFirstComparison: Bool?
        /// What the replica's disk was like when this side last left it.
        var replica: String?
        /// The last log there was when the copy was begun.
        var baseline: LogID?
        /// Which sealed file the replica's disk is.
        var keyCommitment: String?
    }

    var schema = Self.schema
    /// The relationship's identity, the same at both ends.
    var id: String
    /// The machine's name.
    var name: String
    /// Unix seconds.
    var created: Int64
    /// The folder given with `--to`, from the root.
    var target: String
    var keepsLogs: Bool
    var parentFolders: [String]
    /// For whom the replica is sealed, as age writes them; nil when it is not.
    var recipients: [String]?
    var disks: [Disk]
    var record: PrimaryRecord

    enum CodingKeys: String, CodingKey {
        case schema, id, name, created, target
        case keepsLogs = "keep_logs"
        case parentFolders = "parent_folders"
        case recipients = "seal_to"
        case disks, record
    }

    func check(_ path: String) throws(DiskError) -> Primary {
        guard schema == Self.schema else { throw JSONFile.damaged(path, "its schema is \(schema)") }
        guard GUID(id) != nil else { throw JSONFile.damaged(path, "its id is \(id)") }
        guard disks.count == record.disks.count, SafeName.fault(name) == nil,
            record.disks.allSatisfy({ SafeName.fault($0.identity.name) == nil }),
            disks.allSatisfy({ ImageFormat(rawValue: $0.format) != nil })
        else { throw JSONFile.damaged(path, "its disks do not fit together") }
        guard recipients.map({ !$0.isEmpty && $0.allSatisfy { Recipient($0) != nil } }) ?? true else {
            throw JSONFile.damaged(path, "its recipients are none")
        }
        do { return try Primary(record) } catch { throw JSONFile.damaged(path, error.description) }
    }

    var isSealed: Bool { recipients != nil }
    var specification: Specification {
        Specification(
            id: GUID(id) ?? .zero, name: name, policy: record.policy,
            disks: zip(record.disks, disks).map {
                .init(identity: $0.identity, format: ImageFormat(rawValue: $1.format) ?? .vhdx)
            })
    }
}

extension DiskProgress {
    /// Stands for the digest in records of what is sealed.
    static let withheldDigest = "withheld"
    /// Nil as well where the records leave it out.
    public var shownDigest: String? { digest == Self.withheldDigest ? nil : digest }
}

/// The folder with the state of all relationships of this source: `STATE/NAME/primary.json`.
public struct StateFolder: Sendable {
    public let path: String
    public init(_ path: String) { self.path = Folders.absolute(path) }

    func folder(_ name: String) -> String { "\(path)/\(name)" }
    func document(_ name: String) -> String { "\(folder(name))/primary.json" }

    /// Names of all relationships, sorted.
    public func names() throws(DiskError) -> [String] {
        guard !Folders.exists(path) || Folders.isFolder(path) else {
            throw DiskError(.refused, path: path, "the state folder is not a folder", hint: "name another with --state")
        }
        return try Folders.names(path).filter { SafeName.fault($0) == nil && Folders.exists(document($0)) }
    }

    func load(_ name: String) throws(DiskError) -> SourceDocument? {
        try JSONFile.load(SourceDocument.self, document(name))
    }

    func notProtected(_ name: String) -> DiskError {
        DiskError(
            .refused, path: name, "is not protected here (state folder \(path))",
            hint: "vhdreplica protect \(name) --disk IMAGE --to DIR, or name the state folder with --state")
    }
}
