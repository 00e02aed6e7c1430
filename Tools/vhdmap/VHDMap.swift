import ArgumentParser
import BlockIO
import ByteCodec
import DiskModel
import ImageChain
import Toolbox

@main
struct VHDMap: Tool {
    static let configuration = CommandConfiguration(
        commandName: "vhdmap",
        abstract: "List where the bytes of a virtual disk come from: data, zeros, holes, parents.",
        discussion: """
            EXAMPLES
              vhdmap disk.vhdx
              vhdmap --chain snapshot.avhdx
              vhdmap --chain --sector 123456 snapshot.avhdx
              vhdmap --json disk.vhd | jq 'select(.state == "data") | .length'

            States: data (bytes in a file), zero (recorded as zeros), hole (never written), parent (the parent's; \
            only without --chain).
            """,
        version: versionText)
    static let schema = "vhdmap/1"
    static let streamsLines = true
    static let columnNames = ["start", "length", "state", "layer", "file_offset", "file"]

    @Argument(help: "A VHD, VHDX or (with --format raw) raw image.", completion: .file())
    var image: String
    @Flag(help: "Through all parents, each range with the layer it comes from.")
    var chain = false
    @Flag(help: "Instead, the ranges of the file that no structure and no block claims, and whether they are zero.")
    var unclaimed = false
    @Option(
        help: ArgumentHelp("Only these bytes, such as 1M+512.", valueName: "offset+length"),
        transform: ByteRangeArgument.parse)
    var range: ByteRangeArgument?
    @Option(
        help: ArgumentHelp(
            "Only this logical sector of the disk, counted from 0: with --chain, which layer owns it.",
            valueName: "number"))
    var sector: UInt64?
    @Flag(help: "Tab-separated values with a header line.")
    var tsv = false
    @Option(help: ArgumentHelp("Columns of --tsv, of \(Self.columnNames.joined(separator: ",")).", valueName: "list"))
    var columns: String?
    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if tsv, output.json { throw ValidationError("--json and --tsv exclude each other") }
        if unclaimed, chain || range != nil || sector != nil || columns != nil {
            throw ValidationError("--unclaimed is about one file: without --chain, --range, --sector and --columns")
        }
        if range != nil, sector != nil { throw ValidationError("--range and --sector exclude each other") }
        if columns != nil, !tsv { throw ValidationError("--columns goes with --tsv") }
        for column in chosenColumns where !Self.columnNames.contains(column) {
            throw ValidationError("no column \(column); there are \(Self.columnNames.joined(separator: ", "))")
        }
    }

    private var chosenColumns: [String] { columns?.split(separator: ",").map(String.init) ?? Self.columnNames }

    func perform(_ run: ToolRun) throws {
        if unclaimed { return try listUnclaimed(run) }
        let writer = RowWriter(run: run, style: style, columns: chosenColumns, image: image)
        run.closingLine = writer.summary
        let source = try open(run)
        let wanted = try wantedRange(source)
        try writer.begin(source)
        if chain, let whole = source.chain {
            try visit(wanted, whole) { try writer.row($0) }
        } else {
            let layer = source.layers[0]
            var position = wanted.lowerBound
            while position < wanted.upperBound {
                let extents = try layer.extents(in: position..<wanted.upperBound, limit: 4096)
                for extent in extents { try writer.row(MappedExtent(extent, layer: 0, file: layer.file)) }
                position = extents[extents.count - 1].end
            }
        }
        try ReadWitness(source.layers, imageOptions.openOptions).check()
        try writer.end()
    }

    private func wantedRange(_ source: MapSource) throws(DiskError) -> Range<UInt64> {
        var wanted = range?.range ?? 0..<source.geometry.virtualByteCount
        if let sector {
            let (byteCount, end) = (UInt64(source.geometry.logicalSectorByteCount), source.geometry.virtualByteCount)
            guard sector < end / byteCount else {
                throw DiskError(
                    .outOfRange, path: image,
                    "there is no sector \(sector): the disk has \(end / byteCount), of \(byteCount) bytes each")
            }
            wanted = sector * byteCount..<(sector + 1) * byteCount
        }
        try source.layers[0].checkRange(wanted)
        return wanted
    }

    private func listUnclaimed(_ run: ToolRun) throws {
        var byteCount: UInt64 = 0
        run.closingLine = { Unclaimed.summary(byteCount, run) }
        let source = try open(run)
        var list = Unclaimed(source.layers[0], run: run, style: style)
        defer { byteCount = list.byteCount }
        try list.write()
        try ReadWitness(source.layers, imageOptions.openOptions).check()
    }

    private var style: RowWriter.Style { output.json ? .json : tsv ? .tsv : .text(plain: output.bytes) }

    private func visit(_ wanted: Range<UInt64>, _ chain: ImageChain, _ body: (MappedExtent) throws -> Void) throws {
        var position = wanted.lowerBound
        while position < wanted.upperBound {
            let extents = try chain.extents(in: position..<wanted.upperBound, limit: 4096)
            for mapped in extents { try body(mapped) }
            position = extents[extents.count - 1].extent.end
        }
    }

    /// With `--chain` all layers; else the image alone, whose parent need not be there.
    private func open(_ run: ToolRun) throws -> MapSource {
        let file = try imageOptions.openOptions.files.open(image)
        run.addInput(image, byteCount: try file.host.byteCount())
        let source: MapSource
        if chain {
            let chain = try ImageChain.open(image, imageOptions.openOptions)
            run.warn(image, chain.findings)
            source = MapSource(layers: chain.layers, chain: chain)
        } else {
            let layer = try ImageOpener.layer(reading: file.contents, imageOptions.openOptions)
            run.warn(image, try ImageChain.sharedSpace([layer], imageOptions.openOptions))
            source = MapSource(layers: [layer], chain: nil)
        }
        for layer in source.layers {
            run.warn(layer.file.path, layer.findings)
            if layer.hasReplayedLog { run.noteReplayedLog(layer.file.path) }
        }
        return source
    }
}

struct MapSource {
    var layers: [any DiskLayer]
    var chain: ImageChain?
    var geometry: DiskGeometry { layers[0].geometry }
}
