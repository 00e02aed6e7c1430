import BlockIO
import ByteCodec
import Digest
import DiskModel

/// The data of writes, read from the log piece by piece.
final class WriteData {
    private let file: any BlockFile
    private let buffer = IOBuffer(byteCount: 256 << 10)
    private let digest = Digest(.sha256)

    init(_ file: any BlockFile) { self.file = file }

    /// Visits the bytes of a write in order.
    func forEachPiece(_ write: WriteRecord, _ body: (RawSpan, UInt64) throws -> Void) throws {
        let buffer = self.buffer
        var done: UInt64 = 0
        while done < write.byteCount {
            let count = Int(min(UInt64(buffer.byteCount), write.byteCount - done))
            do { try buffer.fill(count, from: file, at: write.dataOffset + done) } catch {
                throw DiskError(error, doing: "reading the data of write \(write.number)")
            }
            try body(buffer.bytes(0..<count), done)
            done += UInt64(count)
        }
    }

    func sha256(_ write: WriteRecord) throws -> [UInt8] {
        try forEachPiece(write) { bytes, _ in digest.update(bytes) }
        return digest.finish()
    }

    /// The first bytes, at most `limit` of them.
    func start(_ write: WriteRecord, limit: Int) throws -> [UInt8] {
        let count = Int(min(UInt64(limit), write.byteCount))
        do { return try file.bytes(at: write.dataOffset, count: count) } catch {
            throw DiskError(error, doing: "reading the data of write \(write.number)")
        }
    }

    /// Whether the complemented byte sum of the data is this.
    func matches(checksum: UInt32, _ write: WriteRecord) throws -> Bool {
        var sum: UInt32 = 0
        try forEachPiece(write) { bytes, _ in sum &+= byteSum(bytes) }
        return ~sum == checksum
    }
}
