import BlockIO
import ByteCodec
import DiskModel
import Replication

/// Places in the store of one replica: `STORE/NAME/…`.
struct ReplicaStore {
    let folder: String

    var document: String { "\(folder)/replica.json" }
    var disksFolder: String { "\(folder)/disks" }
    var logsFolder: String { "\(folder)/logs" }

    func disk(_ name: String, _ format: String) -> String { "\(disksFolder)/\(name).\(format)" }
    func records(_ name: String) -> String { "\(disksFolder)/\(name).copy" }
    func logFolder(_ name: String) -> String { "\(logsFolder)/\(name)" }

    func log(_ disk: String, _ log: StoredLog) -> String {
        let digits = String(log.sequence)
        let sequence = String(repeating: "0", count: max(0, 8 - digits.utf8.count)) + digits
        return "\(logFolder(disk))/\(sequence)-\(log.id).hrl"
    }

    /// What a link leads to is no file of this replica, and would be written to.
    static func link(at path: String) -> DiskError {
        DiskError(.refused, path: path, linkProblem, hint: linkRemedy)
    }
    static let linkProblem = "a symbolic link stands in the place of the replica's file"
    static let linkRemedy = "put the file itself back"
}

/// The contents of `replica.json`.
struct StoreDocument: Codable {
    static let schema = "vhdreplica-store/1"

    struct Disk: Codable {
        var name: String
        var format: String
    }

    var schema = Self.schema
    /// The relationship's identity, the same at both ends.
    var id: String
    /// The machine's name.
    var name: String
    /// Unix seconds.
    var created: Int64
    var disks: [Disk]
    var record: ReplicaRecord

    /// Checks what decoding does not.
    func check(_ path: String) throws(DiskError) -> Replica {
        guard schema == Self.schema else { throw JSONFile.damaged(path, "its schema is \(schema)") }
        guard GUID(id) != nil else { throw JSONFile.damaged(path, "its id is \(id)") }
        guard disks.map(\.name) == record.disks.map(\.identity.name),
            disks.allSatisfy({ SafeName.fault($0.name) == nil && ["vhd", "vhdx"].contains($0.format) })
        else { throw JSONFile.damaged(path, "its disks do not fit together") }
        do { return try Replica(record) } catch { throw JSONFile.damaged(path, error.description) }
    }
}
