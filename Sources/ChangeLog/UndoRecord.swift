import BlockIO
import ByteCodec
import Digest
import DiskModel
import HRL

/// What stands behind the end of an undo log, where readers of logs do not look: which disk it was saved from, and a digest
/// of what it holds. Byte map: docs/formats/hrl.md, Undo logs.
struct UndoRecord: DiskStruct, Equatable {
    static let byteCount = 4096
    static let byteOrder = ByteOrder.little
    static let cookie = Array("vtu disk".utf8)
    static let version: UInt32 = 1
    /// CreatorVersion of an undo log that has a record; its OriginalSize tells how many bytes of the disk were saved.
    static let creatorVersion: UInt32 = 0x0001_0001
    private static let sealedByteCount = byteCount - 32

    var cookie = Self.cookie
    var version = Self.version
    var sampleCount: UInt32 = 0
    /// Zero for a disk without one.
    var diskID = GUID.zero
    var sampleDigest: [UInt8] = .zeros(32)
    /// As `UndoDigest` has it.
    var contentDigest: [UInt8] = .zeros(32)
    var sampleOffsets: [UInt8] = .zeros(8 * DiskSample.capacity)
    var reservedIsZero = true
    /// SHA-256 of all before it.
    var recordDigest: [UInt8] = .zeros(32)

    init() {}

    mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.bytes("Cookie", &cookie, count: 8)
        try f.field("Version", &version)
        try f.field("SampleCount", &sampleCount)
        try f.field("DiskId", &diskID)
        try f.bytes("SampleDigest", &sampleDigest, count: 32)
        try f.bytes("ContentDigest", &contentDigest, count: 32)
        try f.bytes("SampleOffsets", &sampleOffsets, count: 8 * DiskSample.capacity)
        try f.reserved("Reserved", count: 1920, allZero: &reservedIsZero)
        try f.bytes("RecordDigest", &recordDigest, count: 32)
    }

    /// The record on disk, with its digest put right.
    func sealed() -> [UInt8] {
        var record = self
        record.recordDigest = Self.digest(of: serialized())
        return record.serialized()
    }

    private static func digest(of bytes: [UInt8]) -> [UInt8] {
        Digest.hash(.sha256, bytes.rawBytes.extracting(0..<sealedByteCount))
    }

    /// The sectors that tell the disk from others.
    var sample: DiskSample {
        get {
            let raw = sampleOffsets.rawBytes
            let count = min(Int(sampleCount), DiskSample.capacity)
            return DiskSample(offsets: (0..<count).map { raw.integer(at: 8 * $0, .little) }, digest: sampleDigest)
        }
        set {
            precondition(newValue.offsets.count <= DiskSample.capacity)
            sampleCount = UInt32(newValue.offsets.count)
            sampleDigest = newValue.digest
            sampleOffsets = .zeros(8 * DiskSample.capacity)
            var raw = sampleOffsets.mutableRawBytes
            for (index, offset) in newValue.offsets.enumerated() { raw.store(offset, at: 8 * index, .little) }
        }
    }

    /// Whether a log says of itself that a record follows it.
    static func isExpected(behind header: LogHeader) -> Bool {
        header.creatorApplication == UndoLog.creatorApplication && header.creatorVersion == creatorVersion
    }

    /// The record behind a log's end.
    /// - Returns: nil where none stands there that is whole and of a version we know.
    /// - Throws: `.io`.
    static func read(behind log: LogReader) throws(DiskError) -> UndoRecord? {
        let bytes: [UInt8]
        do throws(IOError) {
            let (fileEnd, end) = (try log.file.byteCount(), log.endOfLog)
            guard fileEnd >= end, fileEnd - end >= UInt64(byteCount) else { return nil }
            bytes = try log.file.bytes(at: end, count: byteCount)
        } catch { throw DiskError(error, doing: "reading the undo log's record") }
        guard let record = try? UndoRecord(parsing: bytes.rawBytes), record.cookie == cookie, record.version == version,
            record.sampleCount <= DiskSample.capacity, record.recordDigest == digest(of: bytes)
        else { return nil }
        return record
    }
}
