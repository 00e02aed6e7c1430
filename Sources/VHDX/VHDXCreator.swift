public import BlockIO
public import ByteCodec
public import DiskModel

/// Makes new images.
///
/// Order: length, table (fixed images only; zeros otherwise), metadata, region tables, identifier, flush; then
/// header 1 and header 2, flush. A cut before the first header is whole leaves a file without a valid header, which
/// does not open.
public enum VHDXCreator {
    /// Creates an image on an empty file, all zeros. The log stands at 1 MiB (1 MiB long), metadata at 2 MiB, the
    /// table at 3 MiB, blocks behind it. A fixed image has all blocks, in order, as holes of the host file where it
    /// can have such.
    /// - Parameters:
    ///   - virtualByteCount: whole logical sectors, up to 64 TiB.
    ///   - blockByteCount: a power of two from 1 MiB to 256 MiB.
    ///   - logicalSectorByteCount: 512 or 4096; so for the physical one.
    ///   - creator: up to 256 UTF-16 code units; the rest is cut off.
    ///   - newGUID: where FileWriteGuid and DataWriteGuid come from.
    /// - Throws: `.refused` for parameters the format does not allow and for a file that is not empty; `.io`.
    public static func create(
        on file: any BlockFile, type: ImageType, virtualByteCount: UInt64, blockByteCount: UInt64 = 32 << 20,
        logicalSectorByteCount: Int = 512, physicalSectorByteCount: Int = 4096, virtualDiskID: GUID = .random(),
        creator: String = "vhdtools", newGUID: () -> GUID = { .random() }
    ) throws(DiskError) {
        func refuse(_ what: String) -> DiskError { DiskError(.refused, path: file.path, what) }
        guard type != .differencing else { throw refuse("differencing images are not made here") }
        guard [512, 4096].contains(logicalSectorByteCount), [512, 4096].contains(physicalSectorByteCount) else {
            throw refuse("sectors have 512 or 4096 bytes")
        }
        guard blockByteCount.isPowerOfTwo, Layout.blockByteCounts.contains(blockByteCount) else {
            throw refuse("a block size of \(blockByteCount) bytes is no power of two from 1 MiB to 256 MiB")
        }
        guard virtualByteCount > 0, virtualByteCount <= Layout.maximumVirtualByteCount,
            virtualByteCount % UInt64(logicalSectorByteCount) == 0
        else { throw refuse("a disk has whole sectors of \(logicalSectorByteCount) bytes, from one to 64 TiB") }
        let plan = Plan(
            type: type,
            geometry: TableGeometry(
                virtualByteCount: virtualByteCount, blockByteCount: blockByteCount,
                logicalSectorByteCount: UInt64(logicalSectorByteCount), isDifferencing: false),
            physicalSectorByteCount: UInt32(physicalSectorByteCount), virtualDiskID: virtualDiskID, creator: creator)
        var header = Header()
        (header.fileWriteGUID, header.dataWriteGUID) = (newGUID(), newGUID())
        header.logLength = UInt32(Plan.log.upperBound - Plan.log.lowerBound)
        header.logOffset = Plan.log.lowerBound

        try diskErrors(file.path, "creating the image") {
            guard try file.byteCount() == 0 else { throw refuse("the file is not empty") }
            try file.resize(to: plan.fileByteCount)
            if type == .fixed { try plan.writeTable(to: file) }
            try file.write(plan.metadataTable, at: Plan.metadata.lowerBound)
            try file.write(plan.metadataItems, at: Plan.metadata.lowerBound + UInt64(Layout.metadataTableByteCount))
            for offset in Layout.regionTableOffsets { try file.write(plan.regionTable, at: offset) }
            try file.write(plan.identifier, at: 0)
            try file.sync()
            for offset in Layout.headerOffsets {
                header.sequenceNumber += 1
                try file.write(header.sealed(), at: offset)
            }
            try file.sync()
        }
    }
}

/// Layout and contents of a new image.
private struct Plan {
    let type: ImageType
    let geometry: TableGeometry
    let physicalSectorByteCount: UInt32
    let virtualDiskID: GUID
    let creator: String

    static let log = Layout.mebibyte..<2 * Layout.mebibyte
    static let metadata = 2 * Layout.mebibyte..<3 * Layout.mebibyte

    var table: Range<UInt64> {
        let start = Self.metadata.upperBound
        return start..<start + (geometry.entryCount * TableEntry.byteCount).roundedUp(to: Layout.mebibyte)
    }

    var fileByteCount: UInt64 {
        table.upperBound + (type == .fixed ? geometry.payloadBlockCount * geometry.blockByteCount : 0)
    }

    /// All blocks present, one behind the other.
    func writeTable(to file: any BlockFile) throws(IOError) {
        let piece = [UInt8].zeros(1 << 20)
        let entriesPerPiece = UInt64(piece.count) / TableEntry.byteCount
        var first: UInt64 = 0
        while first < geometry.entryCount {
            let end = min(first + entriesPerPiece, geometry.entryCount)
            var bytes = piece
            var raw = bytes.mutableRawBytes
            for index in first..<end {
                guard case .payload(let block)? = geometry.use(ofIndex: index) else { continue }
                let entry = TableEntry(
                    .fullyPresent, fileOffset: table.upperBound + block * geometry.blockByteCount)
                raw.store(entry.rawValue, at: Int((index - first) * TableEntry.byteCount), .little)
            }
            try file.write(
                bytes.rawBytes.extracting(0..<Int((end - first) * TableEntry.byteCount)),
                at: table.lowerBound + first * TableEntry.byteCount)
            first = end
        }
    }

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
