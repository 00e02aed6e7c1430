import ArgumentParser
import BlockIO
import ByteCodec
import Digest
import DiskModel
import SealedFile
import Toolbox

@main
struct Unseal: Tool {
    static let configuration = CommandConfiguration(
        commandName: "unseal",
        abstract: "Decrypt what seal made: only what is authentic comes out.",
        discussion: """
            EXAMPLES
              unseal -i key.txt -o log.hrl log.hrl.sealed
              unseal --passphrase-file secret state.tar.sealed | tar x
              unseal --anchor sealed1:… -i key.txt -o disk.raw disk.raw.sealed

            A stream that has no end yet, or was cut off, gives what is there, and exit code 3. Bytes that somebody changed \
            never come out.
            """,
        version: versionText)
    static let schema = "unseal/1"

    @Argument(help: "A sealed file; none, or -, for a sealed stream on standard input.", completion: .file())
    var input: String?
    @Option(
        name: [.customShort("o"), .customLong("output")],
        help: ArgumentHelp(
            "A file instead of standard output, zeros as holes; - insists on standard output.", valueName: "file"),
        completion: .file())
    var outputFile: String?
    @Flag(name: [.customShort("f"), .customLong("force")], help: "Replace an existing output file.")
    var replaces = false
    @Flag(help: "Write an output file though the stream has no end.")
    var allowOpen = false
    @Option(
        help: ArgumentHelp(
            "Of an image: refuse one that is older than this, or another, as seal-status told it.", valueName: "text"),
        transform: Anchor.parse)
    var anchor: Anchor?
    @OptionGroup var keyOptions: KeyOptions
    @OptionGroup var hashOptions: HashOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    private var writesToStandardOutput: Bool { outputFile == nil || outputFile == "-" }

    func validate() throws {
        if output.json, writesToStandardOutput {
            throw ValidationError("--json needs -o FILE: standard output carries the contents")
        }
        try keyOptions.checkDescriptor(besides: input)
    }

    /// What came out.
    private struct Opened {
        var byteCount: UInt64
        var isComplete = true
        var anchor: Anchor?
        /// Where it went.
        var sink: HashingSink
    }

    func perform(_ run: ToolRun) throws {
        if outputFile == nil { try refuseTerminal(run.out, path: input ?? StandardInput.name) }
        let sealed = try SealedInput(input)
        run.addInput(sealed.path, byteCount: sealed.byteCount)
        let progress = Progress(
            "unseal", total: sealed.byteCount ?? 0, output: output, options: progressOptions)
        defer { progress.end() }
        report(try open(sealed, progress, run), sealed, run)
    }

    private func open(_ sealed: SealedInput, _ progress: Progress, _ run: ToolRun) throws -> Opened {
        try sealed.envelope.refuse(anchor, by: "--anchor", path: sealed.path)
        let sink = try makeSink(sealed, run)
        let contents = try sealed.contents(keyOptions, anchor: anchor)
        // A stream's file, which is a little longer, tells how much there is to do; a pipe does not.
        let total = contents.byteCount ?? sealed.byteCount
        let byteCount = try contents.copy(to: sink) { done in
            if let total { progress.update(done, of: total) }
        }
        if !contents.isComplete { try noteOpen(contents, run) }
        try sink.finish()
        return Opened(byteCount: byteCount, isComplete: contents.isComplete, anchor: contents.anchor, sink: sink)
    }

    private func noteOpen(_ contents: SealedContents, _ run: ToolRun) throws {
        do throws(DiskError) { try contents.requireEnd() } catch {
            guard writesToStandardOutput || allowOpen else {
                var error = error
                error.hint = "take a complete copy of it, or take what is there with --allow-open"
                throw error
            }
            run.noteOpenStream(error)
        }
    }

    private func makeSink(_ sealed: SealedInput, _ run: ToolRun) throws -> HashingSink {
        func hashing(_ sink: any ContentsSink) -> HashingSink { HashingSink(sink, hashOptions.algorithms) }
        guard !writesToStandardOutput, let path = outputFile else { return hashing(StreamSink(run.out)) }
        if sealed.file != nil { try refuseOverwriting(path, [sealed.path], "the input") }
        try run.refuseOverwritingCaseLog(path)
        return hashing(try SparseFileSink(path, replaces: replaces))
    }

    private func report(_ opened: Opened, _ sealed: SealedInput, _ run: ToolRun) {
        let (sink, envelope) = (opened.sink, sealed.envelope)
        run.addHashes(sink.hashes.map { (name: "contents_\($0.name)", hex: $0.hex) }, toInput: sealed.path)
        guard !writesToStandardOutput, let path = outputFile else {
            for line in sink.lines(sealed.path) { printError(line) }
            return
        }
        run.addOutput(path, byteCount: opened.byteCount, hashes: sink.hashes)
        let kind = envelope.kind == .stream ? "stream" : "image"
        run.result = [
            "output": .string(path), "kind": .string(kind), "container_id": .string(envelope.containerID.hexadecimal),
            "length": .unsigned(opened.byteCount), "complete": .bool(opened.isComplete),
            "anchor": .optional(opened.anchor?.description), "hashes": sink.document,
        ]
        guard !output.json else { return }
        for line in sink.lines(path) { try? run.out.line(line) }
        guard !output.quiet else { return }
        let size = Quantity.bytes(opened.byteCount, plain: output.bytes)
        try? run.out.line("\(printable(path)): \(size) of a sealed \(kind), authentic")
    }
}
