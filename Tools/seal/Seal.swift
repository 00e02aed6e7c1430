import ArgumentParser
import BlockIO
import ByteCodec
import DiskModel
import ImageChain
import SealedFile
import Toolbox

@main
struct Seal: Tool {
    static let configuration = CommandConfiguration(
        commandName: "seal",
        abstract: "Encrypt a file or a stream, so that only holders of a key can read it and no change goes unseen.",
        discussion: """
            EXAMPLES
              seal -R age1… -o log.hrl.sealed log.hrl
              tar c state | seal -p > state.tar.sealed
              seal --image -R operators.txt -o disk.raw.sealed disk.raw
              seal --append -i key.txt -o journal.sealed more.txt

            A stream is written from its start to its end, through pipes too. With --image the result can be read and \
            written anywhere. Compress before sealing: what is sealed does not get smaller. unseal opens it.
            """,
        version: versionText)
    static let schema = "seal/1"

    @Argument(help: "The file to seal; none, or -, for standard input.", completion: .file())
    var input: String?
    @Option(
        name: [.customShort("o"), .customLong("output")],
        help: ArgumentHelp(
            "A file instead of standard output; - insists on standard output.", valueName: "file"),
        completion: .file())
    var outputFile: String?
    @Flag(
        name: [.customShort("f"), .customLong("force")],
        help: "Replace an existing output file; with --append: give up the text of an unfinished frame.")
    var replaces = false
    @Flag(help: "Make a sealed image, which can be read and written anywhere; needs -o FILE.")
    var image = false
    @Option(
        help: ArgumentHelp("Chunks of a sealed image: 4K to 64K, by default 16K.", valueName: "size"),
        transform: ByteQuantity.parse)
    var chunk: ByteQuantity?
    @Flag(help: "Add to the sealed stream in -o FILE, in place; the keys given open it.")
    var append = false
    @Option(
        name: [.customShort("i"), .long],
        help: ArgumentHelp(
            "With --append: an age identity file, AGE-SECRET-KEY-1…; repeatable.", valueName: "file"),
        completion: .file())
    var identity: [String] = []
    @Flag(help: "Check everything and say what would be made; write nothing.")
    var dryRun = false
    @OptionGroup var sealOptions: SealOptions
    @OptionGroup var hashOptions: HashOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    var writesToStandardOutput: Bool { outputFile == nil || outputFile == "-" }
    private var readsStandardInput: Bool { input == nil || input == "-" }
    var inputName: String { readsStandardInput ? StandardInput.name : input ?? "" }

    func validate() throws {
        if output.json, writesToStandardOutput {
            throw ValidationError("--json needs -o FILE: standard output carries what is sealed")
        }
        if image, writesToStandardOutput { throw ValidationError("--image needs -o FILE: it is not written in order") }
        try append ? checkAppending() : sealOptions.check()
        if !append, !identity.isEmpty {
            throw ValidationError("-i goes with --append: to seal takes the public key, -R")
        }
        guard let chunk else { return }
        let isChunk = (4096...65536).contains(chunk.byteCount) && chunk.byteCount.nonzeroBitCount == 1
        guard image, isChunk else {
            throw ValidationError("--chunk goes with --image, and is 4K, 8K, 16K, 32K or 64K")
        }
    }

    private func checkAppending() throws {
        if writesToStandardOutput { throw ValidationError("--append needs -o FILE: the stream that gets more") }
        if image { throw ValidationError("--append adds to a stream that is there: leave out --image") }
        if sealOptions.recipientOptions.namesNewKeys {
            throw ValidationError("--append keeps the stream's keys: leave out -R and --pbkdf2")
        }
    }

    func perform(_ run: ToolRun) throws {
        if outputFile == nil, !dryRun { try refuseTerminal(run.out, path: inputName) }
        let source = readsStandardInput ? nil : try PosixFile(inputName)
        run.addInput(inputName, byteCount: try source?.byteCount())
        if !writesToStandardOutput, let path = outputFile {
            if !readsStandardInput { try refuseOverwriting(path, [inputName], "the input") }
            try run.refuseOverwritingCaseLog(path)
        }
        guard !dryRun else { return try rehearse(source, run) }
        if append, let path = outputFile { return try appendInput(source, to: path, run) }
        let made = try makeOutput(run)
        let sink = HashingSink(made, hashOptions.algorithms)
        let byteCount = try copy(source, to: sink, run)
        report(made, sink, byteCount, run)
    }

    /// The output's name is checked before anybody is asked for a passphrase.
    private func makeOutput(_ run: ToolRun) throws -> any SealedOutput {
        guard !writesToStandardOutput, let path = outputFile else {
            return try SealedStreamOutput(to: run.out, for: try sealOptions.secrets(for: inputName))
        }
        let pending = try PendingFile(path, replaces: replaces)
        let secrets = try sealOptions.secrets(for: path)
        guard image else { return try SealedStreamOutput(to: pending, for: secrets) }
        return try SealedImageOutput(to: pending, for: secrets, chunkByteCount: chunk.map { Int($0.byteCount) })
    }

    func copy(_ source: PosixFile?, to sink: HashingSink, _ run: ToolRun) throws -> UInt64 {
        let progress = Progress(
            "seal", total: try source?.byteCount() ?? 0, output: output, options: progressOptions)
        defer { progress.end() }
        guard let source else { return try copyStandardInput(to: sink) }
        let byteCount = try FileContents(source).run { offset, bytes in
            try sink.data(offset, bytes)
            progress.update(offset + UInt64(bytes.byteCount))
        } zeros: { offset, count in
            try sink.zeros(offset, count)
            progress.update(offset + count)
        }
        // Before the end is written: without it the output says that it is not all.
        try ReadWitness.check(source)
        try sink.finish()
        return byteCount
    }

    private func copyStandardInput(to sink: HashingSink) throws -> UInt64 {
        let buffer = IOBuffer(byteCount: 1 << 20)
        var offset: UInt64 = 0
        while true {
            let count = try buffer.withMutableBytes(0..<buffer.byteCount) { (bytes) throws(IOError) in
                try StandardInput.read(into: &bytes)
            }
            guard count > 0 else { break }
            try sink.data(offset, buffer.bytes(0..<count))
            offset += UInt64(count)
        }
        try sink.finish()
        return offset
    }
}
