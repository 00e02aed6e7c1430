import BlockIO
import ByteCodec
import DiskModel

/// The allocated blocks of an image in the order in which they stand in the file, eight bytes each.
struct BlockList: Sendable {
    /// 32 MiB: more than a file of 2 TiB has of blocks of 512 KiB, the smallest that Windows opens.
    static let limit: UInt64 = 4 << 20

    /// The sector in the file above 32 bits of the block's index.
    private var places: [UInt64] = []
    /// One bit for each place.
    private var dropped: [UInt64]

    /// - Parameter count: the blocks, as counted before; at most `limit`.
    init(_ table: inout BlockAllocationTable, _ layout: SparseLayout, count: UInt64) throws {
        places.reserveCapacity(Int(count))
        dropped = []
        try table.forEachEntry(layout) { block, entry in
            places.append(UInt64(entry) << 32 | block)
        }
        sortPlaces()
        dropped = [UInt64](repeating: 0, count: places.count / 64 + 1)
    }

    /// A heap sort, which needs no memory besides; the library's takes half as much again.
    private mutating func sortPlaces() {
        for start in stride(from: places.count / 2 - 1, through: 0, by: -1) { sink(start, below: places.count) }
        for end in stride(from: places.count - 1, to: 0, by: -1) {
            places.swapAt(0, end)
            sink(0, below: end)
        }
    }

    /// Moves a place down in the heap until none below it is larger.
    private mutating func sink(_ start: Int, below end: Int) {
        var parent = start
        while 2 * parent + 1 < end {
            var child = 2 * parent + 1
            if child + 1 < end, places[child] < places[child + 1] { child += 1 }
            guard places[parent] < places[child] else { return }
            places.swapAt(parent, child)
            parent = child
        }
    }

    var count: Int { places.count }
    /// Where the block of a rank begins in the file.
    func offset(_ rank: Int) -> UInt64 { (places[rank] >> 32) * sectorByteCount }
    /// Which block of the disk it is.
    func block(_ rank: Int) -> UInt64 { places[rank] & 0xffff_ffff }
    func isDropped(_ rank: Int) -> Bool { dropped[rank / 64] >> UInt64(rank % 64) & 1 != 0 }
    mutating func drop(_ rank: Int) { dropped[rank / 64] |= 1 << UInt64(rank % 64) }
}

/// Tells which blocks hold nothing: a dynamic image shows zeros in all of the block, a differencing one its parent.
struct EmptyBlocks {
    private let file: any BlockFile
    private let layout: SparseLayout
    private let isDifferencing: Bool
    private var finder: DataFinder

    init(_ file: any BlockFile, _ layout: SparseLayout, isDifferencing: Bool) {
        (self.file, self.layout, self.isDifferencing) = (file, layout, isDifferencing)
        finder = DataFinder(file)
    }

    /// Whether the block that stands at `offset` can be given up. Only sectors inside the disk count, and in a dynamic
    /// image only those whose bits are set: the others read as zeros whatever stands there.
    mutating func isEmpty(_ block: UInt64, at offset: UInt64) throws(IOError) -> Bool {
        // A bitmap in a hole of the file has no bit set.
        guard let first = try finder.data(from: offset), first.lowerBound < offset + layout.bitmapByteCount else {
            return true
        }
        let bitmap = SectorBitmap(try file.bytes(at: offset, count: Int(layout.bitmapByteCount)))
        let visible = Int(layout.visibleByteCount(ofBlock: block).dividedRoundingUp(by: sectorByteCount))
        let data = offset + layout.bitmapByteCount
        var sector = bitmap.runEnd(from: 0, to: visible, isSet: false)
        while sector < visible {
            if isDifferencing { return false }
            let end = bitmap.runEnd(from: sector, to: visible, isSet: true)
            let run = data + UInt64(sector) * sectorByteCount..<data + UInt64(end) * sectorByteCount
            guard try finder.isZero(run) else { return false }
            sector = bitmap.runEnd(from: end, to: visible, isSet: false)
        }
        return true
    }
}
