import ByteCodec

/// Looks for data in a file that is not changed meanwhile. Asks the host once for each run of data, not at every look: a
/// file system may go through all of a run to find its end.
public struct DataFinder {
    private let file: any BlockFile
    /// What the host said last: the first data at or after an offset, nil where none follows.
    private var found: (offset: UInt64, data: Range<UInt64>?)?
    private var buffer: IOBuffer?

    public init(_ file: any BlockFile) { self.file = file }

    /// The first data at or after an offset; nil where none follows.
    public mutating func data(from offset: UInt64) throws(IOError) -> Range<UInt64>? {
        if let found, found.offset <= offset {
            guard let data = found.data else { return nil }
            if offset < data.upperBound { return max(offset, data.lowerBound)..<data.upperBound }
        }
        let data = try file.data(from: offset)
        found = (offset, data)
        return data
    }

    /// Whether a range of the file holds only zeros. Reads a little first: data mostly shows at once.
    public mutating func isZero(_ range: Range<UInt64>) throws(IOError) -> Bool {
        let buffer = self.buffer ?? IOBuffer(byteCount: 256 << 10)
        self.buffer = buffer
        var (position, pieceByteCount) = (range.lowerBound, UInt64(4096))
        while position < range.upperBound, let data = try data(from: position), data.lowerBound < range.upperBound {
            position = max(position, data.lowerBound)
            let count = min(pieceByteCount, min(data.upperBound, range.upperBound) - position)
            try buffer.fill(Int(count), from: file, at: position)
            guard ByteCodec.isZero(buffer.bytes(0..<Int(count))) else { return false }
            position += count
            pieceByteCount = min(4 * pieceByteCount, UInt64(buffer.byteCount))
        }
        return true
    }
}
