import ArgumentParser
import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import HRL
import ImageChain
import Toolbox

@main
struct HRLDiff: Tool {
    static let configuration = CommandConfiguration(
        commandName: "hrl-diff",
        abstract: "Write the replica log that turns one disk image into another.",
        discussion: """
            EXAMPLES
              hrl-diff old.vhdx new.vhdx -o change.hrl
              hrl-diff --after log1.hrl old.vhdx new.vhdx -o log2.hrl
              hrl-diff --format raw before.img after.vhd -o change.hrl

            Compares the contents of two disks of the same size, whatever their formats. The log is closed, and is there \
            whole or not at all.
            """,
        version: versionText)
    static let schema = "hrl-diff/1"

    @Argument(help: "The disk to change.", completion: .file())
    var old: String
    @Argument(help: "The disk as it shall be.", completion: .file())
    var new: String
    @Option(
        name: [.customShort("o"), .customLong("output")], help: ArgumentHelp("The log to write.", valueName: "log"),
        completion: .file(extensions: ["hrl"]))
    var outputFile: String
    @Flag(name: [.customShort("f"), .customLong("force")], help: "Replace an existing log.")
    var replaces = false
    @Option(
        help: ArgumentHelp("The closed log that the new one follows.", valueName: "log"),
        completion: .file(extensions: ["hrl"]))
    var after: String?
    @Flag(help: "Give each write the checksum of its data, which Hyper-V leaves out.")
    var dataChecksums = false
    @Option(
        help: ArgumentHelp("Time of the writes and of the log, instead of now.", valueName: "time"),
        transform: TimeArgument.parse)
    var time: TimeArgument?
    @Option(help: ArgumentHelp("UniqueId of the log, instead of a random one.", valueName: "guid"))
    var uniqueId: String?
    @Flag(help: "Compare and say what would be written; write nothing.")
    var dryRun = false
    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var newSeal: NewSealOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let uniqueId, GUID(uniqueId) == nil || GUID(uniqueId) == .zero {
            throw ValidationError("--unique-id takes a GUID other than zero, not \(uniqueId)")
        }
        if let time, time.diskTimestamp.unixSeconds != time.unixSeconds {
            throw ValidationError("--time must lie from 2000-01-01T00:00:00Z to 2136-02-07T06:28:15Z")
        }
    }

    func perform(_ run: ToolRun) throws {
        let oldDisk = try open(old, run)
        let newDisk = try open(new, run)
        let options = try logOptions(newDisk, run)
        try checkSizes(oldDisk, newDisk)
        let progress = Progress(
            "hrl-diff", total: newDisk.geometry.virtualByteCount, output: output, options: progressOptions)
        defer { progress.end() }
        if dryRun {
            let (writer, found) = try write(oldDisk, newDisk, to: CountingFile(outputFile), options, progress)
            try checkUnchanged(oldDisk, newDisk)
            return report(writer, found, newDisk, run)
        }
        try refuseOverwriting(oldDisk, newDisk)
        try run.refuseOverwritingCaseLog(outputFile)
        let made = try newSeal.output(outputFile, replaces: replaces, imageOptions.keyOptions, staysSmall: true)
        let (writer, found) = try write(oldDisk, newDisk, to: DraftFile(made.file), options, progress)
        try checkUnchanged(oldDisk, newDisk)
        try made.commit()
        progress.end()
        run.addOutput(outputFile, byteCount: try made.host.byteCount())
        report(writer, found, newDisk, run)
    }

    private func open(_ path: String, _ run: ToolRun) throws -> ImageChain {
        let chain = try ImageChain.open(path, imageOptions.openOptions)
        run.addInput(path, byteCount: try? PosixFile(path).byteCount())
        run.warn(path, chain.findings)
        for layer in chain.layers {
            run.warn(layer.file.path, layer.findings)
            if layer.hasReplayedLog { run.noteReplayedLog(layer.file.path) }
        }
        return chain
    }

    /// A log made from a mixture would turn no disk into another.
    private func checkUnchanged(_ old: ImageChain, _ new: ImageChain) throws {
        for disk in [old, new] { try disk.checkUnchanged(imageOptions.openOptions) }
    }

    private func checkSizes(_ old: ImageChain, _ new: ImageChain) throws {
        let (a, b) = (old.geometry.virtualByteCount, new.geometry.virtualByteCount)
        guard a != b else { return }
        throw DiskError(
            .refused, path: self.new,
            "has \(b) bytes, \(self.old) has \(a): a log cannot change a disk's size", hint: "resize one of them first")
    }

    private func logOptions(_ new: ImageChain, _ run: ToolRun) throws -> LogWriter.Options {
        var options = LogWriter.Options()
        if let uniqueId, let id = GUID(uniqueId) { options.uniqueID = id }
        if let after {
            let previous = try previousLog(after, run)
            guard previous.uniqueID != options.uniqueID else {
                throw DiskError(
                    .refused, path: after, "has the UniqueId \(options.uniqueID) that the new log shall have")
            }
            options.previousUniqueID = previous.uniqueID
        }
        if new.leaf.identity.format == .vhdx { options.dataWriteGUID = new.leaf.identity.id }
        options.created = time?.diskTimestamp ?? DiskTimestamp(unixSeconds: ToolRun.now())
        options.computesDataChecksums = dataChecksums
        return options
    }

    private func previousLog(_ path: String, _ run: ToolRun) throws -> LogHeader {
        do throws(DiskError) {
            let options = imageOptions.openOptions
            let reader = try LogReader(
                try options.files.open(path).contents, options: HRLReadOptions(accepting: options.accepted))
            try reader.checkApplicable()
            run.addInput(reader.file)
            run.warn(path, reader.findings)
            return reader.header
        } catch {
            var error = error
            if error.isUnclosedLog { error.hint = "nothing can be chained after a log that was not closed" }
            throw error
        }
    }

    /// The output must be none of the inputs.
    private func refuseOverwriting(_ old: ImageChain, _ new: ImageChain) throws {
        guard let there = try? PosixFile(outputFile) else { return }
        var paths = (old.layers + new.layers).map(\.file.path)
        if let after { paths.append(after) }
        for path in paths where try PosixFile(path).identity == there.identity {
            throw DiskError(
                .refused, path: outputFile, "the output is the input \(path)", hint: "choose another output file")
        }
    }

    private func write(
        _ old: ImageChain, _ new: ImageChain, to file: any BlockFile, _ options: LogWriter.Options,
        _ progress: Progress
    ) throws -> (LogWriter, DiffResult) {
        let writer = try LogWriter.create(on: file, options)
        let found = try diffDisks(old: old, new: new, into: writer, time: options.created) { done, _ in
            progress.update(done)
        }
        try writer.close(at: options.created)
        return (writer, found)
    }

    private func report(_ writer: LogWriter, _ found: DiffResult, _ new: ImageChain, _ run: ToolRun) {
        let header = writer.header
        func text(_ id: GUID) -> JSONValue { id == .zero ? nil : .string(id.description) }
        run.result = [
            "output": .string(outputFile), "dry_run": .bool(dryRun), "unique_id": text(header.uniqueID),
            "previous_unique_id": text(header.previousUniqueID), "data_write_guid": text(header.vhd2DataWriteGUID),
            "time": .string(header.created.description), "time_raw": .unsigned(UInt64(header.timeStamp)),
            "virtual_size": .unsigned(new.geometry.virtualByteCount),
            "differing_bytes": .unsigned(found.differingByteCount),
            "zeroed_bytes": .unsigned(found.zeroedByteCount), "writes": .unsigned(header.totalMetadataEntries),
            "log_size": .unsigned(header.eolLocation),
        ]
        guard !output.json, !output.quiet else { return }
        let (path, count) = (printable(outputFile), header.totalMetadataEntries)
        let differing = Quantity.bytes(found.differingByteCount, plain: output.bytes)
        try? run.out.line(
            found.differingByteCount == 0
                ? "\(path): \(dryRun ? "would be " : "")a log without writes: the contents are the same"
                : "\(path): \(dryRun ? "would have " : "")\(count) \(count == 1 ? "write" : "writes"), "
                    + "\(differing) that differ")
    }
}
