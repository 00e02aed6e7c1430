import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import HRL
import Toolbox

/// One run over some logs: rows, problems, and the summary that closes it.
final class Dump {
    enum Style { case text, tsv, json }

    /// Of the writes shown. One variable, since each access to a class's variable is checked while running.
    private struct Totals {
        var writeCount: UInt64 = 0
        var byteCount: UInt64 = 0
        var firstTime: DiskTimestamp?
        var lastTime: DiskTimestamp?

        mutating func add(_ write: WriteRecord) {
            writeCount += 1
            byteCount &+= write.byteCount
            if firstTime == nil { firstTime = write.timestamp }
            lastTime = write.timestamp
        }
    }

    let run: ToolRun
    let rows: RowWriter
    private let style: Style
    private let filter: WriteFilter
    let options: HRLReadOptions
    let files: FileOpener
    private var shown = Totals()
    private var unique = UniqueBytes()
    private var problemCount: UInt64 = 0
    /// Findings beyond those that the reader keeps.
    private var unlistedProblemCount: UInt64 = 0
    /// Of the log under way.
    private var digest: FindingDigest
    var isComplete = true

    init(
        _ run: ToolRun, _ rows: RowWriter, _ style: Style, _ filter: WriteFilter, _ options: HRLReadOptions,
        _ files: FileOpener
    ) {
        (self.run, self.rows, self.style, self.filter) = (run, rows, style, filter)
        (self.options, self.files) = (options, files)
        digest = FindingDigest(of: run.findingBudget)
    }

    /// Shows a log, as far as it can be read.
    func dump(_ path: String) throws {
        do throws(DiskError) {
            let opened = try OpenedLog(path, options, files)
            run.addInput(opened.reader.file)
            try show(opened)
        } catch let error { try fail(error) }
    }

    private func show(_ log: OpenedLog) throws(DiskError) {
        let reader = log.reader
        try output {
            try begin(reader.header, reader.file, reader.fileByteCount, log.recoveredWriteCount)
        }
        let summary: LogSummary
        do throws(DiskError) {
            summary = try reader.forEachWrite(verifyingData: true) { (write) throws(DiskError) in
                try row(WriteRecord(write))
            }
        } catch {
            guard error.formatError != nil else { throw error }
            return try showDamage(error, reader.file)
        }
        try output { try end(summary.findings, summary.dropped, reader.file.path) }
        if log.isUnclosed {
            isComplete = false
            run.raise(.partial)
            run.warn(
                reader.file.path,
                "the log was not closed: \(counted(summary.writeCount, "write was", "writes were")) found, others may be lost; "
                    + "hrl-check --recover OUT makes a closed copy", code: FormatError.Code.hrlNotClosed.rawValue)
            for finding in log.recoveryFindings {
                try output { try problem(LogFinding(finding), reader.file.path) }
            }
        }
    }

    func row(_ write: WriteRecord) throws(DiskError) {
        guard filter.admits(write) else { return }
        shown.add(write)
        if style != .tsv { unique.add(write.diskOffset..<write.diskOffset + write.byteCount) }
        try output { try rows.row(write) }
    }

    /// The problems of a log whose reading an error ended.
    func showDamage(_ error: DiskError, _ file: any BlockFile) throws(DiskError) {
        isComplete = false
        run.raise(.finding)
        let check = try checkLog(file)
        try output {
            try rows.flush()
            let known = check.findings.contains { $0.detail == error.formatError }
            if !known, let detail = error.formatError { try problem(LogFinding(Finding(.error, detail)), file.path) }
            try end(check.findings, check.dropped, file.path)
        }
    }

    /// An error that leaves nothing of a log to show.
    func fail(_ error: DiskError) throws {
        isComplete = false
        run.raise(ExitStatus(error.kind))
        try rows.flush()
        printError("\(run.name): \(error.path): \(error.explanation)")
        guard style == .json else { return }
        if let detail = error.formatError {
            try problemLine(LogFinding(Finding(.error, detail)))
        } else {
            problemCount += 1
            try rows.put(
                [
                    "type": "error", "code": nil, "kind": .string(error.kind.rawValue), "path": .string(error.path),
                    "message": .string(error.explanation), "field": nil, "offset": nil,
                ] as JSONValue)
        }
    }

    // Lines

    func begin(
        _ header: LogHeader, _ file: any BlockFile, _ fileByteCount: UInt64, _ recovered: UInt64?
    ) throws {
        switch style {
        case .json: try rows.put(document(header, file.path, fileByteCount, recovered ?? header.totalMetadataEntries))
        case .text:
            let size = Quantity.bytes(fileByteCount, plain: run.output.bytes)
            try rows.put(
                "\(printable(file.path)): \(header.isClosed ? "closed" : "not closed"), \(size), version "
                    + "\(header.majorVersion), created \(header.created)")
            let previous = header.previousUniqueID == .zero ? "no log" : header.previousUniqueID.description
            try rows.put("  id \(header.uniqueID), after \(previous)")
        case .tsv: break
        }
        try rows.begin(file.path, WriteData(file))
    }

    private func document(_ header: LogHeader, _ path: String, _ size: UInt64, _ entries: UInt64) -> JSONValue {
        [
            "type": "log", "schema": "hrl-dump/1", "file": .string(path), "size": .unsigned(size),
            "format_version": .string("\(header.majorVersion).\(header.logFormatVersion & 0xffff)"),
            "unique_id": .string(header.uniqueID.description),
            "previous_unique_id": header.previousUniqueID == .zero
                ? nil : .string(header.previousUniqueID.description),
            "data_write_guid": header.vhd2DataWriteGUID == .zero
                ? nil : .string(header.vhd2DataWriteGUID.description),
            "created": .string(header.created.description), "closed": .bool(header.isClosed),
            "metadata_size": .unsigned(UInt64(header.metadataSize)), "entries": .unsigned(entries),
            "created_raw": .unsigned(UInt64(header.timeStamp)),
        ]
    }

    /// Findings of a log, at its end; information only with `--verbose`.
    func end(_ findings: [LogFinding], _ dropped: [Finding.Kind: Int], _ path: String) throws {
        func isTold(_ severity: Finding.Severity) -> Bool { severity > .information || run.output.verbose }
        for finding in findings where isTold(finding.severity) { try problem(finding, path) }
        for (kind, count) in dropped where isTold(kind.severity) { unlistedProblemCount += UInt64(count) }
        digest.add(dropped: dropped)
        tellRests(path)
    }

    func problem(_ finding: LogFinding, _ path: String) throws {
        if finding.severity == .error { run.raise(.finding) }
        if digest.admits(finding.finding.kind), finding.severity == .error || !run.output.quiet {
            printError("\(run.name): \(path): \(finding.detail)")
        }
        try problemLine(finding)
    }

    /// How many problems of a log were not shown, when all of it was.
    func tellRests(_ path: String) {
        run.warn(path, rests: digest)
        digest = FindingDigest(of: run.findingBudget)
    }

    private func problemLine(_ finding: LogFinding) throws {
        problemCount += 1
        guard style == .json else { return }
        try rows.put(
            [
                "type": "problem", "code": .string(finding.detail.code.rawValue),
                "severity": .string(finding.severity.rawValue), "n": .optional(finding.write),
                "offset": .unsigned(finding.detail.offset),
                "message": .string("\(finding.detail.field) \(finding.detail.problem)"),
            ] as JSONValue)
    }

    /// What fails while showing is no fault of the log: it goes past the readers, which only throw `DiskError`.
    func output(_ body: () throws -> Void) throws(DiskError) {
        try diskErrors("standard output") {
            do { try body() } catch let failure as OutputFailure {
                throw DiskError(.io, path: "standard output", "\(failure)")
            }
        }
    }

    /// The line that closes everything.
    /// - Parameter paths: the logs shown, to be read again where counting needs it; nil when they cannot be.
    func finish(_ paths: [String]?) throws {
        var uniqueByteCount: UInt64? = unique.byteCount
        if style != .tsv {
            var needsAnother = unique.needsAnotherPass()
            while needsAnother, let paths {
                for path in paths { countAgain(path) }
                needsAnother = unique.needsAnotherPass()
            }
            uniqueByteCount = needsAnother ? nil : unique.byteCount
        }
        switch style {
        case .json:
            try rows.put(
                [
                    "type": "summary", "writes": .unsigned(shown.writeCount), "bytes": .unsigned(shown.byteCount),
                    "unique_bytes": .optional(uniqueByteCount),
                    "first_time": .optional(shown.firstTime?.description),
                    "last_time": .optional(shown.lastTime?.description),
                    "problems": .unsigned(problemCount), "problems_not_listed": .unsigned(unlistedProblemCount),
                    "complete": .bool(isComplete),
                    "exit": .integer(Int64(run.status.rawValue)),
                ] as JSONValue)
        case .text: try rows.put(summaryText(uniqueByteCount))
        case .tsv: break
        }
        try rows.flush()
    }

    private func countAgain(_ path: String) {
        // What can be shown of a damaged log was counted the same way the first time.
        guard let log = try? OpenedLog(path, options, files) else { return }
        _ = try? log.reader.forEachWrite(verifyingData: false) { write in
            guard filter.admits(WriteRecord(write)) else { return }
            unique.add(write.diskRange)
        }
    }

    private func summaryText(_ uniqueByteCount: UInt64?) -> String {
        func size(_ count: UInt64) -> String { Quantity.bytes(count, plain: run.output.bytes) }
        var text = "\(counted(shown.writeCount, "write", "writes")), \(size(shown.byteCount))"
        if let uniqueByteCount { text += ", to \(size(uniqueByteCount)) of the disk" }
        if let firstTime = shown.firstTime, let lastTime = shown.lastTime { text += ", \(firstTime) to \(lastTime)" }
        return text + (isComplete ? "" : "; incomplete")
    }
}
