import ByteCodec
import DiskModel
import ImageChain
import Toolbox

/// What checking one image found, and what repairing it did.
struct Outcome {
    struct Repair {
        let kinds: Set<RepairKind>
        let isDryRun: Bool
        var actions: [RepairAction] = []
        /// Nil when nothing was changed.
        var undoFile: String?
        /// The check afterwards; nil when the repair failed.
        var check: ImageCheck?
    }
    let path: String
    let check: ImageCheck
    var repair: Repair?
    /// What stopped the repair.
    var failure: (any Error)?
    /// Codes that do not count.
    var accepted: Set<FormatError.Code> = []

    /// The check that says how the image is now; a dry run changes nothing.
    var final: ImageCheck { repair.flatMap { $0.isDryRun ? nil : $0.check } ?? check }

    func count(_ severity: Finding.Severity, in check: ImageCheck) -> Int {
        check.report.findings.count { $0.finding.severity == severity && !accepted.contains($0.finding.detail.code) }
    }

    var status: ExitStatus {
        if count(.error, in: final) > 0 { return .finding }
        return count(.warning, in: final) > 0 ? .partial : .done
    }

    func verdict(_ check: ImageCheck) -> String {
        count(.error, in: check) > 0 ? "errors" : count(.warning, in: check) > 0 ? "warnings" : "clean"
    }

    /// The findings that count and that a repair could mend.
    private func mendable(_ check: ImageCheck, _ severity: Finding.Severity? = nil) -> [CheckFinding] {
        check.report.findings.filter { finding in
            let own = finding.finding.severity
            return !finding.repairs.isEmpty && own > .information && (severity ?? own) == own
                && !accepted.contains(finding.finding.detail.code)
        }
    }

    func mendableCount(_ severity: Finding.Severity, in check: ImageCheck) -> Int { mendable(check, severity).count }

    /// The repairs that would mend most: for each finding the one that costs nothing, or else the first.
    func advice(_ check: ImageCheck) -> [RepairKind] {
        var kinds: Set<RepairKind> = []
        for finding in mendable(check) {
            // One that mends it may be named already.
            guard kinds.isDisjoint(with: finding.repairs) else { continue }
            kinds.insert(finding.repairs.first { $0.loss == nil } ?? finding.repairs[0])
        }
        return kinds.sorted()
    }

    /// Repairs that could stand in the place of those advised.
    func alternatives(_ check: ImageCheck) -> [RepairKind] {
        let advised = Set(advice(check))
        return Set(mendable(check).flatMap(\.repairs)).subtracting(advised).sorted()
    }
}
