import BlockIO
import ByteCodec
public import DiskModel

extension VHDXChecker {
    /// The rules that need the parent: that it is the one the child was made from (29), has its sector size (30), and is
    /// the same disk (32).
    /// - Parameter child: a differencing image. For an image of another type there is nothing to find.
    public static func checkParent(child: VHDXLayer, parent: VHDXLayer) -> [CheckFinding] {
        guard let link = child.parentLink else { return [] }
        var result: [CheckFinding] = []
        func note(_ severity: Finding.Severity, _ code: FormatError.Code, _ field: String, _ item: GUID, _ what: String)
        {
            let offset = child.metadata.find(item)?.start ?? child.metadata.region.lowerBound
            let section = item == KnownGUID.parentLocator ? "2.6.2.6.3" : "2.6.2"
            result.append(
                CheckFinding(
                    Finding(severity, FormatError(code, field: field, offset: offset, what, section: section))))
        }
        if !link.identities.contains(parent.identity) {
            note(
                .error, .vhdxParentLinkage, "parent_linkage", KnownGUID.parentLocator,
                "is \(link.identities.map(\.description).joined(separator: " or ")), but the DataWriteGuid of "
                    + "\(parent.file.path) is \(parent.identity): it was changed after this image was made from it")
        }
        let (own, above) = (child.geometry.logicalSectorByteCount, parent.geometry.logicalSectorByteCount)
        if own != above {
            note(
                .error, .vhdxParentSectorSize, "LogicalSectorSize", KnownGUID.logicalSectorSize,
                "is \(own), but \(above) in \(parent.file.path)")
        }
        if child.virtualDiskID != parent.virtualDiskID {
            note(
                .warning, .vhdxParentDiskID, "VirtualDiskId", KnownGUID.virtualDiskID,
                "is \(child.virtualDiskID), but \(parent.virtualDiskID) in \(parent.file.path): two disks by their ids, "
                    + "which is right, and harmless, where vhdrebase --safe or --unsafe moved the child onto another disk"
            )
        }
        return result
    }
}
