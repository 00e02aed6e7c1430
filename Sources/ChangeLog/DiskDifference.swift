import Dispatch
public import ByteCodec
public import DiskModel
public import HRL

/// What comparing two disks found.
public struct DiffResult: Sendable, Equatable {
    /// Bytes of the sectors that differ; those that became zeros among them.
    public var differingByteCount: UInt64 = 0
    /// Bytes that are a hole of the log, because the new disk shows zeros there, for a whole unit of 4096 bytes or for as
    /// much of one as differs.
    public var zeroedByteCount: UInt64 = 0
    public init() {}
}

/// Appends to a log the writes that turn one disk into another of the same size, in the order of the disk.
///
/// They are the smallest set there is: sectors of 512 bytes that differ, and no other. A sector that is equal is never
/// bridged, since the entry that it would save has 32 bytes. Sectors that adjoin are one entry, split where the log's limit
/// for entries lies and where zeros begin and end.
///
/// Goes by extents: what is zeros on both sides, or the same bytes of the same file, is not read. The rest is compared by two
/// threads; the log does not depend on which of them is faster. Memory: 1 MiB and what the images keep of their tables. The
/// log is neither flushed nor closed.
///
/// - Parameters:
///   - time: of all the writes.
///   - progress: bytes of the disk compared, and its size; on the calling thread; may throw to end the comparison.
/// - Throws: `DiskError`: `.refused` for different sizes, and the disks' and the log's own.
public func diffDisks(
    old: any VirtualDisk, new: any VirtualDisk, into writer: LogWriter, time: DiskTimestamp,
    progress: (UInt64, UInt64) throws(DiskError) -> Void = { _, _ in }
) throws(DiskError) -> DiffResult {
    let size = new.geometry.virtualByteCount
    guard old.geometry.virtualByteCount == size else {
        throw DiskError(
            .refused, path: new.path,
            "has \(size) bytes, \(old.path) has \(old.geometry.virtualByteCount): a log cannot change a disk's size",
            hint: "resize one of them first")
    }
    let work = DifferenceWork(
        ComparisonPlan(old, new, 0..<size, readsShared: false), JoinedWrites(writer, time))
    // A queue of its own always has a thread.
    let (helper, helping) = (DispatchQueue(label: "difference"), DispatchGroup())
    helper.async(group: helping) { work.run() }
    defer { helping.wait() }
    do {
        try work.run { (done) throws(DiskError) in try progress(done, size) }
    } catch {
        work.stop()
        throw error
    }
    helping.wait()
    let written = try work.finish()
    try progress(size, size)
    var result = DiffResult()
    (result.differingByteCount, result.zeroedByteCount) = (written.byteCount, written.zeroByteCount)
    return result
}
