/// How many bytes of a disk some ranges cover, overlaps counted once; in bounded memory, whatever the ranges.
///
/// Ranges are collected, and now and then sorted and joined. When more than `keptCount` remain apart, those of the upper
/// half are dropped and only counted in another pass over the same ranges, and so on until none was dropped:
///
///     repeat { for each range { unique.add(range) } } while unique.needsAnotherPass()
public struct UniqueBytes: Sendable {
    /// Runs held between sorts, of 16 bytes each.
    public static let keptCount = 3 << 19
    private static let pendingCount = 1 << 18

    private let keptCount: Int
    private let pendingCount: Int

    private struct Run {
        var start: UInt64
        var end: UInt64
    }

    /// Covered bytes of the passes done.
    public private(set) var byteCount: UInt64 = 0
    /// The part of the disk that this pass counts.
    private var window: Range<UInt64> = 0 ..< .max
    /// Disjoint, ascending.
    private var joined: [Run] = []
    private var pending: [Run] = []

    public init() { self.init(keptCount: Self.keptCount, pendingCount: Self.pendingCount) }

    /// - Parameter keptCount: 2 or more.
    init(keptCount: Int, pendingCount: Int) { (self.keptCount, self.pendingCount) = (keptCount, pendingCount) }

    /// Counts a range in.
    public mutating func add(_ range: Range<UInt64>) {
        let start = max(range.lowerBound, window.lowerBound)
        let end = min(range.upperBound, window.upperBound)
        guard start < end else { return }
        if let last = pending.last, last.end == start {
            pending[pending.count - 1].end = end
            return
        }
        pending.append(Run(start: start, end: end))
        if pending.count == pendingCount { join() }
    }

    /// Ends a pass.
    /// - Returns: whether ranges were left out, for which all are to be added again.
    public mutating func needsAnotherPass() -> Bool {
        join()
        byteCount &+= joined.reduce(0) { $0 + ($1.end - $1.start) }
        joined.removeAll(keepingCapacity: true)
        window = window.upperBound ..< .max
        return !window.isEmpty
    }

    private mutating func join() {
        guard !pending.isEmpty else { return }
        pending.sort { $0.start < $1.start }
        mergePending()
        joinTouching()
        guard joined.count > keptCount else { return }
        window = window.lowerBound..<joined[keptCount / 2].start
        joined.removeSubrange((keptCount / 2)...)
    }

    /// Merges by start, from the back, so that no second array is needed.
    private mutating func mergePending() {
        if joined.isEmpty { joined.reserveCapacity(keptCount + pendingCount) }
        var (a, b) = (joined.count - 1, pending.count - 1)
        joined.append(contentsOf: pending)
        var target = joined.count - 1
        while b >= 0 {
            if a >= 0, joined[a].start > pending[b].start {
                joined[target] = joined[a]
                a -= 1
            } else {
                joined[target] = pending[b]
                b -= 1
            }
            target -= 1
        }
        pending.removeAll(keepingCapacity: true)
    }

    private mutating func joinTouching() {
        var last = 0
        for index in joined.indices.dropFirst() {
            let run = joined[index]
            if run.start <= joined[last].end {
                if run.end > joined[last].end { joined[last].end = run.end }
            } else {
                last += 1
                joined[last] = run
            }
        }
        joined.removeSubrange((last + 1)...)
    }
}
