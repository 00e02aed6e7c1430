import BlockIO
import ByteCodec
import DiskModel
import HRL
import Toolbox

extension HRLCheck {
    /// Writes a closed copy of a log that was not closed, or whose blocks cannot be followed from its end.
    func recoverLog(_ log: CheckedLog, to path: String, _ progress: Progress, _ run: ToolRun) throws {
        guard !log.header.isClosed || log.check.summary == nil else {
            throw DiskError(.refused, path: log.path, "the log was closed: there is nothing to recover")
        }
        if let there = try? PosixFile(path), try there.identity == PosixFile(log.path).identity {
            throw DiskError(.refused, path: path, "the output is the input", hint: "choose another output file")
        }
        let found = try log.recovered ?? HRL.recover(unclosed: try PosixFile(log.path))
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
        if !dryRun { try write(found, candidate, to: path, progress, run) }
        run.raise(.partial)
        report(recovered: candidate, findings, to: path, run)
    }

    private func write(
        _ found: RecoveredLog, _ candidate: RecoveredLog.Candidate, to path: String, _ progress: Progress,
        _ run: ToolRun
    ) throws {
        let pending = try PendingFile(path, replaces: replaces)
        progress.begin("hrl-check: copying", total: candidate.endOfLog)
        try found.writeClosedCopy(
            of: candidate, to: pending.file, time: DiskTimestamp(unixSeconds: ToolRun.now())
        ) { done, _ in progress.update(done) }
        try pending.commit()
        progress.end()
        run.addOutput(path, byteCount: candidate.endOfLog)
    }
}
