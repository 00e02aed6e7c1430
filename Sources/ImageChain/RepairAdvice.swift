import BlockIO
import ByteCodec
import DiskModel

/// Chooses the repairs for one image of a chain and its link.
struct RepairAdvice {
    private let link: LinkDiagnosis
    /// The image the chain was opened by.
    private let leafPath: String
    /// With which it was opened.
    private let options: OpenOptions

    init(_ link: LinkDiagnosis, leafPath: String, _ options: OpenOptions) {
        (self.link, self.leafPath, self.options) = (link, leafPath, options)
    }

    var all: [ChainRepair] { own + parent }

    /// The repairs that would mend most: for each finding one that costs nothing, or else the first.
    static func kinds(for findings: [CheckFinding]) -> [RepairKind] {
        var kinds: Set<RepairKind> = []
        for finding in findings where finding.finding.severity > .information && !finding.repairs.isEmpty {
            // One that mends it may be named already.
            guard kinds.isDisjoint(with: finding.repairs) else { continue }
            kinds.insert(finding.repairs.first { $0.loss == nil } ?? finding.repairs[0])
        }
        return kinds.sorted()
    }

    // MARK: The image itself

    private var own: [ChainRepair] {
        var result: [ChainRepair] = []
        if link.log.state == .dirty {
            result.append(
                ChainRepair(
                    .replayLog, "its log is pending; it was replayed in memory, and can be replayed into the file",
                    ["vhdcheck", "--repair=log", argument(link.path)]))
        }
        let kinds = Self.kinds(for: link.findings.filter { !$0.isPendingLog }).filter { $0 != .log }
        if !kinds.isEmpty { result.append(Self.mend(link.path, kinds, "what was found in it can be mended")) }
        if link.errorCount > 0, kinds.isEmpty {
            result.append(Self.check(link.path, "it has errors that no repair mends"))
        }
        return result
    }

    private static func mend(_ path: String, _ kinds: [RepairKind], _ reason: String) -> ChainRepair {
        let losses = kinds.compactMap { kind in kind.loss.map { "\(kind.rawValue) can cost: \($0)" } }
        let names = kinds.map(\.rawValue).joined(separator: ",")
        return ChainRepair(
            .mend, reason, ["vhdcheck", "--repair=\(names)", argument(path)],
            risk: losses.isEmpty ? nil : losses.joined(separator: "; "))
    }

    private static func check(_ path: String, _ reason: String) -> ChainRepair {
        ChainRepair(.check, "\(reason): see what is wrong, or take it from a backup", ["vhdcheck", argument(path)])
    }

    // MARK: Its parent

    private var parent: [ChainRepair] {
        guard let parent = link.parent else { return [] }
        if let elsewhere = parent.scan?.path {
            guard !isMerging else { return [putBack(elsewhere, parent)] }
            let found = "its parent is here under another name or in another folder: \(elsewhere)"
            return [opens(elsewhere) ? relink(to: elsewhere, found) : lookAt(elsewhere, found)]
        }
        switch parent.outcome {
        case .match: return inPlace(parent)
        case .mismatch: return mismatch(parent)
        case .damaged: return damaged(parent)
        case .locked: return locked(parent)
        case .missing: return missing(parent)
        case .loop: return [ChainRepair(.nameFolder, "it names an image of its own chain as its parent; " + bringBack)]
        case .tooDeep: return []
        }
    }

    /// A merge comes to its end before a link is changed.
    private var isMerging: Bool { link.namesTwoParents || link.parent?.hasUnfinishedMerge ?? false }

    private let bringBack = "bring the right parent back, or name the folder it stands in with --parent-dir"

    private func inPlace(_ parent: ParentDiagnosis) -> [ChainRepair] {
        guard !parent.isInPlace, !isMerging, let path = parent.path else { return [] }
        return [
            relink(to: path, "its parent was moved: it was found by its name, not where the paths in the file lead")
        ]
    }

    private func putBack(_ path: String, _ parent: ParentDiagnosis) -> ChainRepair {
        let free = parent.candidates.first { candidate in
            candidate.outcome == .missing && realPath(candidate.path) == nil
                && realPath(splitPath(candidate.path).folder) != nil
        }
        return ChainRepair(
            .nameFolder,
            "its parent is here under another name or in another folder: \(path); give it the name and the place back "
                + "that it had, and complete the merge into it",
            free.map { ["mv", "-n", argument(path), argument($0.path)] } ?? [])
    }

    private func relink(to path: String, _ reason: String) -> ChainRepair {
        ChainRepair(
            .relink, reason, ["vhdrebase"] + folderArguments + ["--parent", argument(path), argument(link.path)])
    }

    /// Nothing takes an image for its parent whose own parents are not found.
    private func lookAt(_ path: String, _ found: String) -> ChainRepair {
        ChainRepair(
            .nameFolder, "\(found); but the chain of that one does not open: mend it first",
            ["vhdinfo", "--chain"] + folderArguments + [argument(path)])
    }

    private func opens(_ path: String) -> Bool { (try? ImageChain.open(path, options)) != nil }

    /// What was needed to find the parents is needed again.
    private var folderArguments: [String] { options.parentFolders.flatMap { ["--parent-dir", argument($0)] } }

    private func mismatch(_ parent: ParentDiagnosis) -> [ChainRepair] {
        guard let path = parent.path else { return [] }
        let sizes: Set<LinkDifference.What> = [.virtualSize, .logicalSectorSize]
        guard !parent.differences.contains(where: { sizes.contains($0.what) }) else {
            return [
                ChainRepair(
                    .nameFolder,
                    "\(path) has another id, and its disk another size: it is another image, or got this size after the "
                        + "child was made, as by a merge; " + bringBack)
            ]
        }
        let written = link.format == .vhdx ? "it was written after the child was made" : "it was given another id"
        let reason =
            "\(path) has another id: \(written), as by a merge into it (vhdmerge --keep leaves images between so), or is "
            + "another image; \(bringBack)"
        // The mark of the merge would be lost.
        guard !isMerging else { return [ChainRepair(.nameFolder, reason)] }
        return [
            ChainRepair(
                .forceRelink, reason,
                ["vhdrebase", "--force-identity"] + folderArguments + [
                    "--parent", argument(path), argument(link.path),
                ],
                risk: "nothing can tell whether the contents of \(path) changed since the child was made: if they did, "
                    + "as by a merge, the disk shows a mixture, wrong bytes")
        ]
    }

    private func damaged(_ parent: ParentDiagnosis) -> [ChainRepair] {
        guard let path = parent.path else { return [] }
        guard parent.error?.formatError != nil else {
            return [ChainRepair(.nameFolder, "its parent \(path) cannot be opened; " + bringBack)]
        }
        return [
            parent.damageRepairs.isEmpty
                ? Self.check(path, "its parent \(path) is damaged")
                : Self.mend(path, parent.damageRepairs, "its parent \(path) is damaged, and can be mended")
        ]
    }

    private func locked(_ parent: ParentDiagnosis) -> [ChainRepair] {
        let path = parent.path ?? "its parent"
        return [
            ChainRepair(
                .giveKey,
                "its parent \(path) is sealed, and nothing that was given opens it: give its key too; those of all links "
                    + "can be given at once (--identity, --key-file, --passphrase-file)")
        ]
    }

    private func missing(_ parent: ParentDiagnosis) -> [ChainRepair] {
        let outside = parent.candidates.first { $0.outcome == .outside && realPath($0.path) != nil }
        if let outside {
            let folder = realPath(outside.path).map { splitPath($0).folder } ?? splitPath(outside.path).folder
            return [
                ChainRepair(
                    .nameFolder,
                    "its path leads to \(outside.path), which is followed only when its folder is named",
                    ["vhdinfo", "--chain"] + folderArguments + ["--parent-dir", argument(folder), argument(leafPath)])
            ]
        }
        return [ChainRepair(.nameFolder, "its parent was not found; " + bringBack)]
    }

    /// A path that no program takes for an option.
    static func argument(_ path: String) -> String { path.hasPrefix("-") ? "./\(path)" : path }
    private func argument(_ path: String) -> String { Self.argument(path) }
}
