import BlockIO
import ByteCodec

/// The bits of partially present blocks: a set bit means that the file has the sector, the lowest bit of a byte first.
/// Read page by page; changed pages stay here until the log has them. [MS-VHDX] 2.4
struct SectorBitmaps: Sendable {
    private(set) var pages = LoggedPages(capacity: Self.cachedPageCount)
    /// By where the bits of a block start: a bit before which none is clear, so that filling a block front to back does
    /// not look through its bits again and again. It stays right because bits are only set until all are cleared.
    private var firstClear: [UInt64: UInt64] = [:]

    /// 1 MiB.
    static let cachedPageCount = 256
    static let keptFirstClearCount = 1024
    private static let bitsPerPage = Layout.pageByteCount * 8

    /// Where the bits of one block stand: on one page, or on whole pages.
    struct Place: Sendable {
        /// In the file, below `Layout.maximumFileByteCount`.
        var fileOffset: UInt64
        var byteCount: UInt64
        /// Sectors of the block that the disk has. Bits behind them mean nothing, and are neither asked for nor set.
        var sectorCount: UInt64

        /// Counted from the start of the file, in bits.
        var firstBit: UInt64 { fileOffset * 8 }
        var pageCount: Int { Int(byteCount.dividedRoundingUp(by: Layout.pageByteCount)) }
    }

    /// Bounds the unchanged pages kept, in bytes.
    mutating func limitCache(to byteCount: Int) { pages.limit(to: byteCount) }

    /// The value of the first sector's bit, and how many from it on have that value, up to the end of the page.
    /// - Parameter sectors: counted from the block's first one; not empty. No bit outside is looked at.
    mutating func run(
        in sectors: Range<UInt64>, of place: Place, file: any BlockFile
    ) throws(IOError) -> (isSet: Bool, count: UInt64) {
        let bit = place.firstBit + sectors.lowerBound
        let page = try pages.page(at: bit.roundedDown(to: Self.bitsPerPage) / 8, in: file)
        let at = bit % Self.bitsPerPage
        let isSet = page[Int(at / 8)] >> (at % 8) & 1 == 1
        return (isSet, Self.count(of: isSet, at..<at + (sectors.upperBound - sectors.lowerBound), page))
    }

    /// How many set bits follow each other from the first sector on, up to the end of the page; 0 when it is clear.
    private mutating func setCount(
        in sectors: Range<UInt64>, of place: Place, _ file: any BlockFile
    ) throws(IOError) -> UInt64 {
        let bit = place.firstBit + sectors.lowerBound
        let page = try pages.page(at: bit.roundedDown(to: Self.bitsPerPage) / 8, in: file)
        let at = bit % Self.bitsPerPage
        return Self.count(of: true, at..<at + (sectors.upperBound - sectors.lowerBound), page)
    }

    /// How many bits of a page have a value, one behind the other, from the start of a range, which may go on behind the
    /// page's end.
    private static func count(of isSet: Bool, _ bits: Range<UInt64>, _ page: [UInt8]) -> UInt64 {
        let end = min(bits.upperBound, bitsPerPage)
        var at = bits.lowerBound
        while at < end {
            let word = page.rawBytes.integer(at: Int(at / 64 * 8), as: UInt64.self, .little) >> (at % 64)
            let same = UInt64((isSet ? ~word : word).trailingZeroBitCount)
            let left = 64 - at % 64
            at += min(same, left)
            if same < left { break }
        }
        return min(at, end) - bits.lowerBound
    }

    // MARK: Changing

    /// Sets the bits of sectors in memory.
    /// - Parameter sectors: counted from the block's first one.
    /// - Returns: whether the file now has all sectors of the block.
    mutating func set(_ sectors: Range<UInt64>, of place: Place, in file: any BlockFile) throws(IOError) -> Bool {
        var sector = sectors.lowerBound
        while sector < sectors.upperBound {
            let bit = place.firstBit + sector
            let pageStart = bit.roundedDown(to: Self.bitsPerPage)
            let end = min(place.firstBit + sectors.upperBound, pageStart + Self.bitsPerPage)
            // What is set already needs no log.
            if try setCount(in: sector..<sector + (end - bit), of: place, file) < end - bit {
                try pages.change(at: pageStart / 8, in: file) { page in
                    page.setBits(Int(bit - pageStart)..<Int(end - pageStart))
                }
            }
            sector += end - bit
        }
        return try isFull(place, after: sectors, file)
    }

    /// Clears all bits of a block in memory.
    mutating func clear(_ place: Place, in file: any BlockFile) throws(IOError) {
        firstClear[place.fileOffset] = nil
        let end = place.fileOffset + place.byteCount
        for start in stride(from: place.fileOffset, to: end, by: Int(Layout.pageByteCount)) {
            let pageStart = start.roundedDown(to: Layout.pageByteCount)
            let bytes = Int(start - pageStart)..<Int(min(end - pageStart, Layout.pageByteCount))
            let page = try pages.page(at: pageStart, in: file)
            guard !isZero(page.rawBytes.extracting(bytes)) else { continue }
            try pages.change(at: pageStart, in: file) { $0.zero(bytes) }
        }
    }

    /// Whether no bit of a block is clear, given that these were set just now.
    private mutating func isFull(
        _ place: Place, after sectors: Range<UInt64>, _ file: any BlockFile
    ) throws(IOError) -> Bool {
        var first = firstClear[place.fileOffset] ?? 0
        if sectors.contains(first) { first = sectors.upperBound }
        while first < place.sectorCount {
            let count = try setCount(in: first..<place.sectorCount, of: place, file)
            if count == 0 { break }
            first += count
        }
        if firstClear.count >= Self.keptFirstClearCount { firstClear = [:] }
        firstClear[place.fileOffset] = first
        return first >= place.sectorCount
    }

    /// The changed pages have reached their places in the file.
    mutating func allWritten() { pages.allWritten() }
}

extension MutableRawSpan {
    /// Sets bits, counted from the lowest one of the first byte. Traps outside the span.
    @_lifetime(self: copy self)
    fileprivate mutating func setBits(_ bits: Range<Int>) {
        var bit = bits.lowerBound
        while bit < bits.upperBound {
            let byte = bit / 64 * 8
            let count = min(64 - bit % 64, bits.upperBound - bit)
            let mask = (count == 64 ? UInt64.max : (1 << UInt64(count)) - 1) << UInt64(bit % 64)
            store(bytes.integer(at: byte, as: UInt64.self, .little) | mask, at: byte, .little)
            bit += count
        }
    }
}
