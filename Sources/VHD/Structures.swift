public import ByteCodec

/// The unit of VHD, in bytes: always 512.
let sectorByteCount: UInt64 = 512
/// Data Offset of a fixed disk and the next pointer of the dynamic header: none.
let noOffset = UInt64.max
/// A BAT entry that stands for no block.
let unallocatedEntry = UInt32.max
/// The largest dynamic or differencing disk: 2040 GiB.
let largestDynamicByteCount: UInt64 = 0xff00_0000 * sectorByteCount
let largestBlockByteCount: UInt64 = 256 << 20

/// What a footer's Disk Type says; other values are never valid to open.
public enum DiskTypeCode {
    public static let fixed: UInt32 = 2
    public static let dynamic: UInt32 = 3
    public static let differencing: UInt32 = 4
}

/// The hard disk footer: last in every image, and again at offset 0 of dynamic and differencing ones.
public struct Footer: DiskStruct, Equatable {
    public static let byteCount = 512
    public static let byteOrder = ByteOrder.big
    public static let cookie = Array("conectix".utf8)
    static let dataOffsetOffset = 16
    static let currentSizeOffset = 48
    static let geometryOffset = 56
    static let checksumOffset = 64
    static let uniqueIDOffset = 68
    static let hiddenOffset = 85

    public var cookie = Footer.cookie
    /// Bit 0: temporary disk; bit 1: always set.
    public var features: UInt32 = 2
    public var fileFormatVersion: UInt32 = 0x0001_0000
    /// Byte offset of the dynamic header; all ones in a fixed disk.
    public var dataOffset: UInt64 = noOffset
    /// When the image was made.
    public var timestamp: UInt32 = 0
    public var creatorApplication: [UInt8] = .zeros(4)
    public var creatorVersion: UInt32 = 0
    public var creatorHostOS: [UInt8] = .zeros(4)
    /// Virtual size at creation, in bytes.
    public var originalSize: UInt64 = 0
    /// Virtual size, in bytes.
    public var currentSize: UInt64 = 0
    public var cylinders: UInt16 = 0
    public var heads: UInt8 = 0
    public var sectorsPerTrack: UInt8 = 0
    public var diskType: UInt32 = 0
    public var checksum: UInt32 = 0
    public var uniqueID = GUID.zero
    public var savedState: UInt8 = 0
    /// XenServer's mark; reserved and zero elsewhere.
    public var hidden: UInt8 = 0
    public var reservedIsZero = true

    public init() {}

    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.bytes("Cookie", &cookie, count: 8)
        try f.field("Features", &features)
        try f.field("File Format Version", &fileFormatVersion)
        try f.field("Data Offset", &dataOffset)
        try f.field("Time Stamp", &timestamp)
        try f.bytes("Creator Application", &creatorApplication, count: 4)
        try f.field("Creator Version", &creatorVersion)
        try f.bytes("Creator Host OS", &creatorHostOS, count: 4)
        try f.field("Original Size", &originalSize)
        try f.field("Current Size", &currentSize)
        try f.field("Cylinders", &cylinders)
        try f.field("Heads", &heads)
        try f.field("Sectors Per Track", &sectorsPerTrack)
        try f.field("Disk Type", &diskType)
        try f.field("Checksum", &checksum)
        try f.field("Unique ID", &uniqueID)
        try f.field("Saved State", &savedState)
        try f.field("Hidden", &hidden)
        try f.reserved("Reserved", count: 426, allZero: &reservedIsZero)
    }

    /// The 512 bytes with the right checksum.
    public func sealed() -> [UInt8] { sealing(serialized(), checksumAt: Self.checksumOffset) }
}

/// The dynamic disk header of dynamic and differencing images.
public struct DynamicHeader: DiskStruct, Equatable {
    public static let byteCount = 1024
    public static let byteOrder = ByteOrder.big
    public static let cookie = Array("cxsparse".utf8)
    public static let locatorCount = 8
    static let tableOffsetOffset = 16
    static let maxTableEntriesOffset = 28
    static let checksumOffset = 36
    static let parentUniqueIDOffset = 40
    /// Parent Unique ID and Parent Time Stamp.
    static let parentIdentityRange = 40..<60
    /// Parent Unicode Name and the parent locators.
    static let parentPlacesRange = 64..<768
    static let nameOffset: UInt64 = 64
    static let locatorsOffset: UInt64 = 576

    public var cookie = DynamicHeader.cookie
    /// Unused: all ones.
    public var dataOffset: UInt64 = noOffset
    /// Byte offset of the block allocation table.
    public var tableOffset: UInt64 = 0
    public var headerVersion: UInt32 = 0x0001_0000
    public var maxTableEntries: UInt32 = 0
    /// Bytes of data in a block.
    public var blockSize: UInt32 = 0
    public var checksum: UInt32 = 0
    public var parentUniqueID = GUID.zero
    public var parentTimestamp: UInt32 = 0
    public var reserved1IsZero = true
    /// UTF-16, big-endian, padded with NULs.
    public var parentUnicodeName: [UInt8] = .zeros(512)
    public var parentLocators = [ParentLocatorEntry](repeating: .init(), count: locatorCount)
    public var reserved2IsZero = true

    public init() {}

    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.bytes("Cookie", &cookie, count: 8)
        try f.field("Data Offset", &dataOffset)
        try f.field("Table Offset", &tableOffset)
        try f.field("Header Version", &headerVersion)
        try f.field("Max Table Entries", &maxTableEntries)
        try f.field("Block Size", &blockSize)
        try f.field("Checksum", &checksum)
        try f.field("Parent Unique ID", &parentUniqueID)
        try f.field("Parent Time Stamp", &parentTimestamp)
        try f.reserved("Reserved", count: 4, allZero: &reserved1IsZero)
        try f.bytes("Parent Unicode Name", &parentUnicodeName, count: 512)
        for slot in parentLocators.indices { try parentLocators[slot].fields(&f) }
        try f.reserved("Reserved", count: 256, allZero: &reserved2IsZero)
    }

    /// The 1024 bytes with the right checksum.
    public func sealed() -> [UInt8] { sealing(serialized(), checksumAt: Self.checksumOffset) }
}

/// One of the eight slots of the dynamic header that say where the parent's path stands.
public struct ParentLocatorEntry: DiskStruct, Equatable {
    public static let byteCount = 24
    public static let byteOrder = ByteOrder.big

    /// Four letters; zero in a slot that is not used.
    public var platformCode: UInt32 = 0
    /// Space kept for the path: bytes, or sectors when under 512.
    public var platformDataSpace: UInt32 = 0
    /// Bytes of the path.
    public var platformDataLength: UInt32 = 0
    public var reservedIsZero = true
    /// Byte offset of the path in the file.
    public var platformDataOffset: UInt64 = 0

    public init() {}

    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("Platform Code", &platformCode)
        try f.field("Platform Data Space", &platformDataSpace)
        try f.field("Platform Data Length", &platformDataLength)
        try f.reserved("Reserved", count: 4, allZero: &reservedIsZero)
        try f.field("Platform Data Offset", &platformDataOffset)
    }
}

/// The header of XenServer's batmap, behind the BAT: which blocks have every sector. Information only.
public struct BatmapHeader: DiskStruct, Equatable {
    public static let byteCount = 512
    public static let byteOrder = ByteOrder.big
    public static let cookie = Array("tdbatmap".utf8)

    public var cookie = BatmapHeader.cookie
    /// Byte offset of the map.
    public var mapOffset: UInt64 = 0
    /// Sectors of the map.
    public var mapSize: UInt32 = 0
    public var version: UInt32 = 0
    public var checksum: UInt32 = 0
    public var marker: UInt8 = 0
    /// Not zero: the data is encrypted.
    public var keyhashPresent: UInt8 = 0
    public var keyNonce: [UInt8] = .zeros(32)
    public var keyHash: [UInt8] = .zeros(32)
    public var reservedIsZero = true

    public init() {}

    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.bytes("Cookie", &cookie, count: 8)
        try f.field("Map Offset", &mapOffset)
        try f.field("Map Size", &mapSize)
        try f.field("Version", &version)
        try f.field("Checksum", &checksum)
        try f.field("Marker", &marker)
        try f.field("Keyhash Present", &keyhashPresent)
        try f.bytes("Keyhash Nonce", &keyNonce, count: 32)
        try f.bytes("Keyhash", &keyHash, count: 32)
        try f.reserved("Reserved", count: 418, allZero: &reservedIsZero)
    }
}

/// A structure's bytes with its checksum put in.
func sealing(_ bytes: [UInt8], checksumAt offset: Int) -> [UInt8] {
    var bytes = bytes
    let checksum = complementedByteSum(bytes.rawBytes, skippingField: offset)
    var raw = bytes.mutableRawBytes
    raw.store(checksum, at: offset, .big)
    return bytes
}
