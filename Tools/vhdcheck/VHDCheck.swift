import ArgumentParser
import BlockIO
import ByteCodec
import DiskModel
import Glibc
import ImageChain
import Synchronization
import Toolbox

@main
struct VHDCheck: Tool {
    static let configuration = CommandConfiguration(
        commandName: "vhdcheck",
        abstract: "Check images against every rule of their format, and repair what you name.",
        discussion: """
            EXAMPLES
              vhdcheck disk.vhdx
              vhdcheck --repair=safe --dry-run disk.vhd
              vhdcheck --undo disk.vhd.undo disk.vhd

            Exit status: 0 clean, 1 errors, 3 warnings or a pending log, 2 failed, 5 in use. Nothing is written without \
            --repair or --undo; a repair first saves all it changes in IMAGE.undo.
            """,
        version: versionText)
    static let schema = "vhdcheck/1"

    @Argument(help: "VHD or VHDX images.", completion: .file())
    var images: [String]
    @Flag(help: "Read the data too: whether every block can be read, and what bitmaps say about it.")
    var deep = false
    @Option(
        help: ArgumentHelp(
            "Repair: safe (all that can cost nothing), or some of \(RepairList.names(RepairKind.allCases)).",
            valueName: "list"))
    var repair: RepairList?
    @Flag(help: "With --repair or --undo: say what would be done; write nothing.")
    var dryRun = false
    @Option(
        help: ArgumentHelp("With --repair: the undo file, instead of IMAGE.undo.", valueName: "file"),
        completion: .file())
    var undoFile: String?
    @Option(
        help: ArgumentHelp("Put back what this undo file of a repair holds.", valueName: "file"), completion: .file())
    var undo: String?
    @OptionGroup var imageOptions: BlockImageOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let problem = repair?.problem { throw ValidationError(problem) }
        if repair != nil, undo != nil { throw ValidationError("--repair and --undo exclude each other") }
        if repair == nil, undoFile != nil { throw ValidationError("--undo-file goes with --repair") }
        if repair == nil, undo == nil, dryRun { throw ValidationError("--dry-run goes with --repair or --undo") }
        if undoFile != nil, images.count > 1 { throw ValidationError("--undo-file takes one image") }
        if undo != nil, images.count > 1 { throw ValidationError("--undo takes one image") }
        if undo != nil, deep { throw ValidationError("--deep does not go with --undo") }
    }

    func perform(_ run: ToolRun) throws {
        for image in images {
            do { try process(image, run) } catch let error as OutputFailure { throw error } catch { run.fail(error) }
            if output.json, images.count > 1 { try run.endDocument() }
        }
    }

    private func process(_ image: String, _ run: ToolRun) throws {
        let progress = Progress("vhdcheck", total: 0, output: output, options: progressOptions)
        defer { progress.end() }
        if let undo { return try putBack(undo, image, progress, run) }
        var outcome = try checked(image, progress, run)
        progress.end()
        outcome.accepted = imageOptions.openOptions.accepted
        run.raise(outcome.status)
        run.result = document(outcome)
        if !output.json { try show(outcome, run) }
        // What is said on standard error about the next image must not come before this.
        try run.out.flush()
        if let failure = outcome.failure { throw failure }
    }

    /// Checks, and repairs where that was asked for.
    private func checked(_ image: String, _ progress: Progress, _ run: ToolRun) throws -> Outcome {
        let writes = repair != nil && !dryRun
        let file = try imageOptions.openOptions.files.open(image, writes ? .write : .read)
        run.addInput(image, byteCount: try file.host.byteCount())
        var outcome = Outcome(path: image, check: try check(file.contents, file, "checking", progress))
        guard let kinds = repair?.kinds else { return outcome }
        outcome.repair = Outcome.Repair(kinds: kinds, isDryRun: dryRun)
        if dryRun {
            try tryRepair(file, progress, &outcome)
        } else {
            try doRepair(file, progress, &outcome, run)
        }
        return outcome
    }

    private func check(
        _ file: any BlockFile, _ original: OpenedFile, _ label: String, _ progress: Progress
    ) throws -> ImageCheck {
        try ImageChecker.check(
            file, identity: original.identity, imageOptions.openOptions, checkOptions,
            progress: reporting(label, progress))
    }

    private var checkOptions: CheckOptions {
        var options = CheckOptions()
        (options.isDeep, options.now) = (deep, ToolRun.now())
        return options
    }

    private func reporting(_ label: String, _ progress: Progress) -> EditProgress {
        var total: UInt64?
        return { done, whole in
            if total != whole { progress.begin("vhdcheck: \(label)", total: whole) }
            total = whole
            progress.update(done)
        }
    }

    /// What a dry run may hold in memory of what it would write.
    private static let dryRunByteLimit: UInt64 = 32 << 20

    /// The repair on top of the file, in memory.
    private func tryRepair(_ file: OpenedFile, _ progress: Progress, _ outcome: inout Outcome) throws {
        let overlay = try OverlayFile(over: file.contents, heldByteLimit: Self.dryRunByteLimit)
        do throws(DiskError) {
            outcome.repair?.actions = try ImageChecker.repair(
                overlay, as: outcome.check.format, repair?.kinds ?? [], checkOptions,
                progress: reporting("trying the repair", progress))
        } catch {
            guard error.ioError?.call == "write", error.ioError?.reason == OverlayFile.isFull else { throw error }
            throw DiskError(
                .refused, path: file.path, "this repair writes more than a dry run can hold in memory",
                hint: "name fewer kinds, or try it on a copy")
        }
        outcome.repair?.check = try check(overlay, file, "checking again", progress)
    }

    /// The repair itself: everything is saved in an undo file before it is changed. What fails on the way is kept with
    /// the outcome, so that it is told what was found before.
    private func doRepair(_ file: OpenedFile, _ progress: Progress, _ outcome: inout Outcome, _ run: ToolRun) throws {
        let (wanted, image) = (undoFile, file.path)
        if let wanted, UndoPlace.isTaken(wanted) {
            throw DiskError(.refused, path: wanted, "is there already", hint: "name a new undo file")
        }
        let keys = imageOptions.keyOptions
        let unsealable = Mutex<DiskError?>(nil)
        let saving = try UndoFile(
            file.contents,
            makeJournal: { () throws(IOError) in
                let host = try UndoPlace.make(wanted, for: image)
                do throws(DiskError) { return try keys.contents(ofNew: host, like: file) } catch {
                    UndoPlace.remove(host)
                    unsealable.withLock { $0 = error }
                    throw error.ioError ?? IOError("seal", path: host.path, .errno(ENOMEM))
                }
            },
            dropJournal: { $0.storage.map(UndoPlace.remove) })
        defer {
            outcome.repair?.undoFile = saving.journal?.path
            if let journal = saving.journal {
                run.addOutput(image, byteCount: try? file.host.byteCount())
                run.addOutput(journal.path, byteCount: try? journal.byteCount())
            }
        }
        do {
            outcome.repair?.actions = try ImageChecker.repair(
                saving, as: outcome.check.format, repair?.kinds ?? [], checkOptions,
                progress: reporting("repairing", progress))
            try saving.finish()
            outcome.repair?.check = try check(file.contents, file, "checking again", progress)
        } catch {
            outcome.failure = unsealable.withLock { $0 } ?? error
        }
    }
}
