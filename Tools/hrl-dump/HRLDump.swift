import ArgumentParser
import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import HRL
import Toolbox

@main
struct HRLDump: Tool {
    static let configuration = CommandConfiguration(
        commandName: "hrl-dump",
        abstract: "List the writes in replica logs, one line each.",
        discussion: """
            EXAMPLES
              hrl-dump log1.hrl
              hrl-dump --json log1.hrl | jq 'select(.type == "write") | .length'
              hrl-dump --raw -n 7 log1.hrl | xxd | head

            A log that was not closed is shown as far as its blocks can be found, and the exit status is 3. Of a damaged \
            log the writes before the damage are shown; the exit status is 1.
            """,
        version: versionText)
    static let schema = "hrl-dump/1"
    static let streamsLines = true
    static let columnNames = RowWriter.Column.allCases.map(\.rawValue)
    static let previewLimit = 65536

    @Argument(help: "Replica logs.", completion: .file(extensions: ["hrl"]))
    var logs: [String]
    @Flag(help: "Tab-separated values with a header line.")
    var tsv = false
    @Option(help: ArgumentHelp("Columns of --tsv, of \(Self.columnNames.joined(separator: ",")).", valueName: "list"))
    var columns: String?
    @OptionGroup var filterOptions: WriteFilterOptions
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Only writes of these numbers, counted in each log from 1.", valueName: "a-b"))
    var records: RecordRange?
    @Flag(help: "The SHA-256 of each write's data.")
    var sha256 = false
    @Option(help: ArgumentHelp("The first bytes of each write's data, at most 65536.", valueName: "n"))
    var preview: Int?
    @Flag(name: [.customShort("C"), .customLong("hexdump")], help: "Each write's data as a hexdump below its line.")
    var hexdump = false
    @Flag(help: "The data of the write named by -n to standard output, and nothing else.")
    var raw = false
    @Option(
        name: [.customShort("n"), .customLong("number")],
        help: ArgumentHelp("The write for --raw.", valueName: "n"))
    var number: UInt64?
    @Flag(help: "Wait for more until the log is closed.")
    var follow = false
    @OptionGroup var acceptOptions: AcceptOptions
    @OptionGroup var keyOptions: KeyOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if tsv, output.json { throw ValidationError("--json and --tsv exclude each other") }
        if columns != nil, !tsv { throw ValidationError("--columns goes with --tsv") }
        if hexdump, tsv || output.json { throw ValidationError("-C is for people: not with --json or --tsv") }
        for name in columnList where RowWriter.Column(rawValue: name) == nil {
            throw ValidationError("no column \(name); there are \(Self.columnNames.joined(separator: ", "))")
        }
        if let preview, !(1...Self.previewLimit).contains(preview) {
            throw ValidationError("--preview takes 1 to \(Self.previewLimit) bytes")
        }
        if raw != (number != nil) { throw ValidationError("--raw and -n go together") }
        if raw, tsv || output.json || hexdump || follow || sha256 || preview != nil {
            throw ValidationError("--raw goes with no other form of output")
        }
        if raw, filterOptions.since != nil || filterOptions.until != nil || filterOptions.disk != nil || records != nil
        {
            throw ValidationError("--raw takes its write from -n, not from filters")
        }
        if raw || follow, logs.count != 1 { throw ValidationError("\(raw ? "--raw" : "--follow") takes one log") }
    }

    private var columnList: [String] { columns?.split(separator: ",").map(String.init) ?? Self.columnNames }

    func perform(_ run: ToolRun) throws {
        let options = HRLReadOptions(accepting: acceptOptions.codes)
        if let number { return try writeRaw(number, options, run) }
        let style: Dump.Style = output.json ? .json : tsv ? .tsv : .text
        let rows = RowWriter(run.out, style: rowStyle, contents: contents)
        let dump = Dump(run, rows, style, filter, options, keyOptions.files)
        try rows.beginTable()
        if follow {
            Waiting.catchSignals()
            try dump.follow(logs[0])
        } else {
            for log in logs { try dump.dump(log) }
        }
        try dump.finish(follow ? nil : logs)
    }

    private var rowStyle: RowWriter.Style {
        if output.json { return .json }
        return tsv ? .tsv(columnList.compactMap(RowWriter.Column.init(rawValue:))) : .text
    }

    private var contents: RowWriter.Contents {
        RowWriter.Contents(sha256: sha256, previewByteCount: preview ?? 0, hexdump: hexdump)
    }

    private var filter: WriteFilter {
        var filter = WriteFilter()
        if let since = filterOptions.since { filter.since = since.diskTimestamp }
        if let until = filterOptions.until { filter.until = until.diskTimestamp }
        if let records { filter.records = records.range }
        if let disk = filterOptions.disk { filter.disk = disk.range }
        return filter
    }

    /// The data of one write, as it is.
    private func writeRaw(_ number: UInt64, _ options: HRLReadOptions, _ run: ToolRun) throws {
        guard !run.out.isTerminal else {
            throw DiskError(
                .refused, path: logs[0], "bytes are not written to a terminal", hint: "use -C for a hexdump, or a pipe")
        }
        let log = try OpenedLog(logs[0], options, keyOptions.files)
        run.addInput(log.reader.file)
        var found: LogWrite?
        // To the end of the log: data of a log that is damaged further on is not handed out as if it were sound.
        let summary = try log.reader.forEachWrite(verifyingData: true) { write in
            if write.number == number { found = write }
        }
        guard let found else {
            throw DiskError(.outOfRange, path: logs[0], "no write \(number): the log has \(summary.writeCount)")
        }
        run.warn(logs[0], summary.findings.map(\.finding), dropped: summary.dropped)
        if log.isUnclosed {
            run.warn(logs[0], "the log was not closed", code: FormatError.Code.hrlNotClosed.rawValue)
            run.raise(.partial)
        }
        try WriteData(log.reader.file).forEachPiece(WriteRecord(found)) { bytes, _ in try run.out.write(bytes) }
    }
}
