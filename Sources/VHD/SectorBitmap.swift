import ByteCodec

/// Which sectors of a block the file holds: one bit a sector, the most significant bit of a byte first.
struct SectorBitmap: Sendable {
    private(set) var bytes: [UInt8]

    /// - Parameter bytes: whole sectors.
    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Whether all of the first `count` bits are set.
    func isFull(_ count: Int) -> Bool { runEnd(from: 0, to: count, isSet: true) == count }

    func isSet(_ sector: Int) -> Bool { bytes[sector / 8] & (0x80 >> UInt8(sector % 8)) != 0 }

    /// The end of the run of bits like `isSet` that starts at `start`, `end` at most.
    func runEnd(from start: Int, to end: Int, isSet: Bool) -> Int {
        let raw = bytes.rawBytes
        var position = start
        while position < end {
            // The word's bits from `position` on, moved to the top; a bitmap is whole sectors and so whole words.
            let word: UInt64 = raw.integer(at: position / 64 * 8, .big)
            let shift = position % 64
            let run = ((isSet ? ~word : word) << UInt64(shift)).leadingZeroBitCount
            if run < 64 - shift { return min(end, position + run) }
            position += 64 - shift
        }
        return end
    }

    /// The bytes of a bitmap with one bit for every sector of a block, set; zeros to the end of its last sector.
    static func full(blockByteCount: UInt64) -> [UInt8] {
        let bits = Int(blockByteCount / sectorByteCount)
        var bytes = [UInt8].zeros(Int(SparseLayout.bitmapByteCount(blockByteCount: blockByteCount)))
        for index in 0..<bits / 8 { bytes[index] = 0xff }
        if bits % 8 != 0 { bytes[bits / 8] = ~(0xff >> UInt8(bits % 8)) }
        return bytes
    }

    /// Sets the bits of a range.
    mutating func set(_ sectors: Range<Int>) {
        var sector = sectors.lowerBound
        while sector < sectors.upperBound {
            if sector % 8 == 0, sector + 8 <= sectors.upperBound {
                bytes[sector / 8] = 0xff
                sector += 8
            } else {
                bytes[sector / 8] |= 0x80 >> UInt8(sector % 8)
                sector += 1
            }
        }
    }

    /// Clears the bits of a range.
    mutating func clear(_ sectors: Range<Int>) {
        for sector in sectors { bytes[sector / 8] &= ~(0x80 >> UInt8(sector % 8)) }
    }
}

/// What the bitmaps of blocks say, a bounded number of them kept. Changed bits stay in memory until they are written.
struct BitmapCache: Sendable {
    /// The two bounds hold for what is not changed; the writer bounds the rest.
    private var keptBlockCount = 4096
    private var keptByteCount = 2 << 20
    /// Whether a bitmap is kept that alone is larger than that.
    private var keepsLarge = true

    /// Bitmaps that are not full; a full one is an entry without bytes.
    private var bitmaps: [UInt64: SectorBitmap?] = [:]
    private var heldByteCount = 0
    /// Changed sectors of bitmaps, by block: the block's offset in the file and the sectors' indices in the bitmap.
    private var dirty: [UInt64: (offset: UInt64, sectors: Set<Int>)] = [:]

    var dirtyBlockCount: Int { dirty.count }

    /// What is known of a block: nothing, that its bitmap is full (`.some(nil)`), or its bitmap.
    func known(_ block: UInt64) -> SectorBitmap?? { bitmaps[block] }

    /// Bounds what is kept that is not changed. A deep chain's layers keep less than a layer alone.
    /// - Parameter isForReading: whether a bitmap that alone is larger is not kept at all; a writer needs what it changes.
    mutating func limit(to byteCount: Int, isForReading: Bool) {
        keepsLarge = !isForReading
        keptByteCount = min(keptByteCount, max(4096, byteCount))
        // What an entry costs without its bytes.
        keptBlockCount = min(keptBlockCount, max(64, byteCount / 64))
        if bitmaps.count > keptBlockCount || heldByteCount > keptByteCount { dropClean() }
    }

    mutating func keep(_ bitmap: SectorBitmap?, of block: UInt64) {
        if let bitmap, bitmap.bytes.count > keptByteCount, !keepsLarge { return }
        if bitmaps.count >= keptBlockCount || heldByteCount >= keptByteCount { dropClean() }
        if let old = bitmaps[block], let old { heldByteCount -= old.bytes.count }
        heldByteCount += bitmap?.bytes.count ?? 0
        bitmaps[block] = .some(bitmap)
    }

    /// Sets bits of a bitmap that is kept and not full; what changes is to be written.
    /// - Parameter offset: where the bitmap stands in the file.
    mutating func set(_ sectors: Range<Int>, of block: UInt64, at offset: UInt64) {
        bitmaps[block]??.set(sectors)
        let bitsPerSector = Int(sectorByteCount) * 8
        let touched = sectors.lowerBound / bitsPerSector...(sectors.upperBound - 1) / bitsPerSector
        dirty[block, default: (offset, [])].sectors.formUnion(touched)
    }

    /// The changed sectors in the order of the file, to be written.
    func dirtySectors() -> [(offset: UInt64, bytes: [UInt8])] {
        var result: [(offset: UInt64, bytes: [UInt8])] = []
        for (block, change) in dirty {
            guard let bitmap = bitmaps[block], let bitmap else { continue }
            for sector in change.sectors {
                let start = sector * Int(sectorByteCount)
                let bytes = Array(bitmap.bytes[start..<start + Int(sectorByteCount)])
                result.append((change.offset + UInt64(start), bytes))
            }
        }
        return result.sorted { $0.offset < $1.offset }
    }

    mutating func markClean() { dirty = [:] }

    private mutating func dropClean() {
        bitmaps = bitmaps.filter { dirty[$0.key] != nil }
        heldByteCount = bitmaps.values.reduce(0) { $0 + ($1?.bytes.count ?? 0) }
    }
}
