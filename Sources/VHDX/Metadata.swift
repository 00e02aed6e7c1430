import BlockIO
import ByteCodec

/// The items of the metadata region that say what the disk is. [MS-VHDX] 2.6
struct Metadata: Sendable {
    private(set) var fileParameters = FileParameters()
    private(set) var virtualDiskSize: UInt64 = 0
    private(set) var virtualDiskID = GUID.zero
    private(set) var logicalSectorSize: UInt32 = 0
    private(set) var physicalSectorSize: UInt32 = 0
    private(set) var parentLocator: ParentLocatorItem?
    /// The merge that the image says is not complete: `MergeItem`.
    private(set) var unfinishedMerge: GUID?
    /// The table as found, with each entry's offset in the file.
    private(set) var table: [(offset: UInt64, entry: MetadataTableEntry)] = []
    let region: Range<UInt64>
    /// System items that an accepted error left without a place.
    private var misplaced: Set<GUID> = []
    /// Whether sizes and file parameters are usable; only an accepted error makes it false.
    private(set) var isUsable = true

    init(reading file: any BlockFile, region: Range<UInt64>, _ findings: inout Findings) throws {
        self.region = region
        try readTable(file, &findings)
        try readFileParameters(file, &findings)
        try readSectorSizes(file, &findings)
        try readVirtualDisk(file, &findings)
        try readParentLocator(file, &findings)
        unfinishedMerge = try readMergeItem(file, &findings)
    }

    /// Refuses a value without which there is no disk.
    private mutating func refuse(_ error: FormatError, _ findings: inout Findings) throws(FormatError) {
        try findings.refuse(error)
        isUsable = false
    }

    private mutating func readTable(_ file: any BlockFile, _ findings: inout Findings) throws {
        let start = region.lowerBound
        let bytes = try file.bytes(at: start, count: Layout.metadataTableByteCount)
        let header = try MetadataTableHeader(parsing: bytes.rawBytes)
        if header.signature != MetadataTableHeader.expectedSignature {
            try findings.refuse(
                FormatError(
                    .vhdxMetadataSignature, field: "Signature", offset: start, "is not \"metadata\"",
                    section: "2.6.1.1"))
        }
        let isCounted = header.entryCount <= Layout.maximumEntryCount
        if !isCounted {
            try findings.refuse(
                FormatError(
                    .vhdxItemCount, field: "EntryCount", offset: start + 10,
                    "is \(header.entryCount), more than \(Layout.maximumEntryCount)", section: "2.6.1.1"))
        }
        var reservedIsZero = header.reserved == 0 && header.reserved2IsZero
        var seen: Set<[UInt8]> = []
        var userCount = 0
        for index in 0..<min(Int(header.entryCount), Layout.maximumEntryCount) {
            let at = MetadataTableHeader.byteCount + MetadataTableEntry.byteCount * index
            let entry = try MetadataTableEntry(
                parsing: bytes.rawBytes.extracting(at..<at + MetadataTableEntry.byteCount))
            let offset = start + UInt64(at)
            // Where the count is wrong, the entries end before the first empty one.
            if !isCounted, entry.itemID == .zero { break }
            do throws(FormatError) {
                try entry.check(at: offset, regionByteCount: region.upperBound - start)
            } catch {
                try findings.refuse(error)
                if !entry.isUser { misplaced.insert(entry.itemID) }
                continue
            }
            guard seen.insert(entry.itemID.bytes(.little) + [entry.isUser ? 1 : 0]).inserted else {
                try findings.refuse(
                    FormatError(
                        .vhdxDuplicateItem, field: "ItemId", offset: offset, "\(entry.itemID) occurs twice",
                        section: "2.6.1.2"))
                continue
            }
            userCount += entry.isUser ? 1 : 0
            reservedIsZero = reservedIsZero && entry.reserved == 0
            if entry.flags & ~7 != 0 {
                findings.warn(
                    FormatError(
                        .vhdxMetadataReserved, field: "Flags", offset: offset + 24,
                        "of item \(entry.itemID) are 0x\(String(entry.flags, radix: 16)): reserved bits are set, "
                            + "and some programs refuse the image", section: "2.6.1.2"))
            }
            try Self.checkKnown(entry, at: offset, &findings)
            table.append((offset, entry))
        }
        if userCount > Layout.maximumUserItemCount {
            try findings.refuse(
                FormatError(
                    .vhdxUserItemCount, field: "EntryCount", offset: start + 10,
                    "counts \(userCount) user items, more than \(Layout.maximumUserItemCount)", section: "2.6.1.1"))
        }
        if !reservedIsZero {
            findings.note(
                .information,
                FormatError(
                    .vhdxMetadataReserved, field: "Reserved", offset: start, "is not zero everywhere in the table",
                    section: "2.6.1"))
        }
        try checkOverlaps(&findings)
    }

    /// Flags that the format gives the items it names. [MS-VHDX] 2.6.2
    static let expectedFlags: [GUID: UInt32] = [
        KnownGUID.fileParameters: 4, KnownGUID.virtualDiskSize: 6, KnownGUID.virtualDiskID: 6,
        KnownGUID.logicalSectorSize: 6, KnownGUID.physicalSectorSize: 6, KnownGUID.parentLocator: 4,
    ]
    /// Items whose contents mean nothing to us, and which therefore do not stop us when they are marked as required.
    private static let opaque: Set<GUID> = [KnownGUID.chsParameters, KnownGUID.persistentMemoryLabels]

    private static func checkKnown(
        _ entry: MetadataTableEntry, at offset: UInt64, _ findings: inout Findings
    ) throws(FormatError) {
        if entry.itemID == KnownGUID.incompleteFile, !entry.isUser {
            return try findings.refuse(
                FormatError(
                    .vhdxIncompleteFile, field: "ItemId", offset: offset,
                    "marks a file whose creation was not finished", section: "2.6.2"))
        }
        if !entry.isUser, let flags = expectedFlags[entry.itemID] {
            guard entry.flags & 7 != flags else { return }
            return findings.warn(
                FormatError(
                    .vhdxItemFlags, field: "Flags", offset: offset + 24,
                    "of item \(entry.itemID) are \(entry.flags), expected \(flags)", section: "2.6.2"))
        }
        if !entry.isUser, opaque.contains(entry.itemID) { return }
        if entry.isUser, entry.itemID == KnownGUID.unfinishedMerge { return }
        guard !entry.isRequired else {
            return try findings.refuse(
                FormatError(
                    .vhdxUnknownRequiredItem, field: "ItemId", offset: offset,
                    "\(entry.itemID) is unknown and marked as required", section: "2.6.1.2"))
        }
        findings.note(
            .information,
            FormatError(
                .vhdxUnknownOptional, field: "ItemId", offset: offset,
                "\(entry.itemID) is an unknown optional item, kept as it is", section: "2.6.1.2"))
    }

    private func checkOverlaps(_ findings: inout Findings) throws(FormatError) {
        let items = table.filter { $0.entry.length > 0 }.sorted { $0.entry.offset < $1.entry.offset }
        for (a, b) in zip(items, items.dropFirst())
        where UInt64(a.entry.offset) + UInt64(a.entry.length) > UInt64(b.entry.offset) {
            try findings.refuse(
                FormatError(
                    .vhdxItemOverlap, field: "Offset", offset: b.offset + 16,
                    "of item \(b.entry.itemID) is \(b.entry.offset), inside item \(a.entry.itemID)",
                    section: "2.6.1.2"))
        }
    }

    /// The item's entry, where that stands, and where its bytes start in the file.
    func find(_ id: GUID) -> (offset: UInt64, entry: MetadataTableEntry, start: UInt64)? {
        guard let found = table.first(where: { $0.entry.itemID == id && !$0.entry.isUser }) else { return nil }
        return (found.offset, found.entry, region.lowerBound + UInt64(found.entry.offset))
    }

    /// The bytes of a required item of fixed length, and where they start in the file; nil after an accepted error.
    private mutating func required(
        _ id: GUID, _ name: String, _ count: Int, _ file: any BlockFile, _ findings: inout Findings
    ) throws -> (bytes: [UInt8], start: UInt64)? {
        guard let item = find(id) else {
            isUsable = false
            guard !misplaced.contains(id) else { return nil }
            try findings.refuse(
                FormatError(
                    .vhdxItemMissing, field: name, offset: region.lowerBound, "is not in the metadata table",
                    section: "2.6.2"))
            return nil
        }
        guard item.entry.length == count else {
            try refuse(
                FormatError(
                    .vhdxItemLength, field: "Length", offset: item.offset + 20,
                    "of item \(name) is \(item.entry.length), expected \(count)", section: "2.6.2"), &findings)
            return nil
        }
        return (try file.bytes(at: item.start, count: count), item.start)
    }

    private mutating func readFileParameters(_ file: any BlockFile, _ findings: inout Findings) throws {
        let count = FileParameters.byteCount
        guard let item = try required(KnownGUID.fileParameters, "File parameters", count, file, &findings) else {
            return
        }
        fileParameters = try FileParameters(parsing: item.bytes.rawBytes)
        let blockSize = UInt64(fileParameters.blockSize)
        if !blockSize.isPowerOfTwo || !Layout.blockByteCounts.contains(blockSize) {
            try refuse(
                FormatError(
                    .vhdxBlockSize, field: "BlockSize", offset: item.start,
                    "is \(blockSize), expected a power of two from 1 MiB to 256 MiB", section: "2.6.2.1"), &findings)
        }
        if fileParameters.flags & ~3 != 0 {
            findings.warn(
                FormatError(
                    .vhdxReservedFlags, field: "Flags", offset: item.start + 4,
                    "of the file parameters have reserved bits set: 0x\(String(fileParameters.flags, radix: 16))",
                    section: "2.6.2.1"))
        }
    }

    private mutating func readSectorSizes(_ file: any BlockFile, _ findings: inout Findings) throws {
        if let logical = try required(KnownGUID.logicalSectorSize, "Logical sector size", 4, file, &findings) {
            logicalSectorSize = logical.bytes.rawBytes.integer(at: 0, .little)
            if ![512, 4096].contains(logicalSectorSize) {
                try refuse(
                    FormatError(
                        .vhdxLogicalSectorSize, field: "LogicalSectorSize", offset: logical.start,
                        "is \(logicalSectorSize), expected 512 or 4096", section: "2.6.2.4"), &findings)
            }
        }
        guard let physical = try required(KnownGUID.physicalSectorSize, "Physical sector size", 4, file, &findings)
        else { return }
        physicalSectorSize = physical.bytes.rawBytes.integer(at: 0, .little)
        if ![512, 4096].contains(physicalSectorSize) {
            // Nothing is placed by it.
            try findings.refuse(
                FormatError(
                    .vhdxPhysicalSectorSize, field: "PhysicalSectorSize", offset: physical.start,
                    "is \(physicalSectorSize), expected 512 or 4096", section: "2.6.2.5"))
        }
    }

    private mutating func readVirtualDisk(_ file: any BlockFile, _ findings: inout Findings) throws {
        if let size = try required(KnownGUID.virtualDiskSize, "Virtual disk size", 8, file, &findings) {
            virtualDiskSize = size.bytes.rawBytes.integer(at: 0, .little)
            // A wrong sector size was told of already.
            let sector: UInt64 = logicalSectorSize == 4096 ? 4096 : 512
            if virtualDiskSize == 0 || virtualDiskSize > Layout.maximumVirtualByteCount || virtualDiskSize % sector != 0
            {
                try refuse(
                    FormatError(
                        .vhdxVirtualDiskSize, field: "VirtualDiskSize", offset: size.start,
                        "is \(virtualDiskSize), expected whole sectors of \(sector) bytes, from one to 64 TiB",
                        section: "2.6.2.2"), &findings)
            }
        }
        if let id = try required(KnownGUID.virtualDiskID, "Virtual disk ID", GUID.byteCount, file, &findings) {
            virtualDiskID = GUID(id.bytes.rawBytes, .little)
        }
    }

    private mutating func readParentLocator(_ file: any BlockFile, _ findings: inout Findings) throws {
        let item = find(KnownGUID.parentLocator)
        guard fileParameters.hasParent else {
            if let item {
                findings.warn(
                    FormatError(
                        .vhdxParentLocatorPresence, field: "ItemId", offset: item.offset,
                        "is a parent locator in a file without HasParent; it is ignored", section: "2.6.2.6"))
            }
            return
        }
        guard let item else {
            guard !misplaced.contains(KnownGUID.parentLocator) else { return }
            return try findings.refuse(
                FormatError(
                    .vhdxParentLocatorPresence, field: "Parent locator", offset: region.lowerBound,
                    "is missing in a file with HasParent", section: "2.6.2.6"))
        }
        let bytes = try file.bytes(at: item.start, count: Int(item.entry.length))
        do throws(FormatError) {
            parentLocator = try ParentLocatorItem(bytes, at: item.start)
        } catch {
            try findings.refuse(error)
        }
    }
}

extension MetadataTableEntry {
    /// The rules for one entry by itself. [MS-VHDX] 2.6.1.2
    fileprivate func check(at position: UInt64, regionByteCount: UInt64) throws(FormatError) {
        guard itemID != .zero else {
            throw FormatError(.vhdxItemIDZero, field: "ItemId", offset: position, "is zero", section: "2.6.1.2")
        }
        guard length <= Layout.maximumItemByteCount else {
            throw FormatError(
                .vhdxItemTooLong, field: "Length", offset: position + 20, "is \(length), more than 1 MiB",
                section: "2.6.1.2")
        }
        guard length > 0 else {
            guard offset == 0 else {
                throw FormatError(
                    .vhdxEmptyItemOffset, field: "Offset", offset: position + 16,
                    "is \(offset) for an empty item, expected 0", section: "2.6.1.2")
            }
            return
        }
        guard offset >= UInt32(Layout.metadataTableByteCount), UInt64(offset) + UInt64(length) <= regionByteCount
        else {
            throw FormatError(
                .vhdxItemOutsideRegion, field: "Offset", offset: position + 16,
                "and Length place the item at \(offset) + \(length), expected from 65536 to \(regionByteCount)",
                section: "2.6.1.2")
        }
    }
}
