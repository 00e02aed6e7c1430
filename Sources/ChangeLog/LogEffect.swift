import BlockIO
public import ByteCodec
public import DiskModel
public import HRL

/// What a run of closed logs does to a disk, as one change: of each place the last bytes. Making it validates all of all
/// logs and touches no disk.
///
/// Memory: some 40 MiB, however many writes there are. Where more runs remain than that holds, the logs' metadata is gone
/// through again for each further part of the disk.
public struct LogEffect {
    /// Oldest first.
    public let logs: [LogReader]
    public let limit: WriteLimit
    /// One a log, of all its writes.
    public private(set) var summaries: [LogSummary] = []
    /// Writes up to the limit, and their bytes.
    public private(set) var writeCount: UInt64 = 0
    public private(set) var byteCount: UInt64 = 0
    /// The latest time of these writes; nil without any.
    public private(set) var newestTime: DiskTimestamp?
    /// Whether the limit left writes out.
    public private(set) var stoppedEarly = false
    /// How many of the logs count, the last of them perhaps in part.
    public private(set) var usedLogCount = 0
    /// The first pass, ended.
    private var first = LatestPieces()

    /// Validates headers, blocks, entries, data checksums, and every range against the disk's size.
    /// - Parameters:
    ///   - virtualByteCount: size of the disk that the writes must fit; nil for any disk.
    ///   - progress: bytes of the logs' files done, and all of them.
    /// - Throws: `DiskError`: a log's error (`.format`), HRL019 for a write past the disk's end, HRL002, HRL008 or HRL009
    ///   for a log that must not be applied without being asked to; what `progress` throws.
    public init(
        of logs: [LogReader], limit: WriteLimit = .init(), virtualByteCount: UInt64? = nil,
        progress: (UInt64, UInt64) throws(DiskError) -> Void = { _, _ in }
    ) throws(DiskError) {
        try self.init(of: logs, limit, virtualByteCount, capacity: LatestPieces.usualCapacity, progress)
    }

    init(
        of logs: [LogReader], _ limit: WriteLimit, _ virtualByteCount: UInt64?, capacity: Int,
        _ progress: (UInt64, UInt64) throws(DiskError) -> Void = { _, _ in }
    ) throws(DiskError) {
        (self.logs, self.limit) = (logs, limit)
        var latest = LatestPieces(capacity: capacity)
        var pass = WriteLimit.Pass(limit)
        let fileTotal = logs.reduce(UInt64(0)) { $0.adding($1.endOfLog) ?? .max }
        var doneFiles: UInt64 = 0
        for (index, log) in logs.enumerated() {
            try progress(doneFiles, fileTotal)
            try log.checkApplicable()
            do throws(DiskError) {
                summaries.append(
                    try log.validate(virtualByteCount: virtualByteCount) { write in
                        guard pass.admits(write) else { return }
                        writeCount += 1
                        byteCount = byteCount.adding(write.byteCount) ?? .max
                        newestTime = max(newestTime ?? write.timestamp, write.timestamp)
                        usedLogCount = index + 1
                        latest.add(LogPiece(write, logIndex: index))
                    })
            } catch { throw Self.explained(error) }
            doneFiles = doneFiles.adding(log.endOfLog) ?? .max
            if !pass.isReached { usedLogCount = index + 1 }
        }
        stoppedEarly = pass.isReached
        latest.endPass()
        first = latest
    }

    /// Final bytes of the first part of the disk, which for all but huge logs is all of it.
    public var firstByteCount: UInt64 { first.pieces.reduce(0) { $0 + $1.byteCount } }
    /// Whether the first part is all.
    public var isWhole: Bool { first.isLast }

    /// Visits the final pieces in the order of the disk: disjoint, and what is left out is not written.
    /// - Throws: what reading the logs again throws, and what `body` throws.
    public func forEachPiece(_ body: (LogPiece) throws(DiskError) -> Void) throws(DiskError) {
        for piece in first.pieces { try body(piece) }
        guard !first.isLast else { return }
        var latest = first
        while latest.beginPass() {
            try forEachWrite { latest.add($0) }
            latest.endPass()
            for piece in latest.pieces { try body(piece) }
        }
    }

    /// Visits the final pieces as `forEachPiece`, in the order in which copying them takes fewer calls: that of the disk,
    /// or, where most of the logs is final and small writes lie apart from each other, that of the logs.
    /// - Throws: as `forEachPiece`.
    func forEachPieceToCopy(_ body: (LogPiece) throws(DiskError) -> Void) throws(DiskError) {
        let pieces = first.pieces
        guard isWhole, let order = Self.logOrder(of: pieces) else { return try forEachPiece(body) }
        for index in order { try body(pieces[Int(index)]) }
    }

    /// The order in which pieces stand in their logs; nil where that does not save much.
    private static func logOrder(of pieces: [LogPiece]) -> [UInt32]? {
        var order = KeyOrder(count: pieces.count)
        order.sort { pieces[$0].dataOffset }
        order.sort { UInt64(pieces[$0].logIndex) }
        // Along the disk each piece is a read, and along the logs a write; runs of them are one call the other way.
        var (diskRunCount, logRunCount) = (min(1, pieces.count), min(1, pieces.count))
        for index in pieces.indices.dropFirst() {
            if pieces[index - 1].diskEnd != pieces[index].diskOffset { diskRunCount += 1 }
            let (last, next) = (pieces[Int(order.indices[index - 1])], pieces[Int(order.indices[index])])
            if last.logIndex != next.logIndex || last.dataRange.upperBound != next.dataOffset { logRunCount += 1 }
        }
        // The disk's own order is worth some calls: its file gets fewer fragments.
        return 8 * (logRunCount + pieces.count) <= 5 * (diskRunCount + pieces.count) ? order.indices : nil
    }

    /// Visits the writes that count as they were logged.
    /// - Throws: as `forEachPiece`.
    public func forEachWrite(_ body: (LogPiece) throws(DiskError) -> Void) throws(DiskError) {
        var pass = WriteLimit.Pass(limit)
        for (index, log) in logs.enumerated() where !pass.isReached {
            try log.forEachWrite(verifyingData: false) { (write) throws(DiskError) in
                if pass.admits(write) { try body(LogPiece(write, logIndex: index)) }
            }
        }
    }

    private static func explained(_ error: DiskError) -> DiskError {
        guard error.formatError?.code == .hrlDiskRange, error.hint == nil else { return error }
        var error = error
        error.hint = "the log's disk is larger than this one: grow this one first"
        return error
    }
}
