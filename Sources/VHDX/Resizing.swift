public import BlockIO
public import ByteCodec
public import DiskModel

/// Changes the size of a disk in place.
///
/// A power cut at any moment leaves an image that opens, with the old or the new size, the old bytes up to the smaller
/// of both, and zeros behind the old size (a differencing image shows its parent there, in blocks of its own that it
/// does not have). Doing it again completes it. Steps, inside a session of `Writer`, whose DataWriteGuid is new:
///
/// Growing:
///  1. Where the table's region is too short or the image is fixed: space behind the last used MiB is zeroed, the file
///     is lengthened, and flushed. *Cut: nothing names that space.*
///  2. The part of the last block behind the disk's end is zeroed. *Cut: nobody sees that part.*
///  3. The table stays: through the log, entries behind the last one in use become zero, or in a fixed image those of
///     the new blocks. *Cut: they are behind the last one in use; nobody reads them.*
///     The table moves: its entries, and those of a fixed image's new blocks, are written into the new space. *Cut: as
///     after 1.*
///  4. A flush, and one log entry with the page of the disk's size and, if the table moves, those of both region
///     tables. *Cut: the entry is whole, and all of it takes effect, or it is not, and none does.*
///
/// Shrinking:
///  5. One log entry with the page of the disk's size. *Cut: the entry is whole or not; entries of blocks behind the
///     new end are left, which nobody reads.*
///  6. Through the log, those become zero. *Cut: as after 5, with fewer of them.*
///
/// Both:
///  7. The session is closed, and the file is cut behind the last used MiB, as told at `EditSession`.
public enum VHDXResizer {
    /// What resizing would do; nothing is changed, a pending log is replayed in memory.
    /// - Parameter virtualByteCount: whole logical sectors, from one to 64 TiB.
    /// - Throws: `.refused` for sizes the format does not allow and for images that are not written to; `.format`, with
    ///   the rule's code, for images that do not open; `.io`.
    public static func plan(_ file: any BlockFile, to virtualByteCount: UInt64) throws(DiskError) -> ResizePlan {
        try diskErrors(file.path, "planning to resize the disk") {
            try Resizing(EditSession(file, plansOnly: true), to: virtualByteCount).plan
        }
    }

    /// Resizes. The file is the caller's alone, open for writing; a pending log is replayed into it first. Whether
    /// data may be given up is for the caller to decide: nothing is asked here.
    /// - Parameters:
    ///   - dataWriteGUID: what the DataWriteGuid becomes, if the size changes; nil for a random one.
    ///   - progress: told bytes of the table gone through; an error thrown there ends the session cleanly.
    /// - Returns: what was done; where the old and new sizes are equal, there was nothing to do.
    /// - Throws: as `plan`. After an error the image is whole, with the old or the new size.
    public static func resize(
        _ file: any BlockFile, to virtualByteCount: UInt64, dataWriteGUID: GUID? = nil, progress: EditProgress
    ) throws(DiskError) -> ResizePlan {
        try diskErrors(file.path, "resizing the disk") {
            var resizing = try Resizing(EditSession(file, plansOnly: false), to: virtualByteCount)
            resizing.dataWriteGUID = dataWriteGUID
            do {
                try resizing.run(progress)
            } catch {
                resizing.session.abandon()
                throw error
            }
            return resizing.plan
        }
    }
}

/// One resize: what it finds, and what it does.
struct Resizing {
    var session: EditSession
    private(set) var plan: ResizePlan
    let old: TableGeometry
    let new: TableGeometry
    /// End of the space that is used by what the new disk keeps.
    private let usedEnd: UInt64
    /// Entries behind the last one in use that are not zero.
    private var hasLeftovers = false
    /// Where the table goes, when it moves.
    private(set) var newTable: Range<UInt64>?
    /// Where the first new block of a fixed image goes.
    private(set) var newBlocks: Range<UInt64>?
    /// Nil for a random one.
    fileprivate var dataWriteGUID: GUID?

    init(_ opened: EditSession, to virtualByteCount: UInt64) throws {
        session = opened
        old = session.geometry
        try Self.check(virtualByteCount, sectorByteCount: old.logicalSectorByteCount, path: session.file.path)
        new = session.metadata.tableGeometry(virtualByteCount: virtualByteCount)
        let used = try session.usedEnd(keeping: new)
        usedEnd = used.end
        plan = ResizePlan(
            oldVirtualByteCount: old.virtualByteCount, newVirtualByteCount: virtualByteCount,
            oldFileByteCount: session.oldFileByteCount, newFileByteCount: usedEnd)
        plan.droppedBlockCount = used.droppedBlockCount
        try planSpace()
        if old == new {
            hasLeftovers = try !tableChanges(keeping: old) { _, _ in false }
            if !hasLeftovers, usedEnd >= session.oldFileByteCount { plan.newFileByteCount = session.oldFileByteCount }
        }
    }

    private static func check(_ byteCount: UInt64, sectorByteCount: UInt64, path: String) throws(DiskError) {
        guard byteCount > 0, byteCount <= Layout.maximumVirtualByteCount else {
            throw DiskError(.refused, path: path, "a disk has from one sector to 64 TiB, not \(byteCount) bytes")
        }
        guard byteCount % sectorByteCount == 0 else {
            throw DiskError(
                .refused, path: path, "\(byteCount) bytes are not whole sectors of \(sectorByteCount) bytes",
                hint: "the nearest sizes are \(byteCount.roundedDown(to: sectorByteCount)) and "
                    + "\(byteCount.roundedUp(to: sectorByteCount)) bytes")
        }
    }

    /// Space that growing needs, behind everything used.
    private mutating func planSpace() throws(DiskError) {
        guard new.virtualByteCount > old.virtualByteCount else { return }
        var end = usedEnd
        let tableByteCount = (new.entryCount * TableEntry.byteCount).roundedUp(to: Layout.mebibyte)
        let region = session.regions.blockAllocationTable.range
        if tableByteCount > region.upperBound - region.lowerBound {
            newTable = end..<end + tableByteCount
            end += tableByteCount
            plan.movesTable = true
        }
        if session.isFixed, new.payloadBlockCount > old.payloadBlockCount {
            let byteCount = (new.payloadBlockCount - old.payloadBlockCount) * new.blockByteCount
            newBlocks = end..<end + byteCount
            end += byteCount
        }
        guard end <= Layout.maximumFileByteCount else {
            throw DiskError(.refused, path: session.file.path, "the file would grow above 192 TiB")
        }
        plan.newFileByteCount = end
    }

    /// All steps.
    fileprivate mutating func run(_ progress: EditProgress) throws {
        guard old != new || hasLeftovers || plan.newFileByteCount < session.oldFileByteCount else { return }
        let total = session.regions.blockAllocationTable.length
        try progress(0, UInt64(total))
        try session.begin(changesData: old != new, dataWriteGUID: dataWriteGUID)
        if new.virtualByteCount > old.virtualByteCount {
            try grow(progress)
        } else {
            if new != old {
                try session.replace(
                    session.metadata.pages(settingVirtualByteCount: new.virtualByteCount, in: session.file))
                try session.reload()
            }
            try writeTable(keeping: new, progress)
        }
        try session.finish(fileByteCount: plan.newFileByteCount)
        try progress(UInt64(total), UInt64(total))
    }

    // MARK: Growing

    /// Steps 1 to 4.
    private mutating func grow(_ progress: EditProgress) throws {
        if plan.newFileByteCount > usedEnd { try session.extend(over: usedEnd..<plan.newFileByteCount) }
        try clearTail()
        var pages = try session.metadata.pages(settingVirtualByteCount: new.virtualByteCount, in: session.file)
        if let newTable {
            try writeTable(at: newTable, progress)
            pages += try session.regions.pages(
                moving: KnownGUID.blockAllocationTable, to: newTable, in: session.file)
        } else {
            try writeTable(keeping: old, progress)
        }
        try session.replace(pages)
        try session.reload()
    }

    /// Step 2.
    private mutating func clearTail() throws {
        let block = old.payloadBlockCount - 1
        let place = try session.map.block(block, in: session.file)
        guard place.state.isPresent else { return }
        let tail = place.fileOffset + old.usedByteCount(ofBlock: block)..<place.fileOffset + old.blockByteCount
        if try !session.file.isZero(tail) { try session.file.zero(tail) }
    }
}
