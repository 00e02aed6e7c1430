import BlockIO
import ByteCodec
import Digest
import DiskModel

/// The digest of a chunk as it was read from the source.
public struct ChunkDigest: Sendable, Equatable {
    public var index: UInt64
    public var digest: [UInt8]
}

/// Beside a copy in the making, `disks/NAME.copy`: the digest of every chunk that holds anything, in order, and marks:
/// "all below this byte is durable in the copy". A copy that was interrupted goes on at the last mark; the whole copy is
/// compared with the digests.
///
/// Records of 48 bytes, little-endian, each ending with the CRC-32C of its first 44:
///
/// | | 0 | 8 | 16 | 24 | 40 |
/// |---|---|---|---|---|---|
/// | first | `VTCOPY1` and a zero | size of the disk | bytes of a chunk | relationship | 0 |
/// | chunk | number of the chunk | digest, 32 bytes | | | 0 |
/// | mark | all ones | byte | 0 | 0 | 0 |
///
/// Records are appended after the copy was flushed, and flushed themselves; so a torn end is cut at the last mark.
final class CopyRecords {
    static let recordByteCount = 48
    private static let magic: UInt64 = 0x0031_5950_4f43_5456
    private static let markNumber = UInt64.max

    private let file: any BlockFile
    /// Bytes of the file up to and with the last mark.
    private var end: UInt64
    /// All below this byte is durable in the copy.
    private(set) var durable: UInt64

    private init(_ file: any BlockFile, end: UInt64, durable: UInt64) {
        (self.file, self.end, self.durable) = (file, end, durable)
    }

    /// Begins anew in an empty file.
    static func create(_ file: any BlockFile, diskByteCount: UInt64, relationship: GUID) throws(IOError)
        -> CopyRecords
    {
        try file.resize(to: 0)
        try file.write(head(diskByteCount, relationship), at: 0)
        try file.sync()
        return CopyRecords(file, end: UInt64(recordByteCount), durable: 0)
    }

    /// Goes on at the last mark that is not past `limit`; nil when these are not records of this copy.
    static func resume(_ file: any BlockFile, diskByteCount: UInt64, relationship: GUID, limit: UInt64) throws(IOError)
        -> CopyRecords?
    {
        guard var reader = try Reader(file, diskByteCount: diskByteCount, relationship: relationship) else {
            return nil
        }
        var (end, durable) = (UInt64(recordByteCount), UInt64(0))
        while let record = try reader.next() {
            guard case .mark(let byte) = record else { continue }
            guard byte <= limit else { break }
            (end, durable) = (reader.position, byte)
        }
        try file.resize(to: end)
        return CopyRecords(file, end: end, durable: durable)
    }

    /// Appends digests and a mark, durably. The copy was flushed before.
    func append(_ digests: [ChunkDigest], durable byte: UInt64) throws(IOError) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity((digests.count + 1) * Self.recordByteCount)
        for entry in digests { bytes += Self.record(entry.index, entry.digest) }
        var mark = [UInt8].zeros(32)
        var raw = mark.mutableRawBytes
        raw.store(byte, at: 0, .little)
        bytes += Self.record(Self.markNumber, mark)
        try file.write(bytes, at: end)
        try file.sync()
        end += UInt64(bytes.count)
        durable = byte
    }

    private static func head(_ size: UInt64, _ relationship: GUID) -> [UInt8] {
        var body = [UInt8].zeros(32)
        var raw = body.mutableRawBytes
        raw.store(size, at: 0, .little)
        raw.store(ChunkGeometry.chunkByteCount, at: 8, .little)
        raw.copy(relationship.bytes(.little).rawBytes, at: 16)
        return record(magic, body)
    }

    private static func record(_ number: UInt64, _ body: [UInt8]) -> [UInt8] {
        var bytes = [UInt8].zeros(recordByteCount)
        var raw = bytes.mutableRawBytes
        raw.store(number, at: 0, .little)
        raw.copy(body.rawBytes, at: 8)
        let sum = crc32c(bytes.rawBytes.extracting(0..<44))
        raw = bytes.mutableRawBytes
        raw.store(sum, at: 44, .little)
        return bytes
    }
}

extension CopyRecords {
    enum Record {
        case chunk(ChunkDigest)
        case mark(UInt64)
    }

    /// Reads records in order, up to the first that is not whole.
    struct Reader {
        private let file: any BlockFile
        private let byteCount: UInt64
        private let diskByteCount: UInt64
        /// Where the next record stands.
        private(set) var position = UInt64(recordByteCount)
        private var page: [UInt8] = []
        private var pageStart: UInt64 = 0
        private var lastIndex: UInt64?
        private(set) var lastMark: UInt64 = 0

        /// Nil when the first record is not that of this copy.
        init?(_ file: any BlockFile, diskByteCount: UInt64, relationship: GUID) throws(IOError) {
            self.file = file
            self.diskByteCount = diskByteCount
            byteCount = try file.byteCount()
            guard byteCount >= UInt64(recordByteCount) else { return nil }
            guard try file.bytes(at: 0, count: recordByteCount) == CopyRecords.head(diskByteCount, relationship) else {
                return nil
            }
        }

        mutating func next() throws(IOError) -> Record? {
            guard position + UInt64(recordByteCount) <= byteCount else { return nil }
            if position < pageStart || position >= pageStart + UInt64(page.count) {
                pageStart = position
                let whole = (byteCount - position) / UInt64(recordByteCount) * UInt64(recordByteCount)
                page = try file.bytes(at: position, count: Int(min(UInt64(recordByteCount * 1024), whole)))
            }
            let start = Int(position - pageStart)
            let page = page
            let record = page.rawBytes.extracting(start..<start + recordByteCount)
            guard crc32c(record.extracting(0..<44)) == record.integer(at: 44, as: UInt32.self, .little) else {
                return nil
            }
            let number = record.integer(at: 0, as: UInt64.self, .little)
            if number == markNumber {
                let byte = record.integer(at: 8, as: UInt64.self, .little)
                guard byte >= lastMark, byte <= diskByteCount else { return nil }
                lastMark = byte
                position += UInt64(recordByteCount)
                return .mark(byte)
            }
            guard lastIndex.map({ number > $0 }) ?? true,
                number < diskByteCount.dividedRoundingUp(by: ChunkGeometry.chunkByteCount)
            else { return nil }
            lastIndex = number
            position += UInt64(recordByteCount)
            return .chunk(ChunkDigest(index: number, digest: record.array(8..<40)))
        }

        /// The next chunk's record.
        mutating func nextChunk() throws(IOError) -> ChunkDigest? {
            while let record = try next() {
                if case .chunk(let chunk) = record { return chunk }
            }
            return nil
        }
    }
}

/// The digest of a whole disk: the SHA-256 of its size and of number and digest of every chunk that holds anything.
struct DiskDigest {
    private let hash = Digest(.sha256)

    init(diskByteCount: UInt64) { add(diskByteCount) }

    func add(_ chunk: ChunkDigest) {
        add(chunk.index)
        hash.update(chunk.digest.rawBytes)
    }

    private func add(_ number: UInt64) {
        var bytes = [UInt8].zeros(8)
        var raw = bytes.mutableRawBytes
        raw.store(number, at: 0, .little)
        hash.update(bytes.rawBytes)
    }

    /// `sha256-4M:` and the digest in hexadecimal.
    func text() -> String { "sha256-4M:" + hash.finish().hexadecimal }
}
