import BlockIO
import ByteCodec
import DiskModel
import VHD

/// Whether a child may get a parent, and what is to be known about it.
struct RebaseCheck {
    let child: any DiskLayer
    let childFile: OpenedFile
    let link: ParentLink
    let parent: ParentImage
    var options = OpenOptions()

    private var parentPath: String { parent.file.path }
    private var isNamedParent: Bool { parent.layer.isNamed(by: link) }

    /// - Throws: `DiskError` for a parent that this child cannot have, or not in this mode.
    func run(_ mode: RebaseMode) throws(DiskError) {
        guard child.format == parent.layer.format else {
            throw refused(
                "a \(child.format.title) child has a \(child.format.title) parent, and \(parentPath) is a \(parent.layer.format.title)",
                "vhdconvert makes a \(child.format.title) of it")
        }
        try refuseLoop()
        try refuseUnfinishedMerge(mode)
        let (mine, theirs) = (child.geometry, parent.layer.geometry)
        guard mine.logicalSectorByteCount == theirs.logicalSectorByteCount else {
            throw refused(
                "its logical sectors have \(mine.logicalSectorByteCount) bytes, those of \(parentPath) have \(theirs.logicalSectorByteCount)"
            )
        }
        switch mode {
        case .safe, .unsafe: break
        case .moved where !isNamedParent: throw mismatch()
        case .moved: break
        case .forceIdentity where !isNamedParent && mine.virtualByteCount != theirs.virtualByteCount:
            throw refused(
                "its disk has \(mine.virtualByteCount) bytes, that of \(parentPath) has \(theirs.virtualByteCount): it is not the image the child was made from",
                "--safe moves the child onto another parent and keeps its contents")
        case .forceIdentity: break
        }
    }

    /// Before the parent is kept from writers, of which the child's user is one.
    static func refuseItself(_ child: OpenedFile, _ parentPath: String) throws(DiskError) {
        guard (try? PosixFile(parentPath))?.identity == child.identity else { return }
        throw DiskError(
            .chain, path: child.path, "it cannot be its own parent", hint: "name the image it was made from")
    }

    private func refuseLoop() throws(DiskError) {
        guard try parent.fileIdentities().contains(childFile.identity) else { return }
        throw DiskError(
            .chain, path: childFile.path, "\(parentPath) stands on it: the chain would loop",
            hint: "name an image that does not")
    }

    /// The sign of a merge that was interrupted stands in a VHDX child, and naming a parent takes it away. Over another
    /// parent the child needs the merge no more.
    private func refuseUnfinishedMerge(_ mode: RebaseMode) throws(DiskError) {
        guard UnfinishedMerge.namesTwoParents(child), isNamedParent || mode == .forceIdentity else { return }
        throw refused(
            "a merge of it into its parent was interrupted, and what shows that would be lost",
            "first complete the merge: vhdmerge, with --parent-dir where its parent was moved")
    }

    private func mismatch() -> DiskError {
        let expected = link.identities.map(\.description).joined(separator: " or ")
        if let lower = lowerChild() {
            return DiskError(
                .identityMismatch, path: childFile.path,
                "\(parentPath) is not its parent, but that of \(lower), below it",
                hint: "mend that link: vhdrebase --parent \(parentPath) \(lower)")
        }
        return DiskError(
            .identityMismatch, path: childFile.path,
            "its parent must have the id \(expected), but \(parentPath) has \(parent.layer.identity)",
            hint:
                "bring back the right parent; --safe keeps the contents over another one, as long as the old one is there; "
                + "--force-identity is for a parent whose id alone has changed")
    }

    /// The image below the child, as far as its parents are found, whose parent this is.
    private func lowerChild() -> String? {
        let links = try? ImageChain.walk(from: child, childFile.identity, childFile.path, options).links
        return links?.dropFirst().first { link in
            link.layer.parentLink.map { parent.layer.isNamed(by: $0) } ?? false
        }?.path
    }

    private func refused(_ text: String, _ hint: String? = nil) -> DiskError {
        DiskError(.refused, path: childFile.path, text, hint: hint)
    }

    // MARK: The link as it is

    private func path(_ kind: ParentLocator.Kind) -> String? { link.locators.first { $0.kind == kind }?.path }

    /// Whether the child leads to this parent by itself: the old parent and the new one are the same.
    func leads(to reference: ParentReference) -> Bool {
        link.identities == [reference.identity] && path(.relative) == reference.windowsRelativePath
    }

    /// Whether the child says all that a reference says. Where nobody named the path on other machines, the one that
    /// stands there stays good.
    func isLinked(_ reference: ParentReference, _ naming: ParentNaming) -> Bool {
        guard leads(to: reference), isAtRest else { return false }
        if let wanted = naming.windowsPath, path(.absolute) != wanted { return false }
        if let wanted = naming.volumePath, path(.volume) != wanted { return false }
        guard let header = (child as? VHDLayer)?.header else { return true }
        return header.parentTimestamp == DiskTimestamp(unixSeconds: reference.modified).rawValue
    }

    /// False where a change of the link was cut off, which another one brings to its end: the footers of a VHD differ, or
    /// its dynamic header is not in its place.
    private var isAtRest: Bool {
        guard let child = child as? VHDLayer else { return true }
        return child.footer.dataOffset == Self.headerOffset
            && !child.findings.contains { [.vhdFootersDiffer, .vhdFooterCopy].contains($0.detail.code) }
    }
    private static let headerOffset: UInt64 = 512

    // MARK: Notes

    /// What a person should know about this parent.
    func notes(_ mode: RebaseMode, _ reference: ParentReference) -> [EditNote] {
        var result: [EditNote] = []
        switch mode {
        case .forceIdentity where !isNamedParent:
            result.append(
                EditNote(
                    .contentsUnproven,
                    "nothing shows that \(parentPath) holds what the child was made from: where it was written since, the "
                        + "child's contents are wrong"))
        case .unsafe where !isNamedParent:
            result.append(
                EditNote(
                    .contentsChange,
                    "its contents change: what it does not hold itself comes from \(parentPath) from now on"))
        default: if let note = timeNote(reference) { result.append(note) }
        }
        if [.forceIdentity, .unsafe].contains(mode), !isNamedParent, child.format == .vhdx {
            result.append(EditNote(.children, Self.children))
        }
        if UnfinishedMerge.namesTwoParents(child) {
            result.append(
                EditNote(
                    .unfinishedMerge,
                    "a merge into the parent it had was interrupted: that parent holds a mixture, and nothing tells it any more"
                ))
        }
        if child.format == .vhd, child.geometry.virtualByteCount != parent.layer.geometry.virtualByteCount {
            result.append(EditNote(.parentSize, "Windows opens no VHD child whose size is not its parent's"))
        }
        if let note = EditNote.parentPlace(reference) { result.append(note) }
        return result
    }

    private static let children =
        "differencing images made from this one, if there are any, no longer open: its DataWriteGuid is new"

    /// The id of a VHD stays when it is written; its time does not.
    private func timeNote(_ reference: ParentReference) -> EditNote? {
        guard isNamedParent, let header = (child as? VHDLayer)?.header, header.parentTimestamp != 0 else { return nil }
        let recorded = DiskTimestamp(rawValue: header.parentTimestamp)
        guard recorded != DiskTimestamp(unixSeconds: reference.modified) else { return nil }
        return EditNote(
            .parentModified,
            "\(parentPath) was changed \(rfc3339(unixSeconds: reference.modified)), and when the child was made, "
                + "\(recorded): it was copied since, or written, which would make the child wrong and which its id does not tell"
        )
    }
}
