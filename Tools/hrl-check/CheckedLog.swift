import BlockIO
import ByteCodec
import DiskModel
import HRL
import Toolbox

/// A log with everything the rules say about it.
struct CheckedLog {
    let path: String
    let byteCount: UInt64
    let header: LogHeader
    let check: LogCheck
    /// What the search for blocks found, for a log that was not closed.
    private(set) var recovered: RecoveredLog?
    /// What there is to tell about recovering it, where it has one possible end.
    private(set) var recoveryFindings: [Finding] = []
    let accepted: Set<FormatError.Code>

    /// - Parameter opened: not kept, unless the log was not closed: there may be more logs than a process may have files.
    /// - Throws: `DiskError` for failed I/O, and for a file that is no log.
    init(
        _ opened: OpenedFile, _ base: BaseImage?, accepted: Set<FormatError.Code>, _ progress: Progress
    ) throws(DiskError) {
        let (path, file) = (opened.path, opened.contents)
        self.path = path
        self.accepted = accepted
        byteCount = try diskErrors(path) { try file.byteCount() }
        check = try checkLog(file, virtualByteCount: base?.virtualByteCount, dataWriteGUID: base?.dataWriteGUID)
        guard let header = check.header else {
            let worst = check.findings.first { $0.severity == .error }
            if let detail = worst?.detail { throw DiskError(detail, path: path) }
            throw DiskError(.unrecognised, path: path, "not a replica log")
        }
        self.header = header
        guard !header.isClosed else { return }
        progress.begin("hrl-check: looking for blocks", total: byteCount)
        let found = try HRL.recover(unclosed: file) { done, _ in progress.update(done) }
        recovered = found
        if found.candidateCount == 1 { recoveryFindings = try found.findings(for: found.candidates[0]) }
    }

    /// Severity as it counts: accepted codes are no more than information.
    func severity(_ finding: LogFinding) -> Finding.Severity { severity(finding.finding.kind) }

    private func severity(_ kind: Finding.Kind) -> Finding.Severity {
        accepted.contains(kind.code) ? .information : kind.severity
    }

    /// How many findings count as this severe, those among them that were not kept.
    func count(_ severity: Finding.Severity) -> Int {
        func counts(_ kind: Finding.Kind) -> Bool { self.severity(kind) == severity && kind.code != .hrlNotClosed }
        let dropped = check.dropped.filter { counts($0.key) }
        return check.findings.count { counts($0.finding.kind) } + dropped.values.reduce(0, +)
    }

    var hasErrors: Bool { count(.error) > 0 }

    var verdict: String {
        if hasErrors { return "errors" }
        if !header.isClosed { return "unclosed" }
        return count(.warning) > 0 ? "warnings" : "clean"
    }

    var status: ExitStatus { hasErrors ? .finding : verdict == "clean" ? .done : .partial }
}

/// Several logs in the order of their chain.
struct CheckedChain {
    /// Indices of the logs, oldest first; empty when they are no chain.
    var order: [Int] = []
    var error: DiskError?
    var findings: [Finding] = []
    private let accepted: Set<FormatError.Code>

    init(_ logs: [CheckedLog], accepted: Set<FormatError.Code>) {
        self.accepted = accepted
        do throws(DiskError) {
            let found = try LogChainOrder(logs.map { LogLink(path: $0.path, header: $0.header) })
            order = found.indices
            findings = found.findings
        } catch { self.error = error }
    }

    private var counted: [Finding] { findings.filter { !accepted.contains($0.detail.code) } }

    var status: ExitStatus {
        if let error { return accepted.contains(error.formatError?.code ?? .hrlChain) ? .done : .finding }
        if counted.contains(where: { $0.severity == .error }) { return .finding }
        return counted.contains { $0.severity == .warning } ? .partial : .done
    }

    /// `in order`, or the fault.
    var verdict: String {
        if let problem = error?.formatError?.problem { return String(problem.prefix { $0 != ":" }) }
        return error == nil ? "in order" : "broken"
    }
}
