import ArgumentParser
import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import HRL
import ImageChain
import Toolbox

@main
struct HRLApply: Tool {
    static let configuration = CommandConfiguration(
        commandName: "hrl-apply",
        abstract: "Apply replica logs to a disk image, in the order of their chain.",
        discussion: """
            EXAMPLES
              hrl-apply --to disk.vhdx log1.hrl log2.hrl
              hrl-apply --dry-run --to disk.vhdx *.hrl
              hrl-apply --undo undo.hrl --to disk.vhdx log1.hrl; hrl-apply --to disk.vhdx undo.hrl

            Everything is checked before the first byte is written: a log that is damaged, not closed, out of order or \
            made for a larger disk leaves the image as it is. After a crash, run the same command again; with the same \
            --undo, what the first run saved is kept, and takes back both.
            """,
        version: versionText)
    static let schema = "hrl-apply/1"

    @Argument(help: "Closed replica logs, in any order.", completion: .file(extensions: ["hrl"]))
    var logs: [String]
    @Option(help: ArgumentHelp("The image to change.", valueName: "image"), completion: .file())
    var to: String
    @Option(
        help: ArgumentHelp(
            "First save what will be overwritten in this log; applying it takes the logs back.", valueName: "undo"),
        completion: .file(extensions: ["hrl"]))
    var undo: String?
    @Flag(
        name: [.customShort("f"), .customLong("force")],
        help: "Replace a file at UNDO that is not the undo log of these logs; never after an interrupted run.")
    var force = false
    @Option(
        help: ArgumentHelp(
            "Stop before the first write after this time, such as 2026-11-22T20:14:03Z or 2026-11-22T21:14:03+01:00.",
            valueName: "time"),
        transform: TimeArgument.parse)
    var until: TimeArgument?
    @Option(help: ArgumentHelp("Stop after so many writes, counted through all logs.", valueName: "n"))
    var untilRecord: UInt64?
    @Flag(help: "The logs are no chain: apply them in the order given.")
    var unlinked = false
    @Flag(help: "Write each write in turn, as logged; else of each place the last bytes only.")
    var strict = false
    @Flag(help: "Check everything and say what would be done; write nothing.")
    var dryRun = false
    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if force, undo == nil { throw ValidationError("-f replaces what stands at --undo, which is missing") }
    }

    func perform(_ run: ToolRun) throws {
        raiseOpenFileLimit(for: logs.count)
        let options = HRLReadOptions(accepting: imageOptions.openOptions.accepted)
        let opened = try ClosedLogs(logs, options, isChain: !unlinked) {
            run.addInput($0.file.path, byteCount: $0.fileByteCount)
        }
        run.warn(to, opened.findings)
        for log in opened.undoLogsAmongOthers {
            run.warn(log.file.path, "is an undo log among others: it takes back what those before it write")
        }
        try refuseTargetAmongLogs()
        let progress = Progress("hrl-apply", total: 0, output: output, options: progressOptions)
        defer { progress.end() }
        // Opening for writing may replay the image's own log: what cannot be applied must be known before.
        let (chain, effect) = try rehearse(opened.readers, run)
        let order = strict ? ApplyOrder.strict : .coalesced
        if dryRun {
            let saved = try undo.flatMap { try rehearseUndo($0, effect, of: chain, run) }
            return report(effect, writtenByteCount: try effect.writtenByteCount(order), saved, run)
        }
        let (result, saved) = try apply(effect, order, progress, run)
        progress.end()
        run.addOutput(to, byteCount: try? PosixFile(to).byteCount())
        report(effect, writtenByteCount: result.writtenByteCount, saved, run)
    }

    private func refuseTargetAmongLogs() throws {
        let target = try PosixFile(to)
        for log in logs where try PosixFile(log).identity == target.identity {
            throw DiskError(.refused, path: to, "the image to change is also among the logs")
        }
    }

    /// Checks everything against the image open for reading.
    private func rehearse(_ order: [LogReader], _ run: ToolRun) throws -> (ImageChain, LogEffect) {
        let chain = try ImageChain.open(to, imageOptions.openOptions)
        try refuseUndoOverInputs(chain, run)
        run.warn(to, chain.findings)
        for layer in chain.layers {
            run.warn(layer.file.path, layer.findings)
            guard layer.hasReplayedLog else { continue }
            if dryRun || layer !== chain.leaf {
                run.noteReplayedLog(layer.file.path)
            } else {
                run.warn(to, "log pending: replayed into the file first", code: "VHDX005")
            }
        }
        let effect = try LogEffect(
            of: order, limit: WriteLimit(time: until?.diskTimestamp, count: untilRecord),
            virtualByteCount: chain.geometry.virtualByteCount)
        for (log, summary) in zip(order, effect.summaries) {
            run.warn(log.file.path, summary.findings.map(\.finding), dropped: summary.dropped)
        }
        return (chain, effect)
    }

    private func apply(
        _ effect: LogEffect, _ order: ApplyOrder, _ progress: Progress, _ run: ToolRun
    ) throws -> (ApplyResult, UndoOutcome?) {
        let disk: ImageChain
        var saved: UndoOutcome?
        if let undo {
            (disk, saved) = try openSaving(undo, effect, progress, run)
        } else {
            disk = try ImageChain.open(writing: to, imageOptions.openOptions)
        }
        let isBounded = order == .coalesced && effect.isWhole
        progress.begin("hrl-apply", total: isBounded ? effect.firstByteCount : effect.byteCount)
        do {
            let result = try effect.apply(to: disk, order) { progress.update($0.doneByteCount) }
            try disk.close()
            try checkParents(of: disk)
            return (result, saved)
        } catch {
            var error = error
            if error.hint == nil {
                error.hint =
                    "the image may hold a part of the logs: " + (error.isOutOfSpace ? "make room, and " : "")
                    + "run the same command again" + (saved.map { ", or apply \($0.path) to go back" } ?? "")
            }
            throw error
        }
    }

    /// What the image does not hold itself, of a sector written in part and in an undo log, comes from its parents.
    func checkParents(of disk: ImageChain) throws(DiskError) {
        try ReadWitness(disk.layers.dropFirst(), imageOptions.openOptions).check()
    }

    /// Opens the image for writing when its undo log is there. The writer's lock is held before anything is saved: what
    /// is saved is what will be overwritten.
    private func openSaving(
        _ undo: String, _ effect: LogEffect, _ progress: Progress, _ run: ToolRun
    ) throws -> (ImageChain, UndoOutcome?) {
        let options = imageOptions.openOptions
        let file = try options.files.open(to, .write, doing: "opening for writing")
        let chain = try ImageChain.open(file, options)
        let (saved, pending) = try saveUndo(undo, effect, of: chain, progress, run)
        let leaf = try ImageOpener.layer(writing: file.contents, options)
        let disk = try ImageChain(leafFirst: [leaf] + chain.layers.dropFirst(), writableLeaf: leaf)
        // All that can refuse has had its say, and nothing was overwritten yet.
        if let pending, let saved { try commit(pending, saved, run) }
        return (disk, saved)
    }
}
