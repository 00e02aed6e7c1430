import ArgumentParser
import BlockIO
import DiskModel
import ImageChain
import Toolbox

@main
struct VHDCompact: Tool {
    static let configuration = CommandConfiguration(
        commandName: "vhdcompact",
        abstract: "Drop the zero blocks of dynamic images, move the others down and cut the file, in place.",
        discussion: """
            EXAMPLES
              vhdcompact disk.vhdx
              vhdcompact --dry-run *.vhdx
              vhdcompact --json snapshot.avhdx

            The contents stay the same, and no second copy is made. Only zeros can be dropped: first let the guest \
            trim or overwrite with zeros what it does not use.
            """,
        version: versionText)
    static let schema = "vhdcompact/1"

    @Argument(help: "Dynamic or differencing VHD or VHDX images.", completion: .file())
    var images: [String]
    @Flag(help: "Look and say what would be done; write nothing.")
    var dryRun = false
    @OptionGroup var imageOptions: BlockImageOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    func perform(_ run: ToolRun) throws {
        for image in images {
            do { try compact(image, run) } catch let error as OutputFailure { throw error } catch { run.fail(error) }
            try run.out.flush()
            if output.json, images.count > 1 { try run.endDocument() }
        }
    }

    private func compact(_ image: String, _ run: ToolRun) throws {
        let file = try imageOptions.openOptions.files.open(image, dryRun ? .read : .write)
        run.addInput(image, byteCount: try file.host.byteCount())
        let compacting = try Compacting(file.contents, imageOptions.openOptions)
        run.warn(image, compacting.findings)
        if compacting.hasPendingLog {
            if dryRun {
                run.noteReplayedLog(image)
            } else {
                run.warn(image, "log pending: replayed into the file first", code: "VHDX005")
            }
        }
        let progress = Progress("vhdcompact", total: 0, output: output, options: progressOptions)
        defer { progress.end() }
        func show(_ done: UInt64, _ total: UInt64) { progress.update(done, of: total) }
        let plan = try dryRun ? compacting.plan(progress: show) : compacting.perform(progress: show)
        progress.end()
        if !dryRun { run.addOutput(image, byteCount: plan.newFileByteCount) }
        run.result = document(image, compacting, plan)
        try report(image, plan, run)
    }

    private func report(_ image: String, _ plan: CompactionPlan, _ run: ToolRun) throws {
        guard !output.json, !output.quiet else { return }
        func size(_ byteCount: UInt64) -> String { Quantity.bytes(byteCount, plain: output.bytes) }
        let (old, new) = (size(plan.oldFileByteCount), size(plan.newFileByteCount))
        let change =
            old == new ? "the file keeps its \(old)" : "file \(dryRun ? "would go" : "went") from \(old) to \(new)"
        try run.out.line("\(printable(image)): \(change)")
        let blocks = counted(plan.blockCount, "block", "blocks")
        try run.out.line(
            "  \(blocks): \(plan.droppedBlockCount) dropped, \(plan.movedBlockCount) moved, "
                + "\(size(plan.movedByteCount))")
    }

    private func document(_ image: String, _ compacting: Compacting, _ plan: CompactionPlan) -> JSONValue {
        [
            "path": .string(image), "format": .string(compacting.format.rawValue),
            "type": .string(compacting.type.rawValue), "dry_run": .bool(dryRun),
            "virtual_size": .unsigned(compacting.virtualByteCount),
            "old_file_size": .unsigned(plan.oldFileByteCount), "new_file_size": .unsigned(plan.newFileByteCount),
            "blocks": .unsigned(plan.blockCount), "dropped_blocks": .unsigned(plan.droppedBlockCount),
            "moved_blocks": .unsigned(plan.movedBlockCount), "moved_bytes": .unsigned(plan.movedByteCount),
        ]
    }
}
