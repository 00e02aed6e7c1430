import ArgumentParser
import BlockIO
import DiskModel
import SealedFile
import Toolbox

@main
struct SealStatus: Tool {
    static let configuration = CommandConfiguration(
        commandName: "seal-status",
        abstract: "Say what a sealed file is, who can open it and, with a key, whether it is authentic.",
        discussion: """
            EXAMPLES
              seal-status disk.raw.sealed
              seal-status -i key.txt disk.raw.sealed
              seal-status --verify -i key.txt log.hrl.sealed

            Without a key nothing that is told is authentic: it is what the file says about itself.
            """,
        version: versionText)
    static let schema = "seal-status/1"

    @Argument(help: "A sealed file, or - for a sealed stream on standard input.", completion: .file())
    var input: String
    @Flag(help: "Read everything, and check that it is authentic; needs a key.")
    var verify = false
    @Option(
        help: ArgumentHelp(
            "Of an image: refuse one that is older than this anchor, and say how much was changed since; needs a key.",
            valueName: "anchor"),
        transform: Anchor.parse)
    var since: Anchor?
    @OptionGroup var keyOptions: KeyOptions
    @OptionGroup var hashOptions: HashOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if hashOptions.hash != nil, !verify {
            throw ValidationError("--hash goes with --verify, which reads everything")
        }
        try keyOptions.checkDescriptor(besides: input)
    }

    func perform(_ run: ToolRun) throws {
        let sealed = try SealedInput(input)
        run.addInput(sealed.path, byteCount: sealed.byteCount)
        var answer = Answer(sealed.envelope)
        // What is known is told even where a key does not fit or bytes are not authentic.
        defer { report(answer, sealed.path, run) }
        try noteCopies(sealed, run)
        guard verify || since != nil || keyOptions.isGiven else { return }
        if verify { answer.isVerified = false }
        let progress = Progress(
            "seal-status", total: sealed.byteCount ?? 0, output: output, options: progressOptions)
        defer { progress.end() }
        try sealed.envelope.refuse(since, by: "--since", path: sealed.path)
        let contents = try sealed.contents(keyOptions, anchor: since)
        (answer.envelope, answer.isAuthentic) = (contents.envelope, true)
        (answer.byteCount, answer.anchor) = (contents.byteCount, contents.anchor)
        if let since, case .image(let image) = contents { answer.changes = try Answer.Changes(image, since: since) }
        if verify { try check(contents, sealed.path, &answer, progress, run) }
    }

    private func noteCopies(_ sealed: SealedInput, _ run: ToolRun) throws {
        guard sealed.envelope.kind == .image, let file = sealed.file else { return }
        // Whoever changes its slots right now writes one copy after the other.
        try file.keepWritersAway()
        guard try !Envelope.hasEqualCopies(in: file) else { return }
        run.warn(
            sealed.path,
            "the two copies of its envelope differ: a change of its slots was cut off, which the next seal-slot finishes, "
                + "or one is damaged")
        run.raise(.partial)
    }

    /// Reads everything.
    private func check(
        _ contents: SealedContents, _ path: String, _ answer: inout Answer, _ progress: Progress, _ run: ToolRun
    ) throws {
        let sink = HashingSink(nil, hashOptions.algorithms)
        let total = contents.byteCount
        let length = try contents.copy(to: sink) { done in
            if let total { progress.update(done, of: total) } else { progress.update(done) }
        }
        try sink.finish()
        answer.hashes = sink
        run.addHashes(sink.hashes.map { (name: "contents_\($0.name)", hex: $0.hex) }, toInput: path)
        (answer.byteCount, answer.isVerified) = (length, true)
        guard case .stream = contents else { return }
        answer.isComplete = contents.isComplete
        do throws(DiskError) { try contents.requireEnd() } catch { run.noteOpenStream(error) }
    }

    private func report(_ answer: Answer, _ path: String, _ run: ToolRun) {
        run.result = answer.document
        guard !output.json else { return }
        for line in answer.lines(path, plain: output.bytes) { try? run.out.line(line) }
    }
}
