import BlockIO
public import ByteCodec
public import DiskModel
public import HRL
import Dispatch
import Synchronization

/// A disk whose writes and zeroes are logged: `<image>.hrl` in its folder tells, with the logs before it, how the disk
/// came to be what it is. Safe for use from several threads; writes that do not overlap go on at the same time.
///
/// **Order of a write.**
/// 1. Its regions are marked in the dirty map, durably. A cut leaves marks too many.
/// 2. It is appended to the log, in memory for the time being. Writes that overlap take their turns from here on, so that
///    their order in the log is that on the disk.
/// 3. It goes to the disk; large ones at the same time as to the log. A cut in or after 2 and 3 leaves log and disk in
///    whatever state each is in, the log unclosed, and the regions marked: they have to be compared.
///
/// **Order of `flush`.** The log, then the disk. After it both have every write that had returned before it began.
///
/// **Order of `close`.** Writes under way are waited for; log flushed; disk flushed and closed; dirty map closed with the
/// image's fingerprint; log closed. A cut before the last step leaves an unclosed log, and so a lost continuity; a log is
/// closed only when the disk has durably what it tells.
///
/// When the log cannot be written, or its quota is used up, tracking stops: the log stays unclosed, the disk and the dirty
/// map go on. When the dirty map cannot be written it is removed; a write is refused only where that fails, too.
public final class TrackedDisk: VirtualDisk {
    /// What a tracked disk is made of.
    public struct Parts: Sendable {
        /// Open for writing; nobody else writes it.
        public var disk: any VirtualDisk
        /// Where the logs are.
        public var folder: any TrackedFolder
        /// The image's file name, with which the logs' names begin.
        public var imageName: String
        /// DataWriteGuid of a VHDX, for the logs' headers; zero for other images.
        public var dataWriteGUID = GUID.zero
        /// Open, and of this disk. It stands in the same folder as `<image>.hrl.map`.
        public var map: DirtyMap?
        /// Of the image, called after the disk was closed; needed where there is a map.
        public var fingerprint: (@Sendable () throws(DiskError) -> ImageFingerprint)?
        public var policy = TrackingPolicy()
        public var now: @Sendable () -> DiskTimestamp = trackingTime
        public var onEvent: @Sendable (TrackingEvent) -> Void = { _ in }

        public init(_ disk: any VirtualDisk, in folder: any TrackedFolder, imageName: String) {
            (self.disk, self.folder, self.imageName) = (disk, folder, imageName)
        }
    }

    struct State: Sendable {
        var writes = TrackedWrites()
        /// The log in which writes are noted; nil after tracking stopped.
        var log: LogWriter?
        /// The log before it, while it is being closed.
        var ending: LogWriter?
        var status: TrackingStatus
        var hasWarned = false
        var mapIsLost = false
    }

    /// Large writes go to log and disk at the same time, from two threads.
    static let parallelByteCount = 256 << 10

    let parts: Parts
    let logs: TrackedLogs
    let state: Mutex<State>
    /// Why the logs before the first one written here do not tell everything; nil when they do.
    public let continuityLoss: String?

    public var path: String { parts.disk.path }
    public let geometry: DiskGeometry
    public var imageName: String { parts.imageName }
    public var map: DirtyMap? { parts.map }
    public var status: TrackingStatus { state.withLock { $0.status } }
    /// The log being written; nil after tracking stopped.
    public var log: LogWriter? { state.withLock { $0.log } }

    /// Begins to track a disk.
    ///
    /// 1. What the last run left gets the names it keeps (`TrackedLogs.settle`).
    /// 2. A new log is made, durably, under `<image>.hrl.new`, and renamed to `<image>.hrl`. It follows the log before; where
    ///    the image was changed in between, or the map is damaged, it follows one that does not exist, so that nobody takes
    ///    it for a continuation. A cut between leaves an empty unclosed log for the next start.
    ///
    /// - Throws: `.busy` while another tracker has the logs; `.io`.
    public static func open(_ parts: Parts) throws(DiskError) -> TrackedDisk {
        let logs = TrackedLogs(folder: parts.folder, imageName: parts.imageName)
        var tip = try logs.settle()
        if let found = parts.map?.continuity, found.state == .changedOffline || found.state == .damaged {
            tip = TrackedLogs.Tip(uniqueID: .random(), loss: found.reason)
        }
        let options = try logOptions(parts, logs, after: tip.uniqueID)
        try parts.map?.beginLog(options.uniqueID)
        let log = try logs.prepare(options)
        try logs.promoteNew()
        if let loss = tip.loss { parts.onEvent(.continuityLost(reason: loss)) }
        return TrackedDisk(parts, logs, log, tip.loss)
    }

    private init(_ parts: Parts, _ logs: TrackedLogs, _ log: LogWriter, _ loss: String?) {
        (self.parts, self.logs, continuityLoss) = (parts, logs, loss)
        geometry = parts.disk.geometry
        state = Mutex(State(log: log, status: .tracking(log.uniqueID)))
    }

    /// - Parameter occupiedByteCount: of the log that is still being written, before this one.
    static func logOptions(
        _ parts: Parts, _ logs: TrackedLogs, after previous: GUID, occupiedByteCount: UInt64 = 0
    ) throws(DiskError) -> LogWriter.Options {
        var options = LogWriter.Options()
        (options.previousUniqueID, options.dataWriteGUID) = (previous, parts.dataWriteGUID)
        options.created = parts.now()
        options.computesDataChecksums = parts.policy.computesDataChecksums
        options.keepsTimesAscending = true
        options.flushPolicy = parts.policy.flushPolicy
        if let quota = parts.policy.quotaByteCount {
            let others = try logs.waitingByteCount() + occupiedByteCount
            options.occupiedByteLimit = quota > others ? quota - others : 0
        }
        return options
    }

    // MARK: Reading

    public func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(DiskError) {
        try parts.disk.read(into: &buffer, at: offset)
    }

    public func extents(in range: Range<UInt64>, limit: Int) throws(DiskError) -> [MappedExtent] {
        try parts.disk.extents(in: range, limit: limit)
    }

    // MARK: Writing

    public func write(_ bytes: RawSpan, at offset: UInt64) throws(DiskError) {
        let range = try checked(offset, UInt64(bytes.byteCount))
        guard !range.isEmpty else { return }
        let sectors = sectors(of: range)
        let (ticket, log) = try enter(sectors)
        defer { leave(ticket) }
        try mark(sectors)
        try write(bytes, to: range, log)
    }

    /// Makes a range read as zeros; what a guest's discard comes to, too.
    public func writeZeroes(_ range: Range<UInt64>) throws(DiskError) {
        let range = try checked(range.lowerBound, range.upperBound - range.lowerBound)
        guard !range.isEmpty else { return }
        let sectors = sectors(of: range)
        let (ticket, log) = try enter(sectors)
        defer { leave(ticket) }
        try mark(sectors)
        let sector = UInt64(geometry.logicalSectorByteCount)
        let start = min(range.lowerBound.roundedUp(to: sector), range.upperBound)
        let end = max(
            start, range.upperBound == sectors.upperBound ? range.upperBound : range.upperBound.roundedDown(to: sector))
        for part in [range.lowerBound..<start, end..<range.upperBound] where !part.isEmpty {
            let zeros = [UInt8].zeros(Int(part.upperBound - part.lowerBound))
            try write(zeros.rawBytes, to: part, log)
        }
        guard start < end else { return }
        let time = parts.now()
        if let log { note(log) { () throws(DiskError) in try log.appendZeroes(start..<end, time: time) } }
        try perform { () throws(DiskError) in try parts.disk.writeZeroes(start..<end) }
    }

    /// Logs and writes, when it is the write's turn. A log tells of whole sectors, so that its blocks stand where recovery
    /// looks for them: what a write leaves of its first and last sector is read and goes with it.
    private func write(_ bytes: RawSpan, to range: Range<UInt64>, _ log: LogWriter?) throws(DiskError) {
        guard let log else { return try parts.disk.write(bytes, at: range.lowerBound) }
        let sectors = sectors(of: range)
        guard range != sectors else { return try write(bytes, at: range.lowerBound, log) }
        let head = try parts.disk.bytes(at: sectors.lowerBound, count: Int(range.lowerBound - sectors.lowerBound))
        let tail = try parts.disk.bytes(at: range.upperBound, count: Int(sectors.upperBound - range.upperBound))
        let whole = head + [UInt8](copying: bytes) + tail
        try write(whole.rawBytes, at: sectors.lowerBound, log)
    }

    private func write(_ bytes: RawSpan, at offset: UInt64, _ log: LogWriter) throws(DiskError) {
        let time = parts.now()
        if bytes.byteCount < Self.parallelByteCount {
            note(log) { () throws(DiskError) in try log.append(bytes, at: offset, time: time) }
            return try perform { () throws(DiskError) in try parts.disk.write(bytes, at: offset) }
        }
        let failure = Mutex<DiskError?>(nil)
        DispatchQueue.concurrentPerform(iterations: 2) { turn in
            if turn == 0 {
                note(log) { () throws(DiskError) in try log.append(bytes, at: offset, time: time) }
            } else {
                do throws(DiskError) {
                    try perform { () throws(DiskError) in try parts.disk.write(bytes, at: offset) }
                } catch { failure.withLock { $0 = error } }
            }
        }
        if let failure = failure.withLock({ $0 }) { throw failure }
    }

    public func flush() throws(DiskError) {
        let logs = try state.withLock { (state) throws(DiskError) in
            if case .closed = state.status { throw closedError }
            return [state.ending, state.log].compactMap { $0 }
        }
        for log in logs { note(log) { () throws(DiskError) in try log.flush() } }
        try parts.disk.flush()
    }

    /// Flushes the log when its policy says so; for a timer.
    public func flushLogIfDue() {
        guard let log else { return }
        note(log) { () throws(DiskError) in try log.flushIfDue() }
    }

    private func checked(_ offset: UInt64, _ byteCount: UInt64) throws(DiskError) -> Range<UInt64> {
        guard let range = checkedRange(offset, byteCount), range.upperBound <= geometry.virtualByteCount else {
            throw DiskError(
                .outOfRange, path: path,
                "\(byteCount) bytes at \(offset) lie past the disk's end at \(geometry.virtualByteCount)")
        }
        return range
    }

    var closedError: DiskError { DiskError(.refused, path: path, "the disk is closed") }

    /// The whole sectors that a range touches.
    private func sectors(of range: Range<UInt64>) -> Range<UInt64> {
        let sector = UInt64(geometry.logicalSectorByteCount)
        let end = min(range.upperBound.roundedUp(to: sector), geometry.virtualByteCount)
        return range.lowerBound.roundedDown(to: sector)..<end
    }

    /// Waits for the turn of a write to whole sectors.
    private func enter(_ sectors: Range<UInt64>) throws(DiskError) -> (ticket: UInt64, log: LogWriter?) {
        let (ticket, wait, log) = try state.withLock { (state) throws(DiskError) in
            let (ticket, wait) = state.writes.enter(sectors)
            return (ticket, wait, wait == nil ? try admit(ticket, &state) : nil)
        }
        guard let wait else { return (ticket, log) }
        wait.wait()
        return (ticket, try state.withLock { (state) throws(DiskError) in try admit(ticket, &state) })
    }

    /// The log for a write whose turn it is.
    private func admit(_ ticket: UInt64, _ state: inout State) throws(DiskError) -> LogWriter? {
        if case .closed = state.status {
            state.writes.leave(ticket)
            throw closedError
        }
        return state.log
    }

    private func leave(_ ticket: UInt64) { state.withLock { $0.writes.leave(ticket) } }
}
