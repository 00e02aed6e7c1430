import ArgumentParser
import BlockIO
import ByteCodec
import Digest
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
    @Flag(name: [.customShort("f"), .customLong("force")], help: "Replace an existing output file.")
    var replaces = false
    @Flag(help: "Make a sealed image, which can be read and written anywhere; needs -o FILE.")
    var image = false
    @Option(
        help: ArgumentHelp("Chunks of a sealed image: 4K to 64K, by default 16K.", valueName: "size"),
        transform: ByteQuantity.parse)
    var chunk: ByteQuantity?
    @OptionGroup var sealOptions: SealOptions
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
        guard let chunk else { return }
        let isChunk = (4096...65536).contains(chunk.byteCount) && chunk.byteCount.nonzeroBitCount == 1
        guard image, isChunk else {
            throw ValidationError("--chunk goes with --image, and is 4K, 8K, 16K, 32K or 64K")
        }
    }

    func perform(_ run: ToolRun) throws {
        if outputFile == nil { try refuseTerminal(run.out, path: inputName) }
        let source = readsStandardInput ? nil : try PosixFile(inputName)
        run.addInput(inputName, byteCount: try source?.byteCount())
        let made = try makeOutput(run)
        let byteCount = try copy(source, to: made, run)
        report(made, byteCount, run)
    }

    /// The output's name is checked before anybody is asked for a passphrase.
    private func makeOutput(_ run: ToolRun) throws -> any SealedOutput {
        guard !writesToStandardOutput, let path = outputFile else {
            return try SealedStreamOutput(to: run.out, for: try sealOptions.secrets(for: inputName))
        }
        if !readsStandardInput { try refuseOverwriting(path, [inputName], "the input") }
        try run.refuseOverwritingCaseLog(path)
        let pending = try PendingFile(path, replaces: replaces)
        let secrets = try sealOptions.secrets(for: path)
        guard image else { return try SealedStreamOutput(to: pending, for: secrets) }
        return try SealedImageOutput(to: pending, for: secrets, chunkByteCount: chunk.map { Int($0.byteCount) })
    }

    private func copy(_ source: PosixFile?, to sink: any SealedOutput, _ run: ToolRun) throws -> UInt64 {
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

    private func copyStandardInput(to sink: any SealedOutput) throws -> UInt64 {
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

    private func report(_ made: any SealedOutput, _ byteCount: UInt64, _ run: ToolRun) {
        guard !writesToStandardOutput, let path = outputFile else { return }
        run.addOutput(path, byteCount: made.byteCount)
        run.result = [
            "output": .string(path), "kind": .string(made.kind), "container_id": .string(made.containerID.hexadecimal),
            "length": .unsigned(byteCount), "file_size": .unsigned(made.byteCount),
            "chunk_size": .integer(Int64(made.chunkByteCount)), "keys": .integer(Int64(made.keyCount)),
            "anchor": .optional(made.anchor?.description),
        ]
        guard !output.json, !output.quiet else { return }
        let size = Quantity.bytes(byteCount, plain: output.bytes)
        try? run.out.line(
            "\(printable(path)): sealed \(made.kind) of \(size), for \(counted(made.keyCount, "key", "keys"))")
        if let anchor = made.anchor { try? run.out.line("  anchor \(anchor)") }
    }
}
