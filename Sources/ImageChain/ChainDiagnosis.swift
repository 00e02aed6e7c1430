public import DiskModel

/// How a chain stands: every image that was found, how each is linked to its parent, what is wrong, and what would mend it.
/// Nothing is changed.
public struct ChainDiagnosis: Sendable {
    /// Leaf first, as far as the parents were found.
    public let links: [LinkDiagnosis]
    /// Why the disk cannot be read through the chain; nil when it can.
    public let error: DiskError?
    /// A merge that was interrupted, and counts as a warning.
    public let unfinishedMerge: UnfinishedMerge?

    /// Checks each image as `ImageChecker` does without its deep pass, and each link.
    /// - Parameters:
    ///   - links: as `ImageChain.walk` gives them.
    ///   - error: why no chain could be made of them, where that is known.
    ///   - checks: must not be deep.
    /// - Throws: what `progress` throws, which gets the images done and their number. What is wrong with an image, also
    ///   that it cannot be read, is in its diagnosis.
    public init(
        _ links: [ChainLink], error: DiskError?, _ options: OpenOptions, _ checks: CheckOptions, progress: EditProgress
    ) throws(DiskError) {
        self.error = error ?? links.last?.parentError
        var result: [LinkDiagnosis] = []
        for (index, link) in links.enumerated() {
            try progress(UInt64(index), UInt64(links.count))
            var diagnosis = LinkDiagnosis(link, checks, options)
            if link.layer.parentLink != nil {
                let next = index + 1 < links.count ? links[index + 1] : nil
                diagnosis.addParent(of: link, next, in: links, options)
            }
            diagnosis.repairs = RepairAdvice(diagnosis, leafPath: links[0].path, options).all
            result.append(diagnosis)
        }
        unfinishedMerge = UnfinishedMerge(links, result)
        if let unfinishedMerge {
            // After what is to be done first: the chain has to hold.
            let index = self.error == nil ? unfinishedMerge.linkIndex : result.count - 1
            var repair = unfinishedMerge.repair(leafPath: links[0].path, options)
            // Its target goes by another name as long as it is not back.
            if self.error != nil, result[index].namesTwoParents { (repair.command, repair.risk) = ([], nil) }
            result[index].repairs.append(repair)
        }
        self.links = result
    }

    public var isWhole: Bool { error == nil }
    /// Breaches that a reader would stop at or read wrong bytes by; a chain that is not whole counts as one more.
    public var errorCount: Int { links.reduce(isWhole ? 0 : 1) { $0 + $1.errorCount } }
    /// An unfinished merge counts as one.
    public var warningCount: Int { links.reduce(unfinishedMerge == nil ? 0 : 1) { $0 + $1.warningCount } }
    /// Images whose log is pending.
    public var pendingLogCount: Int { links.count { $0.log.state == .dirty } }
}
