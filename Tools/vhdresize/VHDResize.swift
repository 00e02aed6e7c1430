import ArgumentParser
import BlockIO
import DiskModel
import ImageChain
import Toolbox

@main
struct VHDResize: Tool {
    static let configuration = CommandConfiguration(
        commandName: "vhdresize",
        abstract: "Give a virtual disk another size, in place.",
        discussion: """
            EXAMPLES
              vhdresize disk.vhdx 80G
              vhdresize --dry-run disk.vhdx +10G
              vhdresize disk.vhd -- -512M

            A smaller size is refused where data or a partition stands past the new end; --shrink cuts it off. \
            Everything is checked before the file is changed. A difference with a minus goes behind --.
            """,
        version: versionText)
    static let schema = "vhdresize/1"

    @Argument(help: "A VHD, VHDX or (with --format raw) raw image.", completion: .file())
    var image: String
    @Argument(
        help: "The new size, such as 80G; or a difference, such as +10G or, behind --, -512M.",
        transform: SizeArgument.parse)
    var size: SizeArgument
    @Flag(help: "Cut off what stands past the new end, data and partitions included.")
    var shrink = false
    @Flag(help: "Check everything and say what would be done; write nothing.")
    var dryRun = false
    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    /// A difference with a minus would be taken for an option, and only be said to be missing.
    static func main() {
        let options = CommandLine.arguments.dropFirst().prefix { $0 != "--" }
        if let size = options.first(where: { $0.hasPrefix("-") && SizeArgument(argument: $0) != nil }) {
            endProgram(
                Self.self, ValidationError("a difference with a minus goes behind --, as in: IMAGE -- \(size)"))
        }
        runProgram(Self.self)
    }

    func perform(_ run: ToolRun) throws {
        let file = try imageOptions.openOptions.files.open(image, dryRun ? .read : .write)
        run.addInput(image, byteCount: try file.host.byteCount())
        let progress = Progress("vhdresize: looking", total: 0, output: output, options: progressOptions)
        defer { progress.end() }
        let resizing = try Resizing(file, to: size.target, imageOptions.openOptions) { done, total in
            progress.update(done, of: total)
        }
        warn(resizing, run)
        run.result = document(resizing, nil)
        try judgeTail(resizing, run)
        var done: ResizePlan?
        if !dryRun {
            progress.begin("vhdresize", total: 0)
            done = try resizing.perform { done, total in progress.update(done, of: total) }
            run.addOutput(image, byteCount: done?.newFileByteCount)
        }
        progress.end()
        run.result = document(resizing, done)
        try report(resizing, done ?? resizing.plan, run)
    }

    private func warn(_ resizing: Resizing, _ run: ToolRun) {
        for (path, finding) in resizing.findings { run.warn(path, [finding]) }
        for note in resizing.notes where note.code == .largerParent {
            run.warn(image, note.message, code: note.code.rawValue)
        }
        guard resizing.hasPendingLog else { return }
        if dryRun {
            run.noteReplayedLog(image)
        } else {
            run.warn(image, "log pending: replayed into the file first", code: "VHDX005")
        }
    }

    private func judgeTail(_ resizing: Resizing, _ run: ToolRun) throws {
        guard let tail = resizing.tail, !tail.isUnused else { return }
        let loss = describe(tail)
        guard shrink else {
            throw DiskError(
                .refused, path: image, "it would be cut off at \(tail.range.lowerBound): \(loss)",
                hint: "--shrink does so all the same, and what is cut off is lost")
        }
        run.warn(image, "\(dryRun ? "would be" : "is") cut off at \(tail.range.lowerBound): \(loss)", code: "data_cut")
    }
}
