import BlockIO
import ByteCodec
import DiskModel

/// The rules about the table as a whole.
extension Check {
    /// Walks over the table: once for the entries, once for former space, once more where blocks share space.
    mutating func table(_ progress: (UInt64) throws -> Void) throws {
        guard var map = image.map else { return }
        let rules = TableRules(image)
        var walk = try TableWalk(over: &map, in: image.file, rules, progress: progress) { _, _, _, problem in
            add(problem.severity, problem.error, problem.repairs)
            return nil
        }
        try walk.claimAnchors(of: &map, in: image.file) { _, _, _, problem in add(.error, problem, [.bat]) }
        try reportCollisions(walk, rules, &map)
        let missing = map.geometry.payloadBlockCount - walk.presentCount - walk.brokenCount
        // A longer file would give space to blocks that have none; and where a block perhaps was is not forgotten.
        let canAllocate = missing > walk.traceCount && !walk.hasEntriesPastEnd && image.canLog
        if image.isFixed, missing > 0 { add(.warning, map.missingBlocks(missing), canAllocate ? [.allocate] : []) }
        if try !image.file.isZero(map.padding) {
            let mayClear = try !image.mayHaveLostItsParent && !walk.paddingHoldsBlocks(&map, in: image.file)
            add(.information, map.paddingProblem, mayClear ? [.bat] : [])
        }
        reportGaps(walk)
    }

    private mutating func reportCollisions(_ walk: TableWalk, _ rules: TableRules, _ map: inout BlockMap) throws {
        guard walk.collisionCount > 0 else { return }
        let owners = try walk.owners(&map, in: image.file, rules)
        for (collision, owner) in zip(walk.collisions, owners) {
            let index = map.geometry.index(of: collision.use)
            add(
                .error,
                map.error(
                    .vhdxDuplicateBlock, "FileOffsetMB", index,
                    "of \(collision.use.name) is \(collision.range.lowerBound >> 20), in the space of "
                        + (owner.map(\.name) ?? "another block")))
            // Those that were not kept are counted.
            guard collision.use == walk.collisions.last?.use else { continue }
            for _ in walk.collisions.count..<walk.collisionCount {
                add(.error, map.error(.vhdxDuplicateBlock, "FileOffsetMB", index, "is another block's as well"))
            }
        }
    }

    private mutating func reportGaps(_ walk: TableWalk) {
        var (count, byteCount) = (0, UInt64(0))
        var first: UInt64?
        walk.used.forEachGap { gap in
            count += 1
            byteCount += gap.upperBound - gap.lowerBound
            if first == nil { first = gap.lowerBound }
        }
        guard let first else { return }
        add(
            .information,
            FormatError(
                .vhdxOrphanedSpace, field: "File", offset: first,
                "has \(byteCount) bytes in \(count) places that no structure and no block claims; compacting frees them",
                section: "2.1"))
    }
}

extension TableGeometry.Use {
    var name: String {
        switch self {
        case .payload(let block): "block \(block)"
        case .bitmap(let chunk): "sector bitmap \(chunk)"
        }
    }
}
