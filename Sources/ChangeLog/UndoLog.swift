public import BlockIO
public import ByteCodec
public import DiskModel
import HRL

/// What logs overwrite on a disk, saved before in an ordinary closed log: applying it takes the logs back.
///
/// The undo log of logs that lead from P to U leads from U to P, so that undo logs are a chain whose order is newest
/// first, by itself. It holds whole sectors, also where logs write parts of them: so its blocks stand where the search for
/// the blocks of a log that was not closed finds them, should it lose its end. An `UndoRecord` follows its end.
///
/// Who applies logs with an undo log does this, the disk being his alone:
///
/// 1. `UndoLog.save` into a file that has no name yet, closed and flushed (`LogWriter`); then `PendingFile.commit` makes
///    the name durable. A cut up to here leaves the disk as it was, and no undo log or one that is not closed.
/// 2. `LogEffect.apply`. A cut leaves a mixture of old and new: the undo log alone makes it old, the logs alone make it
///    new. Who applies the logs again takes the undo log that is there (`UndoLogPlace`): the disk has new bytes now, and
///    saving them would lose the old ones.
public struct UndoLog: Sendable, Equatable {
    public var uniqueID: GUID
    public var previousUniqueID: GUID
    /// When it was saved.
    public var time: DiskTimestamp
    /// Bytes of the disk that it holds, zeros among them.
    public var byteCount: UInt64

    /// Says in a log's header that it is an undo log.
    public static let creatorApplication = Array("vtu ".utf8)

    /// The ids that the undo log of a run of logs has.
    public struct Identity: Sendable, Equatable {
        /// UniqueId of the last log that counts.
        public var previousUniqueID: GUID
        /// PreviousUniqueId of the first log; nil where that cannot be an id of the undo log, which then gets a random one.
        public var uniqueID: GUID?

        /// - Returns: nil when no log counts: nothing will be written, and there is nothing to undo.
        public init?(of effect: LogEffect) {
            guard effect.usedLogCount > 0 else { return nil }
            previousUniqueID = effect.logs[effect.usedLogCount - 1].header.uniqueID
            let first = effect.logs[0].header.previousUniqueID
            uniqueID = first == .zero || first == previousUniqueID ? nil : first
        }
    }

    /// What tells an undo log from another of the same logs.
    static func summary(of log: LogReader) -> String {
        let saved = UndoRecord.isExpected(behind: log.header) ? " saved \(log.header.originalSize) bytes" : " was saved"
        return "\(log.file.path)\(saved) at \(log.header.created)"
    }

    /// Bytes of a disk that the undo log of logs holds: the sectors that they write, whole or in part.
    /// - Throws: as `LogEffect.forEachPiece`.
    public static func byteCount(
        of effect: LogEffect, diskByteCount: UInt64
    ) throws(DiskError) -> UInt64 {
        var total: UInt64 = 0
        try effect.forEachUndoPart(diskByteCount: diskByteCount) { (part) throws(DiskError) in
            total += part.range.upperBound - part.range.lowerBound
        }
        return total
    }

    /// Saves what stands on a disk in the sectors that logs will write, into a new log, which is durable and closed when this returns.
    ///
    /// Goes by extents, so that what is zeros takes no room. Memory beside the effect's: 4 MiB.
    ///
    /// - Parameters:
    ///   - file: new or empty; its name is the caller's to make durable.
    ///   - dataWriteGUID: the disk's present one, for a VHDX; zero for other images.
    ///   - diskID: what tells the disk from others, whatever it holds; zero for one without.
    ///   - time: of the log and of its writes.
    ///   - progress: bytes saved; may throw to end it.
    /// - Throws: `DiskError`: `.refused` when no log counts; the disk's and the logs' own, the file's.
    public static func save(
        _ effect: LogEffect, of disk: any VirtualDisk, into file: any BlockFile, dataWriteGUID: GUID = .zero,
        diskID: GUID = .zero, time: DiskTimestamp, progress: (UInt64) throws(DiskError) -> Void = { _ in }
    ) throws(DiskError) -> UndoLog {
        guard let identity = Identity(of: effect) else {
            throw DiskError(.refused, path: file.path, "nothing is to be undone: no log counts")
        }
        var options = LogWriter.Options()
        options.previousUniqueID = identity.previousUniqueID
        if let id = identity.uniqueID { options.uniqueID = id }
        (options.creatorApplication, options.creatorVersion) = (creatorApplication, UndoRecord.creatorVersion)
        options.dataWriteGUID = dataWriteGUID
        options.created = time
        // It may be the only copy of these bytes: what has rotted in it must not be taken for them.
        options.computesDataChecksums = true
        let places = try SamplePlaces.outside(effect, on: disk)
        options.originalSize = places.undoByteCount
        var record = UndoRecord()
        record.diskID = diskID
        if let sample = try DiskSample(of: disk, at: places.offsets) { record.sample = sample }
        let writer = try LogWriter.create(on: file, options)
        var saving = UndoSaving(disk, writer, time)
        try effect.forEachUndoRange(diskByteCount: disk.geometry.virtualByteCount) { (range) throws(DiskError) in
            try saving.save(range)
            try progress(saving.byteCount)
        }
        record.contentDigest = try saving.finish()
        try writer.close(at: time, followedBy: record.sealed())
        return UndoLog(
            uniqueID: options.uniqueID, previousUniqueID: options.previousUniqueID, time: time,
            byteCount: saving.byteCount)
    }
}

/// Ranges of a disk on their way to an undo log.
private struct UndoSaving {
    /// Read at once, and a multiple of the unit.
    static let pieceByteCount: UInt64 = 1 << 20
    /// Zeros in so long a run, at a multiple of it, are saved as zeros also where the image stores them.
    static let unitByteCount = 64 << 10

    private let buffer = IOBuffer(byteCount: Int(Self.pieceByteCount))
    private var extents: UndoExtents
    private var writes: JoinedWrites
    private var digest = UndoDigest()
    /// Bytes saved, zeros among them.
    var byteCount: UInt64 { writes.byteCount }

    init(_ disk: any VirtualDisk, _ writer: LogWriter, _ time: DiskTimestamp) {
        extents = UndoExtents(disk)
        writes = JoinedWrites(writer, time, unitByteCount: Self.unitByteCount)
    }

    mutating func save(_ range: Range<UInt64>) throws(DiskError) {
        var position = range.lowerBound
        while position < range.upperBound {
            let run = try extents.run(at: position, upTo: range.upperBound)
            if run.source == nil {
                try writes.append(zeros: run.range)
                digest.append(zeros: run.range)
            } else {
                try saveData(run)
            }
            position = run.range.upperBound
        }
    }

    private mutating func saveData(_ run: UndoRun) throws(DiskError) {
        let buffer = buffer
        var position = run.range.lowerBound
        while position < run.range.upperBound {
            let stop = (position + Self.pieceByteCount).roundedDown(to: Self.pieceByteCount)
            let piece = position..<min(run.range.upperBound, stop)
            try run.read(piece, into: buffer)
            let bytes = buffer.bytes(0..<Int(piece.upperBound - position))
            try writes.append(bytes, at: position)
            digest.append(bytes, at: position)
            position = piece.upperBound
        }
    }

    /// Brings the last run of zeros into the log.
    /// - Returns: the digest of all that was saved.
    mutating func finish() throws(DiskError) -> [UInt8] {
        try writes.finish()
        return digest.finish()
    }
}
