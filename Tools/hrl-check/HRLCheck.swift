import ArgumentParser
import BlockIO
import ByteCodec
import DiskModel
import HRL
import ImageChain
import Toolbox

@main
struct HRLCheck: Tool {
    static let configuration = CommandConfiguration(
        commandName: "hrl-check",
        abstract: "Check replica logs: their rules, their order, their fit to a disk image.",
        discussion: """
            EXAMPLES
              hrl-check log1.hrl log2.hrl
              hrl-check --base disk.vhdx log1.hrl
              hrl-check --recover closed.hrl unclosed.hrl

            Exit status: 0 clean, 1 errors, 3 warnings or a log that was not closed, 2 no log or failed. A recovered log \
            may lack writes: it is good for looking and for mending, not for going on with a replication.
            """,
        version: versionText)
    static let schema = "hrl-check/1"

    @Argument(help: "Replica logs, in any order.", completion: .file(extensions: ["hrl"]))
    var logs: [String]
    @Option(
        help: ArgumentHelp("The image that the logs are to be applied to.", valueName: "image"), completion: .file())
    var base: String?
    @Option(
        help: ArgumentHelp("Write a closed copy of a log that was not closed.", valueName: "out"),
        completion: .file(extensions: ["hrl"]))
    var recover: String?
    @Flag(name: [.customShort("f"), .customLong("force")], help: "Replace an existing output file.")
    var replaces = false
    @Option(
        help: ArgumentHelp(
            "Of several possible last blocks, recover up to the one at this offset.", valueName: "offset"),
        transform: ByteQuantity.parse)
    var pick: ByteQuantity?
    @Flag(help: "With --recover: say what would be written; write nothing.")
    var dryRun = false
    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var newSeal: NewSealOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if recover != nil, logs.count != 1 { throw ValidationError("--recover takes one log") }
        if recover == nil, pick != nil || replaces || dryRun || newSeal.isGiven {
            throw ValidationError("--pick, -f, --seal, --seal-to and --dry-run go with --recover")
        }
    }

    func perform(_ run: ToolRun) throws {
        let options = imageOptions.openOptions
        let image = try base.map { try BaseImage($0, options, run) }
        let progress = Progress("hrl-check", total: 0, output: output, options: progressOptions)
        defer { progress.end() }
        var checked: [CheckedLog] = []
        for path in logs {
            do {
                let file = try options.files.open(path)
                let log = try CheckedLog(file, image, accepted: options.accepted, progress)
                run.addInput(path, byteCount: try file.host.byteCount())
                checked.append(log)
                run.raise(log.status)
            } catch { run.fail(error) }
        }
        let order = checked.count > 1 ? CheckedChain(checked, accepted: options.accepted) : nil
        if let order { run.raise(order.status) }
        progress.end()
        report(checked, order, image, run)
        guard let recover, let log = checked.first else { return }
        try recoverLog(log, to: recover, progress, run)
    }
}

/// The image that logs are held against.
struct BaseImage {
    let path: String
    let format: ImageFormat
    let virtualByteCount: UInt64
    /// Nil for other formats than VHDX.
    let dataWriteGUID: GUID?

    /// Opens the image alone: its size and identity are its own, whatever its parents are.
    init(_ path: String, _ options: OpenOptions, _ run: ToolRun) throws {
        let file = try options.files.open(path)
        let layer = try ImageOpener.layer(reading: file.contents, options)
        run.addInput(path, byteCount: try file.host.byteCount())
        run.warn(path, layer.findings)
        if layer.hasReplayedLog { run.noteReplayedLog(path) }
        (self.path, format, virtualByteCount) = (path, layer.format, layer.geometry.virtualByteCount)
        dataWriteGUID = layer.format == .vhdx ? layer.identity.id : nil
    }
}
