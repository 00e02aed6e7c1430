public import BlockIO
import ByteCodec
public import DiskModel

/// Gives back what a dynamic or differencing image does not need, in place.
///
/// A power cut at any moment leaves an image that opens and shows the same bytes. Doing it again completes it. Steps,
/// inside a session of `Writer`, whose DataWriteGuid stays, because nothing that the disk shows changes:
///
///  1. Through the log: blocks that hold nothing but zeros give their space up, and become not present, in a
///     differencing image zero; partially present blocks without a sector in the file become not present; blocks
///     without data lose their former space; sector bitmaps that no block uses go. *Cut: each entry is old or new, and
///     the bytes it names are still there.*
///  2. After the last log entry of 1 is durable, the space given up is free. Block by block from the end of the file:
///     the bytes go into the first gap that holds them. *Cut: no entry names the gap.*
///  3. A flush of the file, then the entries through the log. *Cut: each entry names the old place or the new one, and
///     both hold the bytes: space that is left in 2 and 3 is never used again in the session.*
///  4. Regions of the file (the table, metadata, unknown ones) that stand behind a gap are copied likewise, and
///     flushed; one log entry has the pages of both region tables. *Cut: the entry is whole or not; both places hold
///     the same bytes.*
///  5. The session is closed, and the file is cut behind the last used MiB, as told at `EditSession`.
///
/// The log stays where it is. What stands at the end of the file and fits no gap ends the moving.
public enum VHDXCompactor {
    /// What compacting would do. Reads blocks up to their first byte that is not zero; nothing is changed, and a
    /// pending log is replayed in memory.
    /// - Throws: `.refused` for fixed images and for those that are not written to; `.format`, with the rule's code, for
    ///   images that do not open; `.io`.
    public static func plan(_ file: any BlockFile, progress: EditProgress) throws(DiskError) -> CompactionPlan {
        try diskErrors(file.path, "planning to compact the image") {
            var compaction = try Compaction(EditSession(file, plansOnly: true), plansOnly: true)
            try compaction.run(progress)
            return compaction.plan
        }
    }

    /// Compacts. The file is the caller's alone, open for writing; a pending log is replayed into it first.
    /// - Parameter progress: told bytes of the file gone through and moved, the total being an upper bound until the
    ///   end; an error thrown there ends the session cleanly.
    /// - Returns: what was done; where the file has its old size and no block moved or went, that is nothing.
    /// - Throws: as `plan`. After an error the image is whole.
    public static func compact(_ file: any BlockFile, progress: EditProgress) throws(DiskError) -> CompactionPlan {
        try diskErrors(file.path, "compacting the image") {
            var compaction = try Compaction(EditSession(file, plansOnly: false), plansOnly: false)
            do {
                try compaction.run(progress)
            } catch {
                compaction.session.abandon()
                throw error
            }
            return compaction.plan
        }
    }
}

/// One compaction: what it finds, and, unless it only plans, what it does.
struct Compaction {
    var session: EditSession
    private(set) var plan: CompactionPlan
    let plansOnly: Bool
    var space: CompactionSpace
    /// Over the payload, which does not change before the first block moves.
    private var finder: DataFinder
    private var hasChanges = false
    private var done: UInt64 = 0
    private var total: UInt64 = 0
    private var reported: UInt64 = 0

    /// Moves found together, whose owners are then looked up in one walk over the table.
    var movesPerRound = 1 << 17
    /// Bytes moved between two flushes at most, so that little is done twice after a power cut.
    var byteCountPerFlush: UInt64 = 256 << 20
    /// Bytes between two reports of progress.
    static let byteCountPerReport: UInt64 = 16 << 20

    init(_ opened: EditSession, plansOnly: Bool) throws {
        session = opened
        finder = DataFinder(opened.file)
        self.plansOnly = plansOnly
        guard !session.isFixed else {
            throw DiskError(
                .refused, path: session.file.path, "all blocks of a fixed image stay allocated",
                hint: "convert it into a dynamic image, which takes less space")
        }
        plan = CompactionPlan(
            oldFileByteCount: session.oldFileByteCount, newFileByteCount: session.oldFileByteCount)
        let end = try session.usedEnd(keeping: session.geometry).end
        space = CompactionSpace(
            fileByteCount: max(end, session.map.fileByteCount), blockByteCount: session.geometry.blockByteCount,
            log: session.logRange, regions: session.regions)
    }

    mutating func run(_ progress: EditProgress) throws {
        total = session.map.fileByteCount
        try progress(0, total)
        try dropBlocks(progress)
        total += space.byteCountToMove
        try moveAll(progress)
        if space.end < session.map.fileByteCount { try begin() }
        if hasChanges { plan.newFileByteCount = space.end }
        if !plansOnly { try session.finish(fileByteCount: space.end) }
        try progress(total, total)
    }

    /// Tells progress after some more bytes, now and then.
    mutating func advance(_ byteCount: UInt64, _ progress: EditProgress) throws {
        done = min(done + byteCount, total)
        guard done - reported >= Self.byteCountPerReport else { return }
        reported = done
        try progress(done, total)
    }

    /// Starts the session with the first change.
    private mutating func begin() throws {
        hasChanges = true
        if !plansOnly { try session.begin(changesData: false) }
    }

    // MARK: Step 1

    /// Goes through the table once: claims the space of what stays, and clears the entries of what does not.
    private mutating func dropBlocks(_ progress: EditProgress) throws {
        // The last chunk with a partially present block that stays.
        var partialChunk: UInt64?
        var map = session.map
        try map.forEachEntry(session.file) { map, use, entry in
            var right = entry
            switch use {
            case .payload(let block):
                let place = try map.check(entry, ofBlock: block)
                right = try keep(entry, block, place, &partialChunk)
                if place.state.isPresent { try advance(map.geometry.blockByteCount, progress) }
            case .bitmap(let chunk):
                let isUsed = partialChunk == chunk
                if let offset = map.geometry.isDifferencing ? try map.bitmapOffset(entry, ofChunk: chunk) : nil, isUsed
                {
                    space.claimBitmap(at: offset)
                } else {
                    right = .absent
                }
            }
            guard right != entry else { return }
            try begin()
            guard !plansOnly else { return }
            let index =
                switch use {
                case .payload(let block): map.geometry.index(ofPayloadBlock: block)
                case .bitmap(let chunk): map.geometry.index(ofBitmapBlock: chunk)
                }
            try session.set(right, at: index)
        }
        if !plansOnly { try session.flush() }
    }

    /// The entry that a payload block is to have; its space is claimed where it keeps it.
    private mutating func keep(
        _ entry: TableEntry, _ block: UInt64, _ place: BlockMap.Block, _ partialChunk: inout UInt64?
    ) throws -> TableEntry {
        guard place.state.isPresent else { return TableEntry(place.state, fileOffset: 0) }
        plan.blockCount += 1
        let geometry = session.geometry
        let isEmpty: Bool
        if place.state == .fullyPresent {
            let used = place.fileOffset..<place.fileOffset + geometry.usedByteCount(ofBlock: block)
            isEmpty = try finder.isZero(used)
        } else {
            isEmpty = try session.hasNoSectors(block)
        }
        guard !isEmpty else {
            plan.droppedBlockCount += 1
            // Not present means the parent's bytes where there is one.
            let isZero = geometry.isDifferencing && place.state == .fullyPresent
            return TableEntry(isZero ? .zero : .notPresent, fileOffset: 0)
        }
        if place.state == .partiallyPresent { partialChunk = geometry.chunk(ofBlock: block) }
        space.claimPayload(at: place.fileOffset)
        return entry
    }

    // MARK: Steps 2 to 4

    private mutating func moveAll(_ progress: EditProgress) throws {
        var moves: [CompactionSpace.Move] = []
        while let move = space.nextMove() {
            plan.movedByteCount += move.byteCount
            if case .region(let guid) = move.piece {
                try moveBlocks(&moves, progress)
                try moveRegion(guid, move, progress)
            } else {
                plan.movedBlockCount += 1
                moves.append(move)
                if moves.count == movesPerRound { try moveBlocks(&moves, progress) }
            }
        }
        try moveBlocks(&moves, progress)
    }

    /// Steps 2 and 3.
    private mutating func moveBlocks(_ moves: inout [CompactionSpace.Move], _ progress: EditProgress) throws {
        defer { moves = [] }
        guard !moves.isEmpty else { return }
        try begin()
        guard !plansOnly else { return }
        var copied: UInt64 = 0
        for owner in try session.owners(of: moves) {
            try copy(moves[owner.move], progress)
            copied += moves[owner.move].byteCount
            // The state stays, so does a 7 that is read as 6.
            let entry = TableEntry(rawValue: moves[owner.move].target | owner.entry.rawValue & 0xf_ffff)
            try session.set(entry, at: owner.index)
            if copied >= byteCountPerFlush {
                try session.flush()
                copied = 0
            }
        }
        try session.flush()
    }

    /// Step 4.
    private mutating func moveRegion(_ guid: GUID, _ move: CompactionSpace.Move, _ progress: EditProgress) throws {
        try begin()
        guard !plansOnly else { return }
        try copy(move, progress)
        try session.replace(
            session.regions.pages(moving: guid, to: move.target..<move.target + move.byteCount, in: session.file))
        try session.reload()
    }

    private mutating func copy(_ move: CompactionSpace.Move, _ progress: EditProgress) throws {
        try session.file.copy(move.source..<move.source + move.byteCount, to: move.target)
        try advance(move.byteCount, progress)
    }
}
