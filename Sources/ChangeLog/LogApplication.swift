public import DiskModel
public import HRL
import BlockIO
import ByteCodec

/// What applying logs did.
public struct ApplyResult: Sendable, Equatable {
    /// Bytes that were written, zeros among them: of each place the last ones.
    public var writtenByteCount: UInt64 = 0
    public init() {}
}

/// Where applying logs has got to; a callback that throws ends it.
public struct ApplyProgress: Sendable {
    /// Bytes written.
    public var doneByteCount: UInt64
    /// Of all; where the logs leave more runs than are held at a time, a bound.
    public var totalByteCount: UInt64
}

/// How the bytes of logs get to the disk; the outcome is the same.
public enum ApplyOrder: Sendable {
    /// Of each place the last bytes only.
    case coalesced
    /// Write by write, as the logs have them.
    case strict
}

extension LogEffect {
    /// Applies the logs, which were validated before, to a disk.
    ///
    /// 1. The final bytes are written, along the disk, or, where that takes fewer reads, along the logs; what is a hole in a
    ///    log becomes zeros.
    /// 2. The disk is flushed. Only then may the caller note success.
    ///
    /// A cut before the end leaves a mixture; applying the same logs again from the first one makes it right, because
    /// every byte a log writes gets its value from the log alone. Memory beside the effect's: 1 MiB.
    ///
    /// - Throws: `DiskError`: `.outOfRange` past the disk's end, the disk's own, what `progress` throws.
    public func apply(
        to disk: any VirtualDisk, _ order: ApplyOrder = .coalesced,
        progress: (ApplyProgress) throws(DiskError) -> Void = { _ in }
    ) throws(DiskError) -> ApplyResult {
        var result = ApplyResult()
        var batch = WriteBatch(logs.map(\.file), disk)
        let total = order == .coalesced && isWhole ? firstByteCount : byteCount
        func take(_ piece: LogPiece) throws(DiskError) {
            try batch.add(piece)
            result.writtenByteCount += piece.byteCount
            try progress(ApplyProgress(doneByteCount: result.writtenByteCount, totalByteCount: total))
        }
        switch order {
        case .coalesced: try forEachPieceToCopy(take)
        case .strict: try forEachWrite(take)
        }
        try batch.finish()
        try disk.flush()
        return result
    }
}

/// Validates closed logs against a disk, then applies them in the order given, as `LogEffect` does both.
@discardableResult
public func applyLogs(
    _ logs: [LogReader], to disk: any VirtualDisk, limit: WriteLimit = .init(), _ order: ApplyOrder = .coalesced,
    progress: (ApplyProgress) throws(DiskError) -> Void = { _ in }
) throws(DiskError) -> LogEffect {
    let effect = try LogEffect(of: logs, limit: limit, virtualByteCount: disk.geometry.virtualByteCount)
    _ = try effect.apply(to: disk, order, progress: progress)
    return effect
}
