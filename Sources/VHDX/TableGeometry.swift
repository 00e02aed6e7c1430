import ByteCodec

/// Where the entries of blocks stand in the block allocation table: after every `chunkRatio` payload blocks comes the
/// entry of the sector bitmap block that serves them. [MS-VHDX] 2.5
struct TableGeometry: Sendable, Equatable {
    let virtualByteCount: UInt64
    let blockByteCount: UInt64
    let logicalSectorByteCount: UInt64
    let isDifferencing: Bool
    /// Payload blocks of one chunk, a power of two.
    let chunkRatio: UInt64
    let payloadBlockCount: UInt64
    let bitmapBlockCount: UInt64
    private let chunkShift: UInt64
    private let blockShift: UInt64

    init(virtualByteCount: UInt64, blockByteCount: UInt64, logicalSectorByteCount: UInt64, isDifferencing: Bool) {
        self.virtualByteCount = virtualByteCount
        self.blockByteCount = blockByteCount
        self.logicalSectorByteCount = logicalSectorByteCount
        self.isDifferencing = isDifferencing
        // One bitmap block has 2^23 bits, one for each logical sector of its chunk.
        chunkRatio = (logicalSectorByteCount << 23) / blockByteCount
        payloadBlockCount = virtualByteCount.dividedRoundingUp(by: blockByteCount)
        bitmapBlockCount = payloadBlockCount.dividedRoundingUp(by: chunkRatio)
        chunkShift = UInt64(chunkRatio.trailingZeroBitCount)
        blockShift = UInt64(blockByteCount.trailingZeroBitCount)
    }

    /// Entries in use; a differencing image also needs the last chunk's bitmap entry.
    var entryCount: UInt64 {
        isDifferencing
            ? bitmapBlockCount * (chunkRatio + 1)
            : payloadBlockCount + (payloadBlockCount - 1) / chunkRatio
    }

    func block(at offset: UInt64) -> UInt64 { offset >> blockShift }
    func start(ofBlock block: UInt64) -> UInt64 { block << blockShift }
    /// The part of the block that the disk has: less than the block size at most for the last one.
    func usedByteCount(ofBlock block: UInt64) -> UInt64 {
        min(blockByteCount, virtualByteCount - start(ofBlock: block))
    }

    func index(ofPayloadBlock block: UInt64) -> UInt64 { block + (block >> chunkShift) }
    func index(ofBitmapBlock chunk: UInt64) -> UInt64 { chunk * (chunkRatio + 1) + chunkRatio }
    func chunk(ofBlock block: UInt64) -> UInt64 { block >> chunkShift }

    /// What an entry is for; nil behind the entries in use.
    enum Use: Equatable { case payload(UInt64), bitmap(chunk: UInt64) }
    func index(of use: Use) -> UInt64 {
        switch use {
        case .payload(let block): index(ofPayloadBlock: block)
        case .bitmap(let chunk): index(ofBitmapBlock: chunk)
        }
    }
    func use(ofIndex index: UInt64) -> Use? {
        let (chunk, place) = index.quotientAndRemainder(dividingBy: chunkRatio + 1)
        if place == chunkRatio { return chunk < bitmapBlockCount ? .bitmap(chunk: chunk) : nil }
        let block = chunk * chunkRatio + place
        return block < payloadBlockCount ? .payload(block) : nil
    }

    /// Payload blocks whose entry stands before `index`.
    func payloadBlockCount(beforeIndex index: UInt64) -> UInt64 {
        min(payloadBlockCount, index - index / (chunkRatio + 1))
    }

    /// Bytes that one block's bits take in its chunk's bitmap block.
    var bitmapByteCountPerBlock: UInt64 { blockByteCount / (8 * logicalSectorByteCount) }
    /// Where a block's bits start in its chunk's bitmap block.
    func bitmapOffset(ofBlock block: UInt64) -> UInt64 { (block & (chunkRatio - 1)) * bitmapByteCountPerBlock }

    /// Where a block's bits stand when its chunk's bitmap block is at this offset of the file.
    func bits(ofBlock block: UInt64, bitmap: UInt64) -> SectorBitmaps.Place {
        SectorBitmaps.Place(
            fileOffset: bitmap + bitmapOffset(ofBlock: block), byteCount: bitmapByteCountPerBlock,
            sectorCount: usedByteCount(ofBlock: block) / logicalSectorByteCount)
    }
}
