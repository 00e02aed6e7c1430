public import BlockIO

/// The contents of a file from its start to its end, zeros where it has holes.
public struct FileContents {
    private static let pieceByteCount: UInt64 = 1 << 20
    /// Pieces begin and end at multiples of it, whatever the holes: no chunk of a sealed image comes in parts.
    private static let alignment: UInt64 = 64 << 10
    private let file: any BlockFile
    private let buffer = IOBuffer(byteCount: Int(Self.pieceByteCount))

    public init(_ file: any BlockFile) { self.file = file }

    /// - Parameters:
    ///   - data: gets an offset and its bytes; those of all calls follow each other.
    ///   - zeros: gets an offset and a number of bytes.
    /// - Returns: bytes of the file.
    public func run(
        data: (UInt64, RawSpan) throws -> Void, zeros: (UInt64, UInt64) throws -> Void
    ) throws -> UInt64 {
        let end = try file.byteCount()
        var position: UInt64 = 0
        while position < end {
            let next = try file.data(from: position) ?? end..<end
            let start = min(end, max(position, next.lowerBound / Self.alignment * Self.alignment))
            if start > position { try zeros(position, start - position) }
            let (blocks, rest) = next.upperBound.quotientAndRemainder(dividingBy: Self.alignment)
            let stop = rest == 0 ? next.upperBound : min(end, (blocks + 1) * Self.alignment)
            position = start
            while position < min(end, stop) {
                let count = Int(min(Self.pieceByteCount, min(end, stop) - position))
                try buffer.fill(count, from: file, at: position)
                try data(position, buffer.bytes(0..<count))
                position += UInt64(count)
            }
        }
        return end
    }
}
