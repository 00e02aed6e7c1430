import BlockIO
import ByteCodec
public import DiskModel

/// Rules 27 and 28 beyond what the opener sees.
extension ImageCheck {
    mutating func checkParentPaths() {
        guard let header = image.header, image.footer.diskType == DiskTypeCode.differencing else { return }
        if strictUTF16(header.parentUnicodeName.rawBytes, .big) == nil {
            report.add(
                .warning,
                FormatError(
                    .vhdParentIdentity, field: "Parent Unicode Name",
                    offset: image.headerOffset + DynamicHeader.nameOffset, "is no valid UTF-16", section: "6"))
        }
        var others = [
            0..<sectorByteCount, image.headerOffset..<image.headerOffset + UInt64(DynamicHeader.byteCount),
        ]
        if let layout = image.layout { others.append(layout.tableRange) }
        for range in image.locatorRanges {
            if let hit = others.first(where: { $0.overlaps(range) }) {
                report.add(.error, Self.overlap(range, "lies over the structure at \(hex(hit.lowerBound))"))
            } else if range.upperBound > image.footers.contentsEnd {
                report.add(.error, Self.overlap(range, "goes on past \(hex(image.footers.contentsEnd))"))
            }
            others.append(range)
        }
    }

    private static func overlap(_ range: Range<UInt64>, _ problem: String) -> FormatError {
        FormatError(
            .vhdParentLocator, field: "Platform Data", offset: range.lowerBound,
            "of \(range.upperBound - range.lowerBound) bytes \(problem)", section: "10.3")
    }
}

extension VHDChecker {
    /// Rules 29 to 31: whether a parent that was found is the one a child names. Nothing for a child that is no
    /// differencing image.
    /// - Parameter parentModificationTime: of the parent's file, in seconds since 1970; nil leaves out rule 30.
    public static func checkParent(
        child: VHDLayer, parent: VHDLayer, parentModificationTime: Int64?
    ) -> [CheckFinding] {
        guard child.type == .differencing, let header = child.header else { return [] }
        var findings: [CheckFinding] = []
        func note(_ severity: Finding.Severity, _ error: FormatError) {
            findings.append(CheckFinding(Finding(severity, error)))
        }
        // A child that names nobody breaks rule 27, and a raw parent has no identity.
        if header.parentUniqueID != .zero, header.parentUniqueID != parent.footer.uniqueID,
            header.parentUniqueID != parent.formerIdentity?.id
        {
            note(
                .error,
                FormatError(
                    .vhdParentMismatch, field: "Parent Unique ID", offset: child.headerOffset + 40,
                    "is \(header.parentUniqueID), and \(parent.file.path) is \(parent.footer.uniqueID): "
                        + "find the parent this image was made from", section: "10.2"))
        }
        let recorded = DiskTimestamp(rawValue: header.parentTimestamp)
        // Zero is no time that anybody noted.
        if let time = parentModificationTime, recorded.rawValue != 0, DiskTimestamp(unixSeconds: time) != recorded {
            note(
                .warning,
                FormatError(
                    .vhdParentModified, field: "Parent Time Stamp", offset: child.headerOffset + 56,
                    "is \(recorded), and \(parent.file.path) was changed \(rfc3339(unixSeconds: time)): "
                        + "copied since, or written, which would make this image wrong", section: "10.2"))
        }
        let (size, parentSize) = (child.geometry.virtualByteCount, parent.geometry.virtualByteCount)
        if size != parentSize {
            note(
                .warning,
                FormatError(
                    .vhdParentSize, field: "Current Size", offset: child.footers.active.offset + 48,
                    "is \(size), and the parent has \(parentSize): "
                        + (size > parentSize ? "zeros follow the parent's end" : "the parent's end is not seen"),
                    section: "10.1"))
        }
        return findings
    }
}

extension VHDLayer {
    /// Where the dynamic header stands.
    var headerOffset: UInt64 { footer.dataOffset }
}
