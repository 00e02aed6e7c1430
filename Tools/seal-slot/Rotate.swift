import ArgumentParser
import BlockIO
import Digest
import DiskModel
import Glibc
import SealedFile
import Toolbox

struct Rotate: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Give a sealed file's contents a new data key, and new slots: a new container takes its place.",
        discussion: """
            EXAMPLES
              seal-slot rotate -i key.txt -R operators.txt disk.raw.sealed
              seal-slot rotate --passphrase-file old -p log.hrl.sealed
              seal-slot rotate --anchor sealed1:… -i key.txt -R age1… disk.raw.sealed

            Only the keys named by -R, -p and --new-… open the new one. It replaces the old one when all of it is there \
            and flushed; until then, and after any error, the old one is untouched. It takes as much space again.
            """)
    static let schema = "seal-slot-rotate/1"

    @Argument(help: "A sealed image or stream.", completion: .file())
    var file: String
    @Option(
        help: ArgumentHelp(
            "Of an image: refuse one that is older than this, or another, as seal-status told it.", valueName: "text"),
        transform: Anchor.parse)
    var anchor: Anchor?
    @Flag(help: "Read and check everything, and say what would be made; write nothing.")
    var dryRun = false
    @OptionGroup var newKeys: NewKeyOptions
    @OptionGroup var keyOptions: KeyOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    func perform(_ run: ToolRun) throws {
        // A link to the file stays one.
        let path = try realPath(file)
        try run.refuseOverwritingCaseLog(path)
        // Whoever may not write it cannot put another in its place by way of the folder, either.
        guard unsafe dryRun || access(path, W_OK) == 0 else {
            throw IOError("open", path: file, .errno(errno))
        }
        // From here on it is locked, so that nobody writes it while it is read.
        let pending = dryRun ? nil : try PendingFile(path, replaces: true)
        let old = try OldContainer(path, keyOptions, anchor: anchor, keepsWritersAway: dryRun)
        run.addInput(file, byteCount: try old.file.byteCount())
        let secrets = try newKeys.secrets(for: file)
        let progress = Progress("seal-slot", total: try old.workByteCount, output: output, options: progressOptions)
        defer { progress.end() }
        let made = try pending.map { try old.makeOutput($0, for: secrets) }
        let byteCount = try old.copy(to: made) { progress.update($0) }
        let otherNames = try old.otherNameCount
        try made?.finish()
        progress.end()
        report(old, made, byteCount, keyCount: secrets.count, run)
        warn(old, otherNames, run)
    }

    private func report(
        _ old: OldContainer, _ made: (any SealedOutput)?, _ byteCount: UInt64, keyCount: Int, _ run: ToolRun
    ) {
        if let made { run.addOutput(file, byteCount: made.byteCount) }
        run.result = [
            "path": .string(file), "dry_run": .bool(dryRun), "kind": .string(old.kind),
            "old_container_id": .string(old.envelope.containerID.hexadecimal),
            "container_id": .optional(made?.containerID.hexadecimal), "length": .unsigned(byteCount),
            "file_size": .optional(made?.byteCount), "chunk_size": .integer(Int64(old.envelope.chunkByteCount)),
            "keys": .integer(Int64(keyCount)), "anchor": .optional(made?.anchor?.description),
        ]
        guard !output.json, !output.quiet else { return }
        let size = Quantity.bytes(byteCount, plain: output.bytes)
        let keys = counted(keyCount, "key", "keys")
        try? run.out.line(
            "\(printable(file)): sealed \(old.kind) of \(size) \(dryRun ? "would get" : "has") a new data key, for \(keys)"
        )
        if let anchor = made?.anchor { try? run.out.line("  anchor \(anchor)") }
    }

    private func warn(_ old: OldContainer, _ otherNames: Int, _ run: ToolRun) {
        if old.envelope.kind == .image {
            run.warn(file, "anchors of the old container do not fit the new one")
        }
        if otherNames > 0 {
            run.warn(file, "other names of the old file that still lead to it: \(otherNames)")
        }
        run.warn(
            file,
            "copies of the old file, snapshots and blocks that the medium has put aside still open with its old keys")
    }
}
