import BlockIO
import ByteCodec

/// The block allocation table, read in pages of which a bounded number is kept. Entries changed stay in memory until
/// they are written.
struct BlockAllocationTable: Sendable {
    static let pageEntryCount: UInt64 = 4096
    private static let pageByteCount = 4 * pageEntryCount
    /// 64 pages of 16 KiB: a megabyte; fewer in a deep chain.
    private var keptPageCount = 64

    private let file: any BlockFile
    private let range: Range<UInt64>
    private var pages: [UInt64: [UInt8]] = [:]
    /// Changed entries by 512-byte piece of the table; a piece is one sector of the file.
    private(set) var dirtyPieces: Set<UInt64> = []

    init(_ file: any BlockFile, _ layout: SparseLayout) { (self.file, range) = (file, layout.tableRange) }

    /// The big-endian entries from `pageEntryCount * index` on: as many as the table has, at most a page.
    mutating func page(_ index: UInt64) throws(IOError) -> [UInt8] {
        if let page = pages[index] { return page }
        if pages.count >= keptPageCount { dropCleanPages() }
        let start = range.lowerBound + index * Self.pageByteCount
        let page = try file.bytes(at: start, count: Int(min(Self.pageByteCount, range.upperBound - start)))
        pages[index] = page
        return page
    }

    mutating func entry(_ block: UInt64) throws(IOError) -> UInt32 {
        let page = try page(block / Self.pageEntryCount)
        return page.rawBytes.integer(at: Int(block % Self.pageEntryCount) * 4, .big)
    }

    /// Changes an entry in memory.
    mutating func set(_ block: UInt64, to entry: UInt32) throws(IOError) {
        let index = block / Self.pageEntryCount
        var page = try page(index)
        pages[index] = nil
        var raw = page.mutableRawBytes
        raw.store(entry, at: Int(block % Self.pageEntryCount) * 4, .big)
        pages[index] = page
        dirtyPieces.insert(block * 4 / sectorByteCount)
    }

    /// Writes the changed pieces, each within a sector and so whole or not at all.
    mutating func writeDirtyPieces() throws(IOError) {
        for piece in dirtyPieces.sorted() {
            let start = piece * sectorByteCount
            let page = try page(start / Self.pageByteCount)
            let inside = Int(start % Self.pageByteCount)
            let end = min(page.count, inside + Int(sectorByteCount))
            try file.write(page.rawBytes.extracting(inside..<end), at: range.lowerBound + start)
        }
        dirtyPieces = []
    }

    /// Bounds the pages kept that are not changed.
    mutating func limitCache(to byteCount: Int) {
        keptPageCount = min(max(1, byteCount / Int(Self.pageByteCount)), keptPageCount)
        if pages.count > keptPageCount { dropCleanPages() }
    }

    private mutating func dropCleanPages() {
        let dirtyPages = Set(dirtyPieces.map { $0 * sectorByteCount / Self.pageByteCount })
        pages = pages.filter { dirtyPages.contains($0.key) }
    }
}
