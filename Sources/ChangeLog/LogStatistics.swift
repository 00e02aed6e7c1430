public import ByteCodec
public import DiskModel
public import HRL
import BlockIO

/// What logs hold, counted: how much, where, when, and in what pieces.
///
/// Memory is bounded whatever the logs, some 60 MiB at most. Only the bytes of the disk that were written, each counted
/// once, may need further passes over the logs' metadata:
///
///     for each log { try statistics.add(log) }
///     while statistics.needsAnotherPass() { for each log { try statistics.addAgain(log) } }
public struct LogStatistics: Sendable {
    public let filter: WriteFilter

    /// Writes counted, and their bytes.
    public private(set) var writeCount: UInt64 = 0
    public private(set) var byteCount: UInt64 = 0
    /// Earliest and latest time of a write; logs may not have them in order.
    public private(set) var firstTime: DiskTimestamp?
    public private(set) var lastTime: DiskTimestamp?
    /// Bytes of the writes that are holes in the log's file: zeroes and discards.
    public private(set) var holeByteCount: UInt64 = 0
    /// Writes all of whose data is a hole.
    public private(set) var zeroWriteCount: UInt64 = 0
    /// Writes whose offset and length are multiples of 4096, and their bytes.
    public private(set) var alignedWriteCount: UInt64 = 0
    public private(set) var alignedByteCount: UInt64 = 0
    /// Writes that begin on the disk where the write counted before them ended, and their bytes.
    public private(set) var sequentialWriteCount: UInt64 = 0
    public private(set) var sequentialByteCount: UInt64 = 0
    /// The largest end of a write on the disk; 0 without writes.
    public private(set) var maximumEnd: UInt64 = 0
    public private(set) var sizes = WriteSizes()
    public private(set) var churn = Churn()
    public private(set) var hotRanges: HotRanges
    private var unique = UniqueBytes()
    private var previousEnd: UInt64 = .max

    /// What was found of one log, all its writes together, whatever the filter.
    public struct Log: Sendable {
        public var summary: LogSummary
        /// Bytes of the file up to the end of the log that are no holes; header and metadata among them.
        public var allocatedByteCount: UInt64
        /// Bytes of data that are no holes.
        public var storedByteCount: UInt64
    }

    /// - Parameters:
    ///   - filter: the writes that count.
    ///   - regionByteCount: regions of `hotRanges` at first; not 0.
    public init(filter: WriteFilter = .init(), regionByteCount: UInt64 = HotRanges.usualRegionByteCount) {
        self.filter = filter
        hotRanges = HotRanges(regionByteCount: regionByteCount)
    }

    /// Bytes of the disk that were written, each counted once; right when no further pass is needed.
    public var uniqueByteCount: UInt64 { unique.byteCount }
    /// Bytes written that a later write covers.
    public var overwrittenByteCount: UInt64 { byteCount - uniqueByteCount }
    /// Seconds from the first write to the last, both counted whole; 0 without writes.
    public var secondCount: UInt64 {
        guard let firstTime, let lastTime else { return 0 }
        return UInt64(lastTime.rawValue - firstTime.rawValue) + 1
    }

    /// Counts a log's writes.
    /// - Parameters:
    ///   - verifyingData: whether to read data that carries a checksum and to compare.
    ///   - progress: bytes of the log's file done; may throw to end it.
    /// - Throws: as `LogReader.forEachWrite`.
    public mutating func add(
        _ log: LogReader, verifyingData: Bool, progress: (UInt64) throws(DiskError) -> Void = { _ in }
    ) throws(DiskError) -> Log {
        var holes = HoleCounter(log.file)
        let summary = try log.forEachWrite(verifyingData: verifyingData) { (write) throws(DiskError) in
            if write.number % 4096 == 0 { try progress(write.dataOffset) }
            let hole = try holes.count(in: write.dataRange)
            if filter.admits(write) { count(write, holeByteCount: hole) }
        }
        // Data ranges are disjoint: the holes in them are no more than their bytes.
        return Log(
            summary: summary, allocatedByteCount: try Self.allocatedByteCount(log),
            storedByteCount: summary.byteCount - holes.byteCount)
    }

    /// Bytes up to the end of a log that are no holes. Not what is left of the data's holes: bytes that no entry describes
    /// may be holes as well.
    private static func allocatedByteCount(_ log: LogReader) throws(DiskError) -> UInt64 {
        var places = DataPlaces(log.file)
        var (position, byteCount): (UInt64, UInt64) = (0, 0)
        while position < log.endOfLog {
            let data = try places.data(from: position)
            let end = min(data.upperBound, log.endOfLog)
            byteCount += end - min(max(data.lowerBound, position), end)
            position = end
        }
        return byteCount
    }

    /// Ends a pass.
    /// - Returns: whether all logs are to be gone through again, with `addAgain`.
    public mutating func needsAnotherPass() -> Bool { unique.needsAnotherPass() }

    /// Goes through a log in a further pass.
    public mutating func addAgain(
        _ log: LogReader, progress: (UInt64) throws(DiskError) -> Void = { _ in }
    ) throws(DiskError) {
        try log.forEachWrite(verifyingData: false) { (write) throws(DiskError) in
            if write.number % 4096 == 0 { try progress(write.dataOffset) }
            if filter.admits(write) { unique.add(write.diskRange) }
        }
    }

    private mutating func count(_ write: LogWrite, holeByteCount: UInt64) {
        writeCount += 1
        byteCount &+= write.byteCount
        firstTime = min(firstTime ?? write.timestamp, write.timestamp)
        lastTime = max(lastTime ?? write.timestamp, write.timestamp)
        self.holeByteCount &+= holeByteCount
        if holeByteCount == write.byteCount { zeroWriteCount += 1 }
        if (write.diskOffset | write.byteCount) % 4096 == 0 {
            alignedWriteCount += 1
            alignedByteCount &+= write.byteCount
        }
        if write.diskOffset == previousEnd {
            sequentialWriteCount += 1
            sequentialByteCount &+= write.byteCount
        }
        previousEnd = write.diskRange.upperBound
        maximumEnd = max(maximumEnd, previousEnd)
        sizes.add(write.byteCount)
        churn.add(write.timestamp, byteCount: write.byteCount, storedByteCount: write.byteCount - holeByteCount)
        hotRanges.add(write.diskRange)
        unique.add(write.diskRange)
    }
}

extension WriteFilter {
    /// Whether a write counts.
    public func admits(_ write: LogWrite) -> Bool {
        admits(number: write.number, write.timestamp, diskOffset: write.diskOffset, byteCount: write.byteCount)
    }
}

/// How many bytes of a log's data are holes in its file.
private struct HoleCounter {
    private var places: DataPlaces
    /// Of all ranges asked for, which are disjoint.
    private(set) var byteCount: UInt64 = 0

    init(_ file: any BlockFile) { places = DataPlaces(file) }

    mutating func count(in range: Range<UInt64>) throws(DiskError) -> UInt64 {
        var holes: UInt64 = 0
        var position = range.lowerBound
        while position < range.upperBound {
            let data = try places.data(from: position)
            let start = min(max(data.lowerBound, position), range.upperBound)
            holes += start - position
            position = min(max(data.upperBound, start), range.upperBound)
        }
        byteCount += holes
        return holes
    }
}
