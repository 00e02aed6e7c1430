import BlockIO
import ByteCodec
import DiskModel

/// The extents of a disk, asked for at ascending places: some ahead at a time, since finding out where a file's data ends
/// may cost the file system as much as its length.
struct UndoExtents {
    private static let limit = 256

    private let disk: any VirtualDisk
    private var runs: [MappedExtent] = []
    private var index = 0

    init(_ disk: any VirtualDisk) { self.disk = disk }

    /// The run that a place lies in: from there on, at most to `end`.
    mutating func run(at position: UInt64, upTo end: UInt64) throws(DiskError) -> UndoRun {
        while index < runs.count, runs[index].extent.end <= position { index += 1 }
        if index == runs.count || runs[index].extent.offset > position {
            runs = try disk.extents(in: position..<disk.geometry.virtualByteCount, limit: Self.limit)
            index = 0
        }
        let extent = runs[index].extent
        var run = UndoRun(range: position..<min(extent.end, end))
        if case .file(let offset) = extent.source {
            run.source = (runs[index].file, offset + (position - extent.offset))
        }
        return run
    }
}

/// A run of a disk, with the place of its bytes.
struct UndoRun {
    var range: Range<UInt64>
    /// Nil for zeros.
    var source: (file: any BlockFile, offset: UInt64)?

    /// Puts the bytes of a part of the run at the start of a buffer.
    func read(_ part: Range<UInt64>, into buffer: IOBuffer) throws(DiskError) {
        let count = Int(part.upperBound - part.lowerBound)
        guard let source else { return buffer.withMutableBytes(0..<count) { $0.zero(0..<count) } }
        do { try buffer.fill(count, from: source.file, at: source.offset + (part.lowerBound - range.lowerBound)) } catch
        {
            throw DiskError(error, doing: "reading the disk at \(part.lowerBound)")
        }
    }
}
