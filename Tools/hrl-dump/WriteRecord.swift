import BlockIO
import ByteCodec
import ChangeLog
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

extension WriteFilter {
    func admits(_ write: WriteRecord) -> Bool {
        admits(number: write.number, write.timestamp, diskOffset: write.diskOffset, byteCount: write.byteCount)
    }
}
