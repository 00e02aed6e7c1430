import BlockIO
public import ByteCodec
public import DiskModel
public import HRL

/// Closed logs, open for reading, in the order in which their writes count.
public struct ClosedLogs: Sendable {
    /// Oldest first.
    public private(set) var readers: [LogReader] = []
    /// What was noticed about their chain.
    public private(set) var findings: [Finding] = []

    /// Opens logs.
    /// - Parameters:
    ///   - isChain: whether to put them in the order of their chain; else they keep the one given.
    ///   - files: opens the logs, and what is sealed.
    ///   - opened: is told of each log as soon as it is open.
    /// - Throws: `DiskError`: as `LogReader.init` for the first log that cannot be opened, and as `LogChainOrder.init`.
    public init(
        _ paths: [String], _ options: HRLReadOptions = .init(), isChain: Bool, _ files: FileOpener = .plain,
        opened: (LogReader) -> Void = { _ in }
    ) throws(DiskError) {
        for path in paths {
            let reader = try Self.open(path, options, files)
            opened(reader)
            readers.append(reader)
        }
        if isChain { try orderByChain() }
    }

    /// Undo logs, where there are other logs as well: they take back what those before them write.
    public var undoLogsAmongOthers: [LogReader] {
        let undoLogs = readers.filter { $0.header.creatorApplication == UndoLog.creatorApplication }
        return undoLogs.count < readers.count ? undoLogs : []
    }

    private mutating func orderByChain() throws(DiskError) {
        do throws(DiskError) {
            let order = try LogChainOrder(readers.map { LogLink($0) })
            readers = order.indices.map { readers[$0] }
            findings = order.findings
        } catch {
            var error = error
            if error.hint == nil { error.hint = twinHint }
            if error.hint == nil, let undo = undoLogsAmongOthers.first {
                error.hint = "\(undo.file.path) is an undo log: leave it out, or name it alone to go back"
            }
            throw error
        }
    }

    /// Two undo logs of the same logs, of which one run had a limit: the ids tell the logs, and not how far they were applied.
    private var twinHint: String? {
        var seen: [GUID: LogReader] = [:]
        for log in readers where log.header.creatorApplication == UndoLog.creatorApplication {
            guard let twin = seen.updateValue(log, forKey: log.header.previousUniqueID) else { continue }
            let (older, newer) = twin.header.timeStamp <= log.header.timeStamp ? (twin, log) : (log, twin)
            return "both are undo logs of the same logs, as of runs with and without --until: "
                + "\(UndoLog.summary(of: older)), \(UndoLog.summary(of: newer)); to take back both runs, name the later run's "
                + "first, with --unlinked"
        }
        return nil
    }

    private static func open(
        _ path: String, _ options: HRLReadOptions, _ files: FileOpener
    ) throws(DiskError) -> LogReader {
        do throws(DiskError) { return try LogReader(try files.open(path).contents, options: options) } catch {
            var error = error
            // Not closed, or cut off since.
            if error.isUnclosedLog || error.formatError?.code == .hrlEndOfLog {
                error.hint = "hrl-check --recover makes a closed copy of what can be found"
            }
            throw error
        }
    }
}
