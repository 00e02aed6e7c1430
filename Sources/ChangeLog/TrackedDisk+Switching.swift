import ByteCodec
public import DiskModel
import Dispatch
import HRL
import Synchronization

// The steps of a log switch and of the end, of one disk. `LogSwitch` puts them in order.
extension TrackedDisk {
    /// A log made ready while the other is still written; nil when tracking has stopped.
    func prepareLog() throws(DiskError) -> LogWriter? {
        guard let log else { return nil }
        let options = try Self.logOptions(
            parts, logs, after: log.uniqueID, occupiedByteCount: log.occupiedByteCount)
        return try logs.prepare(options)
    }

    /// Lets no further write begin.
    /// - Returns: what to wait on until those under way have ended.
    /// - Throws: `.refused` when the disk is closed, or somebody else holds its writes.
    func holdWrites() throws(DiskError) -> DispatchSemaphore? {
        try state.withLock { (state) throws(DiskError) in
            if case .closed = state.status { throw closedError }
            guard !state.writes.isHeld else {
                throw DiskError(.refused, path: path, "its log is being switched, or the disk closed, just now")
            }
            return state.writes.hold()
        }
    }

    func releaseWrites() { state.withLock { $0.writes.release() } }

    /// Exchanges the logs; while writes are held.
    /// - Returns: the log that ends; nil when tracking has stopped meanwhile.
    func exchange(for next: LogWriter) -> LogWriter? {
        let old = state.withLock { state -> LogWriter? in
            guard let old = state.log else { return nil }
            (state.log, state.ending) = (next, old)
            state.status = .tracking(next.uniqueID)
            state.hasWarned = false
            return old
        }
        guard old != nil, let map = parts.map, !state.withLock({ $0.mapIsLost }) else { return old }
        do throws(DiskError) { try map.beginLog(next.uniqueID) } catch {
            // Where the map cannot even be removed, every write is refused from now on, because `mark` fails, too.
            do throws(DiskError) { try loseMap(error) } catch {}
        }
        return old
    }

    /// Closes the log that ended, when the disk has durably what it tells, and gives both their names. Writes go on.
    /// - Throws: after which tracking has stopped.
    func finish(_ old: LogWriter) throws(DiskError) {
        defer { state.withLock { $0.ending = nil } }
        do throws(DiskError) {
            try parts.disk.flush()
            try old.close(at: parts.now())
            try logs.retire(old.uniqueID)
            try logs.promoteNew()
        } catch {
            stop(old, .logFailed(error))
            throw error
        }
    }

    /// Ends tracking and the use of the disk; see the type's order of `close`. The log stays as `<image>.hrl`, closed.
    public func close() throws(DiskError) {
        try holdWrites()?.wait()
        defer { releaseWrites() }
        let log = state.withLock { state in
            defer { state.status = .closed }
            return state.log
        }
        if let log { note(log) { () throws(DiskError) in try log.flush() } }
        try parts.disk.close()
        if let map = parts.map, !state.withLock({ $0.mapIsLost }) {
            if let fingerprint = parts.fingerprint { try map.close(try fingerprint()) }
        }
        // Nil where the flush above failed: then the log stays unclosed.
        let closing = state.withLock { state in
            defer { state.log = nil }
            return state.log
        }
        try closing?.close(at: parts.now())
    }
}
