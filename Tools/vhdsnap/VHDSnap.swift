import ArgumentParser
import BlockIO
import DiskModel
import Glibc
import ImageChain
import Toolbox

@main
struct VHDSnap: Tool {
    static let configuration = CommandConfiguration(
        commandName: "vhdsnap",
        abstract: "Make a differencing child of an image: a snapshot.",
        discussion: """
            EXAMPLES
              vhdsnap base.vhdx today.avhdx
              vhdsnap --windows-path 'D:\\images\\base.vhdx' base.vhdx /export/child.vhdx
              vhdsnap --block 32M base.vhdx archive.avhdx

            The child is empty, has the parent's size and sectors, and shows what the parent shows. From then on write to \
            the child only: a parent that is written makes its children wrong. The parent itself is not changed. The \
            child appears under its name when it is whole.
            """,
        version: versionText)
    static let schema = "vhdsnap/1"

    @Argument(help: "A VHD or VHDX: fixed, dynamic or differencing.", completion: .file())
    var parent: String
    @Argument(help: "The child to make, in the parent's format.", completion: .file())
    var child: String
    @Option(
        help: ArgumentHelp("Block size: 512K or 2M (VHD), 1M to 256M (VHDX); by default 2M.", valueName: "size"),
        transform: ByteQuantity.parse)
    var block: ByteQuantity?
    @OptionGroup var naming: ParentNamingOptions
    @Flag(name: [.customShort("f"), .customLong("force")], help: "Replace an existing file.")
    var replaces = false
    @Flag(help: "Check everything and say what would be made; write nothing.")
    var dryRun = false
    @OptionGroup var imageOptions: BlockImageOptions
    @OptionGroup var newSeal: NewSealOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard imageOptions.format != .raw else {
            throw ValidationError(
                "--format raw: a raw disk has no id, and so can have no children; there are vhd and vhdx")
        }
    }

    func perform(_ run: ToolRun) throws {
        run.addInput(parent, byteCount: try PosixFile(parent).byteCount())
        let snapshot = try Snapshot(
            of: parent, as: child, blockByteCount: block?.byteCount, naming: naming.naming, imageOptions.openOptions)
        try run.refuseOverwritingCaseLog(child)
        try refuseOverwriting(child, snapshot.chainPaths, "part of the chain below it")
        for (path, finding) in snapshot.findings { run.warn(path, [finding]) }
        for path in snapshot.replayedPaths { run.noteReplayedLog(path) }
        var fileByteCount: UInt64?
        if dryRun {
            try snapshot.create(on: MemoryFile(), created: ToolRun.now())
            try refuseExisting()
        } else {
            let output = try newSeal.output(
                child, replaces: replaces, imageOptions.keyOptions, like: snapshot.parentFile)
            try snapshot.create(on: output.file, created: ToolRun.now())
            try output.commit()
            let byteCount = try output.host.byteCount()
            fileByteCount = byteCount
            run.addOutput(child, byteCount: byteCount)
        }
        for note in snapshot.notes { run.warn(child, note.message, code: note.code.rawValue) }
        run.warn(
            parent, "from now on nothing may write to it: what is written there makes the child wrong",
            code: EditNote.Code.parentFrozen.rawValue)
        try report(snapshot, fileByteCount, run)
    }

    /// What making it would find.
    private func refuseExisting() throws {
        guard !replaces, (try? PosixFile(child)) != nil else { return }
        throw IOError("create", path: child, .errno(EEXIST))
    }

    private func report(_ snapshot: Snapshot, _ fileByteCount: UInt64?, _ run: ToolRun) throws {
        run.result = [
            "path": .string(child), "dry_run": .bool(dryRun), "format": .string(snapshot.format.rawValue),
            "type": "differencing", "virtual_size": .unsigned(snapshot.geometry.virtualByteCount),
            "block_size": .optional(snapshot.geometry.blockByteCount),
            "logical_sector_size": .integer(Int64(snapshot.geometry.logicalSectorByteCount)),
            "physical_sector_size": .integer(Int64(snapshot.geometry.physicalSectorByteCount)),
            "parent": snapshot.reference.document(path: parent),
            "chain": .array(([child] + snapshot.chainPaths).map(JSONValue.string)),
            "file_size": .optional(fileByteCount),
        ]
        guard !output.json, !output.quiet else { return }
        let size = Quantity.bytes(snapshot.geometry.virtualByteCount, plain: output.bytes)
        let block = snapshot.geometry.blockByteCount.map { output.bytes ? "\($0)" : Quantity.short($0) } ?? "none"
        try run.out.line(
            "\(printable(child)): \(dryRun ? "would make" : "made") \(snapshot.format.title), differencing, \(size), "
                + "blocks of \(block)")
        try run.out.line(
            "  parent: \(printable(snapshot.reference.relativePath)), \(snapshot.parentType), "
                + "id \(snapshot.reference.identity); a chain of \(snapshot.depth) images")
        guard newSeal.isGiven || snapshot.parentFile.isSealed else { return }
        try run.out.line(
            newSeal.isGiven
                ? "  sealed, for the keys that were named"
                : "  sealed, for the key that opened its parent, and no other")
    }
}
