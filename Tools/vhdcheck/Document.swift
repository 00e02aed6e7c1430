import ByteCodec
import DiskModel
import ImageChain
import Toolbox

// What is said about an image, as JSON.

extension VHDCheck {
    func document(_ outcome: Outcome) -> JSONValue {
        let check = outcome.check
        return [
            "path": .string(outcome.path), "format": .string(check.format.rawValue),
            "type": .optional(check.type?.rawValue), "parent": .optional(check.parentPath), "deep": .bool(deep),
            "verdict": .string(outcome.verdict(outcome.final)), "check": document(check, outcome),
            "repair": outcome.repair.map { document($0, outcome) } ?? .null, "undo": nil,
        ]
    }

    private func document(_ check: ImageCheck, _ outcome: Outcome) -> JSONValue {
        let advice = outcome.advice(check)
        return [
            "verdict": .string(outcome.verdict(check)), "readable": .bool(check.report.isReadable),
            "errors": .integer(Int64(outcome.count(.error, in: check))),
            "warnings": .integer(Int64(outcome.count(.warning, in: check))),
            "repairable_errors": .integer(Int64(outcome.mendableCount(.error, in: check))),
            "repairable_warnings": .integer(Int64(outcome.mendableCount(.warning, in: check))),
            "findings": .array(check.report.findings.map { document($0, outcome) }),
            "findings_not_shown": .integer(Int64(check.report.droppedCount)),
            "data_read": .unsigned(check.report.deepByteCount),
            "advice": advice.isEmpty
                ? nil
                : [
                    "command": .string(command(advice, check, outcome.path)),
                    "repairs": .array(advice.map(document)),
                    "alternatives": .array(outcome.alternatives(check).map(document)),
                ],
        ]
    }

    private func document(_ kind: RepairKind) -> JSONValue {
        ["kind": .string(kind.rawValue), "loss": .optional(kind.loss)]
    }

    private func document(_ finding: CheckFinding, _ outcome: Outcome) -> JSONValue {
        let detail = finding.finding.detail
        return [
            "code": .string(detail.code.rawValue), "severity": .string(finding.finding.severity.rawValue),
            "accepted": .bool(outcome.accepted.contains(detail.code)), "field": .string(detail.field),
            "offset": .unsigned(detail.offset), "section": .string(detail.section),
            "message": .string(detail.problem), "repairs": .array(finding.repairs.map { .string($0.rawValue) }),
        ]
    }

    private func document(_ repair: Outcome.Repair, _ outcome: Outcome) -> JSONValue {
        [
            "requested": .array(repair.kinds.sorted().map { .string($0.rawValue) }), "dry_run": .bool(repair.isDryRun),
            "actions": .array(
                repair.actions.map {
                    [
                        "kind": .string($0.kind.rawValue), "code": .string($0.code.rawValue),
                        "offset": .unsigned($0.offset), "what": .string($0.what),
                    ]
                }),
            "undo_file": .optional(repair.undoFile),
            "check": repair.check.map { document($0, outcome) } ?? .null,
        ]
    }
}
