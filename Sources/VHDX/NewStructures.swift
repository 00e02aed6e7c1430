import BlockIO
import ByteCodec
import DiskModel

/// The structures of a new image besides its table. [MS-VHDX] 2.2, 2.6
struct NewStructures {
    let type: ImageType
    let geometry: TableGeometry
    let physicalSectorByteCount: UInt32
    let virtualDiskID: GUID
    let creator: String
    var table: Range<UInt64> = 0..<0
    var metadata = Self.metadata
    /// The bytes of a child's parent locator; none in an image without parent.
    var parentLocator: [UInt8] = []
    /// Further items that go with the disk from parent to child, as they are in the parent.
    var inherited: [MetadataTableEntry] = []

    static let log = Layout.mebibyte..<2 * Layout.mebibyte
    /// Where metadata stand that need no more than 1 MiB.
    static let metadata = 2 * Layout.mebibyte..<3 * Layout.mebibyte

    /// The five items every image has, and a child's parent locator: identity, flags, contents.
    private var items: [(id: GUID, flags: UInt32, bytes: [UInt8])] {
        var parameters = FileParameters()
        parameters.blockSize = UInt32(geometry.blockByteCount)
        parameters.flags = type == .fixed ? 1 : type == .differencing ? 2 : 0
        func little(_ value: some FixedWidthInteger & BitwiseCopyable, _ count: Int) -> [UInt8] {
            var bytes = [UInt8].zeros(count)
            var raw = bytes.mutableRawBytes
            raw.store(value, at: 0, .little)
            return bytes
        }
        let five: [(id: GUID, flags: UInt32, bytes: [UInt8])] = [
            (KnownGUID.fileParameters, 4, parameters.serialized()),
            (KnownGUID.virtualDiskSize, 6, little(geometry.virtualByteCount, 8)),
            (KnownGUID.virtualDiskID, 6, virtualDiskID.bytes(.little)),
            (KnownGUID.logicalSectorSize, 6, little(UInt32(geometry.logicalSectorByteCount), 4)),
            (KnownGUID.physicalSectorSize, 6, little(physicalSectorByteCount, 4)),
        ]
        return parentLocator.isEmpty ? five : five + [(KnownGUID.parentLocator, 4, parentLocator)]
    }

    var metadataItems: [UInt8] { items.flatMap(\.bytes) }

    var metadataItemCount: Int { items.count + inherited.count }

    /// What the metadata region needs.
    var metadataByteCount: UInt64 {
        let itemByteCount = inherited.reduce(UInt64(metadataItems.count)) { $0 + UInt64($1.length) }
        return (UInt64(Layout.metadataTableByteCount) + itemByteCount).roundedUp(to: Layout.mebibyte)
    }

    /// The entries of all items, inherited ones last, packed from the table's end on. Their region is known to hold them.
    var metadataEntries: [MetadataTableEntry] {
        let own = items.map { item in
            var entry = MetadataTableEntry()
            (entry.itemID, entry.flags, entry.length) = (item.id, item.flags, UInt32(item.bytes.count))
            return entry
        }
        var offset = UInt32(Layout.metadataTableByteCount)
        return (own + inherited).map { entry in
            var entry = entry
            entry.offset = entry.length == 0 ? 0 : offset
            offset += entry.length
            return entry
        }
    }

    var metadataTable: [UInt8] {
        let entries = metadataEntries
        var header = MetadataTableHeader()
        header.entryCount = UInt16(entries.count)
        return header.serialized() + entries.flatMap { $0.serialized() }
    }

    var regionTable: [UInt8] {
        var header = RegionTableHeader()
        let regions = [(KnownGUID.blockAllocationTable, table), (KnownGUID.metadata, metadata)]
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

    /// Metadata, region tables and identifier; the bytes of inherited items are the caller's.
    func write(to file: any BlockFile) throws(IOError) {
        try file.write(metadataTable, at: metadata.lowerBound)
        try file.write(metadataItems, at: metadata.lowerBound + UInt64(Layout.metadataTableByteCount))
        for offset in Layout.regionTableOffsets { try file.write(regionTable, at: offset) }
        try file.write(identifier, at: 0)
    }
}

extension Header {
    /// Of a new image: new identities, the log's place.
    init(newGUID: () -> GUID) {
        (fileWriteGUID, dataWriteGUID) = (newGUID(), newGUID())
        logLength = UInt32(NewStructures.log.upperBound - NewStructures.log.lowerBound)
        logOffset = NewStructures.log.lowerBound
    }

    /// Writes both headers of a new image.
    mutating func writeCopies(to file: any BlockFile) throws(IOError) {
        for offset in Layout.headerOffsets {
            sequenceNumber += 1
            try file.write(sealed(), at: offset)
        }
    }
}
