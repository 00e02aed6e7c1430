public import ByteCodec
public import DiskModel
public import HRL
import BlockIO

/// What comparing two disks found.
public struct DiffResult: Sendable, Equatable {
    /// Bytes that differ, in units of comparison; those that became zeros among them.
    public var differingByteCount: UInt64 = 0
    public var zeroedByteCount: UInt64 = 0
    public init() {}
}

/// Appends to a log the writes that turn one disk into another of the same size.
///
/// Goes by extents: what is zeros on both sides, or the same bytes of the same file, is not read. The rest is compared in
/// units of 4096 bytes; differing units that adjoin become one write, split where the log's limit for entries lies, and
/// units that are zeros in `new` become writes of zeros. Memory: 2 MiB. The log is neither flushed nor closed.
///
/// - Parameters:
///   - time: of all the writes.
///   - progress: bytes of the disk compared, and its size; may throw to end the comparison.
/// - Throws: `DiskError`: `.refused` for different sizes, and the disks' and the log's own.
public func diffDisks(
    old: any VirtualDisk, new: any VirtualDisk, into writer: LogWriter, time: DiskTimestamp,
    progress: (UInt64, UInt64) throws(DiskError) -> Void = { _, _ in }
) throws(DiskError) -> DiffResult {
    let size = new.geometry.virtualByteCount
    guard old.geometry.virtualByteCount == size else {
        throw DiskError(
            .refused, path: new.path,
            "has \(size) bytes, \(old.path) has \(old.geometry.virtualByteCount): a log cannot change a disk's size",
            hint: "resize one of them first")
    }
    var comparison = DiskComparison(old, new, writer, time)
    var (oldRuns, newRuns) = (ExtentCursor(old), ExtentCursor(new))
    var position: UInt64 = 0
    while position < size {
        let (a, b) = (try oldRuns.extent(at: position), try newRuns.extent(at: position))
        let end = min(a.extent.end, b.extent.end)
        try comparison.compare(position..<end, a, b) { (done) throws(DiskError) in try progress(done, size) }
        position = end
        try progress(position, size)
    }
    try comparison.finish()
    return comparison.result
}

/// The extents of a disk, asked for in order.
private struct ExtentCursor {
    let disk: any VirtualDisk
    var runs: [MappedExtent] = []
    var index = 0

    init(_ disk: any VirtualDisk) { self.disk = disk }

    mutating func extent(at position: UInt64) throws(DiskError) -> MappedExtent {
        while index < runs.count, runs[index].extent.end <= position { index += 1 }
        if index == runs.count {
            runs = try disk.extents(in: position..<disk.geometry.virtualByteCount, limit: 1024)
            index = 0
        }
        return runs[index]
    }
}

private struct DiskComparison {
    static let pieceByteCount = 1 << 20
    static let unit = 4096

    let old: any VirtualDisk
    let new: any VirtualDisk
    let writer: LogWriter
    let time: DiskTimestamp
    let oldBytes = IOBuffer(byteCount: Self.pieceByteCount)
    let newBytes = IOBuffer(byteCount: Self.pieceByteCount)
    /// A run of zeros not yet in the log.
    var zeros: Range<UInt64> = 0..<0
    var result = DiffResult()

    init(_ old: any VirtualDisk, _ new: any VirtualDisk, _ writer: LogWriter, _ time: DiskTimestamp) {
        (self.old, self.new, self.writer, self.time) = (old, new, writer, time)
    }

    mutating func compare(
        _ range: Range<UInt64>, _ a: MappedExtent, _ b: MappedExtent, _ progress: (UInt64) throws(DiskError) -> Void
    ) throws(DiskError) {
        let (oldIsZero, newIsZero) = (a.isZero, b.isZero)
        if oldIsZero && newIsZero || a.isSameBytes(as: b) { return }
        var position = range.lowerBound
        while position < range.upperBound {
            // Pieces end at multiples of the unit, wherever the extents begin.
            let stop = (position + UInt64(Self.pieceByteCount)).roundedDown(to: UInt64(Self.unit))
            let end = min(range.upperBound, stop)
            let count = Int(end - position)
            if !oldIsZero { try fill(oldBytes, count, old, position) }
            if !newIsZero { try fill(newBytes, count, new, position) }
            try comparePiece(at: position, count, oldIsZero: oldIsZero, newIsZero: newIsZero)
            position = end
            try progress(position)
        }
    }

    private func fill(_ buffer: IOBuffer, _ count: Int, _ disk: any VirtualDisk, _ offset: UInt64) throws(DiskError) {
        try buffer.withMutableBytes(0..<count) { (bytes) throws(DiskError) in
            try disk.read(into: &bytes, at: offset)
        }
    }

    private enum Unit { case same, zeros, data }

    /// Compares what stands at the start of both buffers, or zeros in its stead.
    private mutating func comparePiece(
        at offset: UInt64, _ count: Int, oldIsZero: Bool, newIsZero: Bool
    ) throws(DiskError) {
        let whole = judge(0..<count, oldIsZero: oldIsZero, newIsZero: newIsZero)
        if whole == .same { return }
        var start = 0
        while start < count {
            let (kind, end) = run(from: start, count, offset, oldIsZero: oldIsZero, newIsZero: newIsZero)
            try emit(kind, start..<end, at: offset)
            start = end
        }
    }

    /// A run of units of one kind.
    private func run(
        from start: Int, _ count: Int, _ offset: UInt64, oldIsZero: Bool, newIsZero: Bool
    ) -> (Unit, end: Int) {
        var kind: Unit?
        var end = start
        while end < count {
            let rest = Self.unit - Int((offset + UInt64(end)) % UInt64(Self.unit))
            let next = min(count, end + rest)
            let this = judge(end..<next, oldIsZero: oldIsZero, newIsZero: newIsZero)
            guard kind == nil || kind == this else { break }
            kind = this
            end = next
        }
        return (kind ?? .same, end)
    }

    private func judge(_ range: Range<Int>, oldIsZero: Bool, newIsZero: Bool) -> Unit {
        if newIsZero { return isZero(oldBytes.bytes(range)) ? .same : .zeros }
        if oldIsZero { return isZero(newBytes.bytes(range)) ? .same : .data }
        if bytesEqual(oldBytes.bytes(range), newBytes.bytes(range)) { return .same }
        return isZero(newBytes.bytes(range)) ? .zeros : .data
    }

    private mutating func emit(_ kind: Unit, _ range: Range<Int>, at offset: UInt64) throws(DiskError) {
        let start = offset + UInt64(range.lowerBound)
        let end = offset + UInt64(range.upperBound)
        switch kind {
        case .same: return
        case .zeros:
            result.zeroedByteCount += end - start
            if zeros.upperBound == start, !zeros.isEmpty {
                zeros = zeros.lowerBound..<end
            } else {
                try finish()
                zeros = start..<end
            }
        case .data:
            try finish()
            try writer.append(newBytes.bytes(range), at: start, time: time, joining: true)
        }
        result.differingByteCount += end - start
    }

    /// Brings the run of zeros into the log.
    mutating func finish() throws(DiskError) {
        guard !zeros.isEmpty else { return }
        try writer.appendZeroes(zeros, time: time)
        zeros = 0..<0
    }
}

extension MappedExtent {
    fileprivate var isZero: Bool { extent.source == .zero || extent.source == .hole }

    /// Whether two extents show the same bytes of one file; they may begin at different places.
    fileprivate func isSameBytes(as other: MappedExtent) -> Bool {
        guard case .file(let mine) = extent.source, case .file(let theirs) = other.extent.source else { return false }
        // The distance between disk and file is the same: no place is read differently.
        guard mine &- extent.offset == theirs &- other.extent.offset else { return false }
        if file === other.file { return true }
        guard let host = file.hostFile, let otherHost = other.file.hostFile else { return false }
        return host.identity == otherHost.identity
    }
}
