import ArgumentParser
import ByteCodec
import Cipher
import DiskModel
import Replicator
import Toolbox

struct Protect: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Check both ends, and make a relationship.",
        discussion: """
            EXAMPLES
              vhdreplica protect web --disk /vm/web.vhdx --to /mnt/replica
              vhdreplica protect db --disk a.vhdx --disk b.vhd --to /mnt --seal-to keys.txt
              vhdreplica protect web --disk c.avhdx --parent-dir base --to /mnt --dry-run

            Nothing is copied yet: start does that.
            """)
    static let schema = "vhdreplica-protect/1"

    @Argument(help: "The machine's name: becomes a folder's.")
    var vm: String
    @Option(
        help: ArgumentHelp("A disk, VHD or VHDX; repeat for each, in the order of copying.", valueName: "image"),
        completion: .file())
    var disk: [String]
    @Option(help: ArgumentHelp("The folder of replicas.", valueName: "dir"), completion: .directory)
    var to: String
    @Option(help: ArgumentHelp("Time between cycles: 30s, 5m, 15m, or any from 1s to 24h.", valueName: "time"))
    var interval = Interval(seconds: 300)
    @Flag(help: "Keep logs beside the disks after they were sent.")
    var keepLogs = false
    @Option(
        help: ArgumentHelp("Another folder in which parents may be found; repeatable.", valueName: "dir"),
        completion: .directory, transform: ParentFolder.parse)
    var parentDir: [String] = []
    @Flag(help: "Check everything, and make nothing.")
    var dryRun = false
    @OptionGroup var sealToOptions: SealToOptions
    @OptionGroup var keyOptions: KeyOptions
    @OptionGroup var stateOptions: StateOptions
    @OptionGroup var output: OutputOptions

    var keys: KeyOptions? { keyOptions }

    func perform(_ run: ToolRun) throws {
        let request = ProtectionRequest(
            name: vm, imagePaths: disk, target: to, interval: interval.seconds, keepsLogs: keepLogs,
            parentFolders: parentDir, recipients: try sealToOptions.recipients(for: vm))
        try SafeName.check(vm, "the machine's name")
        try Relationship.checkUnprotected(vm, in: stateOptions.folder)
        if !dryRun { try Relationship.discardUnfinished(vm, in: stateOptions.folder, surroundings(run, nil)) }
        let found = try Prerequisites(request, files: keyOptions.files)
        for disk in found.disks {
            run.addInput(disk.path, byteCount: nil)
            run.warn(disk.path, disk.findings)
            if disk.hasPendingLog { run.noteReplayedLog(disk.path) }
        }
        let sealed =
            request.recipients.isEmpty
            ? try found.disks.filter { try keyOptions.files.open($0.path).isSealed } : []
        if !dryRun {
            _ = try working(run, vm, nil) {
                try Relationship.protect(request, found, in: stateOptions.folder, $0)
            }
        }
        for disk in sealed { run.warn(disk.path, "is sealed, and its replica is not: --seal-to seals that, too") }
        run.result = result(request, found)
        guard !output.json else { return }
        try printText(request, found, run)
    }

    private func result(_ request: ProtectionRequest, _ found: Prerequisites) -> JSONValue {
        [
            "name": .string(vm), "dry_run": .bool(dryRun), "target": .string(request.target),
            "interval": .unsigned(UInt64(interval.seconds)), "keep_logs": .bool(keepLogs),
            "seal_to": .array(request.recipients.map { .string($0.description) }),
            "needed_bytes": .unsigned(found.neededBytes), "free_bytes": .unsigned(found.freeBytes),
            "disks": .array(
                found.disks.map { disk in
                    [
                        "name": .string(disk.name), "path": .string(disk.path),
                        "replica_path": .string(disk.replicaPath),
                        "format": .string(disk.blueprint.format.rawValue),
                        "type": .string(disk.blueprint.type.rawValue),
                        "virtual_size": .unsigned(disk.blueprint.virtualByteCount),
                        "occupied_bytes": .unsigned(disk.occupiedBytes), "layers": .integer(Int64(disk.layerCount)),
                        "disk_id": .string(disk.blueprint.diskID.description),
                    ]
                }),
        ]
    }

    private func printText(_ request: ProtectionRequest, _ found: Prerequisites, _ run: ToolRun) throws {
        for disk in found.disks {
            let size = Quantity.bytes(disk.blueprint.virtualByteCount, plain: output.bytes)
            let chain = disk.layerCount > 1 ? ", flattened from \(disk.layerCount) images" : ""
            try run.out.line(
                "\(disk.name): \(disk.blueprint.format.title), \(disk.blueprint.type), \(size)\(chain)"
                    + " -> \(disk.replicaPath)")
        }
        let space =
            "about \(Quantity.short(found.neededBytes)) needed, \(Quantity.short(found.freeBytes)) free"
        let count = request.recipients.count
        let sealed = count == 0 ? "" : ", sealed for \(count) recipient\(count == 1 ? "" : "s")"
        try run.out.line(
            dryRun
                ? "\(vm): all checks passed (\(space)); nothing was made"
                : "\(vm): protected\(sealed), every \(Interval.text(interval.seconds)) (\(space)); next: vhdreplica start \(vm)"
        )
    }
}
