import ArgumentParser
import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import HRL
import Toolbox

@main
struct HRLMerge: Tool {
    static let configuration = CommandConfiguration(
        commandName: "hrl-merge",
        abstract: "Make one replica log of several, with the same effect and without what was overwritten.",
        discussion: """
            EXAMPLES
              hrl-merge log1.hrl log2.hrl -o merged.hrl
              hrl-merge --dry-run *.hrl -o merged.hrl
              hrl-merge --unlinked before.hrl after.hrl -o merged.hrl

            The merged log takes the place of the others in their chain: it follows what the first one follows, and what \
            follows the last one follows it. The states between are gone: all its writes bear the time of the newest.
            """,
        version: versionText)
    static let schema = "hrl-merge/1"

    @Argument(help: "Closed replica logs, in any order.", completion: .file(extensions: ["hrl"]))
    var logs: [String]
    @Option(
        name: [.customShort("o"), .customLong("output")], help: ArgumentHelp("The log to write.", valueName: "log"),
        completion: .file(extensions: ["hrl"]))
    var outputFile: String
    @Flag(name: [.customShort("f"), .customLong("force")], help: "Replace an existing log.")
    var replaces = false
    @Flag(help: "The logs are no chain: merge them in the order given.")
    var unlinked = false
    @Flag(help: "Give each write the checksum of its data, which Hyper-V leaves out.")
    var dataChecksums = false
    @Flag(help: "Merge and say what would be written; write nothing.")
    var dryRun = false
    @OptionGroup var acceptOptions: AcceptOptions
    @OptionGroup var keyOptions: KeyOptions
    @OptionGroup var newSeal: NewSealOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    func perform(_ run: ToolRun) throws {
        raiseOpenFileLimit(for: logs.count)
        let options = HRLReadOptions(accepting: acceptOptions.codes)
        let opened = try ClosedLogs(logs, options, isChain: !unlinked, keyOptions.files) { run.addInput($0.file) }
        run.warn(outputFile, opened.findings)
        if !dryRun {
            try refuseOverwriting(outputFile, logs, "among the logs to merge")
            try run.refuseOverwritingCaseLog(outputFile)
        }
        let progress = Progress("hrl-merge", total: 0, output: output, options: progressOptions)
        defer { progress.end() }
        // Made before anything is read: an output that cannot be is told at once.
        let made = dryRun ? nil : try newSeal.output(outputFile, replaces: replaces, keyOptions, staysSmall: true)
        let effect = try read(opened.readers, run, progress)
        let identity = try MergedIdentity(of: effect)
        let file: any BlockFile = made.map { DraftFile($0.file) } ?? CountingFile(outputFile)
        let (header, written) = try write(effect, identity, to: file, progress)
        try made?.commit()
        progress.end()
        if let made { run.addOutput(outputFile, byteCount: try made.host.byteCount()) }
        report(effect, identity, header, written, run)
    }

    /// Validates all logs, data checksums included.
    private func read(_ order: [LogReader], _ run: ToolRun, _ progress: Progress) throws -> LogEffect {
        progress.begin("hrl-merge: checking", total: order.reduce(0) { $0 + $1.endOfLog })
        let effect = try LogEffect(of: order) { done, _ in progress.update(done) }
        for (log, summary) in zip(order, effect.summaries) {
            run.warn(log.file.path, summary.findings.map(\.finding), dropped: summary.dropped)
        }
        return effect
    }

    private func write(
        _ effect: LogEffect, _ identity: MergedIdentity, to file: any BlockFile, _ progress: Progress
    ) throws -> (LogHeader, MergeResult) {
        var options = identity.writerOptions
        options.computesDataChecksums = dataChecksums
        progress.begin("hrl-merge", total: effect.isWhole ? effect.firstByteCount : effect.byteCount)
        let writer = try LogWriter.create(on: file, options)
        let written = try effect.merge(into: writer, time: identity.writeTime) { done, _ in progress.update(done) }
        try writer.close(at: identity.lastModified)
        return (writer.header, written)
    }
}
