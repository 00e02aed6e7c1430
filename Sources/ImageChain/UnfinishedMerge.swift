import BlockIO
public import ByteCodec
public import DiskModel

/// A merge into an image of the chain that was interrupted. Until it is completed its target holds a mixture, which only
/// the image with which it was begun hides.
public struct UnfinishedMerge: Sendable, Equatable {
    /// The image of the chain whose parent is the target: the lowest one that is being merged. The leaf is 0.
    public let linkIndex: Int
    /// The target's path; nil where it was not found.
    public let target: String?
    /// The image of the chain with which it was begun; nil where that is none of them, or nothing says which it is.
    public let bearer: String?
    /// Whether the chain shows a mixture: the image with which the merge was begun is none of it.
    public let showsMixture: Bool
    /// Whether another program cut the target while it was written: no image hides that.
    public let hasCutTarget: Bool

    /// What a target names as the image the merge was begun with, where bytes of it were cut off meanwhile: none.
    static let ofCutTarget = GUID(0x9F1B_27C4, 0x5E60, 0x4D3A, 0xA4C8_13E9_7B52_0D6F)
    private static let cutMeaning = "was ended by another program's cutting it: bytes are missing"
    private static let cutRepair = "what was cut off is lost: bring back the file as it was before the merge"

    /// The one furthest down, which being completed from the leaf takes those above along; nil where no image bears the
    /// sign of a merge.
    /// - Parameters:
    ///   - links: the chain, leaf first.
    ///   - diagnoses: of the same images.
    init?(_ links: [ChainLink], _ diagnoses: [LinkDiagnosis]) {
        guard
            let index = links.indices.last(where: {
                Self.isMarked(links[$0].layer, $0 + 1 < links.count ? links[$0 + 1].layer : nil)
            })
        else { return nil }
        linkIndex = index
        target = Self.target(diagnoses[index].parent)
        let layers = links.map(\.layer)
        showsMixture = Self.mixture(in: layers) != nil
        let merge = index + 1 < layers.count ? layers[index + 1].unfinishedMerge : nil
        hasCutTarget = merge == Self.ofCutTarget
        bearer = merge.flatMap { id in links.prefix(index + 1).first { $0.layer.bears(merge: id) }?.path }
    }

    /// The image next to the leaf that holds a mixture which none above it hides; nil where the chain reads right, as far
    /// as its images say.
    /// - Parameter layers: leaf first.
    static func mixture(in layers: [any DiskLayer]) -> Int? {
        layers.indices.first { index in
            guard let merge = layers[index].unfinishedMerge else { return false }
            return !layers[..<index].contains { $0.bears(merge: merge) }
        }
    }

    /// - Parameter accepted: with CHAIN002 a mixture is read as it is.
    /// - Returns: what was accepted.
    /// - Throws: `.format` with CHAIN002 for a chain that shows a mixture.
    public static func check(
        _ layers: [any DiskLayer], accepting accepted: Set<FormatError.Code> = []
    ) throws(DiskError) -> [Finding] {
        guard let index = mixture(in: layers) else { return [] }
        let path = layers[index].file.path
        let isCut = layers[index].unfinishedMerge == ofCutTarget
        let error = FormatError(
            .unfinishedMerge, field: "a merge", offset: 0,
            isCut
                ? "into it \(cutMeaning), and it holds a mixture"
                : "into it was interrupted: it holds a mixture, which only the image that the merge was begun with hides",
            section: "")
        guard !accepted.contains(.unfinishedMerge) else { return [Finding(.error, error)] }
        throw DiskError(
            error, path: path,
            hint: (isCut ? cutRepair : "vhdmerge of that image completes it (--parent-dir where an image was moved)")
                + "; --accept CHAIN002 reads the mixture")
    }

    /// Whether one of a pair bears the sign of a merge of the first into the second: in VHDX the child, a second id that
    /// its parent may have; in VHD the parent, a mark in its footer.
    static func isMarked(_ child: any DiskLayer, _ parent: (any DiskLayer)?) -> Bool {
        namesTwoParents(child) || parent?.unfinishedMerge != nil
    }

    /// Whether a child names its parent by two ids, as it does while it is merged and not at rest.
    static func namesTwoParents(_ child: any DiskLayer) -> Bool {
        Set((child.parentLink?.identities ?? []).map(\.id)).count > 1
    }

    private static func target(_ parent: ParentDiagnosis?) -> String? {
        guard let parent else { return nil }
        switch parent.outcome {
        case .match, .tooDeep, .damaged, .locked: return parent.path
        // What stands in its place is another image.
        case .mismatch, .missing, .loop: return parent.scan?.path
        }
    }

    /// For a person.
    public var meaning: String {
        hasCutTarget
            ? "another program cut it meanwhile, and bytes are missing"
            : "until it is, only the image with which it was started reads right"
    }

    /// What completes it.
    /// - Parameter leafPath: the image the chain was opened by.
    func repair(leafPath: String, _ options: OpenOptions) -> ChainRepair {
        let reason = "a merge into \(target ?? "its parent") was interrupted"
        guard let target else {
            return ChainRepair(.merge, "\(reason): once that is found again, vhdinfo --chain says how to complete it")
        }
        guard !hasCutTarget else {
            return ChainRepair(.merge, "a merge into \(target) \(Self.cutMeaning); \(Self.cutRepair)")
        }
        guard !showsMixture else {
            return ChainRepair(
                .merge, "\(reason), begun with an image that is none of these: vhdmerge of that one completes it")
        }
        let folders = options.parentFolders.flatMap { ["--parent-dir", RepairAdvice.argument($0)] }
        let leafPath = bearer ?? leafPath
        let into = linkIndex == 0 ? [] : ["--into", RepairAdvice.argument(target)]
        return ChainRepair(
            .merge, "\(reason): with the image with which it was started, the same merge goes on to its end",
            ["vhdmerge"] + folders + into + [RepairAdvice.argument(leafPath)],
            risk: bearer != nil
                ? nil
                : "where it was started with an image above \(leafPath), name that one: otherwise those above lose "
                    + "their parent, and what they show; where it was started with one below, that one is merged away too"
        )
    }
}
