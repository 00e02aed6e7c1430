/// Where on the disk most was written: counters for regions of equal size, in bounded memory, whatever the writes.
///
/// When more than `regionLimit` regions have writes, regions become twice as large.
public struct HotRanges: Sendable {
    public static let regionLimit = 65_536
    public static let usualRegionByteCount: UInt64 = 64 << 10

    /// A run of the disk.
    public struct HotRange: Sendable, Equatable {
        public var range: Range<UInt64>
        /// Writes that begin in it.
        public var writeCount: UInt64 = 0
        /// Bytes written to it, each time anew.
        public var byteCount: UInt64 = 0
    }

    private struct Counter {
        var writeCount: UInt64 = 0
        var byteCount: UInt64 = 0

        mutating func add(_ writes: UInt64, _ bytes: UInt64) {
            writeCount += writes
            byteCount &+= bytes
        }
    }

    private let limit: Int
    /// Bytes of a region.
    public private(set) var regionByteCount: UInt64
    /// By the number of the region.
    private var counters: [UInt64: Counter] = [:]

    /// - Parameter regionByteCount: of a region at first; not 0.
    public init(regionByteCount: UInt64 = Self.usualRegionByteCount) {
        self.init(regionByteCount: regionByteCount, limit: Self.regionLimit)
    }

    init(regionByteCount: UInt64, limit: Int) { (self.regionByteCount, self.limit) = (regionByteCount, limit) }

    mutating func add(_ range: Range<UInt64>) {
        var position = range.lowerBound
        var beginning: UInt64 = 1
        while position < range.upperBound {
            let region = position / regionByteCount
            let rest = regionByteCount - position % regionByteCount
            let end = min(range.upperBound, position + min(rest, range.upperBound - position))
            counters[region, default: Counter()].add(beginning, end - position)
            beginning = 0
            position = end
            while counters.count > limit { enlarge() }
        }
    }

    private mutating func enlarge() {
        regionByteCount *= 2
        var larger: [UInt64: Counter] = [:]
        for (region, counter) in counters {
            larger[region / 2, default: Counter()].add(counter.writeCount, counter.byteCount)
        }
        counters = larger
    }

    /// The ranges that got most bytes, most first; of equal ones the first on the disk.
    ///
    /// A range is a region with those around it that got at least half as much, the hottest regions choosing first.
    /// - Parameter count: how many at most.
    public func hottest(_ count: Int) -> [HotRange] {
        let regions = counters.keys.sorted()
        let heats = regions.map { counters[$0]?.byteCount ?? 0 }
        var isTaken = [Bool](repeating: false, count: regions.count)
        var result: [HotRange] = []
        let byHeat = regions.indices.sorted { (heats[$1], $0) < (heats[$0], $1) }
        for seed in byHeat where !isTaken[seed] {
            func belongs(_ index: Int, _ neighbour: Int) -> Bool {
                !isTaken[index] && heats[index] >= heats[seed] - heats[seed] / 2
                    && max(regions[index], regions[neighbour]) - min(regions[index], regions[neighbour]) == 1
            }
            var (low, high) = (seed, seed)
            while low > 0, belongs(low - 1, low) { low -= 1 }
            while high + 1 < regions.count, belongs(high + 1, high) { high += 1 }
            var found = HotRange(
                range: regions[low] * regionByteCount..<(regions[high] + 1) * regionByteCount)
            for index in low...high {
                isTaken[index] = true
                found.writeCount += counters[regions[index]]?.writeCount ?? 0
                found.byteCount &+= heats[index]
            }
            result.append(found)
        }
        result.sort { ($1.byteCount, $0.range.lowerBound) < ($0.byteCount, $1.range.lowerBound) }
        return Array(result.prefix(count))
    }
}
