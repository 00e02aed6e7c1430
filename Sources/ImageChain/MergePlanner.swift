import BlockIO
import ByteCodec
import DiskModel
import VHDX

/// Looks at a chain and says what merging its links would do.
struct MergePlanner {
    let chain: ImageChain
    let outline: MergeOutline
    let options: OpenOptions

    private var links: [any DiskLayer] { Array(chain.layers.prefix(outline.links.count)) }
    private var target: any DiskLayer { chain.layers[outline.links.count] }

    func plan() throws(DiskError) -> MergePlan {
        let leaf = chain.leaf
        var plan = MergePlan(
            format: leaf.format, links: outline.links, target: outline.target,
            oldVirtualByteCount: target.geometry.virtualByteCount,
            newVirtualByteCount: leaf.geometry.virtualByteCount)
        try Self.measure(links, target, &plan)
        if wouldShowBelow(plan) {
            plan.pinsZeros = true
            var byteCount: UInt64 = 0
            try MergeFeed.forEachUncovered(links, from: plan.oldVirtualByteCount) { (range) throws(DiskError) in
                byteCount += range.upperBound - range.lowerBound
            }
            plan.zeroByteCount += byteCount
        }
        if let lowest = links.last as? VHDXLayer, let parent = lowest.parentLink {
            plan.resumes = Set(parent.identities.map(\.id)).count > 1
        }
        if target.unfinishedMerge != nil { plan.resumes = true }
        (plan.leftovers, plan.strays) = (outline.leftovers, outline.strays)
        if !plan.leftovers.isEmpty { plan.resumes = true }
        plan.pendingLogs = zip(outline.links + [outline.target], chain.layers).filter(\.1.hasReplayedLog).map(\.0)
        relatives(&plan)
        return plan
    }

    /// Whether a target that grows would show what its own parent has behind its old end, where the leaf shows zeros.
    private func wouldShowBelow(_ plan: MergePlan) -> Bool {
        guard plan.newVirtualByteCount > plan.oldVirtualByteCount else { return false }
        let parents = chain.layers.dropFirst(outline.links.count + 1)
        return parents.first.map { $0.geometry.virtualByteCount > plan.oldVirtualByteCount } ?? false
    }

    /// Counts what is moved.
    /// - Parameter links: leaf first.
    static func measure(_ links: [any DiskLayer], _ target: any DiskLayer, _ plan: inout MergePlan) throws(DiskError) {
        var feed = try MergeFeed(links, shareDevice: nil)
        var counted: UInt64?
        while let piece = try feed.next() {
            if case .zero = piece.source {
                plan.zeroByteCount += piece.byteCount
            } else {
                plan.dataByteCount += piece.byteCount
                plan.newBlockByteCount += try newBlocks(for: piece.range, in: target, &counted)
            }
        }
    }

    /// Bytes of the blocks that the target lacks for a range; `counted` is the last block looked at.
    private static func newBlocks(for range: Range<UInt64>, in target: any DiskLayer, _ counted: inout UInt64?)
        throws(DiskError) -> UInt64
    {
        guard let size = target.geometry.blockByteCount, target.type != .fixed else { return 0 }
        var byteCount: UInt64 = 0
        for block in range.lowerBound / size...(range.upperBound - 1) / size where counted.map({ $0 < block }) ?? true {
            counted = block
            let end = min((block + 1) * size, target.geometry.virtualByteCount)
            guard block * size < end else {
                byteCount += size
                continue
            }
            let first = try target.extents(in: block * size..<end, limit: 1)[0]
            if case .file = first.source { continue }
            if first.end == end { byteCount += size }
        }
        return byteCount
    }

    private func relatives(_ plan: inout MergePlan) {
        let paths = outline.links + [outline.target]
        var folders: [String] = []
        for folder in paths.map({ splitPath($0).folder }) + options.parentFolders {
            let known = folders.contains { realPath($0) == realPath(folder) }
            if !known { folders.append(folder) }
        }
        var parents: [DiskIdentity: String] = [:]
        for (path, layer) in zip(paths, chain.layers) { parents[layer.identity] = parents[layer.identity] ?? path }
        let (found, locked) = ChildSearch(parents: parents, excluded: Set(outline.identities), options: options).run(
            folders)
        plan.locked = locked
        let between = outline.links.dropFirst()
        plan.orphaned = found.filter {
            $0.parent == outline.links[0] || plan.changesNothing && between.contains($0.parent)
        }
        plan.invalidated = plan.changesNothing ? [] : found.filter { $0.parent != outline.links[0] }
    }
}
