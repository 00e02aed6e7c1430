import ByteCodec

/// What comparing a part of two disks found. Tallies of adjoining parts are merged, in any grouping, into that of the whole.
struct DifferenceTally: Sendable {
    static let sectorByteCount: UInt64 = 512
    /// Equal stretches of this size are found by one comparison; smaller ones only where something differs.
    private static let unitByteCount = 4096

    /// Ranges kept, of `rangeCount`.
    let listLimit: Int
    /// Disk offset of the first byte that differs.
    private(set) var firstByte: UInt64?
    private(set) var byteCount: UInt64 = 0
    private(set) var sectorCount: UInt64 = 0
    /// Runs of adjoining sectors that differ.
    private(set) var rangeCount: UInt64 = 0
    /// The first of these runs, as sector numbers, at most `listLimit`.
    private(set) var ranges: [Range<UInt64>] = []
    /// From the first sector that differs to the end of the last one.
    private var span: Range<UInt64>?
    /// Bytes of the disks whose contents were read and compared.
    var comparedByteCount: UInt64 = 0
    /// Bytes that both disks show as zeros without storing any.
    var zeroByteCount: UInt64 = 0
    /// Bytes that both disks take from the same place of the same file.
    var sharedByteCount: UInt64 = 0

    init(listLimit: Int) { self.listLimit = listLimit }

    /// Appends what was found in the part behind. A sector that both parts have a share of counts once.
    mutating func merge(_ next: DifferenceTally) {
        comparedByteCount += next.comparedByteCount
        zeroByteCount += next.zeroByteCount
        sharedByteCount += next.sharedByteCount
        guard let nextSpan = next.span else { return }
        firstByte = firstByte ?? next.firstByte
        byteCount += next.byteCount
        sectorCount += next.sectorCount
        var added = next.ranges[...]
        if let span, span.upperBound >= nextSpan.lowerBound {
            if span.upperBound > nextSpan.lowerBound { sectorCount -= 1 }
            rangeCount -= 1
            // The last run is in the list as long as all runs are.
            if rangeCount < listLimit, let joined = added.popFirst() {
                ranges[ranges.count - 1] = ranges[ranges.count - 1].lowerBound..<joined.upperBound
            } else {
                added = []
            }
        }
        rangeCount += next.rangeCount
        ranges += added.prefix(listLimit - ranges.count)
        span = (span?.lowerBound ?? nextSpan.lowerBound)..<nextSpan.upperBound
    }

    /// Compares bytes of one disk with those of the other, or with zeros where there are none.
    /// - Parameters:
    ///   - offset: of the bytes on the disks; behind everything compared before.
    ///   - stopsAtFirst: only the first differing byte is found and counted.
    mutating func compare(_ a: RawSpan, with b: RawSpan?, at offset: UInt64, stopsAtFirst: Bool) {
        comparedByteCount += UInt64(a.byteCount)
        guard !Self.isSame(a, b, 0..<a.byteCount) else { return }
        if stopsAtFirst {
            return note(
                at: offset + UInt64(Self.firstDifference(a, b, 0..<a.byteCount)), byteCount: 1,
                sector: offset / Self.sectorByteCount)
        }
        Self.forEachPart(0..<a.byteCount, at: offset, of: Self.unitByteCount) { unit in
            guard !Self.isSame(a, b, unit) else { return }
            Self.forEachPart(unit, at: offset, of: Int(Self.sectorByteCount)) { sector in
                guard !Self.isSame(a, b, sector) else { return }
                let first = firstByte == nil ? Self.firstDifference(a, b, sector) : 0
                note(
                    at: offset + UInt64(first), byteCount: Self.differingByteCount(a, b, sector),
                    sector: (offset + UInt64(sector.lowerBound)) / Self.sectorByteCount)
            }
        }
    }

    private mutating func note(at offset: UInt64, byteCount: Int, sector: UInt64) {
        var next = DifferenceTally(listLimit: listLimit)
        (next.firstByte, next.byteCount, next.sectorCount, next.rangeCount) = (offset, UInt64(byteCount), 1, 1)
        next.span = sector..<sector + 1
        if listLimit > 0 { next.ranges = [sector..<sector + 1] }
        merge(next)
    }

    /// Cuts a range of a buffer where the disk offset is a multiple of `size`.
    private static func forEachPart(
        _ range: Range<Int>, at offset: UInt64, of size: Int, _ body: (Range<Int>) -> Void
    ) {
        var start = range.lowerBound
        while start < range.upperBound {
            let inside = Int((offset + UInt64(start)) % UInt64(size))
            let end = min(range.upperBound, start + size - inside)
            body(start..<end)
            start = end
        }
    }

    private static func isSame(_ a: RawSpan, _ b: RawSpan?, _ range: Range<Int>) -> Bool {
        guard let b else { return isZero(a.extracting(range)) }
        return bytesEqual(a.extracting(range), b.extracting(range))
    }

    /// Halves a range that differs until the byte is found.
    private static func firstDifference(_ a: RawSpan, _ b: RawSpan?, _ range: Range<Int>) -> Int {
        var (low, high) = (range.lowerBound, range.upperBound)
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if isSame(a, b, low..<middle) { low = middle } else { high = middle }
        }
        return low
    }

    private static func differingByteCount(_ a: RawSpan, _ b: RawSpan?, _ range: Range<Int>) -> Int {
        let lowBits: UInt64 = 0x7f7f_7f7f_7f7f_7f7f
        var count = 0
        var position = range.lowerBound
        while position + 8 <= range.upperBound {
            let other = b?.integer(at: position, as: UInt64.self, .little) ?? 0
            let difference = a.integer(at: position, as: UInt64.self, .little) ^ other
            // The top bit of each byte is set when any bit of it is; no carry leaves a byte.
            count += ((((difference & lowBits) &+ lowBits) | difference) & ~lowBits).nonzeroBitCount
            position += 8
        }
        while position < range.upperBound {
            let other = b?.integer(at: position, as: UInt8.self, .little) ?? 0
            if a.integer(at: position, as: UInt8.self, .little) != other { count += 1 }
            position += 1
        }
        return count
    }
}
