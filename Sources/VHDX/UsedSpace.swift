import ByteCodec

/// A map of the file with one bit for each MiB: which of them something claims. At most 24 MiB large.
struct UsedSpace {
    private var words: [UInt64]
    private let byteCount: UInt64

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
