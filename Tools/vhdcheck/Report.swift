import ByteCodec
import DiskModel
import ImageChain
import Toolbox

// What is said about an image, as text.

extension VHDCheck {
    func show(_ outcome: Outcome, _ run: ToolRun) throws {
        try show(outcome.check, outcome, advises: outcome.repair == nil, run)
        guard let repair = outcome.repair else { return }
        for action in repair.actions {
            let verb = repair.isDryRun ? "would repair" : "repaired"
            try run.out.line(
                "\(verb) \(action.kind.rawValue) \(action.code) \(hex(action.offset)) \(printable(action.what))")
        }
        if let undo = repair.undoFile {
            try run.out.line("what was changed is saved; to put it back: " + undoCommand(undo, outcome.path))
        }
        guard let check = repair.check else { return }
        if repair.actions.isEmpty { return try run.out.line("\(printable(outcome.path)): nothing to repair by that") }
        try run.out.line("\(repair.isDryRun ? "would be" : "is") after that:")
        try show(check, outcome, advises: true, run)
    }

    /// One line a finding, then the verdict.
    private func show(_ check: ImageCheck, _ outcome: Outcome, advises: Bool, _ run: ToolRun) throws {
        for finding in check.report.findings {
            let detail = finding.finding.detail
            guard finding.finding.severity > .information || output.verbose else { continue }
            let severity = outcome.accepted.contains(detail.code) ? "accepted" : finding.finding.severity.rawValue
            let repairs = finding.repairs.isEmpty ? "" : " [repair: \(RepairList.names(finding.repairs))]"
            try run.out.line(
                "\(detail.code) \(severity) \(hex(detail.offset)) " + printable("\(detail.field) \(detail.problem)")
                    + repairs)
        }
        if check.report.droppedCount > 0 {
            try run.out.line("and \(check.report.droppedCount) more of the same codes")
        }
        try run.out.line("\(printable(outcome.path)): \(verdictText(check, outcome))")
        guard advises, !output.quiet else { return }
        for line in advice(check, outcome) { try run.out.line("  " + line) }
    }

    private func verdictText(_ check: ImageCheck, _ outcome: Outcome) -> String {
        var parts: [String] = []
        for (severity, one, many) in [(Finding.Severity.error, "error", "errors"), (.warning, "warning", "warnings")] {
            let count = outcome.count(severity, in: check)
            guard count > 0 else { continue }
            let repairable = outcome.mendableCount(severity, in: check)
            let part = counted(count, one, many)
            parts.append(repairable > 0 ? part + " (\(repairable) repairable)" : part)
        }
        return parts.isEmpty ? "clean" : parts.joined(separator: ", ")
    }

    /// The command that would repair, and what it costs.
    private func advice(_ check: ImageCheck, _ outcome: Outcome) -> [String] {
        let kinds = outcome.advice(check)
        guard !kinds.isEmpty else { return [] }
        var lines = ["to repair: " + command(kinds, check, outcome.path)]
        lines += kinds.compactMap { kind in kind.loss.map { "\(kind.rawValue) can cost: \($0)" } }
        lines += outcome.alternatives(check).map { kind in
            "or \(kind.rawValue) instead" + (kind.loss.map { ", which can cost: \($0)" } ?? "")
        }
        return lines
    }

    func command(_ kinds: [RepairKind], _ check: ImageCheck, _ path: String) -> String {
        var words = ["vhdcheck", "--repair=" + kinds.map(\.rawValue).joined(separator: ",")]
        if imageOptions.format != nil { words += ["--format", check.format.rawValue] }
        if deep { words.append("--deep") }
        return (words + [quoted(path)]).joined(separator: " ")
    }

    func undoCommand(_ undo: String, _ path: String) -> String { "vhdcheck --undo \(quoted(undo)) \(quoted(path))" }

    /// A path as a shell takes it.
    private func quoted(_ path: String) -> String {
        let plain = path.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: ":"):
                true
            default: false
            }
        }
        if plain, !path.hasPrefix("-") { return path }
        let inside = path.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
        return printable((path.hasPrefix("-") ? "-- " : "") + "'\(inside)'")
    }

    private func hex(_ offset: UInt64) -> String { output.bytes ? "\(offset)" : "0x" + String(offset, radix: 16) }
}
