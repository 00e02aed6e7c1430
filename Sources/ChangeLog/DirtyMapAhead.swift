/// How far around a write regions are marked with it, so that not each region costs a flush of its own.
///
/// A write that goes on where an earlier one ended marks regions ahead, twice as many each time, up to 64 MiB. Of scattered
/// writes the first 64 flushes of a log mark what is written; then whole groups of 2, 4, … regions are marked, up to 1 MiB.
/// What is marked too much is compared once more than needed after a crash, and goes with the log like the rest.
struct DirtyMapAhead: Sendable {
    static let sequentialByteCount: UInt64 = 64 << 20
    static let groupByteCount: UInt64 = 1 << 20
    static let flushesPerGroupSize = 64
    static let streamCount = 4

    private struct Stream: Sendable {
        /// The region after those marked.
        var next: Int
        var aheadCount: Int
    }
    /// The one that went on last comes first.
    private var streams: [Stream] = []
    private var flushCount = 0

    /// A new log begins with exact marks.
    mutating func begin() { flushCount = 0 }

    /// The regions to mark for those that need a flush.
    mutating func widened(_ regions: Range<Int>, _ geometry: DirtyMapGeometry) -> Range<Int> {
        flushCount += 1
        var end = regions.upperBound
        var start = regions.lowerBound
        var stream = Stream(next: end, aheadCount: 0)
        if let index = streams.firstIndex(where: { regions.contains($0.next) }) {
            stream = streams.remove(at: index)
            let limit = Int(min(Self.sequentialByteCount / geometry.regionByteCount, 1 << 20))
            stream.aheadCount = min(limit, max(1, 2 * stream.aheadCount))
            end += stream.aheadCount
        } else {
            let most = Int(max(1, Self.groupByteCount / geometry.regionByteCount))
            let group = min(most, 1 << min(20, flushCount / Self.flushesPerGroupSize))
            start = start / group * group
            end = (end + group - 1) / group * group
        }
        end = min(end, geometry.regionCount)
        stream.next = end
        streams.insert(stream, at: 0)
        if streams.count > Self.streamCount { streams.removeLast() }
        return start..<end
    }
}
