package import BlockIO

/// A run of both disks whose bytes come from one place each.
package struct ComparisonPiece: Sendable {
    package enum Source: Sendable {
        case file(any BlockFile, offset: UInt64)
        case zeros
        /// Past the end of the disk: compares as zeros.
        case absent
    }
    /// Disk offset in bytes.
    package var offset: UInt64
    package var byteCount: UInt64
    package var a: Source
    package var b: Source

    /// Whether both take their bytes from the same place of the same file.
    package var isShared: Bool {
        guard case .file(let mine, let offset) = a, case .file(let theirs, offset) = b else { return false }
        if mine === theirs { return true }
        guard let identity = mine.hostFile?.identity else { return false }
        return identity == theirs.hostFile?.identity
    }

    package var isZeroInBoth: Bool {
        if case .file = a { return false }
        if case .file = b { return false }
        return true
    }
}

/// Pieces that one thread compares without asking again.
package struct ComparisonJob: Sendable {
    /// Counted from 0 in the order of the disk.
    package var sequence: Int
    package var pieces: [ComparisonPiece] = []
    /// Disk offset where the next job begins.
    package var end: UInt64
}

/// Cuts a range of two disks into jobs, in order.
package struct ComparisonPlan: Sendable {
    /// What a job reads of each disk, and the pieces it consists of, at most.
    package static let pieceByteCount: UInt64 = 256 << 10
    private static let jobByteCount: UInt64 = 1 << 20
    private static let jobPieceCount = 256

    private var a: ExtentCursor
    private var b: ExtentCursor
    private let end: UInt64
    private var position: UInt64
    private var sequence = 0
    /// Whether what both disks share is cut into pieces that fit a buffer, because somebody wants to see it.
    private let readsShared: Bool

    package init(_ a: any VirtualDisk, _ b: any VirtualDisk, _ range: Range<UInt64>, readsShared: Bool) {
        (self.a, self.b) = (ExtentCursor(a, end: range.upperBound), ExtentCursor(b, end: range.upperBound))
        (position, end) = (range.lowerBound, range.upperBound)
        self.readsShared = readsShared
    }

    /// The number the next job will have.
    package var nextSequence: Int { sequence }

    /// The next job; nil when the range is done.
    package mutating func next() throws(DiskError) -> ComparisonJob? {
        guard position < end else { return nil }
        var job = ComparisonJob(sequence: sequence, end: position)
        var readByteCount: UInt64 = 0
        while position < end, job.pieces.count < Self.jobPieceCount, readByteCount < Self.jobByteCount {
            let piece = try nextPiece()
            if !piece.isZeroInBoth { readByteCount += piece.byteCount }
            position += piece.byteCount
            job.pieces.append(piece)
        }
        job.end = position
        sequence += 1
        return job
    }

    private mutating func nextPiece() throws(DiskError) -> ComparisonPiece {
        let (mine, theirs) = (try a.run(at: position), try b.run(at: position))
        var piece = ComparisonPiece(
            offset: position, byteCount: min(mine.end, theirs.end) - position, a: mine.source, b: theirs.source)
        if !piece.isZeroInBoth, readsShared || !piece.isShared {
            // Cut at multiples of the size, so that reads are aligned where the file's blocks are.
            piece.byteCount = min(piece.byteCount, Self.pieceByteCount - position % Self.pieceByteCount)
        }
        return piece
    }
}

/// The extents of a disk, asked for in order; past its end there is nothing.
private struct ExtentCursor: Sendable {
    private let disk: any VirtualDisk
    private let end: UInt64
    private var runs: [MappedExtent] = []
    private var index = 0

    init(_ disk: any VirtualDisk, end: UInt64) { (self.disk, self.end) = (disk, end) }

    /// The run that holds `position`, from there on.
    mutating func run(at position: UInt64) throws(DiskError) -> (end: UInt64, source: ComparisonPiece.Source) {
        let diskEnd = min(end, disk.geometry.virtualByteCount)
        guard position < diskEnd else { return (end, .absent) }
        while index < runs.count, runs[index].extent.end <= position { index += 1 }
        if index == runs.count {
            runs = try disk.extents(in: position..<diskEnd, limit: 1024)
            index = 0
        }
        let extent = runs[index].extent
        guard case .file(let offset) = extent.source else { return (extent.end, .zeros) }
        return (extent.end, .file(runs[index].file, offset: offset + (position - extent.offset)))
    }
}
