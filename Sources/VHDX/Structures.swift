public import ByteCodec

// Every structure of a VHDX file, in the order of [MS-VHDX] 2. Integers are little-endian, GUIDs have their first
// three groups little-endian. Signatures are compared as integers whose bytes on disk are the text.

/// The four bytes of a signature as a little-endian integer.
func signature32(_ text: StaticString) -> UInt32 { UInt32(truncatingIfNeeded: signature64(text)) }

/// Up to eight bytes of a signature as a little-endian integer.
func signature64(_ text: StaticString) -> UInt64 {
    var value: UInt64 = 0
    for (index, byte) in "\(text)".utf8.enumerated() where index < 8 { value |= UInt64(byte) << (8 * UInt64(index)) }
    return value
}

/// Places and sizes that the format fixes. [MS-VHDX] 2.1, 2.2
public enum Layout {
    public static let mebibyte: UInt64 = 1 << 20
    /// Unit of the log and of its descriptors.
    public static let pageByteCount: UInt64 = 4096
    public static let headerOffsets: [UInt64] = [64 << 10, 128 << 10]
    public static let regionTableOffsets: [UInt64] = [192 << 10, 256 << 10]
    /// Identifier, headers and region tables; everything else lies behind.
    public static let headerSectionByteCount: UInt64 = 1 << 20
    public static let regionTableByteCount = 64 << 10
    public static let metadataTableByteCount = 64 << 10
    public static let bitmapBlockByteCount: UInt64 = 1 << 20
    public static let maximumEntryCount = 2047
    public static let maximumUserItemCount = 1024
    public static let maximumItemByteCount: UInt32 = 1 << 20
    public static let maximumVirtualByteCount: UInt64 = 64 << 40
    public static let blockByteCounts: ClosedRange<UInt64> = 1 << 20...256 << 20
    public static let maximumLogByteCount: UInt64 = 1 << 30
    /// Nothing may lie behind this offset: three times the largest disk. It bounds the map of used space.
    public static let maximumFileByteCount: UInt64 = 192 << 40
}

/// GUIDs that the format names. [MS-VHDX] 2.2.3.2, 2.6.2
public enum KnownGUID {
    public static let blockAllocationTable = GUID(0x2DC2_7766, 0xF623, 0x4200, 0x9D64_115E_9BFD_4A08)
    public static let metadata = GUID(0x8B7C_A206, 0x4790, 0x4B9A, 0xB8FE_575F_050F_886E)
    /// The regions without which there is no disk.
    static let requiredRegions = [blockAllocationTable, metadata]
    public static let fileParameters = GUID(0xCAA1_6737, 0xFA36, 0x4D43, 0xB3B6_33F0_AA44_E76B)
    public static let virtualDiskSize = GUID(0x2FA5_4224, 0xCD1B, 0x4876, 0xB211_5DBE_D83B_F4B8)
    public static let virtualDiskID = GUID(0xBECA_12AB, 0xB2E6, 0x4523, 0x93EF_C309_E000_C746)
    public static let logicalSectorSize = GUID(0x8141_BF1D, 0xA96F, 0x4709, 0xBA47_F233_A8FA_AB5F)
    public static let physicalSectorSize = GUID(0xCDA3_48C7, 0x445D, 0x4471, 0x9CC9_E988_5251_C556)
    public static let parentLocator = GUID(0xA8D3_5F2D, 0xB30B, 0x454D, 0xABF7_D3D8_4834_AB0C)
    public static let parentLocatorType = GUID(0xB04A_EFB7, 0xD19E, 0x4A81, 0xB789_25B8_E944_5913)
    /// Cylinder, head, sector geometry; opaque to us.
    public static let chsParameters = GUID(0xDA02_D7BC, 0x3D3A, 0x423C, 0xAC88_2A36_AB21_479B)
    /// Present while a writer is still creating the file.
    public static let incompleteFile = GUID(0x71CC_85F0, 0x1B69, 0x4E28, 0x9558_C3BF_83AE_75D3)
    /// Labels of persistent memory; opaque to us.
    public static let persistentMemoryLabels = GUID(0x10E1_AE8A, 0x4B7E, 0x4169, 0xA40F_CD70_DE92_8393)
    /// Ours, a user item: a merge into the image that is not complete.
    public static let unfinishedMerge = GUID(0x6D5E_0A3B, 0x2C41, 0x4F97, 0x8E1D_57B3_90C6_A4F2)
}

/// File type identifier, at 0. [MS-VHDX] 2.2.1
public struct FileTypeIdentifier: DiskStruct, Equatable {
    public static let byteCount = 520
    public static let byteOrder = ByteOrder.little
    public static let expectedSignature = signature64("vhdxfile")
    public var signature = Self.expectedSignature
    /// UTF-16LE text, padded with NUL; diagnostic only.
    public var creator = [UInt8].zeros(512)

    public init() {}
    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("Signature", &signature)
        try f.bytes("Creator", &creator, count: 512)
    }
}

/// Header, at 64 KiB and 128 KiB. [MS-VHDX] 2.2.2
public struct Header: DiskStruct, Equatable {
    public static let byteCount = 4096
    public static let byteOrder = ByteOrder.little
    public static let expectedSignature = signature32("head")
    public var signature = Self.expectedSignature
    public var checksum: UInt32 = 0
    public var sequenceNumber: UInt64 = 0
    public var fileWriteGUID = GUID.zero
    public var dataWriteGUID = GUID.zero
    public var logGUID = GUID.zero
    public var logVersion: UInt16 = 0
    public var version: UInt16 = 1
    public var logLength: UInt32 = 0
    public var logOffset: UInt64 = 0
    public var reservedIsZero = true

    public init() {}
    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("Signature", &signature)
        try f.field("Checksum", &checksum)
        try f.field("SequenceNumber", &sequenceNumber)
        try f.field("FileWriteGuid", &fileWriteGUID)
        try f.field("DataWriteGuid", &dataWriteGUID)
        try f.field("LogGuid", &logGUID)
        try f.field("LogVersion", &logVersion)
        try f.field("Version", &version)
        try f.field("LogLength", &logLength)
        try f.field("LogOffset", &logOffset)
        try f.reserved("Reserved", count: 4016, allZero: &reservedIsZero)
    }

    /// The ring of the log in the file.
    public var logRange: Range<UInt64> { logOffset..<logOffset + UInt64(logLength) }
}

/// Start of a region table, at 192 KiB and 256 KiB. [MS-VHDX] 2.2.3.1
public struct RegionTableHeader: DiskStruct, Equatable {
    public static let byteCount = 16
    public static let byteOrder = ByteOrder.little
    public static let expectedSignature = signature32("regi")
    public var signature = Self.expectedSignature
    public var checksum: UInt32 = 0
    public var entryCount: UInt32 = 0
    public var reserved: UInt32 = 0

    public init() {}
    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("Signature", &signature)
        try f.field("Checksum", &checksum)
        try f.field("EntryCount", &entryCount)
        try f.field("Reserved", &reserved)
    }
}

/// One region. [MS-VHDX] 2.2.3.2
public struct RegionTableEntry: DiskStruct, Equatable {
    public static let byteCount = 32
    public static let byteOrder = ByteOrder.little
    public var guid = GUID.zero
    public var fileOffset: UInt64 = 0
    public var length: UInt32 = 0
    /// Bit 0: Required.
    public var flags: UInt32 = 0

    public init() {}
    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("Guid", &guid)
        try f.field("FileOffset", &fileOffset)
        try f.field("Length", &length)
        try f.field("Required", &flags)
    }

    public var isRequired: Bool { flags & 1 != 0 }
    /// Only for entries whose sum was checked.
    public var range: Range<UInt64> { fileOffset..<fileOffset + UInt64(length) }
}

/// Start of the metadata region. [MS-VHDX] 2.6.1.1
public struct MetadataTableHeader: DiskStruct, Equatable {
    public static let byteCount = 32
    public static let byteOrder = ByteOrder.little
    public static let expectedSignature = signature64("metadata")
    public var signature = Self.expectedSignature
    public var reserved: UInt16 = 0
    public var entryCount: UInt16 = 0
    public var reserved2IsZero = true

    public init() {}
    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("Signature", &signature)
        try f.field("Reserved", &reserved)
        try f.field("EntryCount", &entryCount)
        try f.reserved("Reserved2", count: 20, allZero: &reserved2IsZero)
    }
}

/// One metadata item. [MS-VHDX] 2.6.1.2
public struct MetadataTableEntry: DiskStruct, Equatable {
    public static let byteCount = 32
    public static let byteOrder = ByteOrder.little
    public var itemID = GUID.zero
    /// From the start of the region.
    public var offset: UInt32 = 0
    public var length: UInt32 = 0
    /// Bit 0 IsUser, bit 1 IsVirtualDisk, bit 2 IsRequired.
    public var flags: UInt32 = 0
    public var reserved: UInt32 = 0

    public init() {}
    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("ItemId", &itemID)
        try f.field("Offset", &offset)
        try f.field("Length", &length)
        try f.field("Flags", &flags)
        try f.field("Reserved2", &reserved)
    }

    public var isUser: Bool { flags & 1 != 0 }
    public var isVirtualDisk: Bool { flags & 2 != 0 }
    public var isRequired: Bool { flags & 4 != 0 }
}

/// The file parameters item. [MS-VHDX] 2.6.2.1
public struct FileParameters: DiskStruct, Equatable {
    public static let byteCount = 8
    public static let byteOrder = ByteOrder.little
    public var blockSize: UInt32 = 0
    /// Bit 0 LeaveBlocksAllocated, bit 1 HasParent.
    public var flags: UInt32 = 0

    public init() {}
    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("BlockSize", &blockSize)
        try f.field("Flags", &flags)
    }

    public var leavesBlocksAllocated: Bool { flags & 1 != 0 }
    public var hasParent: Bool { flags & 2 != 0 }
}

/// Start of the parent locator item. [MS-VHDX] 2.6.2.6.1
public struct ParentLocatorHeader: DiskStruct, Equatable {
    public static let byteCount = 20
    public static let byteOrder = ByteOrder.little
    public var locatorType = KnownGUID.parentLocatorType
    public var reserved: UInt16 = 0
    public var keyValueCount: UInt16 = 0

    public init() {}
    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("LocatorType", &locatorType)
        try f.field("Reserved", &reserved)
        try f.field("KeyValueCount", &keyValueCount)
    }
}

/// One pair of the parent locator. [MS-VHDX] 2.6.2.6.2
public struct ParentLocatorEntry: DiskStruct, Equatable {
    public static let byteCount = 12
    public static let byteOrder = ByteOrder.little
    /// Offsets count from the start of the item.
    public var keyOffset: UInt32 = 0
    public var valueOffset: UInt32 = 0
    public var keyLength: UInt16 = 0
    public var valueLength: UInt16 = 0

    public init() {}
    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("KeyOffset", &keyOffset)
        try f.field("ValueOffset", &valueOffset)
        try f.field("KeyLength", &keyLength)
        try f.field("ValueLength", &valueLength)
    }
}
