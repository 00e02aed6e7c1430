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
    }

    public var leaf: any DiskLayer { layers[0] }
    public var path: String { leaf.file.path }
    public var geometry: DiskGeometry { leaf.geometry }
    /// Whether any layer is only right because its pending log was replayed in memory.
    public var hasReplayedLog: Bool { layers.contains { $0.hasReplayedLog } }

    public func extents(in range: Range<UInt64>, limit: Int) throws(DiskError) -> [MappedExtent] {
        try leaf.checkRange(range)
        var result: [MappedExtent] = []
        try append(range, layer: 0, limit, &result)
        return result
    }

    private func append(_ range: Range<UInt64>, layer index: Int, _ limit: Int, _ result: inout [MappedExtent])
        throws(DiskError)
    {
        let layer = layers[index]
        // A child may be larger than its parent: zeros there.
        let inside = range.clamped(to: 0..<max(range.lowerBound, layer.geometry.virtualByteCount))
        if !inside.isEmpty {
            for extent in try layer.extents(in: inside, limit: limit - result.count) {
                guard result.count < limit else { return }
                if extent.source == .parent {
                    try append(extent.range, layer: index + 1, limit, &result)
                    guard result.last?.extent.end == extent.end else { return }
                } else {
                    result.appendRun(MappedExtent(extent, layer: index, file: layer.file))
                }
            }
            guard result.last?.extent.end == inside.upperBound else { return }
        }
        let rest = max(range.lowerBound, inside.upperBound)..<range.upperBound
        if !rest.isEmpty, result.count < limit {
            let hole = Extent(offset: rest.lowerBound, byteCount: rest.upperBound - rest.lowerBound, source: .hole)
            result.appendRun(MappedExtent(hole, layer: index, file: layer.file))
        }
    }

    public func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(DiskError) {
        guard let range = checkedRange(offset, UInt64(buffer.byteCount)) else {
            throw DiskError(.outOfRange, path: path, "offset \(offset) is too large")
        }
        try leaf.checkRange(range)
        try fill(&buffer, at: offset, layer: 0)
    }

    private func fill(_ buffer: inout MutableRawSpan, at start: UInt64, layer index: Int) throws(DiskError) {
        let layer = layers[index]
        let end = start + UInt64(buffer.byteCount)
        let insideEnd = min(end, max(start, layer.geometry.virtualByteCount))
        var position = start
        while position < insideEnd {
            let extents = try layer.extents(in: position..<insideEnd, limit: 64)
            for extent in extents {
                let part = Int(extent.offset - start)..<Int(extent.end - start)
                switch extent.source {
                case .zero, .hole: buffer.zero(part)
                case .parent:
                    try buffer.withPart(part) { (part) throws(DiskError) in
                        try fill(&part, at: extent.offset, layer: index + 1)
                    }
                case .file(let offset):
                    do {
                        try buffer.withPart(part) { (part) throws(IOError) in
                            try layer.file.read(into: &part, at: offset)
                        }
                    } catch { throw DiskError(error, doing: "reading the disk at \(extent.offset)") }
                }
            }
            position = extents[extents.count - 1].end
        }
        if insideEnd < end { buffer.zero(Int(insideEnd - start)..<buffer.byteCount) }
    }

    // Writing

    private func writable() throws(DiskError) -> any WritableDiskLayer {
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

    public func writeZeroes(_ range: Range<UInt64>) throws(DiskError) {
        let leaf = try writable()
        try leaf.checkRange(range)
        let sector = UInt64(geometry.logicalSectorByteCount)
        let innerStart = range.lowerBound.roundedUp(to: sector)
        let innerEnd = max(innerStart, range.upperBound.roundedDown(to: sector))
        if innerStart < innerEnd { try leaf.writeZeroes(innerStart..<innerEnd) }
        for (start, end) in [(range.lowerBound, min(innerStart, range.upperBound)), (innerEnd, range.upperBound)]
        where start < end {
            try write([UInt8].zeros(Int(end - start)).rawBytes, at: start)
        }
    }

    public func flush() throws(DiskError) { try writable().flush() }

    /// Closes a writable leaf; nothing to do for a chain open for reading.
    public func close() throws(DiskError) { try writableLeaf?.close() }
}

extension [MappedExtent] {
    /// Appends a run, joined with the last where it goes on in the same layer.
    mutating func appendRun(_ next: MappedExtent) {
        if let last, last.layer == next.layer {
            var pair = [last.extent]
            pair.appendRun(next.extent)
            if pair.count == 1 { return self[count - 1].extent = pair[0] }
        }
        append(next)
    }
}
