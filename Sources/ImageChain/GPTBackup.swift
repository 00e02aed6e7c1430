import ByteCodec
import DiskModel

/// The second copy of a GUID partition table: its entries and, in the disk's last sector, its header. [UEFI] 5.3.1
struct GPTBackup: Equatable {
    /// What it takes at the end of a disk.
    var byteCount: UInt64
    /// Where it stands on the disk, in order; empty unless both copies are whole and say the same: a backup is to spare
    /// only where the first copy does without it.
    var places: [Range<UInt64>] = []

    /// Larger tables are not compared.
    private static let largestTableByteCount: UInt64 = 1 << 20

    /// Nil where the disk has no valid first header.
    init?(of disk: any VirtualDisk) throws(DiskError) {
        let size = disk.geometry.virtualByteCount
        let start = try disk.bytes(at: 0, count: Int(min(size, 8192)))
        guard let (first, sector) = GPTHeader.first(in: start, disk.geometry.logicalSectorByteCount) else {
            return nil
        }
        let table = UInt64(first.numberOfPartitionEntries) * UInt64(first.sizeOfPartitionEntry)
        byteCount = table.roundedUp(to: sector) + sector
        guard (1...Self.largestTableByteCount).contains(table),
            let header = Self.range(first.alternateLBA, sector, sector, within: size),
            let second = GPTHeader(checking: try disk.bytes(at: header.lowerBound, count: 512)),
            second.isCopy(of: first),
            let firstEntries = Self.range(first.partitionEntryLBA, sector, table, within: size),
            let entries = Self.range(second.partitionEntryLBA, sector, table, within: size),
            entries.upperBound <= header.lowerBound, firstEntries.upperBound <= entries.lowerBound
        else { return }
        let bytes = try disk.bytes(at: firstEntries.lowerBound, count: Int(table))
        guard CRC32.checksum(bytes.rawBytes) == first.partitionEntryArrayCRC32,
            try disk.bytes(at: entries.lowerBound, count: Int(table)) == bytes
        else { return }
        places = [entries, header.lowerBound..<header.lowerBound + UInt64(first.headerSize)]
    }

    private static func range(_ lba: UInt64, _ sector: UInt64, _ byteCount: UInt64, within size: UInt64)
        -> Range<UInt64>?
    {
        guard let offset = lba.multiplied(by: sector), let range = checkedRange(offset, byteCount),
            range.upperBound <= size
        else { return nil }
        return range
    }
}

extension GPTHeader {
    /// Whether both stand for the same table, each naming the other's place.
    fileprivate func isCopy(of other: Self) -> Bool {
        (myLBA, alternateLBA, diskGUID) == (other.alternateLBA, other.myLBA, other.diskGUID)
            && (firstUsableLBA, lastUsableLBA) == (other.firstUsableLBA, other.lastUsableLBA)
            && numberOfPartitionEntries == other.numberOfPartitionEntries
            && sizeOfPartitionEntry == other.sizeOfPartitionEntry
            && partitionEntryArrayCRC32 == other.partitionEntryArrayCRC32
    }
}
