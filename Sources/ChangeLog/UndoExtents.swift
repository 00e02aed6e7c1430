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
    /// - Returns: where it ends, and whether its bytes stand in a file; else they are zeros.
    mutating func run(at position: UInt64, upTo end: UInt64) throws(DiskError) -> (end: UInt64, isStored: Bool) {
        while index < runs.count, runs[index].extent.end <= position { index += 1 }
        if index == runs.count || runs[index].extent.offset > position {
            runs = try disk.extents(in: position..<disk.geometry.virtualByteCount, limit: Self.limit)
            index = 0
        }
        let extent = runs[index].extent
        if case .file = extent.source { return (min(extent.end, end), true) }
        return (min(extent.end, end), false)
    }
}
