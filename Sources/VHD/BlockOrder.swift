import BlockIO
import ByteCodec

/// Visits the allocated blocks in the order in which they stand in the file, in bounded memory: the table is read once
/// to count, and then once for each group of as many blocks as are kept at a time. Blocks that overlap are found on the
/// way, in O(n log n).
struct BlockOrder {
    /// Eight bytes each, and half as much again while sorting: 24 MiB at most.
    static let keptCount = 2 << 20
    /// A bucket counts the blocks that begin in 65536 sectors.
    private static let bucketShift: UInt64 = 16

    /// A block that stands where a block can stand.
    struct Place {
        let block: UInt64
        let entry: UInt32
        /// Byte offset of its bitmap.
        var offset: UInt64 { UInt64(entry) * sectorByteCount }
    }

    enum Event {
        /// All entries were gone through: so many blocks follow.
        case counted(UInt64)
        /// An entry that names no place for a block, or one of too many in one place.
        case misplaced(FormatError, block: UInt64)
        /// A block that begins before the end of the one before it in the file.
        case overlap(FormatError)
        /// A block that has to go so that no two overlap: of two, the one later in the table.
        case givenUp(Place)
        /// The next block in the file; sound when it overlaps no other.
        case block(Place, isSound: Bool)
    }

    private(set) var allocatedCount: UInt64 = 0
    private var buckets: [UInt32] = []
    /// More blocks than this cannot begin side by side in one bucket.
    private var bucketLimit: UInt32 = 0

    /// Checks every entry of the table, and that no two blocks overlap; `body` gets the blocks' offsets in the file in
    /// ascending order.
    mutating func visit(
        _ table: inout BlockAllocationTable, _ layout: SparseLayout, _ body: (UInt64) throws -> Void
    ) throws {
        try survey(&table, layout) { event in
            switch event {
            case .misplaced(let error, _), .overlap(let error): throw error
            case .block(let place, _): try body(place.offset)
            case .counted, .givenUp: break
            }
        }
    }

    /// Goes through everything, whatever is wrong: first the entries in the order of the table, then the blocks in the
    /// order of the file.
    mutating func survey(
        _ table: inout BlockAllocationTable, _ layout: SparseLayout, _ body: (Event) throws -> Void
    ) throws {
        try count(&table, layout, body)
        try body(.counted(allocatedCount))
        var sequence = Sequence(layout: layout)
        var first = 0
        while first < buckets.count {
            var (end, total) = (first, 0)
            while end < buckets.count, end == first || total + Int(buckets[end]) <= Self.keptCount {
                total += Int(buckets[end])
                end += 1
            }
            if total > 0 {
                for packed in try collect(&table, layout, first..<end, total) {
                    let place = Place(block: packed & 0xffff_ffff, entry: UInt32(packed >> 32))
                    try sequence.add(place, body)
                }
            }
            first = end
        }
        try sequence.finish(body)
    }

    private mutating func count(
        _ table: inout BlockAllocationTable, _ layout: SparseLayout, _ body: (Event) throws -> Void
    ) throws {
        // Blocks begin before the end of the blocks' region, which is below 2 TiB or else cut there.
        let last = min(layout.contentsEnd / sectorByteCount, UInt64(UInt32.max)) >> Self.bucketShift
        buckets = [UInt32](repeating: 0, count: Int(last) + 1)
        bucketLimit = UInt32(
            min(UInt64(Self.keptCount), (65536 * sectorByteCount) / layout.strideByteCount + 1))
        try table.forEachEntry(layout) { block, entry in
            do throws(FormatError) { _ = try layout.blockOffset(block, entry: entry) } catch {
                return try body(.misplaced(error, block: block))
            }
            let bucket = Int(UInt64(entry) >> Self.bucketShift)
            guard buckets[bucket] < bucketLimit else {
                let error = layout.problem(.vhdBlocksOverlap, block, entry, "is one of too many in one place")
                return try body(.misplaced(error, block: block))
            }
            allocatedCount += 1
            buckets[bucket] += 1
        }
    }

    /// The blocks of a range of buckets in order: the entry above the block's number, each in 32 bits.
    private func collect(
        _ table: inout BlockAllocationTable, _ layout: SparseLayout, _ range: Range<Int>, _ total: Int
    ) throws -> [UInt64] {
        var packed: [UInt64] = []
        packed.reserveCapacity(total)
        var taken = [UInt32](repeating: 0, count: range.count)
        try table.forEachEntry(layout) { block, entry in
            let bucket = Int(UInt64(entry) >> Self.bucketShift)
            guard range.contains(bucket), taken[bucket - range.lowerBound] < bucketLimit,
                (try? layout.blockOffset(block, entry: entry)) != nil
            else { return }
            taken[bucket - range.lowerBound] += 1
            packed.append(UInt64(entry) << 32 | block)
        }
        packed.sort()
        return packed
    }

    /// Blocks in the order of the file, compared with the one before.
    private struct Sequence {
        let layout: SparseLayout
        /// The last block, held back until the next one shows whether it is sound.
        private var last: (place: Place, isSound: Bool)?
        /// The last block that is not given up.
        private var kept: Place?

        init(layout: SparseLayout) { self.layout = layout }

        mutating func add(_ place: Place, _ body: (Event) throws -> Void) throws {
            var isSound = true
            if let before = last, place.offset < before.place.offset + layout.strideByteCount {
                isSound = false
                last?.isSound = false
                try body(
                    .overlap(
                        layout.problem(
                            .vhdBlocksOverlap, place.block, place.entry, "lies over block \(before.place.block)")))
            }
            try finish(body)
            last = (place, isSound)
            guard let other = kept, place.offset < other.offset + layout.strideByteCount else { return kept = place }
            try body(.givenUp(other.block > place.block ? other : place))
            if other.block > place.block { kept = place }
        }

        mutating func finish(_ body: (Event) throws -> Void) throws {
            if let last { try body(.block(last.place, isSound: last.isSound)) }
            last = nil
        }
    }
}

extension BlockAllocationTable {
    /// Visits the entries of allocated blocks in the order of the table.
    mutating func forEachEntry(_ layout: SparseLayout, _ body: (UInt64, UInt32) throws -> Void) throws {
        var block: UInt64 = 0
        while block < layout.blockCount {
            let page = try page(block / Self.pageEntryCount)
            let raw = page.rawBytes
            for index in 0..<page.count / 4 {
                let entry: UInt32 = raw.integer(at: index * 4, .big)
                if entry != unallocatedEntry { try body(block + UInt64(index), entry) }
            }
            block += UInt64(page.count / 4)
        }
    }
}
