import BlockIO
import ByteCodec
import DiskModel
import HRL
import Toolbox

// What is said about the logs, as text and as JSON.

extension HRLCheck {
    func report(_ logs: [CheckedLog], _ chain: CheckedChain?, _ image: BaseImage?, _ run: ToolRun) {
        run.result = [
            "logs": .array(logs.map(document)),
            "chain": chain.map { document($0, logs) } ?? .null,
            "base": image.map(document) ?? .null,
            "recovered": .null,
        ]
        guard !output.json else { return }
        let budget = FindingBudget()
        for log in logs { print(log, image, budget, run) }
        for line in budget.rests { try? run.out.line(line) }
        if let chain { print(chain, logs, run) }
    }

    func report(
        recovered candidate: RecoveredLog.Candidate, _ findings: [Finding], to path: String, _ run: ToolRun
    ) {
        if case .object(let members) = run.result {
            run.result = .object(
                members.map { member in
                    guard member.key == "recovered" else { return member }
                    return .init(
                        "recovered",
                        [
                            "path": .string(path), "dry_run": .bool(dryRun), "writes": .unsigned(candidate.writeCount),
                            "end_of_log": .unsigned(candidate.endOfLog),
                            "block_offset": .unsigned(candidate.blockOffset),
                            "findings": .array(findings.map { document(LogFinding($0), counted: $0.severity) }),
                        ])
                })
        }
        guard !output.json, !output.quiet else { return }
        try? run.out.line(
            "\(printable(path)): \(dryRun ? "would be " : "")a closed log of "
                + "\(counted(candidate.writeCount, "write", "writes")), "
                + "\(Quantity.bytes(candidate.endOfLog, plain: output.bytes)); not valid for going on with a replication"
        )
    }

    // Text

    private func print(_ log: CheckedLog, _ image: BaseImage?, _ budget: FindingBudget, _ run: ToolRun) {
        try? run.out.line("\(printable(log.path)): \(verdictText(log))")
        if !output.quiet {
            let header = log.header
            let previous = header.previousUniqueID == .zero ? "no log" : header.previousUniqueID.description
            try? run.out.line("  id \(header.uniqueID), after \(previous)")
            try? run.out.line("  created \(header.created), version \(header.majorVersion)\(contents(log))")
            if let image, let summary = log.check.summary, summary.maximumEnd <= image.virtualByteCount {
                try? run.out.line(
                    "  fits \(printable(image.path)) of \(Quantity.bytes(image.virtualByteCount, plain: output.bytes))")
            }
        }
        printFindings(of: log, budget, run)
        guard let found = log.recovered else { return }
        for candidate in found.candidates {
            try? run.out.line(
                "  recoverable: \(counted(candidate.writeCount, "write", "writes")), last block at "
                    + Quantity.offset(candidate.blockOffset))
        }
        if found.candidateCount == 0 { try? run.out.line("  recoverable: nothing") }
        // The recovery tells them itself.
        guard recover == nil else { return }
        for finding in log.recoveryFindings { try? run.out.line("  \(finding.severity.rawValue): \(finding.detail)") }
    }

    private func printFindings(of log: CheckedLog, _ budget: FindingBudget, _ run: ToolRun) {
        var digest = FindingDigest(of: budget)
        for finding in log.check.findings where finding.severity > .information || output.verbose {
            guard digest.admits(finding.finding.kind) else { continue }
            let isAccepted = log.severity(finding) != finding.severity
            let detail = printable(finding.detail.description)
            try? run.out.line("  \(isAccepted ? "accepted" : finding.severity.rawValue): \(detail)")
        }
        digest.add(dropped: log.check.dropped)
        for line in digest.rests() { try? run.out.line("  \(line)") }
    }

    private func verdictText(_ log: CheckedLog) -> String {
        let (errors, warnings) = (log.count(.error), log.count(.warning))
        var parts: [String] = []
        if !log.header.isClosed { parts.append("not closed") }
        if errors > 0 { parts.append(counted(errors, "error", "errors")) }
        if warnings > 0 { parts.append(counted(warnings, "warning", "warnings")) }
        return parts.isEmpty ? "clean" : parts.joined(separator: ", ")
    }

    private func contents(_ log: CheckedLog) -> String {
        guard let summary = log.check.summary else { return "" }
        let bytes = Quantity.bytes(summary.byteCount, plain: output.bytes)
        var text = ", \(counted(summary.writeCount, "write", "writes")), \(bytes)"
        if let first = summary.firstTime, let last = summary.lastTime { text += ", \(first) to \(last)" }
        return text
    }

    private func print(_ chain: CheckedChain, _ logs: [CheckedLog], _ run: ToolRun) {
        if let error = chain.error {
            let what = error.formatError?.description ?? error.explanation
            try? run.out.line(printable("chain: \(what) in \(error.path)"))
        } else {
            let shown = chain.order.prefix(20).map { logs[$0].path }.joined(separator: ", ")
            let more = chain.order.count > 20 ? " and \(chain.order.count - 20) more" : ""
            try? run.out.line(printable("chain: in order: \(shown)\(more)"))
        }
        for finding in chain.findings where finding.severity > .information || output.verbose {
            try? run.out.line("  \(finding.severity.rawValue): \(finding.detail)")
        }
    }

    // JSON

    private func document(_ finding: LogFinding, counted: Finding.Severity) -> JSONValue {
        [
            "code": .string(finding.detail.code.rawValue), "severity": .string(finding.severity.rawValue),
            "accepted": .bool(counted != finding.severity), "n": .optional(finding.write),
            "field": .string(finding.detail.field), "offset": .unsigned(finding.detail.offset),
            "section": .string(finding.detail.section), "message": .string(finding.detail.problem),
        ]
    }

    private func id(_ id: GUID) -> JSONValue { id == .zero ? nil : .string(id.description) }

    private func document(_ log: CheckedLog) -> JSONValue {
        let (header, summary) = (log.header, log.check.summary)
        return [
            "path": .string(log.path), "size": .unsigned(log.byteCount), "verdict": .string(log.verdict),
            "closed": .bool(header.isClosed),
            "format_version": .string("\(header.majorVersion).\(header.logFormatVersion & 0xffff)"),
            "unique_id": .string(header.uniqueID.description), "previous_unique_id": id(header.previousUniqueID),
            "data_write_guid": id(header.vhd2DataWriteGUID), "created": .string(header.created.description),
            "created_raw": .unsigned(UInt64(header.timeStamp)),
            "metadata_size": .unsigned(UInt64(header.metadataSize)), "end_of_log": .unsigned(header.eolLocation),
            "blocks": .optional(summary?.blockCount), "writes": .optional(summary?.writeCount),
            "bytes": .optional(summary?.byteCount),
            "first_time": .optional(summary?.firstTime?.description),
            "last_time": .optional(summary?.lastTime?.description),
            "minimum_offset": .optional(summary?.minimumOffset), "maximum_end": .optional(summary?.maximumEnd),
            "findings": .array(log.check.findings.map { document($0, counted: log.severity($0)) }),
            "findings_not_shown": .integer(Int64(log.check.dropped.values.reduce(0, +))),
            "recoverable": .array(
                (log.recovered?.candidates ?? []).map {
                    [
                        "block_offset": .unsigned($0.blockOffset), "end_of_log": .unsigned($0.endOfLog),
                        "writes": .unsigned($0.writeCount),
                    ]
                }),
        ]
    }

    private func document(_ chain: CheckedChain, _ logs: [CheckedLog]) -> JSONValue {
        [
            "verdict": .string(chain.verdict), "order": .array(chain.order.map { .string(logs[$0].path) }),
            "message": .optional(chain.error?.explanation),
            "findings": .array(chain.findings.map { document(LogFinding($0), counted: $0.severity) }),
        ]
    }

    private func document(_ image: BaseImage) -> JSONValue {
        [
            "path": .string(image.path), "format": .string(image.format.rawValue),
            "virtual_size": .unsigned(image.virtualByteCount),
            "data_write_guid": .optional(image.dataWriteGUID?.description),
        ]
    }
}
