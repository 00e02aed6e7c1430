import ByteCodec

/// A map of the file with one bit for each MiB: which of them something claims. At most 24 MiB large.
struct UsedSpace {
    private var words: [UInt64]
    let byteCount: UInt64

    init(fileByteCount: UInt64) {
        byteCount = min(fileByteCount, Layout.maximumFileByteCount)
        let bits = byteCount.dividedRoundingUp(by: Layout.mebibyte)
        words = [UInt64](repeating: 0, count: Int(bits.dividedRoundingUp(by: 64)))
    }

    /// Claims a range, whole MiB by whole MiB; false when part of it was claimed before. What lies past the end
    /// counts as free.
    mutating func claim(_ range: Range<UInt64>) -> Bool {
        let inside = range.clamped(to: 0..<byteCount)
        var wasFree = true
        var bit = inside.lowerBound / Layout.mebibyte
        let end = inside.upperBound.dividedRoundingUp(by: Layout.mebibyte)
        while bit < end {
            let place = bit % 64
            let count = min(64 - place, end - bit)
            let mask = (count == 64 ? UInt64.max : (1 << count) - 1) << place
            if words[Int(bit / 64)] & mask != 0 { wasFree = false }
            words[Int(bit / 64)] |= mask
            bit += count
        }
        return wasFree
    }

    /// Gives claimed MiB back.
    mutating func release(_ range: Range<UInt64>) {
        let inside = range.clamped(to: 0..<byteCount)
        for bit in inside.lowerBound / Layout.mebibyte..<inside.upperBound.dividedRoundingUp(by: Layout.mebibyte) {
            words[Int(bit / 64)] &= ~(1 << (bit % 64))
        }
    }

    /// The end of the last claimed MiB that ends at or below a limit, which is whole MiB; 0 when there is none.
    func end(below limit: UInt64) -> UInt64 {
        var bit = min(limit, byteCount.roundedUp(to: Layout.mebibyte)) / Layout.mebibyte
        while bit > 0 {
            let place = (bit - 1) % 64
            let word = words[Int((bit - 1) / 64)] << (63 - place)
            if word != 0 { return (bit - UInt64(word.leadingZeroBitCount)) * Layout.mebibyte }
            bit -= place + 1
        }
        return 0
    }

    /// Where the first run of so many free MiB starts, from an offset on; nil when none ends at or below the limit.
    func firstGap(of count: UInt64, from offset: UInt64, below limit: UInt64) -> UInt64? {
        var start = offset / Layout.mebibyte
        var bit = start
        let end = limit / Layout.mebibyte
        while start + count <= end {
            if bit - start >= count { return start * Layout.mebibyte }
            let word = bit / 64 < words.count ? words[Int(bit / 64)] >> (bit % 64) : 0
            if word & 1 == 1 {
                bit += UInt64((~word).trailingZeroBitCount)
                start = bit
            } else {
                bit += min(64 - bit % 64, UInt64(word.trailingZeroBitCount))
            }
        }
        return nil
    }

    /// Visits the ranges nobody claimed, in order.
    func forEachGap(_ body: (Range<UInt64>) -> Void) {
        var start: UInt64?
        var bit: UInt64 = 0
        let end = byteCount.dividedRoundingUp(by: Layout.mebibyte)
        func flush(_ upTo: UInt64) {
            if let from = start { body(from * Layout.mebibyte..<min(upTo * Layout.mebibyte, byteCount)) }
            start = nil
        }
        while bit < end {
            let word = words[Int(bit / 64)] >> (bit % 64)
            let left = min(64 - bit % 64, end - bit)
            if word & 1 == 1 {
                flush(bit)
                bit += min(left, UInt64((~word).trailingZeroBitCount))
            } else {
                if start == nil { start = bit }
                bit += min(left, UInt64(word.trailingZeroBitCount))
            }
        }
        flush(end)
    }
}
