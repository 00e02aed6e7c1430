import BlockIO
import ByteCodec
import DiskModel

/// Another size for a dynamic or differencing image, in this order:
///
/// 1. XenServer's batmap, where it stays in place, is cleared: its checksum depends on the size.
/// 2. Growing: in the last block, what lies past the old size is zeroed, as others leave anything there, and in a
///    differencing image the bits of those sectors are cleared. A dynamic disk thus goes on with zeros whatever the bits
///    say. A differencing one goes on with its parent, as in every block that it has not: with zeros where the parent
///    ends no later than it did itself. None of this is in the disk yet.
/// 3. Growing: room for the table, by the footer at a new end of the file and a flush where it does not suffice. A power
///    cut leaves unused space.
/// 4. Growing: in place, where nothing stands behind the table, its new entries as empty; else a whole new table behind
///    everything else, with a cleared batmap behind it where there is one. Then a flush. The header names neither yet.
/// 5. The first sector of the dynamic header, with Table Offset, Max Table Entries and checksum, then a flush: the table
///    is the old one, or a longer one whose new entries nobody asks for.
/// 6. The trailing footer with the new size, a flush, the copy at 0, a flush. The trailing one decides: the size is the
///    old or the new one. Footers that differ only here are taken up when the resize is run again.
/// 7. Shrinking: entries past the new end become empty, then a flush. Until then they are padding that nobody reads.
/// 8. Shrinking: the header's sector with the exact Max Table Entries, then a flush.
/// 9. What lies past the new size in the last block is cleared as in step 2, so that nothing comes back later.
/// 10. The footer right behind what is used, a flush, the file cut behind it, a flush.
///
/// Every step looks at what is there, so that after a power cut the same resize does what is left; steps 7 to 10 go by
/// the image as it is then.
struct SparseResize {
    private var edit: ImageEdit
    private let layout: SparseLayout
    private let target: UInt64
    private let place: TablePlace
    /// Blocks with nothing inside the new size.
    let droppedBlockCount: UInt64
    let newFileByteCount: UInt64

    var movesTable: Bool { place.offset != layout.tableOffset }

    /// Decides everything, and changes nothing.
    /// - Throws: `.refused` where the file would be too long.
    init(_ edit: ImageEdit, _ layout: SparseLayout, target: UInt64) throws {
        (self.edit, self.layout, self.target) = (edit, layout, target)
        let needed = target.dividedRoundingUp(by: layout.blockByteCount)
        let fixed = edit.fixtures.map(\.upperBound).max() ?? 0
        let batmapEnd = edit.batmapRanges.map(\.upperBound).max() ?? 0
        var place = edit.table
        place.entryCount = edit.entryCount(forBlocks: needed)
        if target > edit.virtualByteCount, !Self.fits(place, edit) {
            let oldEnd = layout.tableRange.upperBound.roundedUp(to: sectorByteCount)
            place.offset = max(fixed, edit.blocksEnd, oldEnd, batmapEnd)
        }
        self.place = place

        var (count, blocksEnd) = (edit.blockCount, edit.blocksEnd)
        if target < edit.virtualByteCount { (count, blocksEnd) = try Self.keptBlocks(edit, layout, target) }
        droppedBlockCount = edit.blockCount - count
        let isMoved = place.offset != layout.tableOffset
        let tableEnd = isMoved ? place.end : max(place.tableRange.upperBound, batmapEnd)
        newFileByteCount = max(fixed, blocksEnd, tableEnd) + sectorByteCount
        guard target <= edit.virtualByteCount || newFileByteCount <= BlockPlace.fileLimit else {
            throw DiskError(
                .refused, path: edit.file.path,
                "no room for a block table of \(needed) entries: the file of a dynamic VHD ends at 2 TiB")
        }
    }

    /// Whether a table has room where it stands: nothing but the footer, which can move, is in the way.
    private static func fits(_ place: TablePlace, _ edit: ImageEdit) -> Bool {
        let range = place.tableRange
        if let block = edit.firstBlockBehindTable, block < range.upperBound { return false }
        if let (header, _) = edit.image.batmap, UInt64(header.mapSize) * sectorByteCount * 8 < place.entryCount {
            return false
        }
        return !(edit.fixtures + edit.batmapRanges).contains { $0.overlaps(range) }
    }

    /// How many blocks begin inside a smaller size, and where the last of them ends in the file.
    private static func keptBlocks(
        _ edit: ImageEdit, _ layout: SparseLayout, _ target: UInt64
    ) throws -> (count: UInt64, end: UInt64) {
        guard let header = edit.image.header else { return (0, 0) }
        // All blocks were found to lie over no structure; the space kept behind a parent's path is none to a reader.
        let smaller = SparseLayout(
            header: header, virtualByteCount: target, structures: [], contentsEnd: layout.contentsEnd)
        var (order, end) = (BlockOrder(), UInt64(0))
        var table = BlockAllocationTable(edit.file, smaller)
        try order.visit(&table, smaller) { end = $0 + smaller.strideByteCount }
        return (order.allocatedCount, end)
    }

    // MARK: Steps 1 to 6

    mutating func run(_ progress: EditProgress) throws {
        let total = place.byteCount + 2 * sectorByteCount
        try progress(0, total)
        if target != edit.virtualByteCount, !movesTable { try edit.clearBatmap() }
        if target > edit.virtualByteCount {
            try Self.clearTail(edit, layout)
            try edit.reserve(to: place.end)
            try place.write(
                edit.file, keeping: layout.blockCount, from: layout.tableOffset,
                batmap: movesTable ? edit.image.batmap?.header : nil
            ) { (done, _) throws(DiskError) in try progress(done, total) }
            try edit.file.sync()
            try edit.useTable(place)
        }
        try edit.writeFooters(edit.footerBytes(virtualByteCount: target))
        try Self.finish(try ImageEdit(inspecting: edit.file, for: .resizing))
        try progress(total, total)
    }

    // MARK: Steps 7 to 10

    private static func finish(_ found: ImageEdit) throws {
        var edit = found
        guard let layout = edit.image.layout else { return }
        var place = edit.table
        place.entryCount = edit.entryCount(forBlocks: layout.blockCount)
        if try clearEntries(edit, layout) { try edit.file.sync() }
        try edit.useTable(place)
        if try clearTail(edit, layout) { try edit.file.sync() }
        let ends = (edit.fixtures + edit.batmapRanges).map(\.upperBound)
        try edit.trim(
            to: max(ends.max() ?? 0, edit.blocksEnd, place.tableRange.upperBound), footer: edit.footerBytes)
    }

    /// Empties the entries that Max Table Entries counts past the last block, as far as nothing else stands there.
    /// - Returns: whether any was not empty.
    private static func clearEntries(_ edit: ImageEdit, _ layout: SparseLayout) throws(IOError) -> Bool {
        let start = layout.tableRange.upperBound
        guard edit.table.entryCount > layout.blockCount else { return false }
        let behind = (edit.fixtures + edit.batmapRanges).filter { $0.upperBound > start }.map(\.lowerBound)
        let end = min(
            edit.table.tableRange.upperBound, edit.footerOffset, edit.firstBlockBehindTable ?? .max,
            behind.min() ?? .max)
        let buffer = IOBuffer(byteCount: 1 << 16)
        var (position, hasChanged) = (start, false)
        while position < end {
            let piece = position..<min(end, position + UInt64(buffer.byteCount))
            let count = Int(piece.upperBound - piece.lowerBound)
            try buffer.fill(count, from: edit.file, at: position)
            if !isEmpty(buffer.bytes(0..<count)) {
                try TablePlace.writeEmptyEntries(edit.file, piece)
                hasChanged = true
            }
            position = piece.upperBound
        }
        return hasChanged
    }

    private static func isEmpty(_ entries: RawSpan) -> Bool {
        var offset = 0
        while offset < entries.byteCount {
            if entries.integer(at: offset, as: UInt32.self, .big) != unallocatedEntry { return false }
            offset += 4
        }
        return true
    }

    /// Zeroes what the last block holds past the disk's end, and clears its bits there in a differencing image.
    /// - Returns: whether anything was changed.
    @discardableResult
    private static func clearTail(_ edit: ImageEdit, _ layout: SparseLayout) throws -> Bool {
        let block = layout.blockCount - 1
        let visible = layout.visibleByteCount(ofBlock: block)
        guard visible < layout.blockByteCount else { return false }
        var table = BlockAllocationTable(edit.file, layout)
        let entry = try table.entry(block)
        guard entry != unallocatedEntry else { return false }
        let offset = try layout.blockOffset(block, entry: entry)
        let data = offset + layout.bitmapByteCount
        var hasChanged = false
        if try !edit.file.isZero(data + visible..<data + layout.blockByteCount) {
            try edit.file.zero(data + visible..<data + layout.blockByteCount)
            hasChanged = true
        }
        guard edit.image.footer.diskType == DiskTypeCode.differencing else { return hasChanged }
        return try clearBits(edit.file, from: Int(visible / sectorByteCount), at: offset, layout) || hasChanged
    }

    /// Clears the bits of a block from one sector on, in each sector of the bitmap where one is set.
    private static func clearBits(
        _ file: any BlockFile, from first: Int, at offset: UInt64, _ layout: SparseLayout
    ) throws(IOError) -> Bool {
        var bitmap = SectorBitmap(try file.bytes(at: offset, count: Int(layout.bitmapByteCount)))
        let before = bitmap.bytes
        bitmap.clear(first..<Int(layout.blockByteCount / sectorByteCount))
        guard bitmap.bytes != before else { return false }
        for start in stride(from: 0, to: before.count, by: Int(sectorByteCount)) {
            let part = bitmap.bytes[start..<start + Int(sectorByteCount)]
            if part != before[start..<start + Int(sectorByteCount)] {
                try file.write(Array(part), at: offset + UInt64(start))
            }
        }
        return true
    }
}
