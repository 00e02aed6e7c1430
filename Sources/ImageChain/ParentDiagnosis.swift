import BlockIO
public import ByteCodec
public import DiskModel
import VHD
import VHDX

/// How the search for one child's parent ended, and how the two fit.
public struct ParentDiagnosis: Sendable {
    public enum Outcome: String, Sendable {
        /// Found, with an id that the child names.
        case match
        /// What stands in the parent's place has another id.
        case mismatch
        /// In the parent's place is a file that does not open.
        case damaged
        /// In the parent's place is a sealed file that no key which was given opens.
        case locked
        case missing
        /// The parent is part of the chain already.
        case loop
        /// It was found, and the chain may not be longer.
        case tooDeep = "too-deep"
    }

    /// An id that the parent may have.
    public struct ExpectedID: Sendable, Equatable {
        /// As the specification calls it: `parent_linkage`, `parent_linkage2`, `Parent Unique ID`.
        public var field: String
        public var id: GUID
    }

    public let outcome: Outcome
    public let expected: [ExpectedID]
    /// Every place that was tried, in order.
    public let candidates: [ParentCandidate]
    /// The file found, the right one or not, damaged or not.
    public let path: String?
    /// Its id, where it opens.
    public let found: DiskIdentity?
    /// How the file found differs from what the child says of its parent.
    public let differences: [LinkDifference]
    /// Why the search failed.
    public let error: DiskError?
    /// Where the parent did not come up in its place: the look through the folders for it.
    public private(set) var scan: ParentScan?
    /// Repairs that would mend a damaged parent; empty when it is not damaged, or nothing here can.
    public private(set) var damageRepairs: [RepairKind] = []
    /// Whether the parent came up where the child's own paths lead, and not only by its name elsewhere.
    public let isInPlace: Bool
    /// Whether a merge into the parent that was found is not complete.
    let hasUnfinishedMerge: Bool

    init(of child: ChainLink, _ next: ChainLink?, in chain: [ChainLink], _ options: OpenOptions) {
        (candidates, error) = (child.candidates, child.parentError)
        expected = Self.expectedIDs(child.layer)
        let match = candidates.first { $0.outcome == .match }
        let mismatch = candidates.lazy.compactMap { candidate -> (path: String, id: DiskIdentity)? in
            if case .mismatch(let id) = candidate.outcome { (candidate.path, id) } else { nil }
        }.first
        outcome = Self.outcome(child, hasMatch: match != nil)
        switch outcome {
        case .match, .tooDeep: path = match?.path ?? next?.path
        case .mismatch: path = next?.path ?? mismatch?.path
        case .damaged, .locked, .loop: path = child.parentError?.path
        case .missing: path = nil
        }
        var parentLayer = next?.layer
        if parentLayer == nil, outcome == .mismatch, let path { parentLayer = Self.layer(path, child, options) }
        found = parentLayer?.identity ?? (outcome == .mismatch ? mismatch?.id : nil)
        differences = parentLayer.map { LinkDifference.all(child.layer, $0) } ?? []
        isInPlace = Self.isInPlace(match, child)
        let isFound = outcome == .match || outcome == .tooDeep
        let scan = isFound || outcome == .locked ? nil : ParentScan(for: child, in: chain, options)
        hasUnfinishedMerge = scan?.hasUnfinishedMerge ?? false || parentLayer?.unfinishedMerge != nil
        self.scan = scan
        if outcome == .damaged, let path { damageRepairs = Self.repairs(of: path, child.layer.format, options) }
    }

    private static func expectedIDs(_ child: any DiskLayer) -> [ExpectedID] {
        if let child = child as? VHDXLayer {
            return ["parent_linkage", "parent_linkage2"].compactMap { key in
                child.parentLocatorPairs.first { $0.key == key }.flatMap { GUID($0.value) }.flatMap { id in
                    // Windows leaves the second one zero outside merges: that names no parent.
                    key == "parent_linkage2" && id == .zero ? nil : ExpectedID(field: key, id: id)
                }
            }
        }
        return child.parentLink?.identities.map { ExpectedID(field: "Parent Unique ID", id: $0.id) } ?? []
    }

    private static func outcome(_ child: ChainLink, hasMatch: Bool) -> Outcome {
        if let error = child.parentError, error.isMissingKey { return .locked }
        return switch child.parentError?.kind {
        case nil: hasMatch ? .match : .mismatch
        case .identityMismatch: .mismatch
        case .chain: hasMatch ? .tooDeep : .loop
        case .parentMissing: .missing
        default: .damaged
        }
    }

    private static func layer(_ path: String, _ child: ChainLink, _ options: OpenOptions) -> (any DiskLayer)? {
        var options = options
        options.format = child.layer.format
        return (try? options.files.open(path)).flatMap { try? ImageOpener.layer(reading: $0.contents, options) }
    }

    /// A Windows path is no path here: its last component beside the child is as near as it gets.
    private static func isInPlace(_ match: ParentCandidate?, _ child: ChainLink) -> Bool {
        guard let match, let link = child.layer.parentLink else { return false }
        let search = ParentSearch(childPath: child.path, link: link, options: OpenOptions())
        return search.ownPlaces().contains(match.path)
    }

    private static func repairs(of path: String, _ format: ImageFormat, _ options: OpenOptions) -> [RepairKind] {
        guard let file = try? options.files.open(path),
            let report = try? LinkDiagnosis.report(file.contents, format, CheckOptions())
        else { return [] }
        return RepairAdvice.kinds(for: report.findings)
    }
}
