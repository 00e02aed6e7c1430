import ArgumentParser
import BlockIO
import ByteCodec
import Digest
import DiskModel
import ImageChain
import Toolbox

@main
struct VHDCat: Tool {
    static let configuration = CommandConfiguration(
        commandName: "vhdcat",
        abstract: "Write the contents of a virtual disk: the bytes a guest would see.",
        discussion: """
            EXAMPLES
              vhdcat disk.vhdx | sha256sum
              vhdcat --hash sha256 -o disk.raw snapshot.avhdx --parent-dir /images
              vhdcat -C --range 0+512 disk.vhd

            Differencing images are read through their parents. A pending VHDX log is replayed in memory; no file is \
            changed but the output.
            """,
        version: versionText)
    static let schema = "vhdcat/1"

    @Argument(help: "A VHD, VHDX or (with --format raw) raw image.", completion: .file())
    var image: String
    @Option(
        help: ArgumentHelp("Only these bytes, such as 1M+512.", valueName: "offset+length"),
        transform: ByteRangeArgument.parse)
    var range: ByteRangeArgument?
    @Option(
        name: [.customShort("o"), .customLong("output")],
        help: ArgumentHelp(
            "A file instead of standard output, its holes kept; - insists on standard output.",
            valueName: "file"), completion: .file())
    var outputFile: String?
    @Flag(name: [.customShort("f"), .customLong("force")], help: "Replace an existing output file.")
    var replaces = false
    @Flag(name: [.customShort("C"), .customLong("hexdump")], help: "As a hexdump with text, instead of bytes.")
    var hexdump = false
    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var hashes: HashOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var newSeal: NewSealOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if output.json, writesToStandardOutput {
            throw ValidationError("--json needs -o FILE: standard output carries the disk's contents")
        }
        if newSeal.isGiven, writesToStandardOutput || hexdump {
            throw ValidationError(
                "what goes to standard output, and a hexdump, is sealed by seal: vhdcat … | seal -o FILE")
        }
    }

    private var writesToStandardOutput: Bool { outputFile == nil || outputFile == "-" }

    func perform(_ run: ToolRun) throws {
        if writesToStandardOutput, outputFile == nil, !hexdump, run.out.isTerminal {
            throw DiskError(
                .refused, path: image, "bytes are not written to a terminal",
                hint: "use -C for a hexdump, a pipe, or -o - to insist")
        }
        let chain = try ImageChain.open(image, imageOptions.openOptions)
        run.addInput(image, byteCount: try fileByteCount(image))
        run.warn(image, chain.findings)
        for layer in chain.layers {
            run.warn(layer.file.path, layer.findings)
            if layer.hasReplayedLog { run.noteReplayedLog(layer.file.path) }
        }
        let wanted = range?.range ?? chain.wholeRange
        try chain.leaf.checkRange(wanted)
        let digests = try copy(chain, wanted, run)
        report(digests, wanted, run)
    }

    private func fileByteCount(_ path: String) throws -> UInt64 { try PosixFile(path).byteCount() }

    private func copy(_ chain: ImageChain, _ wanted: Range<UInt64>, _ run: ToolRun) throws -> [DigestValue] {
        let progress = Progress(
            "vhdcat", total: wanted.upperBound - wanted.lowerBound, output: output, options: progressOptions)
        defer { progress.end() }
        let hashing = hashes.algorithms.isEmpty ? nil : HashingThread(hashes.algorithms)
        if hashing == nil, !hexdump, writesToStandardOutput {
            try StreamSink(run.out).send(chain, wanted) { progress.update($0 - wanted.lowerBound) }
            try chain.checkUnchanged(imageOptions.openOptions)
            return []
        }
        let sink = try makeSink(chain, wanted, run)
        try DiskStream(chain).run(wanted) { offset, bytes in
            hashing?.update(bytes)
            try sink.data(offset, bytes)
            progress.update(offset - wanted.lowerBound + UInt64(bytes.byteCount))
        } zeros: { offset, count in
            hashing?.updateZeros(count: count)
            try sink.zeros(offset, count)
            progress.update(offset - wanted.lowerBound + count)
        }
        let digests = hashing?.finish() ?? []
        try chain.checkUnchanged(imageOptions.openOptions)
        try sink.finish()
        return digests
    }

    private func makeSink(_ chain: ImageChain, _ wanted: Range<UInt64>, _ run: ToolRun) throws -> any ContentsSink {
        if hexdump { return HexdumpSink(try lineOutput(chain, run), wanted) }
        guard let path = outputFile, path != "-" else { return StreamSink(run.out) }
        try refuseOverwriting(path, chain, run)
        let output = try newSeal.output(path, replaces: replaces, imageOptions.keyOptions)
        return SparseFileSink(output, startingAt: wanted.lowerBound)
    }

    private func lineOutput(_ chain: ImageChain, _ run: ToolRun) throws -> any LineOutput {
        guard let path = outputFile, path != "-" else { return run.out }
        try refuseOverwriting(path, chain, run)
        return try TextFileOutput(path, replaces: replaces)
    }

    /// The output must be none of the files read.
    private func refuseOverwriting(_ path: String, _ chain: ImageChain, _ run: ToolRun) throws {
        try Toolbox.refuseOverwriting(path, [image], "the input")
        try Toolbox.refuseOverwriting(path, chain.layers.dropFirst().map(\.file.path), "a parent of the input")
        try run.refuseOverwritingCaseLog(path)
    }

    private func report(_ digests: [DigestValue], _ wanted: Range<UInt64>, _ run: ToolRun) {
        let hex = digests.map { (name: $0.algorithm.rawValue, hex: $0.bytes.hexadecimal) }
        run.addHashes(hex.map { (name: "contents_\($0.name)", hex: $0.hex) }, toInput: image)
        if !writesToStandardOutput, let path = outputFile {
            run.addOutput(path, byteCount: wanted.upperBound - wanted.lowerBound, hashes: hexdump ? [] : hex)
        }
        run.result = [
            "offset": .unsigned(wanted.lowerBound), "length": .unsigned(wanted.upperBound - wanted.lowerBound),
            "output": .optional(writesToStandardOutput ? nil : outputFile),
            "hashes": .object(hex.map { .init($0.name, .string($0.hex)) }),
        ]
        guard !output.json else { return }
        for (name, hex) in hex {
            let line = "\(hex)  \(printable(image))  (\(name))"
            if writesToStandardOutput { printError(line) } else { try? run.out.line(line) }
        }
    }
}
