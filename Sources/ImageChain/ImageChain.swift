import BlockIO
public import ByteCodec
public import DiskModel

/// Layers composed into the disk a guest sees, leaf first. Identities, sector sizes, depth and cycles are checked when it
/// is made; only the leaf may be writable.
public final class ImageChain: VirtualDisk {
    /// Deeper chains are refused.
    public static let depthLimit = 256

    /// Leaf first.
    public let layers: [any DiskLayer]
    /// Warnings about the links, such as accepted mismatches.
    public let findings: [Finding]
    private let writableLeaf: (any WritableDiskLayer)?

    /// - Throws: `.chain` for too many layers or a missing base, `.refused` for sector sizes that differ.
    public init(
        leafFirst layers: [any DiskLayer], writableLeaf: (any WritableDiskLayer)? = nil, findings: [Finding] = []
    ) throws(DiskError) {
        precondition(!layers.isEmpty)
        self.layers = layers
        geometry = layers[0].geometry
        self.writableLeaf = writableLeaf
        self.findings = findings
        guard layers.count <= Self.depthLimit else {
            throw DiskError(.chain, path: layers[0].file.path, "the chain is deeper than \(Self.depthLimit) images")
        }
        for (child, parent) in zip(layers, layers.dropFirst()) {
            let (a, b) = (child.geometry.logicalSectorByteCount, parent.geometry.logicalSectorByteCount)
            guard a == b else {
                throw DiskError(
                    .refused, path: child.file.path,
                    "its logical sectors have \(a) bytes, those of its parent \(parent.file.path) have \(b)")
            }
        }
        guard let base = layers.last, base.parentLink == nil else {
            throw DiskError(.chain, path: layers[layers.count - 1].file.path, "the parent is not open")
        }
        Self.shareCaches(among: layers)
    }

    public var leaf: any DiskLayer { layers[0] }
    public var path: String { leaf.file.path }
    public let geometry: DiskGeometry
    /// Whether any layer is only right because its pending log was replayed in memory.
    public var hasReplayedLog: Bool { layers.contains { $0.hasReplayedLog } }

    public func extents(in range: Range<UInt64>, limit: Int) throws(DiskError) -> [MappedExtent] {
        try leaf.checkRange(range)
        var result: [MappedExtent] = []
        guard limit > 0 else { return result }
        var cursor = ChainCursor(layers, range, limit: limit)
        while let run = try cursor.next() {
            result.appendRun(run)
            if result.count > limit {
                result.removeLast()
                break
            }
        }
        return result
    }

    public func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(DiskError) {
        guard let range = checkedRange(offset, UInt64(buffer.byteCount)) else {
            throw DiskError(.outOfRange, path: path, "offset \(offset) is too large")
        }
        try leaf.checkRange(range)
        var cursor = ChainCursor(layers, range, limit: 64)
        while let run = try cursor.next() {
            let part = Int(run.extent.offset - offset)..<Int(run.extent.end - offset)
            guard case .file(let place) = run.extent.source else {
                buffer.zero(part)
                continue
            }
            do {
                try buffer.withPart(part) { (part) throws(IOError) in try run.file.read(into: &part, at: place) }
            } catch { throw DiskError(error, doing: "reading the disk at \(run.extent.offset)") }
        }
    }

    // Writing

    func writable() throws(DiskError) -> any WritableDiskLayer {
        guard let writableLeaf else { throw DiskError(IOError("write", path: path, .readOnly)) }
        return writableLeaf
    }

    public func write(_ bytes: RawSpan, at offset: UInt64) throws(DiskError) {
        let leaf = try writable()
        guard let range = checkedRange(offset, UInt64(bytes.byteCount)) else {
            throw DiskError(.outOfRange, path: path, "offset \(offset) is too large")
        }
        try leaf.checkRange(range)
        guard !range.isEmpty else { return }
        let sector = UInt64(geometry.logicalSectorByteCount)
        if range.lowerBound % sector == 0, range.upperBound % sector == 0 {
            return try leaf.write(bytes, at: offset)
        }
        // The sectors at the edges keep their other bytes.
        let whole = range.lowerBound.roundedDown(to: sector)..<range.upperBound.roundedUp(to: sector)
        if whole.upperBound - whole.lowerBound <= 2 * sector {
            var sectors = try self.bytes(at: whole.lowerBound, count: Int(whole.upperBound - whole.lowerBound))
            var raw = sectors.mutableRawBytes
            raw.copy(bytes, at: Int(offset - whole.lowerBound))
            return try leaf.write(sectors.rawBytes, at: whole.lowerBound)
        }
        let inner = range.lowerBound.roundedUp(to: sector)..<range.upperBound.roundedDown(to: sector)
        let (head, tail) = (Int(inner.lowerBound - offset), Int(inner.upperBound - offset))
        if head > 0 { try write(bytes.extracting(0..<head), at: offset) }
        try leaf.write(bytes.extracting(head..<tail), at: inner.lowerBound)
        if tail < bytes.byteCount { try write(bytes.extracting(tail..<bytes.byteCount), at: inner.upperBound) }
    }

    public func flush() throws(DiskError) { try writable().flush() }

    /// Closes a writable leaf; nothing to do for a chain open for reading.
    public func close() throws(DiskError) { try writableLeaf?.close() }
}

extension [MappedExtent] {
    /// Appends a run, joined with the last where it goes on in the same layer.
    mutating func appendRun(_ next: MappedExtent) {
        if count > 0, self[count - 1].layer == next.layer, self[count - 1].extent.goesOn(in: next.extent) {
            return self[count - 1].extent.byteCount += next.extent.byteCount
        }
        append(next)
    }
}
