import BlockIO
import ByteCodec
import DiskModel

/// Rules about single fields: what the opener noted, with what mends it, and what only a check looks at.
extension ImageCheck {
    mutating func checkFields() throws {
        // Of two breaches of one rule in one place, the report keeps the first.
        let errors = image.findings.all.filter { $0.severity == .error }
        for finding in errors + image.findings.all {
            report.add(finding.severity, finding.detail, repairs: try repairs(of: finding))
        }
        checkTime()
        checkFixedLength()
    }

    private func repairs(of finding: Finding) throws -> [RepairKind] {
        let canEditFooter = FooterMending.canEdit(image)
        return switch finding.detail.code {
        case .vhdFeatures, .vhdReserved: canEditFooter ? [.fields] : []
        case .vhdUniqueID: canEditFooter ? [.id] : []
        case .vhdGeometry: canEditFooter && !FixedMending.isTooShort(image) ? [.geometry] : []
        case .vhdSavedState: canEditFooter ? [.savedState] : []
        case .vhdShortFooter:
            try LengthMending.isHarmless(image, footerAt: image.footers.trailing.offset) ? [.footer] : []
        case .vhdDataOffset: dataOffsetRepairs(canEditFooter)
        case .vhdFixedLength, .vhdCurrentSize: FixedMending.canMend(image) ? [.tails] : []
        case .vhdHeader: try finding.severity == .warning && HeaderMending.canMend(image, [.fields]) ? [.fields] : []
        case .vhdMaxTableEntries: try HeaderMending.canMend(image, [.bat]) ? [.bat] : []
        case .vhdStrayParent:
            try image.header?.looksLinked == false && HeaderMending.canMend(image, [.fields]) ? [.fields] : []
        default: []
        }
    }

    private func dataOffsetRepairs(_ canEditFooter: Bool) -> [RepairKind] {
        guard canEditFooter else { return [] }
        guard image.footers.active.isSparse else { return [.fields] }
        return FooterMending.canPointToHeader(image) ? [.footer] : []
    }

    /// Rule 12.
    private mutating func checkTime() {
        let created = DiskTimestamp(rawValue: image.footer.timestamp)
        guard let now = options.now, created.unixSeconds - 1800 > now else { return }
        report.add(
            .information,
            FormatError(
                .vhdTimestamp, field: "Time Stamp", offset: image.footers.active.offset + 24,
                "is \(created), in the future: the clock of the maker, or of this machine, is wrong", section: "3"))
    }

    /// What Azure asks for beyond rule 14.
    private mutating func checkFixedLength() {
        guard !image.footers.active.isSparse, image.virtualByteCount % (1 << 20) != 0 else { return }
        report.add(
            .information,
            FormatError(
                .vhdFixedLength, field: "file", offset: image.footers.trailing.offset,
                "holds a disk of \(image.virtualByteCount) bytes, no whole MiB as Azure wants", section: "11"))
    }
}
