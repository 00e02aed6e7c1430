public import BlockIO

/// An input that holds only the windows of a file in which structures stand; between them are zeros. The first byte has
/// flags, the next two the file's length in steps.
public struct SparseInput {
    public struct Window: Sendable {
        public var offset: UInt64
        public var count: Int
        public init(_ offset: UInt64, _ count: Int) { (self.offset, self.count) = (offset, count) }
    }

    public let flags: UInt8
    public let lengthStep: UInt64
    private let bytes: ArraySlice<UInt8>

    /// Nil for inputs too short to have a head.
    public init?(_ input: [UInt8]) {
        guard input.count > 3 else { return nil }
        flags = input[0]
        lengthStep = UInt64(input[1]) | UInt64(input[2]) << 8
        bytes = input[3...]
    }

    /// The file: each window in turn from the input, as far as it goes; the rest of the input goes to `tail`.
    public func contents(_ windows: [Window], tail: UInt64?, byteCount: UInt64) -> MemoryFile.Contents {
        var contents = MemoryFile.Contents()
        contents.resize(to: byteCount)
        var rest = bytes
        func put(_ count: Int, _ offset: UInt64) {
            let piece = Array(rest.prefix(count))
            rest = rest.dropFirst(count)
            guard !piece.isEmpty, offset < byteCount else { return }
            contents.write(piece.span.bytes, at: offset)
        }
        for window in windows { put(window.count, window.offset) }
        if let tail { put(rest.count, tail) }
        contents.resize(to: byteCount)
        return contents
    }
}
