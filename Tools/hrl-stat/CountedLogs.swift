import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import HRL
import Toolbox

/// The logs of a run, in the order in which they count, and what was counted.
struct CountedLogs {
    /// A log, with what is needed to open it again: there may be more than a process may have files.
    struct Log {
        let path: String
        let byteCount: UInt64
        let header: LogHeader
        let endOfLog: UInt64
        /// Of a log that was not closed: looking for its end again would take long. There is hardly ever more than one.
        let recovered: OpenedLog?
        var found: LogStatistics.Log?
    }

    private(set) var logs: [Log] = []
    private(set) var statistics: LogStatistics
    private var options = HRLReadOptions()
    private var files = FileOpener.plain

    init(_ statistics: LogStatistics) { self.statistics = statistics }

    var isComplete: Bool { logs.allSatisfy { $0.recovered == nil } }
    /// What the logs' files take up, holes left out.
    var allocatedByteCount: UInt64 { sum { $0.found?.allocatedByteCount ?? 0 } }
    var storedByteCount: UInt64 { sum { $0.found?.storedByteCount ?? 0 } }

    /// Sparse files can be so long that two of them have too many bytes to count: the sum stays at the most there is.
    private func sum(_ byteCount: (Log) -> UInt64) -> UInt64 {
        logs.reduce(0) { $0.adding(byteCount($1)) ?? .max }
    }

    mutating func open(
        _ paths: [String], _ options: HRLReadOptions, _ files: FileOpener, _ run: ToolRun
    ) throws {
        (self.options, self.files) = (options, files)
        for path in paths {
            let opened = try OpenedLog(path, options, files)
            let reader = opened.reader
            run.addInput(reader.file)
            logs.append(
                Log(
                    path: path, byteCount: reader.fileByteCount, header: reader.header, endOfLog: reader.endOfLog,
                    recovered: opened.isUnclosed ? opened : nil))
        }
    }

    /// Puts the logs in the order of their chain. One that was not closed has its place like the others.
    mutating func order(_ run: ToolRun) throws(DiskError) {
        let links = logs.map { log in
            var header = log.header
            header.eolLocation = log.endOfLog
            return LogLink(path: log.path, header: header)
        }
        do throws(DiskError) {
            let order = try LogChainOrder(links)
            for finding in order.findings { run.warn(logs[0].path, [finding]) }
            logs = order.indices.map { logs[$0] }
        } catch {
            var error = error
            if error.hint == nil { error.hint = "--unlinked counts logs that are no chain" }
            throw error
        }
    }

    /// Writes must not count twice, in a chain or not.
    func refuseDuplicates() throws(DiskError) {
        var paths: [GUID: String] = [:]
        for log in logs where log.header.uniqueID != .zero {
            if let other = paths.updateValue(log.path, forKey: log.header.uniqueID) {
                throw DiskError(
                    .chain, path: log.path, "duplicate: \(other) has the same UniqueId \(log.header.uniqueID)")
            }
        }
    }

    /// Counts all writes, in as many passes as it takes.
    mutating func count(verifyingData: Bool, _ progress: Progress, _ run: ToolRun) throws(DiskError) {
        let total = sum(\.endOfLog)
        progress.begin("hrl-stat", total: total)
        var done: UInt64 = 0
        for index in logs.indices {
            let reader = try reader(logs[index])
            do throws(DiskError) {
                logs[index].found = try statistics.add(reader, verifyingData: verifyingData) {
                    progress.update(done.adding($0) ?? .max)
                }
            } catch {
                var error = error
                if error.formatError != nil, error.hint == nil { error.hint = "hrl-check lists all that is wrong" }
                throw error
            }
            note(logs[index], run)
            done = done.adding(logs[index].endOfLog) ?? .max
        }
        while statistics.needsAnotherPass() {
            progress.begin("hrl-stat: counting unique bytes", total: total)
            done = 0
            for log in logs {
                try statistics.addAgain(try reader(log)) { progress.update(done.adding($0) ?? .max) }
                done = done.adding(log.endOfLog) ?? .max
            }
        }
    }

    private func reader(_ log: Log) throws(DiskError) -> LogReader {
        if let recovered = log.recovered { return recovered.reader }
        let reader = try LogReader(try files.open(log.path).contents, options: options)
        guard reader.header == log.header else {
            throw DiskError(.io, path: log.path, "the log changed while it was being read")
        }
        return reader
    }

    /// Tells what was noticed about a log.
    private func note(_ log: Log, _ run: ToolRun) {
        if let opened = log.recovered {
            run.raise(.partial)
            let count = log.found?.summary.writeCount ?? 0
            run.warn(
                log.path,
                "the log was not closed: \(counted(count, "write was", "writes were")) found, others may be lost",
                code: FormatError.Code.hrlNotClosed.rawValue)
            run.warn(log.path, opened.recoveryFindings)
        }
        guard let summary = log.found?.summary else { return }
        run.warn(log.path, summary.findings.map(\.finding), dropped: summary.dropped, showing: 1)
    }
}
