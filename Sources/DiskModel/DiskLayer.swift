public import BlockIO
public import ByteCodec

/// One image file: says where the bytes of virtual ranges are. It never moves payload for others.
public protocol DiskLayer: AnyObject, Sendable {
    /// The file that `.file` extents refer to; an overlay where a log was replayed in memory.
    var file: any BlockFile { get }
    var format: ImageFormat { get }
    var type: ImageType { get }
    var geometry: DiskGeometry { get }
    /// What a child of this image names.
    var identity: DiskIdentity { get }
    /// Another identity by which children may still name this image, while it is being changed for a merge.
    var formerIdentity: DiskIdentity? { get }
    /// The merge into this image that was begun and is not complete, by an id; nil at rest. Until it is complete the image
    /// may hold a mixture: only the one that bears the merge, and images made from that, read right.
    var unfinishedMerge: GUID? { get }
    /// Whether this is the image with which a merge into one of its parents was begun.
    func bears(merge id: GUID) -> Bool
    /// Set exactly when the type is `.differencing`.
    var parentLink: ParentLink? { get }
    /// What was noticed while opening.
    var findings: [Finding] { get }
    /// Whether contents are only right because a pending log was replayed in memory.
    var hasReplayedLog: Bool { get }

    /// The runs of a range in order, adjoining and joined where they go on in the file, from the start of the range. Up to
    /// `limit` of them: the caller goes on where the last one ends. A range that is not empty gives at least one.
    /// - Throws: `.outOfRange` past the virtual size; `.format` and `.io` while reading tables.
    func extents(in range: Range<UInt64>, limit: Int) throws(DiskError) -> [Extent]

    /// Bounds what the layer keeps of its tables from now on, to about so many bytes; what is changed and not yet
    /// written is kept in any case. A layer alone keeps a few MiB, which a chain of many cannot afford.
    func limitCache(to byteCount: Int)
}

/// A layer open for writing, alone.
///
/// `write` and `writeZeroes` may be lost by a power cut until `flush` returns; whatever happens, each sector then holds
/// its old or its new bytes and the image opens. After a failed flush every further write is refused.
public protocol WritableDiskLayer: DiskLayer {
    /// Writes whole logical sectors.
    func write(_ bytes: RawSpan, at offset: UInt64) throws(DiskError)
    /// Writes whole logical sectors that somebody else moves: `move` is called for each run, in order, and puts the bytes
    /// of that part of the disk into `file` at that offset. So blocks of another file can be shared instead of copied.
    /// When `move` throws, sectors of that part hold old or new bytes.
    func write(_ range: Range<UInt64>, by move: PayloadMove) throws(DiskError)
    /// Makes whole logical sectors read as zeros (not the parent's bytes), without allocating where that can be avoided.
    /// What a discard does, too: a parent's bytes must not come back.
    func writeZeroes(_ range: Range<UInt64>) throws(DiskError)
    /// Returns when everything written before is durable.
    func flush() throws(DiskError)
    /// Flushes and leaves the file in its resting state; no further use.
    func close() throws(DiskError)
}

/// Puts the bytes of a part of the disk into a layer's file, from this offset on.
public typealias PayloadMove = (_ part: Range<UInt64>, _ fileOffset: UInt64) throws(DiskError) -> Void

/// A virtual disk as a guest sees it.
public protocol VirtualDisk: AnyObject, Sendable {
    /// The leaf's path, for messages.
    var path: String { get }
    var geometry: DiskGeometry { get }

    /// Fills the buffer; any offset and length inside the disk.
    func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(DiskError)

    /// As `DiskLayer.extents`, through all layers.
    func extents(in range: Range<UInt64>, limit: Int) throws(DiskError) -> [MappedExtent]

    /// Any offset and length inside the disk; sectors written in part keep their other bytes.
    func write(_ bytes: RawSpan, at offset: UInt64) throws(DiskError)
    func writeZeroes(_ range: Range<UInt64>) throws(DiskError)
    func flush() throws(DiskError)
    func close() throws(DiskError)
}

extension DiskLayer {
    public var formerIdentity: DiskIdentity? { nil }
    public var unfinishedMerge: GUID? { nil }

    /// Whether this is the image with which a merge into one of its parents was begun.
    public func bears(merge id: GUID) -> Bool { false }

    /// Whether a child's link means this image.
    public func isNamed(by link: ParentLink) -> Bool {
        link.identities.contains(identity) || formerIdentity.map(link.identities.contains) ?? false
    }

    /// For layers that keep nothing.
    public func limitCache(to byteCount: Int) {}

    /// The virtual range as asked for, checked against the disk's size.
    public func checkRange(_ range: Range<UInt64>) throws(DiskError) {
        guard range.upperBound <= geometry.virtualByteCount else {
            throw DiskError(
                .outOfRange, path: file.path,
                "bytes \(range.lowerBound) to \(range.upperBound) lie past the disk's end at \(geometry.virtualByteCount)"
            )
        }
    }

    /// Visits the extents of a range in order, however many there are.
    public func forEachExtent(
        in range: Range<UInt64>, _ body: (Extent) throws(DiskError) -> Void
    ) throws(DiskError) {
        var position = range.lowerBound
        while position < range.upperBound {
            let piece = try extents(in: position..<range.upperBound, limit: 4096)
            for extent in piece { try body(extent) }
            position = piece[piece.count - 1].end
        }
    }
}

extension VirtualDisk {
    /// Visits the extents of a range in order, however many there are.
    public func forEachExtent(
        in range: Range<UInt64>, _ body: (MappedExtent) throws(DiskError) -> Void
    ) throws(DiskError) {
        var position = range.lowerBound
        while position < range.upperBound {
            let piece = try extents(in: position..<range.upperBound, limit: 4096)
            for mapped in piece { try body(mapped) }
            position = piece[piece.count - 1].extent.end
        }
    }

    public var wholeRange: Range<UInt64> { 0..<geometry.virtualByteCount }

    /// `count` bytes from `offset`; for small reads.
    public func bytes(at offset: UInt64, count: Int) throws(DiskError) -> [UInt8] {
        var result = [UInt8].zeros(count)
        var raw = result.mutableRawBytes
        try read(into: &raw, at: offset)
        return result
    }

    public func write(_ bytes: [UInt8], at offset: UInt64) throws(DiskError) { try write(bytes.rawBytes, at: offset) }
}
