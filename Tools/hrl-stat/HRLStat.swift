import ArgumentParser
import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import HRL
import ImageChain
import Toolbox

@main
struct HRLStat: Tool {
    static let configuration = CommandConfiguration(
        commandName: "hrl-stat",
        abstract: "Count what replica logs hold: how much was written, when, where, and in what pieces.",
        discussion: """
            EXAMPLES
              hrl-stat --base disk.vhdx log1.hrl log2.hrl
              hrl-stat --by minute --svg churn.svg log1.hrl
              hrl-stat --since 2026-11-22T03:00:00Z --until 2026-11-22T03:59:59Z --hot 3 log1.hrl

            A log that was not closed is counted as far as its blocks can be found, and the exit status is 3. All times \
            are UTC.
            """,
        version: versionText)
    static let schema = "hrl-stat/1"
    static let columnNames = ChurnTable.Column.allCases.map(\.rawValue)

    @Argument(help: "Replica logs, in any order.", completion: .file(extensions: ["hrl"]))
    var logs: [String]
    @Option(help: ArgumentHelp("Churn by second, minute or hour; else what suits the period.", valueName: "unit"))
    var by: ChurnUnit?
    @Option(help: ArgumentHelp("How many hot ranges of the disk to show; 10 if not given.", valueName: "n"))
    var hot: Int = 10
    @Option(
        help: ArgumentHelp("Look for hot ranges by regions of this size; 64 KiB if not given.", valueName: "size"),
        transform: ByteQuantity.parse)
    var region: ByteQuantity?
    @Option(
        help: ArgumentHelp("The disk's image, for the forecast of the resync limit.", valueName: "image"),
        completion: .file())
    var base: String?
    @Option(
        help: ArgumentHelp("The disk's size, for the forecast, without an image.", valueName: "size"),
        transform: ByteQuantity.parse)
    var diskSize: ByteQuantity?
    @Option(
        help: ArgumentHelp("Plot the churn as an SVG picture.", valueName: "file"),
        completion: .file(extensions: ["svg"]))
    var svg: String?
    @Flag(name: [.customShort("f"), .customLong("force")], help: "Replace an existing SVG file.")
    var replaces = false
    @Flag(help: "With --svg: count and report; write no picture.")
    var dryRun = false
    @Flag(help: "The churn as tab-separated values with a header line, and nothing else.")
    var tsv = false
    @Option(help: ArgumentHelp("Columns of --tsv, of \(Self.columnNames.joined(separator: ",")).", valueName: "list"))
    var columns: String?
    @Flag(help: "The logs are no chain: count them in the order given.")
    var unlinked = false
    @Flag(help: "Read the data that carries checksums, and compare.")
    var verify = false
    @OptionGroup var filterOptions: WriteFilterOptions
    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if tsv, output.json { throw ValidationError("--json and --tsv exclude each other") }
        if columns != nil, !tsv { throw ValidationError("--columns goes with --tsv") }
        for name in columnList where ChurnTable.Column(rawValue: name) == nil {
            throw ValidationError("no column \(name); there are \(Self.columnNames.joined(separator: ", "))")
        }
        if !(0...1000).contains(hot) { throw ValidationError("--hot takes 0 to 1000 ranges") }
        if let region, !(512...1 << 40).contains(region.byteCount) || region.byteCount % 512 != 0 {
            throw ValidationError("--region takes a multiple of 512 bytes, up to 1T")
        }
        if base != nil, diskSize != nil { throw ValidationError("--base and --disk-size exclude each other") }
        if diskSize?.byteCount == 0 { throw ValidationError("--disk-size takes the size of a disk, which is not 0") }
        if svg == nil, replaces || dryRun { throw ValidationError("-f and --dry-run go with --svg") }
    }

    private var columnList: [String] { columns?.split(separator: ",").map(String.init) ?? Self.columnNames }

    func perform(_ run: ToolRun) throws {
        if let svg { try refuseOverwriting(svg, run) }
        let size = try diskByteCount(run)
        let progress = Progress("hrl-stat", total: 0, output: output, options: progressOptions)
        defer { progress.end() }
        var counted = CountedLogs(
            LogStatistics(
                filter: filter, regionByteCount: region?.byteCount ?? HotRanges.usualRegionByteCount))
        let options = imageOptions.openOptions
        try counted.open(logs, HRLReadOptions(accepting: options.accepted), options.files, run)
        if unlinked { try counted.refuseDuplicates() } else { try counted.order(run) }
        try counted.count(verifyingData: verify, progress, run)
        progress.end()
        let answer = Answer(counted, by: by, hot: hot, diskByteCount: size, mayForecast: mayForecast)
        noteOddities(answer, run)
        if let svg { try plot(answer, to: svg, run) }
        run.result = answer.document(linked: !unlinked, filterOptions, svg: dryRun ? nil : svg)
        if tsv {
            try ChurnTable(columnList.compactMap(ChurnTable.Column.init(rawValue:))).write(answer, to: run.out)
        } else if !output.json {
            let limit = by == nil ? AnswerText.rowLimit : AnswerText.askedRowLimit
            try AnswerText(answer, plain: output.bytes, rowLimit: limit).write(to: run.out)
        }
    }

    private var filter: WriteFilter {
        var filter = WriteFilter()
        if let since = filterOptions.since { filter.since = since.diskTimestamp }
        if let until = filterOptions.until { filter.until = until.diskTimestamp }
        if let disk = filterOptions.disk { filter.disk = disk.range }
        return filter
    }

    /// What grows only a part of the logs says nothing about when all of them reach the limit.
    private var mayForecast: Bool { filterOptions.disk == nil && filterOptions.until == nil }

    private func refuseOverwriting(_ svg: String, _ run: ToolRun) throws {
        try Toolbox.refuseOverwriting(svg, logs, "the input")
        if let base { try Toolbox.refuseOverwriting(svg, [base], "the base") }
        try run.refuseOverwritingCaseLog(svg)
    }

    /// The size of the disk; its image is opened alone, since the size is its own whatever its parents are.
    private func diskByteCount(_ run: ToolRun) throws -> UInt64? {
        guard let base else { return diskSize?.byteCount }
        let options = imageOptions.openOptions
        let file = try options.files.open(base)
        let layer = try ImageOpener.layer(reading: file.contents, options)
        run.addInput(base, byteCount: try file.host.byteCount())
        run.warn(base, layer.findings)
        if layer.hasReplayedLog { run.noteReplayedLog(base) }
        return layer.geometry.virtualByteCount
    }

    private func noteOddities(_ answer: Answer, _ run: ToolRun) {
        let end = answer.statistics.maximumEnd
        guard let size = answer.diskByteCount, end > size else { return }
        run.warn(
            base ?? logs[0],
            "the disk has \(size) bytes, but the logs write up to byte \(end): they are another disk's, or it was shrunk"
        )
    }

    private func plot(_ answer: Answer, to path: String, _ run: ToolRun) throws {
        let picture = ChurnPlot(answer).svg
        guard !dryRun else { return }
        let pending = try PendingFile(path, replaces: replaces)
        let bytes = Array(picture.utf8)
        try pending.file.write(bytes, at: 0)
        try pending.commit()
        run.addOutput(path, byteCount: UInt64(bytes.count))
    }
}

/// What churn is counted by.
enum ChurnUnit: String, CaseIterable, ExpressibleByArgument {
    case second, minute, hour

    var seconds: UInt32 {
        switch self {
        case .second: 1
        case .minute: 60
        case .hour: 3600
        }
    }

    /// What suits a period of so many seconds.
    init(for secondCount: UInt64) {
        self = secondCount <= 300 ? .second : secondCount <= 2 * 86_400 ? .minute : .hour
    }
}
