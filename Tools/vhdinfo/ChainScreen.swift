import ByteCodec
import DiskModel
import ImageChain
import Toolbox

/// The diagnosis of a chain as text: a numbered list of its images, leaf first, closed by a verdict.
struct ChainScreen {
    private let diagnosis: ChainDiagnosis
    private let path: String
    private let plain: Bool
    private static let shownFindingCount = 20

    init(_ diagnosis: ChainDiagnosis, path: String, plain: Bool) {
        (self.diagnosis, self.path, self.plain) = (diagnosis, path, plain)
    }

    var lines: [String] {
        let images = diagnosis.links.enumerated().flatMap { [""] + image($0, $1) + repairs($0, $1) }
        let count = counted(diagnosis.links.count, "image", "images")
        return ["\(printable(path)): chain of \(count), leaf first"] + images + ["", verdict]
    }

    private func size(_ byteCount: UInt64) -> String { Quantity.bytes(byteCount, plain: plain) }

    private func row(_ name: String, _ value: String) -> String {
        "   \(name)" + String(repeating: " ", count: max(1, 11 - name.utf8.count)) + printable(value)
    }

    private func image(_ index: Int, _ link: LinkDiagnosis) -> [String] {
        var lines = ["\(index)  \(printable(link.path))"]
        lines.append(row("format", link.format == .raw ? "raw" : "\(link.format.title), \(link.type)"))
        lines.append(
            row(
                "disk",
                "\(size(link.geometry.virtualByteCount)), sectors of \(link.geometry.logicalSectorByteCount) bytes"))
        if let count = link.fileByteCount { lines.append(row("file", size(count))) }
        if link.format != .raw { lines.append(row("id", link.identity.description)) }
        if link.log.state != .none { lines.append(row("log", log(link.log))) }
        lines += check(link)
        if let parent = link.parent { lines += self.parent(parent) }
        return lines
    }

    private func repairs(_ index: Int, _ link: LinkDiagnosis) -> [String] {
        var lines: [String] = []
        if let merge = diagnosis.unfinishedMerge, merge.linkIndex == index { lines.append(row("merge", text(merge))) }
        return lines + link.repairs.flatMap(repair)
    }

    private func text(_ merge: UnfinishedMerge) -> String {
        "into \(merge.target ?? "its parent") begun and not finished: \(merge.meaning)"
    }

    private func log(_ log: MetadataLogReport) -> String {
        guard log.state == .dirty else { return log.state.rawValue }
        return "pending, \(counted(log.entryCount, "entry", "entries")) replayed in memory, the file is unchanged"
    }

    // MARK: Findings

    private func check(_ link: LinkDiagnosis) -> [String] {
        guard link.format != .raw else { return [] }
        let (errors, warnings) = (link.errorCount, link.warningCount)
        var words: [String] = []
        if errors > 0 { words.append(counted(errors, "error", "errors")) }
        if warnings > 0 { words.append(counted(warnings, "warning", "warnings")) }
        var lines = [row("check", words.isEmpty ? "clean" : words.joined(separator: ", "))]
        if let error = link.checkError { lines.append(row("", "not checked to the end: \(error.explanation)")) }
        let noted = link.findings.filter { $0.finding.severity > .information && !$0.isPendingLog }
        lines += noted.prefix(Self.shownFindingCount).map { row("", text($0)) }
        let rest = noted.count - Self.shownFindingCount + link.droppedCount
        if rest > 0 { lines.append(row("", "and more: vhdcheck lists them")) }
        return lines
    }

    private func text(_ finding: CheckFinding) -> String {
        let detail = finding.finding.detail
        let place = plain ? "\(detail.offset)" : "0x" + String(detail.offset, radix: 16)
        return "\(detail.code) \(finding.finding.severity.rawValue) \(place) \(detail.field) \(detail.problem)"
    }

    // MARK: The parent

    private func parent(_ parent: ParentDiagnosis) -> [String] {
        let path = parent.path ?? ""
        let words =
            switch parent.outcome {
            case .match: "\(path), the id matches"
            case .mismatch: "\(path), which has another id"
            case .damaged: "\(path), which cannot be opened"
            case .locked: "\(path), which is sealed, and opens with no key that was given"
            case .missing: "not found"
            case .loop: "\(path), which is part of this chain already"
            case .tooDeep: "\(path), with which the chain would be too deep"
            }
        var lines = [row("parent", words)]
        lines += parent.expected.map { row("expects", "\($0.id) (\($0.field))") }
        if let found = parent.found { lines.append(row("found", found.description)) }
        lines += parent.candidates.map { candidate in
            let (outcome, detail) = candidate.words
            return row("tried", "\(candidate.path) (\(candidate.key)): \(outcome)" + (detail.map { ", \($0)" } ?? ""))
        }
        // The rules between the two have told the rest as findings of the check.
        let differences = parent.differences.filter { parent.outcome != .match || $0.what == .virtualSize }
        lines += differences.map { row("differs", text($0)) }
        if let scan = parent.scan { lines.append(row("looked", text(scan))) }
        return lines
    }

    private func text(_ difference: LinkDifference) -> String {
        let name =
            switch difference.what {
            case .virtualSize: "disk of \(difference.child) bytes, the parent's has \(difference.parent)"
            case .logicalSectorSize: "sectors of \(difference.child) bytes, the parent's have \(difference.parent)"
            case .modified: "the parent was changed \(difference.parent), when the child was made: \(difference.child)"
            case .diskID: "disk id \(difference.child), the parent's is \(difference.parent)"
            }
        return "\(name): \(difference.meaning)"
    }

    private func text(_ scan: ParentScan) -> String {
        let what = "through \(counted(scan.fileCount, "file", "files")) in \(scan.folders.joined(separator: ", "))"
        let result = scan.path.map { "the parent is \($0)" } ?? "none has the id"
        return "\(what): \(result)" + (scan.isCut ? "; there are more, which were not looked at" : "")
    }

    private func repair(_ repair: ChainRepair) -> [String] {
        var lines = [row("repair", repair.reason)]
        // Before the command: whoever pastes that has read it.
        if let risk = repair.risk { lines.append(row("risk", risk)) }
        guard !repair.command.isEmpty else { return lines }
        if repair.kind == .forceRelink { lines.append(row("", "only if you are sure that they did not:")) }
        lines.append(row("", "  " + shellCommand(repair.command)))
        return lines
    }

    // MARK: Verdict

    private var verdict: String {
        var words = [diagnosis.isWhole ? "whole chain" : broken]
        if let merge = diagnosis.unfinishedMerge {
            words.append("unfinished merge into \(merge.target.map(printable) ?? "a parent that was not found")")
        }
        let errors = diagnosis.errorCount - (diagnosis.isWhole ? 0 : 1)
        if errors > 0 { words.append(counted(errors, "error", "errors")) }
        let warnings = diagnosis.warningCount
        words.append(warnings == 0 ? "no warnings" : counted(warnings, "warning", "warnings"))
        let logs = diagnosis.pendingLogCount
        if logs > 0 { words.append(counted(logs, "pending log", "pending logs")) }
        return "Verdict: " + words.joined(separator: ", ")
    }

    private var broken: String {
        let last = diagnosis.links.count - 1
        return switch diagnosis.links[last].parent?.outcome {
        case .missing?: "broken chain, the parent of image \(last) is missing"
        case .mismatch?: "broken chain, the parent of image \(last) has another id"
        case .damaged?: "broken chain, the parent of image \(last) cannot be opened"
        case .locked?: "the parent of image \(last) is sealed, and opens with no key that was given"
        case .loop?: "broken chain, image \(last) names an image of the chain as its parent"
        case .tooDeep?: "the chain is deeper than \(ImageChain.depthLimit) images"
        case .match?, nil: "the chain cannot be read together"
        }
    }
}
