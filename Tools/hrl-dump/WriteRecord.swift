import BlockIO
import ByteCodec
import HRL

/// What a row says about a write; of a finished log, or of one that is still growing.
struct WriteRecord {
    var number: UInt64
    var slot: Int
    var blockOffset: UInt64
    var dataOffset: UInt64
    var diskOffset: UInt64
    var byteCount: UInt64
    var timestamp: DiskTimestamp
    var checksumOK: Bool
    var dataChecksum: LogWrite.DataChecksum

    var dataRange: Range<UInt64> { dataOffset..<dataOffset + byteCount }
}

extension WriteRecord {
    init(_ write: LogWrite) {
        self.init(
            number: write.number, slot: write.slot, blockOffset: write.blockOffset, dataOffset: write.dataOffset,
            diskOffset: write.diskOffset, byteCount: write.byteCount, timestamp: write.timestamp,
            checksumOK: write.checksumOK, dataChecksum: write.dataChecksum)
    }
}

/// Which writes are shown.
struct WriteFilter {
    var since = DiskTimestamp(rawValue: 0)
    var until = DiskTimestamp(rawValue: .max)
    var records: ClosedRange<UInt64> = 1 ... .max
    var disk: Range<UInt64> = 0 ..< .max

    func admits(_ write: WriteRecord) -> Bool {
        records.contains(write.number) && write.timestamp >= since && write.timestamp <= until
            && write.diskOffset < disk.upperBound && write.diskOffset &+ write.byteCount > disk.lowerBound
    }
}
