public import BlockIO
import ByteCodec
public import DiskModel
import HRL

/// What stands where the undo log of some logs is to be.
public enum UndoLogPlace: Sendable {
    /// Their undo log, saved by an earlier run: closed, whole, covering all that they write, and the disk may be what that
    /// run left. It holds the old bytes and must stay as it is.
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
    /// - Throws: `DiskError` of kind `.io` and `.busy`; what the logs' own reading throws.
    public init(of file: any BlockFile, for effect: LogEffect, on disk: any VirtualDisk) throws(DiskError) {
        do throws(DiskError) {
            self = try Self.judge(file, effect, disk)
        } catch {
            guard error.kind != .io, error.kind != .busy else { throw error }
            self = .other(error)
        }
    }

    private static func judge(
        _ file: any BlockFile, _ effect: LogEffect, _ disk: any VirtualDisk
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
        let summary = try reader.validate(virtualByteCount: disk.geometry.virtualByteCount)
        try UndoCover.check(reader, effect, disk)
        // All is covered and nothing twice, so that equal sums are the same bytes. What is not needed now was not looked
        // at: it may be of another time.
        guard summary.byteCount == neededByteCount else {
            throw DiskError(
                .refused, path: file.path,
                "exists and holds \(summary.byteCount - neededByteCount) bytes of sectors that will not be written now",
                hint: "it was made with another --until, or by applying other logs: name another file")
        }
        return .reusable(
            UndoLog(
                uniqueID: header.uniqueID, previousUniqueID: header.previousUniqueID, time: header.created,
                byteCount: summary.byteCount))
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
