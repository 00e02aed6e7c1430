public import BlockIO
public import ByteCodec
public import DiskModel
import HRL

/// What stands where the undo log of some logs is to be.
public enum UndoLogPlace: Sendable {
    /// Their undo log, saved from this disk by an earlier run: closed, whole, covering all that they write, and the disk
    /// may be what that run left. It holds the old bytes and must stay as it is.
    case reusable(UndoLog)
    /// Their undo log, not closed: nothing was written to the disk after it. To be made anew.
    case unclosed
    /// Anything else; the error says why it cannot serve as the undo log.
    case other(DiskError)

    /// Looks at a file.
    ///
    /// Memory: 10 MiB. Where the logs leave more pieces than that holds, the undo log's metadata is gone through again.
    ///
    /// - Parameters:
    ///   - disk: the one that the logs are applied to, which nobody else writes meanwhile.
    ///   - diskID: what tells it from others, as `UndoLog.save` was told; zero for one without.
    /// - Throws: `DiskError` of kind `.io` and `.busy`; what the logs' own reading throws.
    public init(
        of file: any BlockFile, for effect: LogEffect, on disk: any VirtualDisk, diskID: GUID = .zero
    ) throws(DiskError) {
        do throws(DiskError) {
            self = try Self.judge(file, effect, disk, diskID)
        } catch {
            guard error.kind != .io, error.kind != .busy else { throw error }
            self = .other(error)
        }
    }

    private static func judge(
        _ file: any BlockFile, _ effect: LogEffect, _ disk: any VirtualDisk, _ diskID: GUID
    ) throws(DiskError) -> UndoLogPlace {
        let header = try LogHeader(from: file)
        try checkIdentity(header, effect, file.path)
        let neededByteCount = try UndoLog.byteCount(of: effect, diskByteCount: disk.geometry.virtualByteCount)
        guard header.isClosed else {
            try refuseWhole(file, neededByteCount)
            return .unclosed
        }
        let reader = try LogReader(file)
        try reader.checkApplicable()
        let record = try record(of: reader)
        try record?.refuse(otherThan: diskID, file.path)
        let summary = try reader.validate(virtualByteCount: disk.geometry.virtualByteCount)
        try record?.refuse(otherThan: disk, file.path)
        try UndoCover.check(reader, effect, disk)
        // All is covered and nothing twice, so that equal sums are the same bytes. What is not needed now was not looked
        // at: it may be of another time.
        guard summary.byteCount == neededByteCount else {
            throw DiskError(
                .refused, path: file.path,
                "exists and holds \(summary.byteCount - neededByteCount) bytes of sectors that will not be written now",
                hint: "it was made with another --until, or by applying other logs: name another file")
        }
        if let error = try record?.contentError(of: reader) { throw DiskError(error, path: file.path) }
        return .reusable(
            UndoLog(
                uniqueID: header.uniqueID, previousUniqueID: header.previousUniqueID, time: header.created,
                byteCount: summary.byteCount))
    }

    /// - Returns: nil for an undo log of an earlier version, which has none.
    private static func record(of reader: LogReader) throws(DiskError) -> UndoRecord? {
        let record = try UndoRecord.read(behind: reader)
        guard record == nil, UndoRecord.isExpected(behind: reader.header) else { return record }
        throw DiskError(
            .refused, path: reader.file.path,
            "exists, and its record of the disk is missing or damaged, as in a recovered copy",
            hint: "if it is of this disk, apply it to go back, and begin anew with another name")
    }

    /// An undo log that was cut off while it was saved lacks something, and the disk is as it was. One that holds
    /// everything and is not closed was damaged later, when the disk may have new bytes.
    private static func refuseWhole(_ file: any BlockFile, _ neededByteCount: UInt64) throws(DiskError) {
        let found = try recover(unclosed: file)
        guard let furthest = found.candidates.last,
            try found.reader(of: furthest).validate().byteCount >= neededByteCount, neededByteCount > 0
        else { return }
        throw DiskError(
            .refused, path: file.path,
            "exists, is not closed, and holds all sectors that will be written: it was damaged",
            hint: "hrl-check --recover makes a closed copy of it")
    }

    /// - Throws: `.refused` for a log that is not the undo log of these logs.
    private static func checkIdentity(_ header: LogHeader, _ effect: LogEffect, _ path: String) throws(DiskError) {
        guard header.creatorApplication == UndoLog.creatorApplication else {
            throw DiskError(.refused, path: path, "exists and is no undo log")
        }
        guard let wanted = UndoLog.Identity(of: effect) else {
            throw DiskError(.refused, path: path, "exists, and nothing is to be undone")
        }
        guard header.previousUniqueID == wanted.previousUniqueID else {
            throw DiskError(
                .refused, path: path,
                "exists and is the undo log of other logs: they end with \(header.previousUniqueID), these with "
                    + "\(wanted.previousUniqueID)")
        }
        guard header.uniqueID == wanted.uniqueID ?? header.uniqueID else {
            throw DiskError(
                .refused, path: path,
                "exists and is the undo log of other logs: they begin after \(header.uniqueID), these after "
                    + "\(wanted.uniqueID ?? .zero)")
        }
    }
}

extension UndoRecord {
    /// - Throws: `.refused` for another disk's id.
    fileprivate func refuse(otherThan id: GUID, _ path: String) throws(DiskError) {
        guard otherDisk(than: id) != nil else { return }
        throw DiskError(
            .refused, path: path, "exists and is the undo log of another disk, \(diskID); this one is \(id)",
            hint: "name another file")
    }

    /// - Throws: `.refused` for a disk that is not the one that was saved, or was changed in other ways than by the logs.
    fileprivate func refuse(otherThan disk: any VirtualDisk, _ path: String) throws(DiskError) {
        guard try !sample.isShown(by: disk) else { return }
        throw DiskError(
            .refused, path: path,
            "exists and is of another disk, or of another time: of \(sampleCount) sectors that the logs do not write some "
                + "are not as they were when it was saved",
            hint: "name another file")
    }
}
