import BlockIO
import ByteCodec
import DiskModel
public import SealedFile

/// The contents of a sealed stream from its start to where it ends.
public struct StreamContents {
    private let reader: SealedStreamReader
    private let buffer = IOBuffer(byteCount: 1 << 20)

    public init(_ reader: SealedStreamReader) { self.reader = reader }

    /// - Parameter data: gets an offset and its bytes; those of all calls follow each other.
    /// - Returns: bytes of the contents.
    public func run(data: (UInt64, RawSpan) throws -> Void) throws -> UInt64 {
        var offset: UInt64 = 0
        while true {
            let count = try buffer.withMutableBytes(0..<buffer.byteCount) { (bytes) throws(DiskError) in
                try reader.read(into: &bytes)
            }
            guard count > 0 else { return offset }
            try data(offset, buffer.bytes(0..<count))
            offset += UInt64(count)
        }
    }
}
