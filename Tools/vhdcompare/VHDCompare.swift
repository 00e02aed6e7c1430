import ArgumentParser
import BlockIO
import Digest
import DiskModel
import ImageChain
import Toolbox

@main
struct VHDCompare: Tool {
    static let configuration = CommandConfiguration(
        commandName: "vhdcompare",
        abstract: "Compare the contents of two images of any format: the bytes a guest would see.",
        discussion: """
            EXAMPLES
              vhdcompare disk.vhd disk.vhdx
              vhdcompare --list 20 before.vhdx after.avhdx --parent-dir /images
              vhdcompare --first -q --format-a raw disk.raw disk.vhdx && echo equal

            Exit status: 0 equal, 1 different, 2 failed. Differencing images are read through their parents, pending \
            VHDX logs are replayed in memory; nothing is written.
            """,
        version: versionText)
    static let schema = "vhdcompare/1"

    @Argument(help: "A VHD, VHDX or (with --format raw) raw image.", completion: .file())
    var a: String
    @Argument(help: "Another one.", completion: .file())
    var b: String
    @Option(
        help: ArgumentHelp("Only these bytes of the disks, such as 1M+512.", valueName: "offset+length"),
        transform: ByteRangeArgument.parse)
    var range: ByteRangeArgument?
    @Flag(help: "Stop at the first difference.")
    var first = false
    @Option(help: ArgumentHelp("Show the first N ranges that differ, in sectors of 512 bytes.", valueName: "n"))
    var list: Int?
    @Flag(help: "A longer disk is equal to a shorter one when the rest of it is zeros.")
    var ignoreSize = false
    @Option(help: ArgumentHelp("As --format, for the first image only.", valueName: "format"))
    var formatA: ImageFormat?
    @Option(help: ArgumentHelp("As --format, for the second image only.", valueName: "format"))
    var formatB: ImageFormat?
    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var hashes: HashOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    /// More would be no list for people, and takes memory.
    static let listLimit = 10_000

    func validate() throws {
        if let list, !(1...Self.listLimit).contains(list) {
            throw ValidationError("--list takes a number from 1 to \(Self.listLimit)")
        }
        if first, list != nil { throw ValidationError("--first stops before there is anything to list") }
        if first, !hashes.algorithms.isEmpty {
            throw ValidationError("--hash reads everything, and --first stops before")
        }
    }

    func perform(_ run: ToolRun) throws {
        let sides = [try open(a, formatA, run), try open(b, formatB, run)]
        let wanted = try wantedRange(sides)
        let sizesDiffer =
            range == nil && !ignoreSize
            && sides[0].geometry.virtualByteCount != sides[1].geometry.virtualByteCount
        var comparison = Comparison(sides: sides, range: wanted, sizesDiffer: sizesDiffer, isPartial: first)
        if !(first && sizesDiffer) { try compare(&comparison, run) }
        for (side, format) in zip(sides, [formatA, formatB]) { try side.checkUnchanged(openOptions(format)) }
        if !comparison.isEqual { run.raise(.finding) }
        report(comparison, run)
    }

    private func openOptions(_ format: ImageFormat?) -> OpenOptions {
        var options = imageOptions.openOptions
        options.format = format ?? options.format
        return options
    }

    private func open(_ path: String, _ format: ImageFormat?, _ run: ToolRun) throws -> ImageChain {
        let chain = try ImageChain.open(path, openOptions(format))
        run.addInput(path, byteCount: try PosixFile(path).byteCount())
        run.warn(path, chain.findings)
        for layer in chain.layers {
            run.warn(layer.file.path, layer.findings)
            if layer.hasReplayedLog { run.noteReplayedLog(layer.file.path) }
        }
        return chain
    }

    /// Bytes past the end of a disk are only compared when its size does not matter.
    private func wantedRange(_ sides: [ImageChain]) throws -> Range<UInt64> {
        let byteCounts = sides.map(\.geometry.virtualByteCount)
        guard let range else { return 0..<max(byteCounts[0], byteCounts[1]) }
        for (path, byteCount) in zip([a, b], byteCounts) where !ignoreSize && range.range.upperBound > byteCount {
            throw DiskError(
                .outOfRange, path: path, "--range \(range.text) goes past the end of this disk of \(byteCount) bytes",
                hint: "--ignore-size takes what lies past an end as zeros")
        }
        return range.range
    }

    private func compare(_ comparison: inout Comparison, _ run: ToolRun) throws {
        let wanted = comparison.range
        let progress = Progress(
            "vhdcompare", total: wanted.upperBound - wanted.lowerBound, output: output, options: progressOptions)
        defer { progress.end() }
        let hashing = hashes.algorithms.isEmpty ? nil : HashingObserver(hashes.algorithms)
        var options = ComparisonOptions()
        (options.range, options.stopsAtFirst, options.listLimit) = (wanted, first, list ?? 0)
        options.observer = hashing
        comparison.result = try compareDisks(comparison.sides[0], comparison.sides[1], options) {
            (done) throws(DiskError) in progress.update(done)
        }
        guard let hashing else { return }
        comparison.hashes = hashing.finish()
        for (path, hex) in zip([a, b], comparison.hashes) {
            run.addHashes(hex.map { (name: "contents_\($0.name)", hex: $0.hex) }, toInput: path)
        }
    }
}

/// Two disks and what comparing them gave.
struct Comparison {
    let sides: [ImageChain]
    let range: Range<UInt64>
    /// Whether the sizes differ and that matters.
    let sizesDiffer: Bool
    /// Whether only the first difference was looked for.
    let isPartial: Bool
    /// Nil when the sizes were enough.
    var result: ComparisonResult?
    /// Of each disk.
    var hashes: [[(name: String, hex: String)]] = [[], []]

    var isEqual: Bool { !sizesDiffer && result?.firstDifference == nil }
}

/// Hashes both disks, each on a thread of its own.
struct HashingObserver: ComparisonObserver {
    private let a: HashingThread
    private let b: HashingThread

    init(_ algorithms: [DigestAlgorithm]) { (a, b) = (HashingThread(algorithms), HashingThread(algorithms)) }

    private func thread(_ side: ComparisonSide) -> HashingThread { side == .a ? a : b }

    func data(_ side: ComparisonSide, _ bytes: RawSpan) { thread(side).update(bytes) }
    func zeros(_ side: ComparisonSide, _ byteCount: UInt64) { thread(side).updateZeros(count: byteCount) }

    func finish() -> [[(name: String, hex: String)]] {
        [a, b].map { $0.finish().map { (name: $0.algorithm.rawValue, hex: $0.bytes.hexadecimal) } }
    }
}
