import ByteCodec
import DiskModel

/// The structures of a new image besides its table. [MS-VHDX] 2.2, 2.6
struct NewStructures {
    let type: ImageType
    let geometry: TableGeometry
    let physicalSectorByteCount: UInt32
    let virtualDiskID: GUID
    let creator: String
    let table: Range<UInt64>

    static let log = Layout.mebibyte..<2 * Layout.mebibyte
    static let metadata = 2 * Layout.mebibyte..<3 * Layout.mebibyte

    /// The five items every image has: identity, flags, contents.
    private var items: [(id: GUID, flags: UInt32, bytes: [UInt8])] {
        var parameters = FileParameters()
        parameters.blockSize = UInt32(geometry.blockByteCount)
        parameters.flags = type == .fixed ? 1 : 0
        func little(_ value: some FixedWidthInteger & BitwiseCopyable, _ count: Int) -> [UInt8] {
            var bytes = [UInt8].zeros(count)
            var raw = bytes.mutableRawBytes
            raw.store(value, at: 0, .little)
            return bytes
        }
        return [
            (KnownGUID.fileParameters, 4, parameters.serialized()),
            (KnownGUID.virtualDiskSize, 6, little(geometry.virtualByteCount, 8)),
            (KnownGUID.virtualDiskID, 6, virtualDiskID.bytes(.little)),
            (KnownGUID.logicalSectorSize, 6, little(UInt32(geometry.logicalSectorByteCount), 4)),
            (KnownGUID.physicalSectorSize, 6, little(physicalSectorByteCount, 4)),
        ]
    }

    var metadataItems: [UInt8] { items.flatMap(\.bytes) }

    var metadataTable: [UInt8] {
        var header = MetadataTableHeader()
        header.entryCount = UInt16(items.count)
        var bytes = header.serialized()
        var offset = Layout.metadataTableByteCount
        for item in items {
            var entry = MetadataTableEntry()
            (entry.itemID, entry.flags) = (item.id, item.flags)
            (entry.offset, entry.length) = (UInt32(offset), UInt32(item.bytes.count))
            bytes += entry.serialized()
            offset += item.bytes.count
        }
        return bytes
    }

    var regionTable: [UInt8] {
        var header = RegionTableHeader()
        let regions = [(KnownGUID.blockAllocationTable, table), (KnownGUID.metadata, Self.metadata)]
        header.entryCount = UInt32(regions.count)
        var bytes = header.serialized()
        for (guid, range) in regions {
            var entry = RegionTableEntry()
            (entry.guid, entry.fileOffset) = (guid, range.lowerBound)
            (entry.length, entry.flags) = (UInt32(range.upperBound - range.lowerBound), 1)
            bytes += entry.serialized()
        }
        bytes += [UInt8].zeros(Layout.regionTableByteCount - bytes.count)
        let checksum = crc32c(bytes.rawBytes)
        var raw = bytes.mutableRawBytes
        raw.store(checksum, at: 4, .little)
        return bytes
    }

    var identifier: [UInt8] {
        var identifier = FileTypeIdentifier()
        let text = utf16Bytes(creator, .little).prefix(512)
        identifier.creator = text + [UInt8].zeros(512 - text.count)
        return identifier.serialized()
    }
}
