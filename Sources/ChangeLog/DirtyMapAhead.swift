/// How far around a write regions are marked with it, so that not each region costs a flush of its own.
///
/// A write that goes on where an earlier one ended marks regions ahead, twice as many each time, up to 64 MiB. A scattered
/// write marks what it touches, and all of an aligned group of up to 1 MiB where an eighth of it is marked for the same log:
/// so what is marked too much is bounded by what is written, and disks with few writes here and there keep exact marks.
/// Where scattered writes become many in one log, each marks the aligned group around it: of two regions after
/// `widthStep` flushes, then of twice as many after each further `widthStep`, up to 4 MiB. So one log costs scattered writes
/// no more flushes than the disk has such groups, and 6 * `widthStep`.
/// What is marked too much is compared once more than needed after a crash, and goes with the log like the rest.
struct DirtyMapAhead: Sendable {
    static let sequentialByteCount: UInt64 = 64 << 20
    static let groupByteCount: UInt64 = 1 << 20
    /// A group lies in one word of the set.
    static let groupRegionCount: UInt64 = 64
    static let streamCount = 4
    static let scatteredByteCount: UInt64 = 4 << 20
    static let widthStep = 512

    private struct Stream: Sendable {
        /// The region after those marked.
        var next: Int
        var aheadCount: Int
    }
    /// The one that went on last comes first.
    private var streams: [Stream] = []
    /// Scattered writes of this log that needed a flush.
    private var scatteredCount = 0

    /// Writes go to another log from now on.
    mutating func beginLog() { scatteredCount = 0 }

    /// The regions to mark for those that need a flush.
    mutating func widened(_ touched: Range<Int>, _ regions: DirtyMapRegions) -> Range<Int> {
        let geometry = regions.geometry
        var result = touched
        var stream = Stream(next: touched.upperBound, aheadCount: 0)
        if let index = streams.firstIndex(where: { touched.contains($0.next) }) {
            stream = streams.remove(at: index)
            let limit = Int(min(Self.sequentialByteCount / geometry.regionByteCount, 1 << 20))
            stream.aheadCount = min(limit, max(1, 2 * stream.aheadCount))
            result = touched.lowerBound..<touched.upperBound + stream.aheadCount
        } else {
            result = widenedScattered(touched, regions)
        }
        result = result.lowerBound..<min(result.upperBound, geometry.regionCount)
        stream.next = result.upperBound
        streams.insert(stream, at: 0)
        if streams.count > Self.streamCount { streams.removeLast() }
        return result
    }

    private mutating func widenedScattered(_ touched: Range<Int>, _ regions: DirtyMapRegions) -> Range<Int> {
        let regionByteCount = regions.geometry.regionByteCount
        let most = Int(max(1, min(Self.groupRegionCount, Self.scatteredByteCount / regionByteCount)))
        let width = min(most, 1 << min(6, scatteredCount / Self.widthStep))
        scatteredCount += 1
        var result = touched.lowerBound / width * width..<((touched.upperBound - 1) / width + 1) * width
        let size = Int(max(1, min(Self.groupRegionCount, Self.groupByteCount / regionByteCount)))
        let (first, last) = (touched.lowerBound / size * size, (touched.upperBound - 1) / size * size)
        if Self.isWellMarked(first, size, regions) { result = min(first, result.lowerBound)..<result.upperBound }
        if Self.isWellMarked(last, size, regions) { result = result.lowerBound..<max(last + size, result.upperBound) }
        return result
    }

    /// Whether an eighth of a group is marked for the log being written.
    private static func isWellMarked(_ start: Int, _ size: Int, _ regions: DirtyMapRegions) -> Bool {
        let mask = (UInt64.max >> UInt64(64 - size)) << UInt64(start % 64)
        let count = (regions.current(word: start / 64) & mask).nonzeroBitCount
        return count >= max(1, size / 8)
    }
}
