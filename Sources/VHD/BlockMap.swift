import BlockIO
import ByteCodec
import DiskModel

/// Says where the bytes of a dynamic or differencing image are.
struct BlockMap: Sendable {
    let file: any BlockFile
    var layout: SparseLayout
    let isDifferencing: Bool
    /// Dynamic images only: take every sector of an allocated block from the file.
    let ignoresBitmaps: Bool
    /// Whether data that the file lacks at the end of a block reads as zeros instead of being an error.
    let acceptsMissingTails: Bool
    var table: BlockAllocationTable
    var bitmaps = BitmapCache()

    init(
        _ file: any BlockFile, _ layout: SparseLayout, isDifferencing: Bool, ignoresBitmaps: Bool,
        acceptsMissingTails: Bool
    ) {
        (self.file, self.layout, self.isDifferencing) = (file, layout, isDifferencing)
        self.ignoresBitmaps = ignoresBitmaps && !isDifferencing
        self.acceptsMissingTails = acceptsMissingTails
        table = BlockAllocationTable(file, layout)
    }

    /// Where bytes are that no allocated block holds.
    private var absent: Extent.Source { isDifferencing ? .parent : .hole }
    /// Where bytes are that an allocated block does not hold.
    private var clear: Extent.Source { isDifferencing ? .parent : .zero }

    /// The runs of a range inside the disk, at most `limit`, each as long as it is in the range.
    mutating func extents(in range: Range<UInt64>, limit: Int) throws -> [Extent] {
        var result: [Extent] = []
        var position = range.lowerBound
        while position < range.upperBound, result.count <= limit {
            let index = position / layout.blockByteCount / BlockAllocationTable.pageEntryCount
            let page = try table.page(index)
            let first = index * BlockAllocationTable.pageEntryCount
            let end = min(range.upperBound, (first + UInt64(page.count / 4)) * layout.blockByteCount)
            try appendRuns(position..<end, page, firstBlock: first, &result, limit)
            position = end
        }
        if result.count > limit { result.removeLast(result.count - limit) }
        return result
    }

    /// Appends the runs of a range whose blocks are all in one page, and stops after more than `limit`.
    private mutating func appendRuns(
        _ range: Range<UInt64>, _ page: [UInt8], firstBlock: UInt64, _ result: inout [Extent], _ limit: Int
    ) throws {
        let raw = page.rawBytes
        var position = range.lowerBound
        while position < range.upperBound, result.count <= limit {
            let block = position / layout.blockByteCount
            let end = min(range.upperBound, (block + 1) * layout.blockByteCount)
            let entry: UInt32 = raw.integer(at: Int(block - firstBlock) * 4, .big)
            if entry == unallocatedEntry {
                result.appendRun(Extent(offset: position, byteCount: end - position, source: absent))
            } else {
                try appendBlock(block, entry, position..<end, &result, limit)
            }
            position = end
        }
    }

    private mutating func appendBlock(
        _ block: UInt64, _ entry: UInt32, _ range: Range<UInt64>, _ result: inout [Extent], _ limit: Int
    ) throws {
        let offset = try layout.blockOffset(block, entry: entry)
        let dataOffset = offset + layout.bitmapByteCount
        let blockStart = block * layout.blockByteCount
        let bitmap = ignoresBitmaps ? nil : try bitmap(of: block, at: offset)
        guard bitmap != nil || layout.lacksVisibleBytes(block, at: offset) else {
            return result.appendRun(
                Extent(
                    offset: range.lowerBound, byteCount: range.upperBound - range.lowerBound,
                    source: .file(offset: dataOffset + (range.lowerBound - blockStart))))
        }
        let heldByteCount = (layout.contentsEnd - dataOffset).roundedDown(to: sectorByteCount)
        var position = range.lowerBound
        while position < range.upperBound, result.count <= limit {
            let run = Self.run(bitmap, from: position - blockStart, to: range.upperBound - blockStart)
            var end = blockStart + run.end
            var source = clear
            if run.isSet {
                source = .file(offset: dataOffset + (position - blockStart))
                if position - blockStart >= heldByteCount {
                    guard acceptsMissingTails else { throw missingTail(block, entry) }
                    source = .zero
                } else {
                    end = min(end, blockStart + heldByteCount)
                }
            }
            result.appendRun(Extent(offset: position, byteCount: end - position, source: source))
            position = end
        }
    }

    /// The run of equal bits at a byte offset in a block, up to an offset at most; without a bitmap, all are set.
    private static func run(_ bitmap: SectorBitmap?, from start: UInt64, to end: UInt64) -> (isSet: Bool, end: UInt64) {
        guard let bitmap else { return (true, end) }
        let sector = Int(start / sectorByteCount)
        let isSet = bitmap.isSet(sector)
        let last = bitmap.runEnd(from: sector, to: Int(end.dividedRoundingUp(by: sectorByteCount)), isSet: isSet)
        return (isSet, min(end, UInt64(last) * sectorByteCount))
    }

    private func missingTail(_ block: UInt64, _ entry: UInt32) -> FormatError {
        layout.problem(
            .vhdBlockPastEnd, block, entry,
            "goes on past the end of the blocks at \(hex(layout.contentsEnd)): the file was cut, and data is missing")
    }

    /// Bounds what is kept of the table and of bitmaps; half each.
    mutating func limitCache(to byteCount: Int, isForReading: Bool) {
        table.limitCache(to: byteCount / 2)
        bitmaps.limit(to: byteCount / 2, isForReading: isForReading)
    }

    /// The bitmap of a block that stands at `offset`; nil when the bits of all visible sectors are set.
    mutating func bitmap(of block: UInt64, at offset: UInt64) throws -> SectorBitmap? {
        if let known = bitmaps.known(block) { return known }
        let read = SectorBitmap(try file.bytes(at: offset, count: Int(layout.bitmapByteCount)))
        let visible = layout.visibleByteCount(ofBlock: block).dividedRoundingUp(by: sectorByteCount)
        let bitmap = read.isFull(Int(visible)) ? nil : read
        bitmaps.keep(bitmap, of: block)
        return bitmap
    }

    /// Whether any of the bits of a range of sectors is clear in the block that stands at `offset`.
    mutating func hasClearBit(in sectors: Range<Int>, ofBlock block: UInt64, at offset: UInt64) throws -> Bool {
        guard let bitmap = try bitmap(of: block, at: offset) else { return false }
        return bitmap.runEnd(from: sectors.lowerBound, to: sectors.upperBound, isSet: true) < sectors.upperBound
    }
}
