import BlockIO
public import ByteCodec
public import DiskModel
import VHD
import VHDX

/// What is known of the parent that a child is to get.
public enum RebaseMode: String, Sendable, CaseIterable {
    /// It is the one the child names, at another place.
    case moved
    /// It is the one the child was made of, and its id has changed.
    case forceIdentity = "force_identity"
    /// It is another one, and the child keeps its contents: what differs is written into it.
    case safe
    /// It is another one, and the child's contents change.
    case unsafe
}

/// A differencing image that is to name another parent, or its own one at another place. Making this value looks at
/// everything and writes nothing; `perform` writes, in the order told at `RebaseEdit`. Parents are only read, and the new
/// one is kept from writers while the value is held.
public struct Rebasing {
    public let mode: RebaseMode
    public let format: ImageFormat
    public let virtualByteCount: UInt64
    /// What the child says about its parent now, and is to say.
    public let oldLink: ParentLink
    public let reference: ParentReference
    /// Whether the child names this parent in this way already, so that there is nothing to do.
    public let isLinked: Bool
    public let notes: [EditNote]
    /// What was noticed while opening the images, with the file's path.
    public let findings: [(path: String, finding: Finding)]
    /// Whether the child's own log was pending: `perform` replays it into the file first.
    public let hasPendingLog: Bool
    /// Other files whose pending log was replayed in memory.
    public let replayedPaths: [String]
    /// The files that the child will stand on, from its parent down.
    public let chainPaths: [String]

    private let file: OpenedFile
    private let path: String
    private let child: any DiskLayer
    private let parent: ParentImage
    /// The parents it has, where the contents are to stay.
    private let oldParents: ImageChain?
    private let options: OpenOptions

    /// - Parameters:
    ///   - file: the child; open for writing if `perform` is to follow.
    ///   - parentPath: the parent it is to get.
    /// - Throws: `.refused` for a child without a parent, for parents of another format, and for what the mode does not
    ///   allow; `.identityMismatch` for another parent than the named one; `.chain` for loops and chains that are too
    ///   deep; `.busy` while somebody writes the parent; what opening throws.
    public init(
        _ file: OpenedFile, to parentPath: String, _ mode: RebaseMode = .moved, naming: ParentNaming = .init(),
        _ options: OpenOptions = .init()
    ) throws(DiskError) {
        (self.file, self.mode, self.options) = (file, mode, options)
        child = try ImageOpener.layer(reading: file.contents, options)
        guard let link = child.parentLink else {
            throw DiskError(
                .refused, path: file.path, "it has no parent: it is a \(child.type) \(child.format.title)",
                hint: "vhdsnap makes children")
        }
        path = try Self.realPath(of: file)
        (format, virtualByteCount) = (child.format, child.geometry.virtualByteCount)
        (oldLink, hasPendingLog) = (link, child.hasReplayedLog)
        try RebaseCheck.refuseItself(file, parentPath)
        var parentOptions = options
        parentOptions.format = nil
        parent = try ParentImage(parentPath, parentOptions)
        reference = try naming.reference(for: path, to: parent.layer, in: parent.file.host)
        let check = RebaseCheck(child: child, childFile: file, link: link, parent: parent, options: options)
        try check.run(mode)
        isLinked = check.isLinked(reference, naming)
        let keepsParent = check.leads(to: reference)
        oldParents = mode == .safe && !keepsParent ? try Self.oldParents(child, file, path, options) : nil
        if let sealed = oldParents?.layers.first(where: \.isSealed), !file.isSealed {
            throw DiskError(
                .refused, path: file.path,
                "its parent \(sealed.file.path) is sealed and it is not: what it shows of it would be written in plain",
                hint: "seal the child first: seal --image, or vhdconvert --seal-to")
        }
        notes = check.notes(mode, reference)
        findings =
            child.findings.map { (file.path, $0) } + (oldParents?.findings ?? []).map { (file.path, $0) }
            + parent.findings
        replayedPaths = parent.replayedPaths
        chainPaths = parent.chain.layers.map(\.file.path)
    }

    /// The path by which readers find the child's folder: a link to it may stand in another one.
    private static func realPath(of file: OpenedFile) throws(DiskError) -> String {
        let real = try ParentNaming.realPath(file.path)
        let folder = try ParentNaming.realPath(splitPath(file.path).folder)
        return splitPath(real).folder == folder ? file.path : real
    }

    private static func oldParents(
        _ child: any DiskLayer, _ file: OpenedFile, _ path: String, _ options: OpenOptions
    ) throws(DiskError) -> ImageChain {
        let (links, findings) = try ImageChain.walk(from: child, file.identity, path, options)
        if var error = links.last?.parentError {
            error.hint = "its old parents are needed to keep its contents; \(error.hint ?? "bring them back")"
            throw error
        }
        let layers = links.map(\.layer)
        let mixture = try UnfinishedMerge.check(layers, accepting: options.accepted)
        // Also of the child: what it leaves to its parent must be certain.
        let accepted = try ImageChain.sharedSpace(layers, options)
        try ImageChain.checkTables(layers, accepting: options.accepted)
        return try ImageChain(leafFirst: Array(layers.dropFirst()), findings: findings + mixture + accepted)
    }

    /// Whether what the child shows may change.
    private var changesData: Bool {
        (mode == .forceIdentity || mode == .unsafe) && !oldLink.identities.contains(reference.identity)
    }

    /// What `perform` would write into the child beside the link.
    public func plan(progress: EditProgress) throws(DiskError) -> HeldByteCount {
        guard let oldParents else { return HeldByteCount() }
        var difference = ParentDifference(of: child, from: oldParents, to: parent.chain)
        let held = try difference.run(copy: { _, _ in }, zero: { _ in }, progress: progress)
        try witness.check()
        return held
    }

    /// Of the parents whose contents are compared.
    private var witness: ReadWitness { ReadWitness((oldParents?.layers ?? []) + parent.chain.layers, options) }

    /// Writes, and opens the child over its new parent. Nothing is done where the link is right already.
    /// - Throws: as `RebaseEdit`; what opening throws; what `progress` throws, at a safe point.
    public func perform(progress: EditProgress) throws(DiskError) -> HeldByteCount {
        guard !isLinked else { return HeldByteCount() }
        let edit = RebaseEdit(
            reference: reference, changesData: changesData, parents: oldParents.map { ($0, parent.chain) },
            witness: witness)
        let held = try edit.perform(on: file.contents, progress: progress)
        try checkLink()
        return held
    }

    /// Opens the child as a reader does who was told the parent's folder, and sees that it finds the parent.
    private func checkLink() throws(DiskError) {
        var reading = options
        reading.parentFolders.append(splitPath(try ParentNaming.realPath(parent.file.path)).folder)
        let leaf = try ImageOpener.layer(reading: file.contents, reading)
        let (links, _) = try ImageChain.walk(from: leaf, file.identity, path, reading)
        if var error = links.last?.parentError {
            error.doing = "opening the child over its new parent"
            throw error
        }
        let found = links.count > 1 ? try? PosixFile(links[1].path).identity : nil
        guard found == parent.file.identity else {
            throw DiskError(
                .chain, path: file.path,
                "it names its new parent, but readers take \(links.count > 1 ? links[1].path : "none") for it",
                hint: "move that file away")
        }
    }
}
