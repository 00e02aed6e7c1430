public import ByteCodec
public import DiskModel
public import HRL
import BlockIO

/// What merging logs wrote.
public struct MergeResult: Sendable, Equatable {
    /// Bytes of the disk in the merged log; those that are a hole in it among them.
    public var byteCount: UInt64 = 0
    public var zeroByteCount: UInt64 = 0
    public init() {}
}

/// The identity and the times of a log that stands for others in their chain.
///
/// States between the first write and the last are lost, so all writes bear the newest one's time: an `--until` before it
/// applies nothing, and never a mixture.
public struct MergedIdentity: Sendable, Equatable {
    /// That of the last log: what follows it follows the merged one.
    public var uniqueID: GUID
    /// That of the first log: the merged one follows what that one follows.
    public var previousUniqueID: GUID
    /// DataWriteGuid of the last log.
    public var dataWriteGUID: GUID
    /// The first log's, or where clocks jumped that of all writes, if it is earlier.
    public var created: DiskTimestamp
    /// Of all writes; `created` when there is none.
    public var writeTime: DiskTimestamp
    /// The latest of all logs' and of `writeTime`.
    public var lastModified: DiskTimestamp

    /// - Throws: `DiskError`: `.refused` without logs, and for logs in an order in which the merged one would follow itself.
    public init(of effect: LogEffect) throws(DiskError) {
        guard let first = effect.logs.first?.header, let last = effect.logs.last else {
            throw DiskError(.refused, path: "", "there is no log to merge")
        }
        (uniqueID, previousUniqueID) = (last.header.uniqueID, first.previousUniqueID)
        guard uniqueID != previousUniqueID else {
            throw DiskError(
                .refused, path: last.file.path,
                "is the last log, and its UniqueId \(uniqueID) is the PreviousUniqueId of the first",
                hint: "give the logs in the order of their writes")
        }
        dataWriteGUID = last.header.vhd2DataWriteGUID
        writeTime = effect.newestTime ?? first.created
        created = min(first.created, writeTime)
        lastModified = effect.logs.reduce(max(created, writeTime)) { max($0, $1.header.lastModified) }
    }

    /// Options for the writer of the merged log.
    public var writerOptions: LogWriter.Options {
        var options = LogWriter.Options()
        (options.uniqueID, options.previousUniqueID) = (uniqueID, previousUniqueID)
        (options.dataWriteGUID, options.created) = (dataWriteGUID, created)
        return options
    }
}

extension LogEffect {
    /// Appends to a log, in the order of the disk, what is left of all writes: overwritten bytes are dropped, pieces that
    /// adjoin are joined, and zeros, whether they were a hole or not, become a hole (in whole units of 4096 bytes of the
    /// disk). The log is neither flushed nor closed. Merging what was merged gives the same.
    ///
    /// Memory: that of the effect and 256 KiB.
    /// - Parameters:
    ///   - time: of all the writes, as in `MergedIdentity`.
    ///   - progress: bytes of the disk written, and a bound for all of them; may throw to end the merging.
    /// - Throws: `DiskError`: what reading the logs and writing the new one throws.
    public func merge(
        into writer: LogWriter, time: DiskTimestamp,
        progress: (UInt64, UInt64) throws(DiskError) -> Void = { _, _ in }
    ) throws(DiskError) -> MergeResult {
        var window = MergeWindow(logs.map(\.file), JoinedWrites(writer, time))
        let total = isWhole ? firstByteCount : byteCount
        var done: UInt64 = 0
        try forEachPiece { (piece) throws(DiskError) in
            try window.add(piece)
            done += piece.byteCount
            try progress(done, total)
        }
        let written = try window.finish()
        var result = MergeResult()
        (result.byteCount, result.zeroByteCount) = (written.byteCount, written.zeroByteCount)
        return result
    }
}
