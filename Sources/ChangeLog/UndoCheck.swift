import BlockIO
public import ByteCodec
public import DiskModel
public import HRL

/// What an undo log that is to be applied says of itself: whether it is of this disk, and whole.
///
/// Logs that are no undo logs pass, and so do undo logs that have no record, as earlier versions made them.
public struct UndoCheck {
    private let log: LogReader
    private let diskID: GUID
    private var findings: Findings

    /// - Parameters:
    ///   - diskID: of the disk that it is to be applied to; zero for one without, where nothing is compared.
    ///   - accepted: codes of errors that shall be findings.
    public init(_ log: LogReader, diskID: GUID, accepting accepted: Set<FormatError.Code> = []) {
        (self.log, self.diskID) = (log, diskID)
        findings = Findings(accepting: accepted)
    }

    /// Reads what the log holds once more. Memory: 3 MiB.
    /// - Parameter summary: of a walk through the whole log.
    /// - Returns: what was noticed; HRL050 tells that the log is not whole, HRL051 that its record is lost.
    /// - Throws: `DiskError`: HRL048 for another disk's, HRL049 for other bytes than were saved, `.io`.
    public mutating func run(_ summary: LogSummary) throws(DiskError) -> [Finding] {
        guard UndoRecord.isExpected(behind: log.header) else { return [] }
        noteMissingBytes(summary)
        guard let record = try UndoRecord.read(behind: log) else {
            findings.warn(
                error(
                    .hrlUndoRecord, "undo record", log.endOfLog,
                    "is missing or damaged, as in a recovered copy: whether this disk's bytes were saved here is not "
                        + "known"))
            return findings.all
        }
        if let problem = record.otherDisk(than: diskID) {
            try refuse(
                error(.hrlUndoDisk, "DiskId", log.endOfLog + 16, problem),
                "--accept HRL048 applies it all the same, as to a copy that was given another id")
        }
        if let error = try record.contentError(of: log) {
            try refuse(error, "bring the undo log back from a copy; --accept HRL049 applies it all the same")
        }
        return findings.all
    }

    private mutating func noteMissingBytes(_ summary: LogSummary) {
        let (held, saved) = (summary.byteCount, log.header.originalSize)
        guard held != saved else { return }
        findings.warn(
            error(
                .hrlUndoWhole, "OriginalSize", 24,
                "says that \(saved) bytes of the disk were saved, and \(held) are here: applying it takes back a part only"
            ))
    }

    private mutating func refuse(_ error: FormatError, _ hint: String) throws(DiskError) {
        do { try findings.refuse(error) } catch { throw DiskError(error, path: log.file.path, hint: hint) }
    }

    private func error(
        _ code: FormatError.Code, _ field: String, _ offset: UInt64, _ problem: String
    ) -> FormatError {
        FormatError(code, field: field, offset: offset, problem, section: UndoRecord.section)
    }
}

extension UndoRecord {
    static let section = "hrl.md: Undo logs"

    /// Why a disk is not the one that was saved; nil where it may be, and where either has no id.
    func otherDisk(than id: GUID) -> String? {
        guard diskID != .zero, id != .zero, diskID != id else { return nil }
        return "is \(diskID): it was saved from another disk, this one is \(id)"
    }

    /// What is otherwise in a log than when it was saved; nil when nothing is.
    /// - Throws: as `LogReader.forEachWrite`.
    func contentError(of log: LogReader) throws(DiskError) -> FormatError? {
        guard try UndoDigest.of(log) != contentDigest else { return nil }
        return FormatError(
            .hrlUndoContents, field: "ContentDigest", offset: log.endOfLog + 64,
            "is not that of the log's bytes and places: they were changed since they were saved", section: Self.section)
    }
}
