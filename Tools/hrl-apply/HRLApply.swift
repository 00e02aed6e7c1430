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
              hrl-apply --until 2026-11-22T20:14:03Z --to disk.vhd log1.hrl

            Everything is checked before the first byte is written: a log that is damaged, not closed, out of order or \
            made for a larger disk leaves the image as it is. After a crash, run the same command again.
            """,
        version: versionText)
    static let schema = "hrl-apply/1"

    @Argument(help: "Closed replica logs, in any order.", completion: .file(extensions: ["hrl"]))
    var logs: [String]
    @Option(help: ArgumentHelp("The image to change.", valueName: "image"), completion: .file())
    var to: String
    @Option(help: ArgumentHelp("Stop before the first write after this time.", valueName: "time"))
    var until: TimeArgument?
    @Option(help: ArgumentHelp("Stop after so many writes, counted through all logs.", valueName: "n"))
    var untilRecord: UInt64?
    @Flag(help: "The logs are no chain: apply them in the order given.")
    var unlinked = false
    @Flag(help: "Write each write in turn, as logged; else of each place the last bytes only, along the disk.")
    var strict = false
    @Flag(help: "Check everything and say what would be done; write nothing.")
    var dryRun = false
    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    func perform(_ run: ToolRun) throws {
        allowOpenFiles(logs.count)
        let readers = try open(run)
        let order = try ordered(readers, run)
        try refuseTargetAmongLogs()
        let progress = Progress("hrl-apply", total: 0, output: output, options: progressOptions)
        defer { progress.end() }
        // Opening for writing may replay the image's own log: what cannot be applied must be known before.
        let effect = try rehearse(order, run)
        if !dryRun { try apply(effect, progress) }
        progress.end()
        if !dryRun { run.addOutput(to, byteCount: try? PosixFile(to).byteCount()) }
        report(effect, run)
    }

    private func open(_ run: ToolRun) throws -> [LogReader] {
        let options = HRLReadOptions(accepting: imageOptions.openOptions.accepted)
        return try logs.map { path in
            do {
                let reader = try LogReader(try PosixFile(path), options: options)
                run.addInput(path, byteCount: reader.fileByteCount)
                return reader
            } catch var error as DiskError where error.isUnclosedLog {
                error.hint = "hrl-check --recover makes a closed copy of what can be found"
                throw error
            }
        }
    }

    private func ordered(_ readers: [LogReader], _ run: ToolRun) throws -> [LogReader] {
        guard !unlinked else { return readers }
        let order = try LogChainOrder(readers.map { LogLink($0) })
        for finding in order.findings { run.warn(to, [finding]) }
        return order.indices.map { readers[$0] }
    }

    private func refuseTargetAmongLogs() throws {
        let target = try PosixFile(to)
        for log in logs where try PosixFile(log).identity == target.identity {
            throw DiskError(.refused, path: to, "the image to change is also among the logs")
        }
    }

    /// Checks everything against the image open for reading.
    private func rehearse(_ order: [LogReader], _ run: ToolRun) throws -> LogEffect {
        let chain = try ImageChain.open(to, imageOptions.openOptions)
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
            run.warn(log.file.path, summary.findings.map(\.finding))
        }
        return effect
    }

    private func apply(_ effect: LogEffect, _ progress: Progress) throws {
        let chain = try ImageChain.open(writing: to, imageOptions.openOptions)
        progress.begin("hrl-apply", total: effect.isWhole ? effect.firstByteCount : effect.byteCount)
        _ = try effect.apply(to: chain, strict ? .strict : .coalesced) { progress.update($0.doneByteCount) }
        try chain.close()
    }
}
