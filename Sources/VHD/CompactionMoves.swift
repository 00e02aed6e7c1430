import ByteCodec

/// The unused places of a file, in ascending order: what neither a block that stays nor a structure takes.
struct FileHoles: Sendable {
    let blocks: BlockList
    let strideByteCount: UInt64
    /// In ascending order; they may overlap each other.
    let structures: [Range<UInt64>]
    /// Blocks of this rank and above are no longer where they were.
    var keptRank: Int
    /// Holes begin here or later.
    var position: UInt64 = 0

    private var nextRank = 0
    private var nextStructure = 0

    init(_ blocks: BlockList, _ structures: [Range<UInt64>], strideByteCount: UInt64) {
        (self.blocks, self.strideByteCount) = (blocks, strideByteCount)
        self.structures = structures.sorted { $0.lowerBound < $1.lowerBound }
        keptRank = blocks.count
    }

    /// The first hole at or after `position`, cut at `limit`; `position` is then where it begins.
    mutating func next(below limit: UInt64) -> Range<UInt64>? {
        while position < limit {
            guard let obstacle = nextObstacle() else { return position..<limit }
            if obstacle.lowerBound > position { return position..<min(limit, obstacle.lowerBound) }
            position = obstacle.upperBound
        }
        return nil
    }

    /// The block or structure that ends behind `position` and begins first.
    private mutating func nextObstacle() -> Range<UInt64>? {
        while nextStructure < structures.count, structures[nextStructure].upperBound <= position { nextStructure += 1 }
        while nextRank < keptRank,
            blocks.isDropped(nextRank) || blocks.offset(nextRank) + strideByteCount <= position
        { nextRank += 1 }
        let structure = nextStructure < structures.count ? structures[nextStructure] : nil
        guard nextRank < keptRank else { return structure }
        let block = blocks.offset(nextRank)..<blocks.offset(nextRank) + strideByteCount
        guard let structure, structure.lowerBound < block.lowerBound else { return block }
        return structure
    }
}

/// One block that goes to another place in the file.
struct BlockMove: Sendable, Equatable {
    var block: UInt64
    var source: UInt64
    var target: UInt64
}

/// Which blocks go where: the last one of the file into the first hole that holds it, again and again, as long as that
/// hole lies before it. A place that a move leaves is never a target: it lies behind all that stay.
struct BlockMoves: Sendable {
    private var holes: FileHoles
    private let layout: SparseLayout
    /// Where the last block that moved ends.
    private(set) var movedEnd: UInt64 = 0

    init(_ blocks: BlockList, _ structures: [Range<UInt64>], _ layout: SparseLayout) {
        self.layout = layout
        holes = FileHoles(blocks, structures, strideByteCount: layout.strideByteCount)
    }

    /// Where the last block ends that has not moved; 0 when there is none.
    var keptEnd: UInt64 {
        var rank = holes.keptRank
        while rank > 0, holes.blocks.isDropped(rank - 1) { rank -= 1 }
        return rank == 0 ? 0 : holes.blocks.offset(rank - 1) + layout.strideByteCount
    }

    mutating func next() -> BlockMove? {
        while holes.keptRank > 0, holes.blocks.isDropped(holes.keptRank - 1) { holes.keptRank -= 1 }
        guard holes.keptRank > 0 else { return nil }
        let source = holes.blocks.offset(holes.keptRank - 1)
        while let hole = holes.next(below: source) {
            guard let target = place(in: hole) else {
                holes.position = hole.upperBound
                continue
            }
            holes.position = target + layout.strideByteCount
            holes.keptRank -= 1
            movedEnd = max(movedEnd, holes.position)
            return BlockMove(block: holes.blocks.block(holes.keptRank), source: source, target: target)
        }
        return nil
    }

    /// Where in a hole a block goes: with its data aligned as new blocks have it, unless the hole would then hold fewer
    /// blocks.
    private func place(in hole: Range<UInt64>) -> UInt64? {
        let start = hole.lowerBound.roundedUp(to: sectorByteCount)
        guard start < hole.upperBound else { return nil }
        let count = (hole.upperBound - start) / layout.strideByteCount
        guard count > 0 else { return nil }
        let aligned = BlockPlace.next(
            after: start, blockByteCount: layout.blockByteCount, bitmapByteCount: layout.bitmapByteCount)
        return aligned + count * layout.strideByteCount <= hole.upperBound ? aligned : start
    }
}
