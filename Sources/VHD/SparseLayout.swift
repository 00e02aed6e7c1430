import BlockIO
import ByteCodec

/// The checked numbers of a dynamic or differencing image.
struct SparseLayout: Sendable {
    let blockByteCount: UInt64
    /// Bytes of the bitmap before a block's data, whole sectors.
    let bitmapByteCount: UInt64
    let virtualByteCount: UInt64
    /// Blocks of the virtual disk; the table may have more entries.
    let blockCount: UInt64
    let tableOffset: UInt64
    /// Structures that no block may touch, in order; none is empty.
    let structures: [Range<UInt64>]
    /// Where the blocks' region ends; a writer moves it.
    var contentsEnd: UInt64

    /// Bytes of a block with its bitmap.
    var strideByteCount: UInt64 { bitmapByteCount + blockByteCount }
    var tableRange: Range<UInt64> { tableOffset..<tableOffset + 4 * blockCount }
    private let structuresEnd: UInt64

    init(
        header: DynamicHeader, virtualByteCount: UInt64, structures: [Range<UInt64>], contentsEnd: UInt64
    ) {
        blockByteCount = UInt64(header.blockSize)
        bitmapByteCount = Self.bitmapByteCount(blockByteCount: blockByteCount)
        self.virtualByteCount = virtualByteCount
        blockCount = virtualByteCount.dividedRoundingUp(by: blockByteCount)
        tableOffset = header.tableOffset
        self.contentsEnd = contentsEnd
        let table = tableOffset..<tableOffset + 4 * blockCount
        self.structures = (structures + [table]).filter { !$0.isEmpty }.sorted { $0.lowerBound < $1.lowerBound }
        structuresEnd = self.structures.map(\.upperBound).max() ?? 0
    }

    static func bitmapByteCount(blockByteCount: UInt64) -> UInt64 {
        (blockByteCount / sectorByteCount).dividedRoundingUp(by: 8).roundedUp(to: sectorByteCount)
    }

    /// Bytes of a block's data that belong to the virtual disk: less than a block in the last one.
    func visibleByteCount(ofBlock block: UInt64) -> UInt64 {
        min(blockByteCount, virtualByteCount - block * blockByteCount)
    }

    /// Where the bitmap of an allocated block stands, after the cheap checks: the block lies behind nothing but its
    /// tail may reach past `contentsEnd`, which only its reader can judge.
    func blockOffset(_ block: UInt64, entry: UInt32) throws(FormatError) -> UInt64 {
        let offset = UInt64(entry) * sectorByteCount
        if offset >= structuresEnd, offset + strideByteCount <= contentsEnd { return offset }
        let end = offset + strideByteCount
        if let hit = structures.first(where: { $0.lowerBound < end && offset < $0.upperBound }) {
            throw problem(
                .vhdBlockOverMetadata, block, entry,
                "lies over the structure at \(hex(hit.lowerBound))..<\(hex(hit.upperBound))")
        }
        guard offset + bitmapByteCount <= contentsEnd else {
            throw problem(.vhdBlockPastEnd, block, entry, "lies past the end of the blocks at \(hex(contentsEnd))")
        }
        return offset
    }

    /// Whether a block, taken at `offset`, lacks bytes that the virtual disk shows.
    func lacksVisibleBytes(_ block: UInt64, at offset: UInt64) -> Bool {
        offset + bitmapByteCount + visibleByteCount(ofBlock: block) > contentsEnd
    }

    func problem(
        _ code: FormatError.Code, _ block: UInt64, _ entry: UInt32, _ text: String
    ) -> FormatError {
        FormatError(
            code, field: "BAT entry \(block)", offset: tableOffset + 4 * block,
            "is \(hex(entry)): the block \(text)", section: "16")
    }
}
