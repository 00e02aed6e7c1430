import ArgumentParser
import BlockIO
import ByteCodec
import DiskModel
import ImageChain
import Toolbox

@main
struct VHDMerge: Tool {
    static let configuration = CommandConfiguration(
        commandName: "vhdmerge",
        abstract: "Merge a differencing image, or several at once, into its parent, in place.",
        discussion: """
            EXAMPLES
              vhdmerge snapshot.avhdx
              vhdmerge --into base.vhdx snap3.avhdx
              vhdmerge --dry-run --into base.vhdx snap3.avhdx

            With --into, every image from the child down to the ancestor is merged, each sector moved once. Then \
            the ancestor shows what the child showed, and the merged files are removed (--keep: they stay).

            Whatever happens on the way, a power cut or a full disk, the child still reads right, and the same \
            command again completes the merge. Other children of the images that are merged into do not read right \
            afterwards: where some are found, nothing is done without --force.
            """,
        version: versionText)
    static let schema = "vhdmerge/1"

    @Argument(help: "The differencing image whose contents its ancestor is to show.", completion: .file())
    var child: String
    // A chain named image by image is a mistake with an answer of its own.
    @Argument(help: .hidden)
    var others: [String] = []
    @Option(
        help: ArgumentHelp(
            "Merge down to this image of the chain; without it, into the parent.", valueName: "ancestor"),
        completion: .file())
    var into: String?
    @Flag(help: "Keep the merged files; the child becomes a child of the ancestor, with the same contents.")
    var keep = false
    @Flag(
        name: [.short, .long], help: "Merge also where other children of these images would not read right any more.")
    var force = false
    @Flag(help: "Look and say what would be done; write nothing.")
    var dryRun = false
    @Option(
        help: ArgumentHelp("Move at most so many bytes a second, such as 50M.", valueName: "rate"),
        transform: ByteQuantity.parse)
    var throttle: ByteQuantity?
    @Option(
        name: .long,
        help: ArgumentHelp("Another folder in which parents may be found; repeatable.", valueName: "dir"),
        completion: .directory, transform: ParentFolder.parse)
    var parentDir: [String] = []
    @OptionGroup var keyOptions: KeyOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard others.isEmpty else {
            throw ValidationError(
                "\(others.count + 1) images are named: name the top one only, and the lowest, which takes its data, with "
                    + "--into, as in: vhdmerge --into LOWEST TOP")
        }
        if throttle?.byteCount == 0 { throw ValidationError("--throttle 0 would never end") }
    }

    func perform(_ run: ToolRun) throws {
        let merge = try Merge(
            child, into: into, OpenOptions(parentFolders: parentDir, files: keyOptions.files), plansOnly: dryRun)
        for path in merge.plan.links + [merge.plan.target] {
            run.addInput(path, byteCount: try PosixFile(path).byteCount())
        }
        let report = Report(plan: merge.plan, isDryRun: dryRun, keepsFiles: keep)
        run.result = report.document(isDone: false, removed: [])
        warnOfFindings(merge, run)
        if dryRun, !output.json, !output.quiet { try show(report, [], run) }
        try refuseBreaking(merge.plan)
        warnOfWork(merge.plan, run)
        if !dryRun {
            do { try perform(merge) } catch {
                run.result = report.document(isDone: false, removed: merge.removed)
                throw error
            }
            run.addOutput(merge.plan.target, byteCount: try PosixFile(merge.plan.target).byteCount())
            run.result = report.document(isDone: true, removed: merge.removed)
            warnOfRemaining(report, merge.removed, run)
        }
        if !dryRun, !output.json, !output.quiet { try show(report, merge.removed, run) }
    }

    private func show(_ report: Report, _ removed: [String], _ run: ToolRun) throws {
        for line in report.lines(plain: output.bytes, removed: removed) { try run.out.line(line) }
        try run.out.flush()
    }

    private func perform(_ merge: Merge) throws {
        let total = merge.plan.dataByteCount + merge.plan.zeroByteCount
        let progress = Progress("vhdmerge", total: total, output: output, options: progressOptions)
        defer { progress.end() }
        let pace = Pace(throttle?.byteCount)
        do throws(DiskError) {
            try merge.perform(keepsFiles: keep) { (done, _) throws(DiskError) in
                progress.update(done)
                pace.wait(for: done)
            }
        } catch {
            var error = error
            error.hint = error.hint ?? hint(after: error, merge)
            throw error
        }
    }

    private func hint(after error: DiskError, _ merge: Merge) -> String? {
        guard !merge.removed.contains(child) else { return "\(merge.plan.target) shows what \(child) showed" }
        if let broken = merge.childError() {
            return "\(child) does not read any more: \(broken.path): \(broken.explanation)"
        }
        guard error.kind == .io else { return nil }
        return "nothing is lost: \(child) reads as before, and the same command again completes the merge"
    }

    private func warnOfRemaining(_ report: Report, _ removed: [String], _ run: ToolRun) {
        guard !keep else { return }
        for path in report.images where !removed.contains(path) {
            run.warn(path, "it was renamed or replaced during the merge: it is not removed, and no longer needed")
        }
    }

    private func warnOfFindings(_ merge: Merge, _ run: ToolRun) {
        // Said in words of its own.
        for (path, finding) in merge.findings where finding.detail.code != .unfinishedMerge {
            run.warn(path, [finding])
        }
    }

    private func warnOfWork(_ plan: MergePlan, _ run: ToolRun) {
        for path in plan.pendingLogs {
            if dryRun {
                run.noteReplayedLog(path)
            } else {
                run.warn(path, "log pending: replayed first", code: "VHDX005")
            }
        }
        if plan.resumes {
            run.warn(
                child, "a merge of this chain was interrupted before; \(dryRun ? "it would be" : "it is") completed")
        }
        for path in plan.strays {
            run.warn(
                path,
                "it seems left over from an earlier merge of this chain, which was interrupted: its parent is gone, and "
                    + "its data is in \(plan.target); it is not removed, since nothing proves that")
        }
        for image in plan.invalidated {
            run.warn(image.path, "a child of \(image.parent): it will not read right after the merge")
        }
        for path in plan.locked {
            run.warn(path, "is sealed, and could not be opened: whether it is a child of these images is not known")
        }
        for image in plan.orphaned where !keep {
            let command = shellCommand(["vhdrebase", "--force-identity", "--parent", plan.target, image.path])
            run.warn(image.path, "a child of \(image.parent), which is merged away; afterwards: \(command)")
        }
    }

    /// What others still need is not taken from them unasked.
    private func refuseBreaking(_ plan: MergePlan) throws(DiskError) {
        if let path = plan.unsealed.first {
            throw DiskError(
                .refused, path: path, "it is sealed, and \(plan.target), which is not, would take its data in plain",
                hint: "seal that one first (seal --image), or unseal this one")
        }
        guard !force else { return }
        if let image = plan.invalidated.first {
            let more = plan.invalidated.count > 1 ? " (and \(plan.invalidated.count - 1) more)" : ""
            throw DiskError(
                .refused, path: image.path,
                "it\(more) is another child of \(image.parent), and would not read right after the merge",
                hint: "make an image of its own of it first (vhdconvert), or say --force to give it up")
        }
        if let path = plan.locked.first {
            let more = plan.locked.count > 1 ? " (and \(plan.locked.count - 1) more)" : ""
            throw DiskError(
                .refused, path: path,
                "it\(more) is sealed, and could not be opened: another child of these images would not read right after the "
                    + "merge", hint: "give its key, wait for a program that writes it, put it elsewhere, or say --force"
            )
        }
        if let image = plan.orphaned.first, !keep {
            throw DiskError(
                .refused, path: image.path, "it is a child of \(image.parent), which would be merged away",
                hint: "--keep keeps both right; or merge from the top: vhdmerge --into \(plan.target) \(image.path)")
        }
    }
}
