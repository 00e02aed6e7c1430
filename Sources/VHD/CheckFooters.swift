import BlockIO
import ByteCodec
import DiskModel

/// Rules 1 to 5 of the footer's copies.
extension ImageCheck {
    mutating func checkFooters() throws {
        let footers = image.footers
        if let problem = footers.trailing.problem {
            report.add(.error, problem, repairs: try trailingRepairs(problem))
        }
        if footers.active.isSparse, footers.copyProblem != nil { try noteCopy(footers) }
        if let difference = footers.difference {
            report.add(footers.copiesContradict ? .error : .warning, difference, repairs: [.footer])
        }
        try noteHeaderChecksum()
    }

    private func trailingRepairs(_ problem: FormatError) throws -> [RepairKind] {
        let footers = image.footers
        var repairs: [RepairKind] = []
        if try FooterMending.checksumTarget(footers.trailing, footers, file) != nil { repairs.append(.checksums) }
        if try FooterMending.source(image) != nil {
            switch try FooterMending.placeOfTrailing(image) {
            case .after: repairs.append(.footer)
            case .tailFirst: repairs.append(.tails)
            case nil: break
            }
        }
        return repairs
    }

    /// The copy at 0: where it can be used but for its checksum, that rule is named, else that there is no copy.
    private mutating func noteCopy(_ footers: FooterCopies) throws {
        guard let problem = footers.copyProblem else { return }
        var repairs: [RepairKind] = []
        if let copy = footers.copy, try FooterMending.checksumTarget(copy, footers, file) != nil {
            repairs.append(.checksums)
        }
        if footers.trailing.isValid { repairs.append(.footer) }
        guard footers.usesTrailing, footers.trailing.isValid else {
            return report.add(.error, footers.copy?.problem ?? problem, repairs: repairs)
        }
        report.add(.error, problem, repairs: repairs)
    }

    private mutating func noteHeaderChecksum() throws {
        let field = image.headerOffset + UInt64(DynamicHeader.checksumOffset)
        guard
            let finding = image.findings.all.first(where: {
                $0.detail.code == .vhdChecksum && $0.detail.offset == field
            })
        else { return }
        let isPlausible = try HeaderMending.isPlausible(image)
        report.add(.error, finding.detail, repairs: isPlausible ? [.checksums] : [])
    }
}
