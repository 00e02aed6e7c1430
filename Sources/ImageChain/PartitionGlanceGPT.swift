import ByteCodec
import DiskModel

/// The header of a GUID partition table. [UEFI] 5.3.2
struct GPTHeader: DiskStruct, Equatable {
    static let byteCount = 92
    static let byteOrder = ByteOrder.little
    static let signature = Array("EFI PART".utf8)
    static let checksumOffset = 16

    var signature = GPTHeader.signature
    var revision: UInt32 = 0x0001_0000
    var headerSize = UInt32(GPTHeader.byteCount)
    var headerCRC32: UInt32 = 0
    var reservedIsZero = true
    var myLBA: UInt64 = 0
    var alternateLBA: UInt64 = 0
    var firstUsableLBA: UInt64 = 0
    var lastUsableLBA: UInt64 = 0
    var diskGUID = GUID.zero
    var partitionEntryLBA: UInt64 = 0
    var numberOfPartitionEntries: UInt32 = 0
    var sizeOfPartitionEntry: UInt32 = 0
    var partitionEntryArrayCRC32: UInt32 = 0

    mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.bytes("Signature", &signature, count: 8)
        try f.field("Revision", &revision)
        try f.field("HeaderSize", &headerSize)
        try f.field("HeaderCRC32", &headerCRC32)
        try f.reserved("Reserved", count: 4, allZero: &reservedIsZero)
        try f.field("MyLBA", &myLBA)
        try f.field("AlternateLBA", &alternateLBA)
        try f.field("FirstUsableLBA", &firstUsableLBA)
        try f.field("LastUsableLBA", &lastUsableLBA)
        try f.field("DiskGUID", &diskGUID)
        try f.field("PartitionEntryLBA", &partitionEntryLBA)
        try f.field("NumberOfPartitionEntries", &numberOfPartitionEntries)
        try f.field("SizeOfPartitionEntry", &sizeOfPartitionEntry)
        try f.field("PartitionEntryArrayCRC32", &partitionEntryArrayCRC32)
    }

    /// The header at the start of these bytes; nil when the signature is not there or the checksum is wrong.
    init?(checking bytes: [UInt8]) {
        guard bytes.has(Self.signature, at: 0), let header = try? Self(parsing: bytes.rawBytes) else { return nil }
        let size = Int(header.headerSize)
        guard (Self.byteCount...512).contains(size), size <= bytes.count else { return nil }
        var summed = Array(bytes[..<size])
        for index in 0..<4 { summed[Self.checksumOffset + index] = 0 }
        guard CRC32.checksum(summed.rawBytes) == header.headerCRC32 else { return nil }
        self = header
    }

    init() {}

    /// The first header by the first bytes of a disk, and the size of its sectors: the disk's, or the other one in use.
    static func first(in start: [UInt8], _ own: Int) -> (header: Self, sectorByteCount: UInt64)? {
        for sector in [own, own == 512 ? 4096 : 512] where start.count >= sector + 512 {
            if let header = Self(checking: Array(start[sector..<sector + 512])) { return (header, UInt64(sector)) }
        }
        return nil
    }
}

/// One entry of the table. [UEFI] 5.3.3
struct GPTEntry: DiskStruct, Equatable {
    static let byteCount = 128
    static let byteOrder = ByteOrder.little

    var partitionTypeGUID = GUID.zero
    var uniquePartitionGUID = GUID.zero
    var startingLBA: UInt64 = 0
    var endingLBA: UInt64 = 0
    var attributes: UInt64 = 0
    var partitionName: [UInt8] = .zeros(72)

    mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("PartitionTypeGUID", &partitionTypeGUID)
        try f.field("UniquePartitionGUID", &uniquePartitionGUID)
        try f.field("StartingLBA", &startingLBA)
        try f.field("EndingLBA", &endingLBA)
        try f.field("Attributes", &attributes)
        try f.bytes("PartitionName", &partitionName, count: 72)
    }
}

/// CRC-32 of IEEE 802.3, as GPT uses it.
enum CRC32 {
    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { value, _ in value & 1 == 0 ? value >> 1 : value >> 1 ^ 0xedb8_8320 }
    }

    static func checksum(_ bytes: RawSpan) -> UInt32 {
        var value = UInt32.max
        for offset in 0..<bytes.byteCount {
            let byte: UInt8 = bytes.integer(at: offset, .little)
            value = value >> 8 ^ table[Int(UInt8(truncatingIfNeeded: value) ^ byte)]
        }
        return ~value
    }
}

extension PartitionGlance {
    /// The partitions of a GPT, from its first header or, where that is damaged, from the one at the end; nil when there
    /// is no GPT. An image may come from a disk of other sectors.
    static func gpt(_ disk: any VirtualDisk, _ start: [UInt8]) throws(DiskError) -> Self? {
        let own = disk.geometry.logicalSectorByteCount
        if let (header, sector) = GPTHeader.first(in: start, own) {
            return try entries(of: header, disk, sector, remarks: [])
        }
        let hasSignature = [512, 4096].contains { start.has(GPTHeader.signature, at: $0) }
        let isProtected = BootRecord(start)?.slots.contains { $0.type == MBRType.protective } ?? false
        guard hasSignature || isProtected else { return nil }
        let size = disk.geometry.virtualByteCount
        guard size >= UInt64(2 * own),
            let backup = GPTHeader(checking: try disk.bytes(at: size - UInt64(own), count: 512))
        else { return nil }
        return try entries(
            of: backup, disk, UInt64(own), remarks: ["the first GPT header is damaged: the one at the end is shown"])
    }

    private static func entries(of header: GPTHeader, _ disk: any VirtualDisk, _ sector: UInt64, remarks: [String])
        throws(DiskError) -> Self
    {
        var result = Self(table: .gpt, entries: [], remarks: remarks)
        let size = UInt64(header.sizeOfPartitionEntry)
        let listed = min(UInt64(header.numberOfPartitionEntries), UInt64(entryLimit))
        guard (128...4096).contains(size), size % 8 == 0,
            let offset = header.partitionEntryLBA.multiplied(by: sector),
            let range = checkedRange(offset, size * listed), range.upperBound <= disk.geometry.virtualByteCount
        else {
            result.remarks.append("the GPT names an impossible place or size for its entries")
            return result
        }
        let bytes = try disk.bytes(at: offset, count: Int(size * listed))
        if listed < UInt64(header.numberOfPartitionEntries) {
            result.remarks.append("the GPT has \(header.numberOfPartitionEntries) entries: \(listed) are looked at")
        } else if CRC32.checksum(bytes.rawBytes) != header.partitionEntryArrayCRC32 {
            result.remarks.append("the checksum of the GPT's entries is wrong")
        }
        for index in 0..<Int(listed) { result.append(bytes, index, Int(size), sector) }
        return result
    }

    private mutating func append(_ bytes: [UInt8], _ index: Int, _ size: Int, _ sector: UInt64) {
        let raw = bytes.rawBytes.extracting(index * size..<(index + 1) * size)
        guard let entry = try? GPTEntry(parsing: raw), entry.partitionTypeGUID != .zero else { return }
        guard entry.endingLBA >= entry.startingLBA, let start = entry.startingLBA.multiplied(by: sector),
            let count = (entry.endingLBA - entry.startingLBA).adding(1)?.multiplied(by: sector),
            checkedRange(start, count) != nil
        else {
            remarks.append("partition \(index + 1) has an impossible place")
            return
        }
        let name = lenientUTF16(entry.partitionName.rawBytes, .little)
        entries.append(
            PartitionEntry(
                index: index + 1, type: entry.partitionTypeGUID.description,
                typeName: GPTType.names[entry.partitionTypeGUID.description], start: start, byteCount: count,
                name: name.isEmpty ? nil : name))
    }
}

enum GPTType {
    static let names: [String: String] = [
        "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "EFI system",
        "21686148-6449-6e6f-744e-656564454649": "BIOS boot",
        "024dee41-33e7-11d3-9d69-0008c781f39f": "MBR partition scheme",
        "e3c9e316-0b5c-4db8-817d-f92df00215ae": "Microsoft reserved",
        "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "Microsoft basic data",
        "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3": "Windows LDM metadata",
        "af9b60a0-1431-4f62-bc68-3311714a69ad": "Windows LDM data",
        "de94bba4-06d1-4d40-a16a-bfd50179d6ac": "Windows recovery",
        "e75caf8f-f680-4cee-afa3-b001e56efc2d": "Windows Storage Spaces",
        "558d43c5-a1ac-43c0-aac8-d1472b2923d1": "Windows Storage Replica",
        "0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux data",
        "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
        "e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
        "a19d880f-05fc-4d3b-a006-743f0f84911e": "Linux RAID",
        "933ac7e1-2eb4-4f13-b844-0e14e2aef915": "Linux home",
        "bc13c2ff-59e6-4262-a352-b275fd6f7172": "Linux extended boot",
        "44479540-f297-41b2-9af7-d131d5f0458a": "Linux root (x86)",
        "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "Linux root (x86-64)",
        "b921b045-1df0-41c3-af44-4c6f280d3fae": "Linux root (ARM64)",
        "ca7d7ccb-63ed-4c53-861c-1742536059cc": "LUKS",
        "48465300-0000-11aa-aa11-00306543ecac": "Apple HFS+",
        "7c3457ef-0000-11aa-aa11-00306543ecac": "Apple APFS",
        "83bd6b9d-7f41-11dc-be0b-001560b84f0f": "FreeBSD boot",
        "516e7cb4-6ecf-11d6-8ff8-00022d71712b": "FreeBSD data",
        "516e7cba-6ecf-11d6-8ff8-00022d71712b": "FreeBSD ZFS",
        "6a898cc3-1dd2-11b2-99a6-080020736631": "ZFS",
    ]
}
