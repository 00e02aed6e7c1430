public import DiskModel
public import HRL
import BlockIO
public import ByteCodec

/// How far and how to apply logs.
public struct ApplyOptions: Sendable {
    /// Stops before the first write of a later time.
    public var untilTime: DiskTimestamp?
    /// Stops after so many writes, counted through all the logs.
    public var untilRecord: UInt64?
    /// Validates everything and writes nothing.
    public var dryRun = false
    public init() {}
}

/// What applying logs did.
public struct ApplyResult: Sendable {
    /// One summary a log, of all its writes.
    public var summaries: [LogSummary] = []
    /// Writes applied (or that would be, in a dry run), and their bytes.
    public var writeCount: UInt64 = 0
    public var byteCount: UInt64 = 0
    /// Whether a limit left writes out.
    public var stoppedEarly = false
    public init() {}
}

/// Where applying logs has got to; also the way to end it: a callback that throws.
public struct ApplyProgress: Sendable {
    public enum Phase: String, Sendable { case validating, writing }
    public var phase: Phase
    /// Data bytes of the log done, of this phase.
    public var doneByteCount: UInt64
    /// Of all logs; while validating what their files hold.
    public var totalByteCount: UInt64
}

/// Applies closed logs to a disk, in the order given.
///
/// 1. All of all logs is validated: headers, blocks, entries, data checksums, and every range against the disk's size.
///    The disk is not touched; an error leaves it as it was.
/// 2. The writes are done in order; what is a hole in a log becomes zeros on the disk.
/// 3. The disk is flushed. Only then may the caller note success.
///
/// A cut in step 2 or 3 leaves a mixture; applying the same logs again from the first one makes it right, because every
/// byte a log writes gets its value from the log alone. Memory: 1 MiB and one metadata block.
///
/// - Throws: `DiskError`: a log's error (`.format`), HRL019 for a write past the disk's end, HRL002, HRL008 or HRL009 for
///   a log that must not be applied without being asked to, or the disk's own.
public func applyLogs(
    _ logs: [LogReader], to disk: any VirtualDisk, options: ApplyOptions = .init(),
    progress: (ApplyProgress) throws(DiskError) -> Void = { _ in }
) throws(DiskError) -> ApplyResult {
    var result = ApplyResult()
    var limit = ApplyLimit(options)
    let fileTotal = logs.reduce(0) { $0 + $1.endOfLog }
    var doneFiles: UInt64 = 0
    for log in logs {
        try progress(ApplyProgress(phase: .validating, doneByteCount: doneFiles, totalByteCount: fileTotal))
        try log.checkApplicable()
        let summary: LogSummary
        do throws(DiskError) {
            summary = try log.validate(virtualByteCount: disk.geometry.virtualByteCount) { write in
                guard limit.admits(write) else { return }
                result.writeCount += 1
                result.byteCount += write.byteCount
            }
        } catch { throw explained(error) }
        result.summaries.append(summary)
        doneFiles += log.endOfLog
    }
    result.stoppedEarly = limit.isReached
    guard !options.dryRun else { return result }

    limit = ApplyLimit(options)
    var done: UInt64 = 0
    for log in logs where !limit.isReached {
        var batch = WriteBatch(log.file, disk)
        try log.forEachWrite(verifyingData: false) { (write) throws(DiskError) in
            guard limit.admits(write) else { return }
            try batch.add(write)
            done += write.byteCount
            try progress(ApplyProgress(phase: .writing, doneByteCount: done, totalByteCount: result.byteCount))
        }
        try batch.finish()
    }
    try disk.flush()
    return result
}

private func explained(_ error: DiskError) -> DiskError {
    guard error.formatError?.code == .hrlDiskRange, error.hint == nil else { return error }
    var error = error
    error.hint = "the log's disk is larger than this one: grow this one first"
    return error
}

/// The limits of one pass over the writes.
private struct ApplyLimit {
    let options: ApplyOptions
    var count: UInt64 = 0
    /// Whether a write was left out; all after it are, too.
    var isReached = false

    init(_ options: ApplyOptions) { self.options = options }

    mutating func admits(_ write: LogWrite) -> Bool {
        guard !isReached else { return false }
        if let last = options.untilRecord, count >= last { isReached = true }
        if let last = options.untilTime, write.timestamp > last { isReached = true }
        count += 1
        return !isReached
    }
}
