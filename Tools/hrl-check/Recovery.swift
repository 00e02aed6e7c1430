import BlockIO
import ByteCodec
import DiskModel
import HRL
import ImageChain
import Toolbox

extension HRLCheck {
    /// Writes a closed copy of a log that was not closed, or whose blocks cannot be followed from its end.
    func recoverLog(_ log: CheckedLog, to path: String, _ progress: Progress, _ run: ToolRun) throws {
        guard !log.header.isClosed || log.check.summary == nil else {
            throw DiskError(.refused, path: log.path, "the log was closed: there is nothing to recover")
        }
        try refuseOverwriting(path, log, run)
        let file = try imageOptions.openOptions.files.open(log.path)
        let found = try log.recovered ?? HRL.recover(unclosed: file.contents)
        let candidate: RecoveredLog.Candidate
        do throws(DiskError) { candidate = try found.candidate(at: pick?.byteCount) } catch {
            var error = error
            if error.hint != nil, let last = found.candidates.last {
                error.hint =
                    "pick one with --pick; if the log went on after a forgery, the furthest is right: "
                    + "--pick 0x\(String(last.blockOffset, radix: 16))"
            }
            throw error
        }
        let findings = try found.findings(for: candidate)
        run.warn(log.path, findings)
        if !dryRun { try write(found, candidate, of: file, to: path, progress, run) }
        run.raise(.partial)
        report(recovered: candidate, findings, to: path, run)
    }

    /// The output must be none of the files read.
    private func refuseOverwriting(_ path: String, _ log: CheckedLog, _ run: ToolRun) throws {
        try Toolbox.refuseOverwriting(path, [log.path], "the input")
        try run.refuseOverwritingCaseLog(path)
        guard let base else { return }
        try Toolbox.refuseOverwriting(path, [base], "the base")
        let parents = (try? ImageChain.walk(base, imageOptions.openOptions))?.links.dropFirst().map(\.path) ?? []
        try Toolbox.refuseOverwriting(path, parents, "a parent of the base")
    }

    /// - Parameter log: the copy is sealed as it is, unless the options say for whom.
    private func write(
        _ found: RecoveredLog, _ candidate: RecoveredLog.Candidate, of log: OpenedFile, to path: String,
        _ progress: Progress, _ run: ToolRun
    ) throws {
        let made = try newSeal.output(path, replaces: replaces, imageOptions.keyOptions, staysSmall: true, like: log)
        progress.begin("hrl-check: copying", total: candidate.endOfLog)
        try found.writeClosedCopy(
            of: candidate, to: made.file, time: DiskTimestamp(unixSeconds: ToolRun.now())
        ) { done, _ in progress.update(done) }
        try made.commit()
        progress.end()
        run.addOutput(path, byteCount: try made.host.byteCount())
    }
}
