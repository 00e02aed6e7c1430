import BlockIO
import ByteCodec
import DiskModel

/// Writes blocks, in this order:
///
/// 1. Space is reserved in steps of 1, 2, 4 … 32 blocks: the footer is written at the new end of the file, which
///    lengthens it, then a flush. A power cut before the flush leaves a file whose last sector may be no footer: the
///    copy at 0 is valid. After the flush, both are.
/// 2. The footer at the old end, now inside the reserved space, is zeroed. A power cut leaves reserved space that no
///    entry of the block table (BAT) names.
/// 3. Payload of a new block is written into reserved space, where everything reads as zeros, and in a dynamic image
///    its bitmap of ones. Payload of older blocks is written in place; zeros too, also under clear bits. A power cut
///    leaves any of it, sector by sector: a new block is not in the BAT, and sectors whose bits are clear are not shown,
///    so both read as before: as zeros, or in a differencing image as the parent.
/// 4. `flush`: a flush, so that payload, the bitmaps of ones and what was zeroed are durable.
/// 5. The changed sectors of bitmaps and of the BAT are written, in any order. Each shows only payload that is durable,
///    so any of them may be lost. Where the entry of a new block of a differencing image is kept and sectors of its
///    bitmap are lost, these are zeros, which step 4 made durable, and show the parent.
/// 6. A flush. Everything written before is durable and shown.
/// 7. `close`: after 4 to 6 the footer is written right behind the last block, then a flush. The footer at the end still
///    stands.
/// 8. The file is cut behind the new footer, then a flush. Cut or not, a footer is its last sector.
///
/// A block that was never entered because of a power cut stays as unused space in the file. The copy of the footer at 0
/// is never touched, neither are the header, the Unique ID, a parent's paths and XenServer's batmap. A 0 in the batmap
/// where a block has become full costs others a look at the block's bitmap and no more. A 1 is true of a block that is
/// there, whose bits only turn from 0 to 1 here; of one that is not there it would become wrong when the block is
/// entered with some bits, so a differencing image with such a 1 is not opened for writing (`Repair`).
///
/// The bits of a differencing image are set for sectors that were written, and no others: the rest stays the parent's.
/// Zeros have to hide the parent, so they take a block, whose data stays a hole in the file.
///
/// After a failed flush nobody knows what the file holds: every further write is refused.
struct Writer: Sendable {
    private static let largestStep: UInt64 = 32
    private static let longestStepByteCount: UInt64 = 256 << 20
    /// Of blocks that are known to be needed and take no space, so many are reserved at once.
    private static let largestKnownStep: UInt64 = 1024
    /// What may be changed in memory before it is flushed by itself: BAT sectors, and bytes of bitmaps.
    private static let dirtyPieceLimit = 256
    private static let dirtyBitmapByteLimit: UInt64 = 1 << 20

    let file: any BlockFile
    private let footer: [UInt8]
    /// Where the trailing footer stands: the end of the reserved space.
    private(set) var footerOffset: UInt64
    /// Where the used space ends.
    private var usedEnd: UInt64
    private var step: UInt64 = 1
    /// Part of the reserved space that may not read as zeros: to be zeroed before it is used.
    private var unclean: Range<UInt64>?
    /// Why no more is written.
    private var refusal: String?

    init(_ file: any BlockFile, footer: [UInt8], footerOffset: UInt64) {
        (self.file, self.footer, self.footerOffset) = (file, footer, footerOffset)
        usedEnd = footerOffset
    }

    func checkUsable() throws(DiskError) {
        if let refusal { throw DiskError(.refused, path: file.path, refusal) }
    }

    // MARK: Blocks

    /// Writes whole sectors inside one block, which `move` puts at the offset in the file that it is given.
    /// - Parameter range: in bytes from the beginning of the block's data; not empty.
    mutating func write(
        _ range: Range<UInt64>, ofBlock block: UInt64, _ map: inout BlockMap, _ move: (UInt64) throws -> Void
    ) throws {
        let entry = try map.table.entry(block)
        guard entry != unallocatedEntry else { return try allocate(block, range, needed: 1, &map, move) }
        let offset = try map.layout.blockOffset(block, entry: entry)
        try move(offset + map.layout.bitmapByteCount + range.lowerBound)
        try enter(range, ofBlock: block, at: offset, &map)
    }

    /// Makes whole sectors of one block read as zeros. A block that is not there stays so in a dynamic image.
    /// - Parameters:
    ///   - range: in bytes from the beginning of the block's data; not empty.
    ///   - needed: how many blocks the caller will ask for in all, this one included.
    mutating func zero(
        _ range: Range<UInt64>, ofBlock block: UInt64, needed: UInt64, _ map: inout BlockMap
    ) throws {
        let entry = try map.table.entry(block)
        guard entry != unallocatedEntry else {
            guard map.isDifferencing else { return }
            // Reserved space reads as zeros: nothing is to be moved there.
            return try allocate(block, range, needed: needed, &map) { _ in }
        }
        let offset = try map.layout.blockOffset(block, entry: entry)
        let data = offset + map.layout.bitmapByteCount
        // Also under clear bits. In a dynamic image readers that ignore the bitmap then agree.
        try file.zero(data + range.lowerBound..<data + range.upperBound)
        // Clear bits of a dynamic image read as zeros as they are.
        if map.isDifferencing { try enter(range, ofBlock: block, at: offset, &map) }
    }

    /// Sets the bits of written sectors of a block that is there, in memory.
    private mutating func enter(
        _ range: Range<UInt64>, ofBlock block: UInt64, at offset: UInt64, _ map: inout BlockMap
    ) throws {
        let sectors = Self.sectors(range)
        guard try map.hasClearBit(in: sectors, ofBlock: block, at: offset) else { return }
        map.bitmaps.set(sectors, of: block, at: offset)
        try flushWhenMuch(&map)
    }

    private mutating func allocate(
        _ block: UInt64, _ range: Range<UInt64>, needed: UInt64, _ map: inout BlockMap,
        _ move: (UInt64) throws -> Void
    ) throws {
        let layout = map.layout
        let offset = nextBlockOffset(layout)
        if offset + layout.strideByteCount > footerOffset { try reserve(needed, &map) }
        if let unclean { try file.zero(unclean) }
        // Until the block is whole, its place is not clean.
        unclean = offset..<offset + layout.strideByteCount
        if !map.isDifferencing {
            try file.write(SectorBitmap.full(blockByteCount: layout.blockByteCount), at: offset)
        }
        try move(offset + layout.bitmapByteCount + range.lowerBound)
        try map.table.set(block, to: UInt32(offset / sectorByteCount))
        if map.isDifferencing {
            map.bitmaps.keep(SectorBitmap(.zeros(Int(layout.bitmapByteCount))), of: block)
            map.bitmaps.set(Self.sectors(range), of: block, at: offset)
        } else {
            map.bitmaps.keep(nil, of: block)
        }
        unclean = nil
        usedEnd = offset + layout.strideByteCount
        try flushWhenMuch(&map)
    }

    private static func sectors(_ range: Range<UInt64>) -> Range<Int> {
        Int(range.lowerBound / sectorByteCount)..<Int(range.upperBound / sectorByteCount)
    }

    /// Where the next block begins.
    private func nextBlockOffset(_ layout: SparseLayout) -> UInt64 {
        BlockPlace.next(
            after: usedEnd, blockByteCount: layout.blockByteCount, bitmapByteCount: layout.bitmapByteCount)
    }

    // MARK: Space

    /// Steps 1 and 2; of `needed` blocks at least one.
    private mutating func reserve(_ needed: UInt64, _ map: inout BlockMap) throws {
        let layout = map.layout
        let offset = nextBlockOffset(layout)
        let unit = min(BlockPlace.alignment, layout.blockByteCount)
        let stride = layout.strideByteCount.roundedUp(to: unit)
        let room =
            (BlockPlace.fileLimit - sectorByteCount - min(offset, BlockPlace.fileLimit - sectorByteCount)) / stride
        let usual = min(step, max(1, Self.longestStepByteCount / stride))
        let count = min(room, max(usual, min(needed, Self.largestKnownStep)))
        guard count > 0 else {
            throw DiskError(
                .refused, path: file.path,
                "no room for another block: the file of a dynamic or differencing VHD ends at 2 TiB")
        }
        let end = (offset + count * stride).roundedUp(to: sectorByteCount)
        try file.checkLength(atLeast: footerOffset)
        do {
            try file.write(footer, at: end)
        } catch {
            // The footer is to be the last sector again; where that fails, the copy at 0 is there.
            do { try file.resize(to: footerOffset + sectorByteCount) } catch {
                refusal = "the file could neither be lengthened nor cut back: \(error.explanation)"
            }
            throw error
        }
        try sync()
        unclean = min(footerOffset, unclean?.lowerBound ?? footerOffset)..<footerOffset + sectorByteCount
        footerOffset = end
        map.layout.contentsEnd = end
        step = min(step * 2, Self.largestStep)
    }

    // MARK: Flushing

    mutating func sync() throws {
        do { try file.sync() } catch {
            refusal = "an earlier flush failed (\(error.explanation)): what was written since the last one may be lost"
            throw error
        }
    }

    private mutating func flushWhenMuch(_ map: inout BlockMap) throws {
        let bitmapByteCount = UInt64(map.bitmaps.dirtyBlockCount) * map.layout.bitmapByteCount
        if map.table.dirtyPieces.count > Self.dirtyPieceLimit || bitmapByteCount > Self.dirtyBitmapByteLimit {
            try flush(&map)
        }
    }

    /// Steps 4 to 6.
    mutating func flush(_ map: inout BlockMap) throws {
        try sync()
        let bitmaps = map.bitmaps.dirtySectors()
        guard !bitmaps.isEmpty || !map.table.dirtyPieces.isEmpty else { return }
        do {
            for sector in bitmaps { try file.write(sector.bytes, at: sector.offset) }
            try map.table.writeDirtyPieces()
        } catch {
            refusal = "an earlier flush failed: what was written since the last one may be lost"
            throw error
        }
        try sync()
        map.bitmaps.markClean()
    }

    /// Steps 7 and 8; nothing is written after.
    mutating func close(_ map: inout BlockMap?) throws {
        guard map != nil else {
            try sync()
            return refusal = "the image was closed"
        }
        try flush(&map!)
        // A footer may stand in the reserved space from here on: no block can go there.
        refusal = "the image was closed"
        let end = usedEnd.roundedUp(to: sectorByteCount)
        if end + sectorByteCount <= footerOffset {
            try file.write(footer, at: end)
            try sync()
            try file.resize(to: end + sectorByteCount)
            try sync()
            footerOffset = end
            map?.layout.contentsEnd = end
        }
    }
}
