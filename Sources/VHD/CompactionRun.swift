import BlockIO
import ByteCodec
import DiskModel

/// Makes the file of a dynamic or differencing image shorter, in this order:
///
/// 1. Where blocks are given up: XenServer's batmap is cleared, its bits may stand for them.
/// 2. The entries of blocks that hold nothing are emptied, then a flush. Each is a part of one sector: a power cut leaves
///    any of them, and either way the same bytes are read.
/// 3. The table, where a hole before it is large enough: the copy, with a cleared batmap behind it where there is one, a
///    flush, the first sector of the dynamic header, a flush. It is the old table or its equal.
/// 4. The last block of the file goes into the first hole that holds it, a batch of them at a time: the copies, bitmap
///    and all, a flush, their entries, a flush. Holes are what nothing named before this step, so that nothing durable
///    is overwritten; an entry names the old or the new copy, which are equal, and the old one stays as it was.
/// 5. The table again as in 3, into what the blocks have left.
/// 6. The footer right behind what is used, a flush, the file cut behind it, a flush.
///
/// Step 4 is left out where the file would not become shorter by it.
struct Compaction {
    /// Blocks that are copied between two flushes, and bytes.
    private static let batchCount = 256
    private static let batchByteCount: UInt64 = 64 << 20
    /// Changed sectors of the table kept in memory.
    private static let dirtyPieceLimit = 256

    private var edit: ImageEdit
    private let layout: SparseLayout
    private let blocks: BlockList
    /// Steps 3 and 5.
    private var tableBeforeMoves: TablePlace?
    private var tableAfterMoves: TablePlace?
    private var movesBlocks = false
    private(set) var plan: CompactionPlan
    /// What is reported as the whole: every block may be read once, and moved once.
    private let allocatedByteCount: UInt64

    /// Reads the blocks and decides everything; changes nothing.
    init(_ edit: ImageEdit, _ layout: SparseLayout, _ progress: EditProgress) throws {
        (self.edit, self.layout) = (edit, layout)
        guard edit.blockCount <= BlockList.limit else {
            throw DiskError(
                .refused, path: edit.file.path,
                "an image of \(edit.blockCount) blocks is too fragmented to compact: the most is \(BlockList.limit)",
                hint: "convert it to an image with larger blocks")
        }
        plan = CompactionPlan(oldFileByteCount: try edit.file.byteCount(), newFileByteCount: 0)
        plan.blockCount = edit.blockCount
        allocatedByteCount = max(1, edit.blockCount * layout.strideByteCount)
        var table = BlockAllocationTable(edit.file, layout)
        var blocks = try BlockList(&table, layout, count: edit.blockCount)
        try Self.findEmpty(&blocks, edit, layout, allocatedByteCount, &plan, progress)
        self.blocks = blocks
        planMoves()
    }

    private static func findEmpty(
        _ blocks: inout BlockList, _ edit: ImageEdit, _ layout: SparseLayout, _ allocatedByteCount: UInt64,
        _ plan: inout CompactionPlan, _ progress: EditProgress
    ) throws {
        let isDifferencing = edit.image.footer.diskType == DiskTypeCode.differencing
        var test = EmptyBlocks(edit.file, layout, isDifferencing: isDifferencing)
        try progress(0, 2 * allocatedByteCount)
        for rank in 0..<blocks.count {
            if try test.isEmpty(blocks.block(rank), at: blocks.offset(rank)) {
                blocks.drop(rank)
                plan.droppedBlockCount += 1
            }
            try progress(UInt64(rank + 1) * layout.strideByteCount, 2 * allocatedByteCount)
        }
    }

    // MARK: Planning

    private mutating func planMoves() {
        let table = edit.table
        let unmoved = BlockMoves(blocks, [], layout).keptEnd
        let before = max(unmoved, fixedEnd, tableRanges.map(\.upperBound).max() ?? 0)
        var (place, tableRanges) = (table, self.tableRanges)
        if let better = hole(for: place, FileHoles(blocks, structures(tableRanges), strideByteCount: stride)) {
            tableBeforeMoves = better
            (place, tableRanges) = (better, [better.offset..<better.end])
        }
        var moves = BlockMoves(blocks, structures(tableRanges), layout)
        while moves.next() != nil { plan.movedBlockCount += 1 }
        // Behind the blocks that stay, only structures are left.
        var rest = FileHoles(blocks, structures(tableRanges), strideByteCount: stride)
        rest.keptRank = 0
        rest.position = max(moves.keptEnd, moves.movedEnd)
        if let better = hole(for: place, rest) {
            tableAfterMoves = better
            (place, tableRanges) = (better, [better.offset..<better.end])
        }
        let after = max(moves.keptEnd, moves.movedEnd, fixedEnd, tableRanges.map(\.upperBound).max() ?? 0)
        movesBlocks = after < before
        if !movesBlocks { (tableBeforeMoves, tableAfterMoves, plan.movedBlockCount) = (nil, nil, 0) }
        plan.movedByteCount = plan.movedBlockCount * stride
        plan.newFileByteCount = min(after, before) + sectorByteCount
    }

    private var stride: UInt64 { layout.strideByteCount }
    private var fixedEnd: UInt64 { edit.fixtures.map(\.upperBound).max() ?? 0 }

    /// The table as it stands, all of its entries as far as the file goes, and its batmap.
    private var tableRanges: [Range<UInt64>] {
        [edit.table.tableRange.clamped(to: 0..<edit.footerOffset)] + edit.batmapRanges
    }

    private func structures(_ table: [Range<UInt64>]) -> [Range<UInt64>] { edit.fixtures + table }

    /// The table's place in the first hole before it that holds it, with as many entries as it needs.
    private func hole(for table: TablePlace, _ holes: FileHoles) -> TablePlace? {
        var place = table
        place.entryCount = edit.entryCount(forBlocks: layout.blockCount)
        var holes = holes
        while let hole = holes.next(below: table.offset) {
            place.offset = hole.lowerBound.roundedUp(to: sectorByteCount)
            if place.end <= hole.upperBound { return place }
            holes.position = hole.upperBound
        }
        return nil
    }

    // MARK: Running

    mutating func run(_ progress: EditProgress) throws {
        if plan.droppedBlockCount > 0 {
            try edit.clearBatmap()
            try dropBlocks()
        }
        if let place = tableBeforeMoves { try moveTable(to: place) }
        if movesBlocks { try moveBlocks(progress) }
        if let place = tableAfterMoves { try moveTable(to: place) }
        try edit.trim(to: plan.newFileByteCount - sectorByteCount, footer: edit.footerBytes)
        try progress(2 * allocatedByteCount, 2 * allocatedByteCount)
    }

    private func dropBlocks() throws {
        var table = BlockAllocationTable(edit.file, layout)
        for rank in 0..<blocks.count where blocks.isDropped(rank) {
            try table.set(blocks.block(rank), to: unallocatedEntry)
            if table.dirtyPieces.count > Self.dirtyPieceLimit { try table.writeDirtyPieces() }
        }
        try table.writeDirtyPieces()
        try edit.file.sync()
    }

    private mutating func moveTable(to place: TablePlace) throws {
        try place.write(
            edit.file, keeping: layout.blockCount, from: edit.table.offset, batmap: edit.image.batmap?.header
        ) { (_, _) throws(DiskError) in }
        try edit.file.sync()
        try edit.useTable(place)
        try edit.readAgain()
    }

    private func moveBlocks(_ progress: EditProgress) throws {
        guard let layout = edit.image.layout else { return }
        var table = BlockAllocationTable(edit.file, layout)
        var moves = BlockMoves(blocks, structures(tableRanges), layout)
        let buffer = IOBuffer(byteCount: Int(min(1 << 20, stride)))
        let most = min(UInt64(Self.batchCount), max(1, Self.batchByteCount / stride))
        var (batch, done) = (UInt64(0), UInt64(0))
        func finishBatch() throws {
            try edit.file.sync()
            try table.writeDirtyPieces()
            try edit.file.sync()
            try progress(allocatedByteCount + done, 2 * allocatedByteCount)
        }
        while let move = moves.next() {
            try copy(move, buffer)
            try table.set(move.block, to: UInt32(move.target / sectorByteCount))
            (batch, done) = (batch + 1, done + stride)
            guard batch == most else { continue }
            try finishBatch()
            batch = 0
        }
        if batch > 0 { try finishBatch() }
    }

    /// Copies a block whole. Where the file has a hole, so does the copy: old bytes there are cleared before.
    private func copy(_ move: BlockMove, _ buffer: IOBuffer) throws(IOError) {
        let end = move.source + stride
        var position = move.source
        var isCleared = false
        while position < end {
            let data = try edit.file.data(from: position)?.clamped(to: position..<end) ?? end..<end
            if !isCleared, data.lowerBound > position || data.upperBound < end {
                try edit.file.zero(move.target + (position - move.source)..<move.target + stride)
                isCleared = true
            }
            position = data.lowerBound
            while position < data.upperBound {
                let count = Int(min(UInt64(buffer.byteCount), data.upperBound - position))
                try buffer.fill(count, from: edit.file, at: position)
                try edit.file.write(buffer.bytes(0..<count), at: move.target + (position - move.source))
                position += UInt64(count)
            }
            position = max(position, data.upperBound)
        }
    }
}
