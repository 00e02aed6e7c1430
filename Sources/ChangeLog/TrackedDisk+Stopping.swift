import ByteCodec
import DiskModel
import HRL
import Synchronization

// What becomes of a tracked disk when one of its three files fails.
extension TrackedDisk {
    /// Does something with the log. Where that fails tracking stops, and the disk goes on.
    func note(_ log: LogWriter, _ body: () throws(DiskError) -> Void) {
        do throws(DiskError) {
            try body()
            warnOfQuota(log)
        } catch {
            // Once it is full, what it has is still worth a flush; then it is left alone.
            guard log.isFull else { return stop(log, .logFailed(error)) }
            stop(log, .quota(byteCount: parts.policy.quotaByteCount ?? 0))
        }
    }

    /// Changes the disk by what is logged. Where that fails, nobody knows what the disk has of it, so the log may not be
    /// taken for the truth.
    func perform(_ body: () throws(DiskError) -> Void) throws(DiskError) {
        do throws(DiskError) { try body() } catch {
            if let log { stop(log, .diskFailed(error)) }
            throw error
        }
    }

    func stop(_ log: LogWriter, _ reason: TrackingStop) {
        let stopped = state.withLock { state -> LogWriter? in
            guard let current = state.log, current === log || state.ending === log else { return nil }
            state.log = nil
            if case .tracking = state.status { state.status = .stopped(reason) }
            return current
        }
        guard let stopped else { return }
        if case .quota = reason {
            // For who wants to recover what can be had of it.
            do throws(DiskError) { try stopped.flush() } catch {}
        }
        parts.onEvent(.stopped(reason))
    }

    private func warnOfQuota(_ log: LogWriter) {
        guard let quota = parts.policy.quotaByteCount, let limit = log.occupiedByteLimit else { return }
        let occupied = log.occupiedByteCount + (quota - limit)
        guard Double(occupied) >= Double(quota) * parts.policy.warningShare else { return }
        let isFirst = state.withLock { state in
            defer { state.hasWarned = true }
            return !state.hasWarned
        }
        if isFirst { parts.onEvent(.quotaWarning(occupiedByteCount: occupied, quotaByteCount: quota)) }
    }

    /// Marks a range before its write reaches the disk.
    /// - Throws: when it cannot be marked, and the map cannot be removed either: the write must not be done.
    func mark(_ range: Range<UInt64>) throws(DiskError) {
        guard let map = parts.map, !state.withLock({ $0.mapIsLost }) else { return }
        do throws(DiskError) { try map.mark(range) } catch {
            try loseMap(error)
        }
    }

    func loseMap(_ error: DiskError) throws(DiskError) {
        guard !state.withLock({ $0.mapIsLost }) else { return }
        try diskErrors(logs.path(logs.mapName), "removing the dirty map, which cannot be written") {
            if try logs.folder.names().contains(logs.mapName) { try logs.folder.remove(logs.mapName) }
            try logs.folder.sync()
        }
        let isFirst = state.withLock { state in
            defer { state.mapIsLost = true }
            return !state.mapIsLost
        }
        if isFirst { parts.onEvent(.mapLost(error)) }
    }
}
