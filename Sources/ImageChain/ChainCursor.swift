import BlockIO
import DiskModel

/// Goes through a range of a chain once, in order: each run with the layer that its bytes come from.
///
/// A layer is asked for more than the run at hand, and what it said is kept until the cursor is past it, so that layers
/// that share a disk in small pieces are not asked once a piece. The levels stand in an array: the thread's stack stays
/// small however deep the chain is, and each keeps `batchCount` extents at most.
struct ChainCursor {
    /// Extents asked of a layer below the leaf at a time.
    private static let batchCount = 64
    /// How far beyond the run at hand a layer below the leaf is asked. Far enough to spare calls; near enough that a
    /// table is not gone through for what the layers above may hide.
    private static let lookAheadByteCount: UInt64 = 64 << 20

    /// What is known of a layer from the cursor's position on.
    private struct Level {
        let file: any BlockFile
        let byteCount: UInt64
        /// Up to here the layers above show this one's bytes.
        var end: UInt64
        /// What the layer said last, without gaps; behind `end` there may be more.
        var extents: [Extent] = []
        var next = 0

        init(_ layer: any DiskLayer, end: UInt64) {
            (file, byteCount, self.end) = (layer.file, layer.geometry.virtualByteCount, end)
        }
    }

    private let layers: [any DiskLayer]
    private let end: UInt64
    private let leafBatchCount: Int
    /// One for each layer that was reached so far.
    private var levels: [Level]
    /// The level whose bytes are shown at the position; `end` does not grow from a level to the one below.
    private var depth = 0
    private var position: UInt64

    /// - Parameters:
    ///   - layers: of a whole chain, leaf first.
    ///   - range: inside the leaf.
    ///   - limit: how many runs the caller wants; the cursor gives more when asked.
    init(_ layers: [any DiskLayer], _ range: Range<UInt64>, limit: Int) {
        self.layers = layers
        (position, end) = (range.lowerBound, range.upperBound)
        leafBatchCount = min(max(limit, 1), 1024)
        levels = [Level(layers[0], end: range.upperBound)]
    }

    /// The next run, never `.parent`; nil at the end of the range. Two runs may go on in each other.
    mutating func next() throws(DiskError) -> MappedExtent? {
        guard position < end else { return nil }
        while depth > 0, position >= levels[depth].end { depth -= 1 }
        while true {
            let run = try run()
            guard run.source == .parent else {
                position = run.end
                return MappedExtent(run, layer: depth, file: levels[depth].file)
            }
            depth += 1
            if depth < levels.count {
                levels[depth].end = run.end
            } else {
                levels.append(Level(layers[depth], end: run.end))
            }
        }
    }

    /// The run at the position as the current level's layer has it, no longer than the level.
    private mutating func run() throws(DiskError) -> Extent {
        let levelEnd = levels[depth].end
        // A child may be larger than its parent: zeros there.
        guard position < levels[depth].byteCount else {
            return Extent(offset: position, byteCount: levelEnd - position, source: .hole)
        }
        while levels[depth].next < levels[depth].extents.count,
            levels[depth].extents[levels[depth].next].end <= position
        {
            levels[depth].next += 1
        }
        if levels[depth].next == levels[depth].extents.count { try ask() }
        var extent = levels[depth].extents[levels[depth].next]
        let runEnd = min(extent.end, levelEnd)
        if case .file(let offset) = extent.source {
            extent.source = .file(offset: offset + (position - extent.offset))
        }
        return Extent(offset: position, byteCount: runEnd - position, source: extent.source)
    }

    /// Asks the current level's layer from the position on.
    private mutating func ask() throws(DiskError) {
        let (layer, byteCount) = (layers[depth], levels[depth].byteCount)
        let needed = position..<min(levels[depth].end, byteCount)
        // Nothing of the old answer is kept while the new one is made.
        levels[depth].extents = []
        levels[depth].next = 0
        guard depth > 0 else {
            return levels[0].extents = try layer.extents(in: needed, limit: leafBatchCount)
        }
        let ahead = position + min(Self.lookAheadByteCount, end - position)
        let wanted = position..<max(needed.upperBound, min(ahead, byteCount))
        do {
            levels[depth].extents = try layer.extents(in: wanted, limit: Self.batchCount)
        } catch {
            // What is damaged behind the run at hand may be hidden by the layers above.
            guard wanted != needed else { throw error }
            levels[depth].extents = try layer.extents(in: needed, limit: Self.batchCount)
        }
    }
}
