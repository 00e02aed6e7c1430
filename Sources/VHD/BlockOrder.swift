import BlockIO
import ByteCodec

/// Visits the allocated blocks in the order in which they stand in the file, in bounded memory: the table is read once
/// to count, and then once for each group of as many blocks as are kept at a time. Blocks that overlap are found on the
/// way, in O(n log n).
struct BlockOrder {
    /// Four bytes each: 16 MiB at most.
    static let keptCount = 4 << 20
    /// A bucket counts the blocks that begin in 65536 sectors.
    private static let bucketShift: UInt32 = 16

    private(set) var allocatedCount: UInt64 = 0
    private var buckets: [UInt32] = []

    /// Checks every entry of the table, and that no two blocks overlap; `body` gets the blocks' offsets in the file in
    /// ascending order.
    mutating func visit(
        _ table: inout BlockAllocationTable, _ layout: SparseLayout, _ body: (UInt64) throws -> Void
    ) throws {
        try count(&table, layout)
        var (first, previousEnd) = (0, UInt64(0))
        while first < buckets.count {
            var (end, total) = (first, 0)
            while end < buckets.count, end == first || total + Int(buckets[end]) <= Self.keptCount {
                total += Int(buckets[end])
                end += 1
            }
            if total > 0 {
                let entries = try collect(&table, layout, first..<end, total)
                for entry in entries {
                    let offset = UInt64(entry) * sectorByteCount
                    guard offset >= previousEnd else { throw try Self.overlap(entry, &table, layout) }
                    previousEnd = offset + layout.strideByteCount
                    try body(offset)
                }
            }
            first = end
        }
    }

    private mutating func count(_ table: inout BlockAllocationTable, _ layout: SparseLayout) throws {
        // Blocks begin before the end of the blocks' region, which is below 2 TiB or else cut there.
        let last = min(layout.contentsEnd / sectorByteCount, UInt64(UInt32.max)) >> UInt64(Self.bucketShift)
        buckets = [UInt32](repeating: 0, count: Int(last) + 1)
        // More blocks than this in one bucket cannot stand side by side.
        let most = UInt32(min(UInt64(UInt32.max), (65536 * sectorByteCount) / layout.strideByteCount + 1))
        try Self.forEachEntry(&table, layout) { block, entry in
            _ = try layout.blockOffset(block, entry: entry)
            allocatedCount += 1
            let bucket = Int(entry >> Self.bucketShift)
            buckets[bucket] += 1
            guard buckets[bucket] <= most else {
                throw layout.problem(.vhdBlocksOverlap, block, entry, "is one of too many in one place of the file")
            }
        }
    }

    private func collect(
        _ table: inout BlockAllocationTable, _ layout: SparseLayout, _ range: Range<Int>, _ total: Int
    ) throws -> [UInt32] {
        var entries: [UInt32] = []
        entries.reserveCapacity(total)
        try Self.forEachEntry(&table, layout) { _, entry in
            if range.contains(Int(entry >> Self.bucketShift)) { entries.append(entry) }
        }
        entries.sort()
        return entries
    }

    static func forEachEntry(
        _ table: inout BlockAllocationTable, _ layout: SparseLayout, _ body: (UInt64, UInt32) throws -> Void
    ) throws {
        var block: UInt64 = 0
        while block < layout.blockCount {
            let page = try table.page(block / BlockAllocationTable.pageEntryCount)
            let raw = page.rawBytes
            for index in 0..<page.count / 4 {
                let entry: UInt32 = raw.integer(at: index * 4, .big)
                if entry != unallocatedEntry { try body(block + UInt64(index), entry) }
            }
            block += UInt64(page.count / 4)
        }
    }

    /// The message about a block that begins inside another, found again by its entry.
    private static func overlap(
        _ entry: UInt32, _ table: inout BlockAllocationTable, _ layout: SparseLayout
    ) throws -> FormatError {
        var found: FormatError?
        try forEachEntry(&table, layout) { block, other in
            if other == entry {
                found = layout.problem(.vhdBlocksOverlap, block, entry, "begins inside another block")
            }
        }
        return found
            ?? FormatError(
                .vhdBlocksOverlap, field: "BAT", offset: layout.tableOffset, "has blocks that overlap", section: "16")
    }
}
