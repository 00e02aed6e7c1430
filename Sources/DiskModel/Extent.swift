public import BlockIO

/// A run of a virtual disk whose bytes come from one place.
public struct Extent: Sendable, Equatable {
    public enum Source: Sendable, Equatable {
        /// The bytes stand in the layer's file, in one run from this offset.
        case file(offset: UInt64)
        /// Zeros, said so by the layer; never the parent's.
        case zero
        /// Nothing was ever written here: zeros, and no layer below.
        case hole
        /// The parent's bytes; zeros past the parent's end.
        case parent
    }

    /// Virtual disk offset in bytes.
    public var offset: UInt64
    public var byteCount: UInt64
    public var source: Source

    public init(offset: UInt64, byteCount: UInt64, source: Source) {
        (self.offset, self.byteCount, self.source) = (offset, byteCount, source)
    }

    public var end: UInt64 { offset + byteCount }
    public var range: Range<UInt64> { offset..<end }

    /// Whether a run that adjoins this one takes its bytes from where this one's end.
    public func goesOn(in next: Extent) -> Bool {
        if case .file(let start) = source, case .file(let place) = next.source { return start + byteCount == place }
        return source == next.source
    }
}

extension [Extent] {
    /// Appends a run, joined with the last one where the source goes on. The caller appends in order, without gaps.
    public mutating func appendRun(_ extent: Extent) {
        guard extent.byteCount > 0 else { return }
        if let last, last.goesOn(in: extent) { return self[count - 1].byteCount += extent.byteCount }
        append(extent)
    }
}

/// An extent of a whole chain: never `.parent`, with the layer it comes from.
public struct MappedExtent: Sendable {
    public var extent: Extent
    /// Index of the layer in the chain, 0 for the leaf. For holes: the lowest layer asked.
    public var layer: Int
    /// The file that a `.file` source's offset refers to.
    public var file: any BlockFile

    public init(_ extent: Extent, layer: Int, file: any BlockFile) {
        (self.extent, self.layer, self.file) = (extent, layer, file)
    }
}
