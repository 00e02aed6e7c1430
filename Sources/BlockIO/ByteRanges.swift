/// A set of bytes as ranges: sorted, disjoint, never touching. A value.
struct ByteRanges: Sendable, Equatable {
    private(set) var all: [Range<UInt64>] = []

    mutating func insert(_ range: Range<UInt64>) {
        guard !range.isEmpty else { return }
        let low = index { $0.upperBound >= range.lowerBound }
        let high = index { $0.lowerBound > range.upperBound }
        guard low < high else { return all.insert(range, at: low) }
        let union = min(range.lowerBound, all[low].lowerBound)..<max(range.upperBound, all[high - 1].upperBound)
        all.replaceSubrange(low..<high, with: [union])
    }

    /// The parts of a range that are in the set, in order.
    func parts(in range: Range<UInt64>) -> [Range<UInt64>] {
        var result: [Range<UInt64>] = []
        var place = index { $0.upperBound > range.lowerBound }
        while place < all.count, all[place].lowerBound < range.upperBound {
            result.append(all[place].clamped(to: range))
            place += 1
        }
        return result
    }

    /// The first run of the set at or after an offset.
    func first(from offset: UInt64) -> Range<UInt64>? {
        let place = index { $0.upperBound > offset }
        return place < all.count ? max(offset, all[place].lowerBound)..<all[place].upperBound : nil
    }

    /// The parts of a range that are not in the set, in order.
    func gaps(in range: Range<UInt64>) -> [Range<UInt64>] {
        var result: [Range<UInt64>] = []
        var position = range.lowerBound
        for part in parts(in: range) {
            if position < part.lowerBound { result.append(position..<part.lowerBound) }
            position = part.upperBound
        }
        if position < range.upperBound { result.append(position..<range.upperBound) }
        return result
    }

    /// The first index whose range satisfies a predicate that is false up to it and true from it on.
    private func index(_ predicate: (Range<UInt64>) -> Bool) -> Int {
        var (low, high) = (0, all.count)
        while low < high {
            let middle = (low + high) / 2
            if predicate(all[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
