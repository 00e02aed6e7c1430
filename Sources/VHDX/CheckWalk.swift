import BlockIO
import ByteCodec
import DiskModel

/// One walk over the whole table by the rules for its entries, for checker and mender alike. Memory: one bit for each
/// MiB of the file, and a bounded number of collisions.
struct TableWalk {
    /// An entry that claims space another one has claimed before it.
    struct Collision {
        var use: TableGeometry.Use
        var range: Range<UInt64>
    }

    private(set) var used: UsedSpace
    private(set) var presentCount: UInt64 = 0
    /// Payload blocks whose entry says that they are present, and cannot be.
    private(set) var brokenCount: UInt64 = 0
    /// Blocks that are not present, but whose entry says where they perhaps were.
    private(set) var traceCount: UInt64 = 0
    /// Whether an entry says that something stands past the file's end: space that a longer file would give it.
    private(set) var hasEntriesPastEnd = false
    private(set) var collisions: [Collision] = []
    private(set) var collisionCount = 0
    static let keptCollisionCount = CheckReport.keptCount
    /// The chunk of the last block in state 7: blocks come before the bitmap of their chunk.
    private var partialChunk: UInt64?

    /// Entries between two calls of `progress`.
    static let step: UInt64 = 1 << 16

    /// - Parameter visit: called for each problem of an entry; gives the entry that is to stand in its place, which is
    ///   then judged in its turn, or nil.
    init(
        over map: inout BlockMap, in file: any BlockFile, _ rules: TableRules,
        progress: (UInt64) throws -> Void,
        visit: (inout BlockMap, TableGeometry.Use, TableEntry, TableProblem) throws -> TableEntry?
    ) throws {
        used = UsedSpace(fileByteCount: map.fileByteCount)
        _ = used.claim(0..<Layout.headerSectionByteCount)
        for range in map.reserved { _ = used.claim(range) }
        var nextProgress: UInt64 = 0
        try map.forEachEntry(file) { map, use, entry in
            let index = map.geometry.index(of: use)
            if index >= nextProgress {
                try progress(index * TableEntry.byteCount)
                nextProgress = index + Self.step
            }
            var entry = entry
            // No entry has more problems one behind the other.
            for _ in 0..<4 {
                let verdict = try rules.judge(entry, use, isBitmapUsed: isBitmapUsed(use), &map, file)
                var next: TableEntry?
                for problem in verdict.problems where next == nil { next = try visit(&map, use, entry, problem) }
                guard let mended = next else {
                    note(entry, use, verdict, map)
                    break
                }
                try map.table.set(mended, at: index, in: file)
                entry = mended
            }
        }
    }

    private func isBitmapUsed(_ use: TableGeometry.Use) -> Bool {
        if case .bitmap(let chunk) = use { partialChunk == chunk } else { false }
    }

    private mutating func note(
        _ entry: TableEntry, _ use: TableGeometry.Use, _ verdict: TableRules.Verdict, _ map: BlockMap
    ) {
        if case .payload(let block) = use {
            if entry.stateBits == BlockState.partiallyPresent.rawValue {
                partialChunk = map.geometry.chunk(ofBlock: block)
            }
            if verdict.isPresent {
                presentCount += 1
            } else if entry.stateBits >= 4 {
                brokenCount += 1
            } else if !entry.isPlainlyAbsent {
                traceCount += 1
            }
        }
        if verdict.problems.contains(where: { $0.error.code == .vhdxBlockPastEnd }) { hasEntriesPastEnd = true }
        guard let claim = verdict.claim, !used.claim(claim) else { return }
        collisionCount += 1
        if collisions.count < Self.keptCollisionCount { collisions.append(Collision(use: use, range: claim)) }
    }

    /// Former space of blocks comes after all that is present.
    mutating func claimAnchors(
        of map: inout BlockMap, in file: any BlockFile,
        visit: (inout BlockMap, TableGeometry.Use, TableEntry, FormatError) throws -> Void
    ) throws {
        try map.forEachEntry(file) { map, use, entry in
            guard let problem = map.anchorProblem(entry, use, &used) else { return }
            try visit(&map, use, entry, problem)
        }
    }

    /// Whether entries behind the last one in use name space that is in the file, and nobody's: the disk may have been
    /// larger, and then they are what is left of it.
    func paddingHoldsBlocks(_ map: inout BlockMap, in file: any BlockFile) throws -> Bool {
        var (claims, holds) = (used, false)
        try map.forEachPaddingEntry(file) { map, _, entry in
            guard let state = entry.state, state.isPresent, entry.fileOffset < map.fileByteCount else { return }
            if claims.claim(entry.fileOffset..<entry.fileOffset + Layout.mebibyte) { holds = true }
        }
        return holds
    }

    /// The first owner of the space of each collision that was kept: one more walk.
    func owners(
        _ map: inout BlockMap, in file: any BlockFile, _ rules: TableRules
    ) throws -> [TableGeometry.Use?] {
        var owners = [TableGeometry.Use?](repeating: nil, count: collisions.count)
        let order = collisions.indices.sorted { collisions[$0].range.lowerBound < collisions[$1].range.lowerBound }
        let longest = collisions.map { $0.range.upperBound - $0.range.lowerBound }.max() ?? 0
        var missing = collisions.count
        try map.forEachEntry(file) { map, use, entry in
            guard missing > 0,
                let claim = try rules.judge(entry, use, isBitmapUsed: true, &map, file).claim
            else { return }
            var (low, high) = (0, order.count)
            while low < high {
                let middle = (low + high) / 2
                let reaches = collisions[order[middle]].range.lowerBound + longest > claim.lowerBound
                if reaches { high = middle } else { low = middle + 1 }
            }
            while low < order.count, collisions[order[low]].range.lowerBound < claim.upperBound {
                let index = order[low]
                if owners[index] == nil, collisions[index].use != use, collisions[index].range.overlaps(claim) {
                    owners[index] = use
                    missing -= 1
                }
                low += 1
            }
        }
        return owners
    }
}
