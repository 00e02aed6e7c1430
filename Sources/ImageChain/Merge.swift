import BlockIO
public import ByteCodec
public import DiskModel

/// Images about to be merged into their ancestor. Making it looks at everything and changes nothing; `perform` changes
/// the files, in the order told at `MergeRun`: at every power cut the leaf shows the same bytes, and the same call again
/// completes it.
public final class Merge: Sendable {
    public let plan: MergePlan
    /// What was noticed while opening the images, with the file's path.
    public let findings: [(path: String, finding: Finding)]
    /// What the leaf shows: may be read from other threads at any time, before, while and after `perform` runs. After the
    /// merge it is read from the target alone.
    public let disk: LiveDisk
    private let run: MergeRun?
    private let options: OpenOptions

    /// - Parameters:
    ///   - child: the leaf: the image whose contents the target is to show.
    ///   - ancestor: the image to merge into; nil for the child's parent.
    ///   - plansOnly: whether the files are only read, and `perform` will not follow.
    /// - Throws: `.refused` for an image without parent and an ancestor that is none; `.busy` when one of the images is
    ///   being written; what opening a chain throws.
    public init(
        _ child: String, into ancestor: String? = nil, _ options: OpenOptions = .init(), plansOnly: Bool
    ) throws(DiskError) {
        var quick = options
        quick.checksSharedSpace = false
        let outline = try MergeOutline(child, into: ancestor, quick)
        // What is planned must be what is locked.
        let files = plansOnly ? nil : try HostMergeFiles(outline, options)
        let chain = try ImageChain.open(child, options)
        let now = try MergeOutline(child, into: ancestor, quick)
        guard now == outline, files == nil || files?.identities == now.identities else {
            throw DiskError(
                .refused, path: child, "its parents changed while they were being opened", hint: "try again")
        }
        let count = outline.links.count
        try ImageChain.checkTables(chain.layers.prefix(count + 1))
        try Self.refuseTakingBearer(chain.layers, linkCount: count)
        let below = Array(chain.layers.dropFirst(count + 1))
        findings =
            chain.findings.map { (child, $0) }
            + chain.layers.flatMap { layer in layer.findings.map { (layer.file.path, $0) } }
        var plan = try MergePlanner(chain: chain, outline: outline, options: options).plan()
        if !chain.layers[count].isSealed {
            plan.unsealed = chain.layers.prefix(count).filter(\.isSealed).map(\.file.path)
        }
        let disk = LiveDisk(chain)
        run = files.map { MergeRun(format: plan.format, files: $0, below: below, plan: plan, disk: disk) }
        (self.plan, self.disk, self.options) = (plan, disk, options)
    }

    /// Of the plan's links and leftovers, those whose names `perform` has taken away; also after an error. What was renamed or
    /// replaced meanwhile is none of them.
    public var removed: [String] { (run?.files as? HostMergeFiles)?.removedNames.all ?? [] }

    /// Why the child cannot be read any more, after an error of `perform`; nil where it reads as before.
    public func childError() -> DiskError? {
        do throws(DiskError) {
            let chain = try ImageChain.open(plan.links[0], options)
            try ImageChain.checkTables(chain.layers, accepting: options.accepted)
            return nil
        } catch { return error }
    }

    /// An interrupted merge into an image below the target needs the image that it was begun with.
    private static func refuseTakingBearer(_ layers: [any DiskLayer], linkCount count: Int) throws(DiskError) {
        for layer in layers.dropFirst(count + 1) {
            guard let merge = layer.unfinishedMerge else { continue }
            guard let bearer = layers.prefix(count).first(where: { $0.bears(merge: merge) }) else { continue }
            throw DiskError(
                .refused, path: bearer.file.path, "a merge of it into \(layer.file.path) was interrupted",
                hint: "complete that one first: vhdmerge --into \(layer.file.path) \(bearer.file.path)")
        }
    }

    /// Merges.
    /// - Parameters:
    ///   - keepsFiles: whether the child stays, as a child of the target with nothing of its own to show. Links between
    ///     stay as files and lose their parent.
    ///   - progress: bytes moved of the total, called from several threads; throwing stops the merge at a safe point.
    /// - Throws: `.io`, such as a full disk; then the child shows what it showed, and the merge can be done again.
    public func perform(
        keepsFiles: Bool = false, progress: @Sendable (UInt64, UInt64) throws(DiskError) -> Void = { _, _ in }
    ) throws(DiskError) {
        guard let run, let host = run.files as? HostMergeFiles else {
            throw DiskError(.refused, path: plan.links[0], "the merge was only planned")
        }
        if !keepsFiles { try host.checkFolders() }
        try run.perform(keepsFiles: keepsFiles, progress)
    }
}

/// Which files of a chain a merge is about.
struct MergeOutline: Equatable {
    /// Leaf first.
    let links: [String]
    let target: String
    /// What an interrupted merge into this target left of images between, the lowest last.
    let leftovers: [String]
    /// What seems to be left of images between, and cannot be shown to be: nobody removes it.
    let strays: [String]
    /// Of the links, the target and the leftovers.
    let identities: [PosixFile.Identity]

    init(_ child: String, into ancestor: String?, _ options: OpenOptions) throws(DiskError) {
        let (chain, _) = try ImageChain.walk(child, options)
        if let error = chain.last?.parentError { throw error }
        guard chain.count > 1 else {
            throw DiskError(
                .refused, path: child, "it has no parent: there is nothing to merge it into",
                hint: "vhdconvert makes a copy of an image")
        }
        var identities: [PosixFile.Identity] = []
        for link in chain { identities.append(try Self.identity(link.path)) }
        var index = 1
        if let ancestor {
            let wanted = try Self.identity(ancestor)
            guard let found = identities.firstIndex(of: wanted), found > 0 else {
                let names = chain.dropFirst().map(\.path).joined(separator: ", ")
                throw DiskError(
                    .refused, path: ancestor, "it is not an ancestor of \(child)", hint: "its ancestors are \(names)")
            }
            index = found
        }
        links = chain.prefix(index).map(\.path)
        target = chain[index].path
        leftovers = index == 1 ? MergeTrace.leftovers(of: chain[0], above: identities[1], options) : []
        strays = index == 1 ? MergeTrace.strays(of: chain[0], above: identities[1], options) : []
        var own = Array(identities.prefix(index + 1))
        for path in leftovers { own.append(try Self.identity(path)) }
        self.identities = own
    }

    private static func identity(_ path: String) throws(DiskError) -> PosixFile.Identity {
        do throws(IOError) { return try PosixFile(path).identity } catch { throw DiskError(error) }
    }
}
