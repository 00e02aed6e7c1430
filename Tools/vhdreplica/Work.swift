import ArgumentParser
import DiskModel
import Replication
import Replicator
import Toolbox

struct Start: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Copy the disks, one at a time; goes on where it was interrupted.",
        discussion: """
            EXAMPLES
              vhdreplica start web
              vhdreplica start web --progress 3 3>progress.txt
              vhdreplica start web --json | jq -r '.result.disks[].digest'

            Every copy is read back and compared by hash. Logs that close beside the disks meanwhile are sent and merged \
            at the end.
            """)
    static let schema = "vhdreplica-start/1"

    @Argument(help: "The machine's name.")
    var vm: String
    @OptionGroup var keyOptions: KeyOptions
    @OptionGroup var stateOptions: StateOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    var keys: KeyOptions? { keyOptions }

    func perform(_ run: ToolRun) throws {
        try work(run, vm, progressOptions) { relationship in
            try relationship.start()
        } text: { result, disks in
            for disk in disks {
                let copied = Quantity.short(disk.copiedBytes)
                try run.out.line(
                    "\(disk.name): copied \(Quantity.short(disk.size)) (\(copied) written) and verified, "
                        + "\(disk.digest ?? "-")")
            }
            try run.out.line("\(vm): \(result)")
        }
    }
}

struct Sync: Verb {
    static let configuration = CommandConfiguration(
        abstract: "One cycle now: send the closed logs beside each disk, and merge them into the replica.",
        discussion: """
            EXAMPLES
              vhdreplica sync web
              vhdreplica sync web --json | jq '.result.disks[].bytes_sent'
              vhdreplica sync web --verify

            A log out of order, unclosed, damaged or beyond the disk stops the machine: nothing of the cycle is sent.
            """)
    static let schema = "vhdreplica-sync/1"

    @Argument(help: "The machine's name.")
    var vm: String
    @Flag(help: "Compare the contents of disks and replicas afterwards, also where nothing asks for it.")
    var verify = false
    @OptionGroup var keyOptions: KeyOptions
    @OptionGroup var stateOptions: StateOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    var keys: KeyOptions? { keyOptions }

    func perform(_ run: ToolRun) throws {
        try work(run, vm, progressOptions) { relationship in
            try relationship.sync(verifying: verify)
        } text: { result, disks in
            for disk in disks {
                try run.out.line(
                    disk.sentLogs + disk.appliedLogs == 0
                        ? "\(disk.name): no new log"
                        : "\(disk.name): \(disk.sentLogs) sent (\(Quantity.bytes(disk.sentBytes, plain: output.bytes)))"
                            + ", \(disk.appliedLogs) merged")
            }
            try run.out.line("\(vm): \(result)")
        }
    }
}

struct Unprotect: Verb {
    static let configuration = CommandConfiguration(
        abstract: "End a relationship on both sides; whole disks stay at the target.",
        discussion: """
            EXAMPLES
              vhdreplica unprotect web
              vhdreplica unprotect web --json | jq -r '.result.kept[]'
              vhdreplica unprotect web --to /mnt/replica

            The last form removes a replica whose source's records are lost.
            """)
    static let schema = "vhdreplica-unprotect/1"

    @Argument(help: "The machine's name.")
    var vm: String
    @Option(
        help: ArgumentHelp(
            "Only the replica in this folder of replicas: it is of no relationship here.", valueName: "dir"),
        completion: .directory)
    var to: String?
    @OptionGroup var stateOptions: StateOptions
    @OptionGroup var output: OutputOptions

    func perform(_ run: ToolRun) throws {
        let kept = try working(run, vm, nil) { surroundings in
            guard let to else {
                return try Relationship.open(vm, in: stateOptions.folder, surroundings).unprotect()
            }
            return try Relationship.removeReplica(vm, of: to, in: stateOptions.folder, surroundings)
        }
        run.result = ["name": .string(vm), "kept": .array(kept.map(JSONValue.string))]
        guard !output.json else { return }
        for path in kept { try run.out.line("\(path): stays") }
        try run.out.line("\(vm): no longer protected")
    }
}

/// What a run did to one disk, for people and JSON.
struct DiskWork {
    var name: String
    var path: String
    var replicaPath: String
    var size: UInt64
    var copiedBytes: UInt64
    var sentLogs: Int
    var sentBytes: UInt64
    var appliedLogs: Int
    var digest: String?
    var position: ChainPosition

    var json: JSONValue {
        [
            "name": .string(name), "path": .string(path), "replica_path": .string(replicaPath),
            "virtual_size": .unsigned(size), "bytes_copied": .unsigned(copiedBytes),
            "logs_sent": .integer(Int64(sentLogs)), "bytes_sent": .unsigned(sentBytes),
            "logs_applied": .integer(Int64(appliedLogs)), "digest": .optional(digest),
            "received": .optional(position.received?.description), "applied": .optional(position.applied?.description),
        ]
    }
}

extension Verb {
    /// Opens the relationship, does the work, and reports: also how far it came when it failed.
    func work(
        _ run: ToolRun, _ vm: String, _ progress: ProgressOptions, _ body: (Relationship) throws -> Void,
        text: (String, [DiskWork]) throws -> Void
    ) throws {
        try working(run, vm, progress) { surroundings in
            let relationship = try Relationship.open(vm, in: stateOptions.folder, surroundings)
            var thrown: (any Error)?
            do { try body(relationship) } catch { thrown = error }
            let status = try? RelationshipStatus(
                vm, in: stateOptions.folder, at: surroundings.now(), files: surroundings.files.quiet)
            if let status {
                let disks = status.disks.indices.map { diskWork($0, status, relationship) }
                run.result = [
                    "name": .string(vm), "state": .string(status.primary.state.rawValue),
                    "replica_state": .optional(status.replica?.state.rawValue),
                    "health": .string(status.level.rawValue), "disks": .array(disks.map(\.json)),
                ]
                if thrown == nil, !output.json {
                    try text("\(status.primary.state), \(status.level)", disks)
                }
            }
            if let thrown { throw thrown }
        }
    }

    private func diskWork(_ index: Int, _ status: RelationshipStatus, _ relationship: Relationship) -> DiskWork {
        let disk = status.disks[index]
        let tally = relationship.performer.tallies[index]
        let applied = relationship.appliedCounts
        return DiskWork(
            name: disk.name, path: disk.path, replicaPath: disk.replicaPath, size: disk.primary.disk.size,
            copiedBytes: tally.copiedBytes, sentLogs: tally.sentLogs, sentBytes: tally.sentBytes,
            appliedLogs: applied.indices.contains(index) ? applied[index] : 0,
            digest: tally.digest ?? disk.primary.shownDigest,
            position: disk.replica?.position ?? disk.primary.position)
    }
}
