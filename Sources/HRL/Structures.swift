public import ByteCodec

// The structures of a log, packed and little-endian. Byte map: docs/formats/hrl.md.

/// The file header, at offset 0; 4096 bytes whatever the size of the metadata blocks.
public struct LogHeader: DiskStruct, Equatable {
    public static let byteCount = 4096
    public static let byteOrder = ByteOrder.little
    static let checksumOffset = 40

    /// `msctlog` and one pad byte.
    public var cookie = Self.signature + [0x20]
    /// Major version in the upper half.
    public var logFormatVersion: UInt32 = Self.version2
    /// Creation.
    public var timeStamp: UInt32 = 0
    public var creatorApplication: [UInt8] = .zeros(4)
    public var creatorVersion: UInt32 = 0
    /// Bytes of the file at creation; informational.
    public var originalSize: UInt64 = 0
    /// Bytes of the file at the last change of this header; informational.
    public var currentSize: UInt64 = 0
    public var checksum: UInt32 = 0
    /// End of the last metadata block; 0 while the log is open.
    public var eolLocation: UInt64 = 0
    public var errorCode: Int32 = 0
    /// Bytes of a metadata block.
    public var metadataSize: UInt32 = 0
    public var uniqueID = GUID.zero
    /// Identity of the log before this one; zero when there is none.
    public var previousUniqueID = GUID.zero
    public var lastModifiedTimeStamp: UInt32 = 0
    /// Valid entries of all blocks together.
    public var totalMetadataEntries: UInt64 = 0
    /// 0 for a replica log.
    public var fileType: UInt32 = 0
    public var flags: UInt16 = 0
    /// DataWriteGuid of the VHDX whose writes are logged; unused in version 1.
    public var vhd2DataWriteGUID = GUID.zero
    public var reservedIsZero = true

    public init() {}

    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.bytes("Cookie", &cookie, count: 8)
        try f.field("LogFormatVersion", &logFormatVersion)
        try f.field("TimeStamp", &timeStamp)
        try f.bytes("CreatorApplication", &creatorApplication, count: 4)
        try f.field("CreatorVersion", &creatorVersion)
        try f.field("OriginalSize", &originalSize)
        try f.field("CurrentSize", &currentSize)
        try f.field("Checksum", &checksum)
        try f.field("EOLLocation", &eolLocation)
        try f.field("ErrorCode", &errorCode)
        try f.field("MetadataSize", &metadataSize)
        try f.field("UniqueId", &uniqueID)
        try f.field("PreviousUniqueId", &previousUniqueID)
        try f.field("LastModifiedTimeStamp", &lastModifiedTimeStamp)
        try f.field("TotalMetadataEntries", &totalMetadataEntries)
        try f.field("FileType", &fileType)
        try f.field("Flags", &flags)
        try f.field("Vhd2DataWriteGuid", &vhd2DataWriteGUID)
        try f.reserved("Reserved", count: 3970, allZero: &reservedIsZero)
    }
}

/// The head of a metadata block; the slots follow it.
public struct MetadataHeader: DiskStruct, Equatable {
    public static let byteCount = 32
    public static let byteOrder = ByteOrder.little
    static let checksumOffset = 12

    /// Bytes back from this block's start to the start of the block before; 0 in the first block.
    public var previousMetadataLocation: UInt64 = 0
    /// Slots in use, from slot 0 on.
    public var validMetadataEntries: UInt32 = 0
    /// Covers these 32 bytes only.
    public var checksum: UInt32 = 0
    public var reservedIsZero = true

    public init() {}

    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("PreviousMetadataLocation", &previousMetadataLocation)
        try f.field("ValidMetadataEntries", &validMetadataEntries)
        try f.field("Checksum", &checksum)
        try f.reserved("Reserved", count: 16, allZero: &reservedIsZero)
    }
}

/// One slot of a metadata block: a write to the disk.
public struct MetadataEntry: DiskStruct, Equatable {
    public static let byteCount = 32
    public static let byteOrder = ByteOrder.little
    static let checksumOffset = 8
    /// The only operation there is.
    public static let write: UInt8 = 1

    /// Where on the virtual disk.
    public var byteOffset: UInt64 = 0
    public var checksum: UInt32 = 0
    public var dataLength: UInt32 = 0
    public var timeStamp: UInt32 = 0
    public var metaOperation: UInt8 = Self.write
    /// Complemented byte sum of the data; 0 when it was not computed.
    public var dataChecksum: UInt32 = 0
    public var location: UInt8 = 0
    public var reservedIsZero = true

    public init() {}

    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("ByteOffset", &byteOffset)
        try f.field("Checksum", &checksum)
        try f.field("DataLength", &dataLength)
        try f.field("TimeStamp", &timeStamp)
        try f.field("MetaOperation", &metaOperation)
        try f.field("DataChecksum", &dataChecksum)
        try f.field("Location", &location)
        try f.reserved("Reserved", count: 6, allZero: &reservedIsZero)
    }
}

extension LogHeader {
    public static let signature: [UInt8] = Array("msctlog".utf8)
    public static let version2: UInt32 = 0x0002_0000
    public static let version1: UInt32 = 0x0001_0000
    /// The size of blocks in everything seen, and what we write.
    public static let usualMetadataSize: UInt32 = 4096
    /// Our bounds for the size of blocks.
    public static let metadataSizes: ClosedRange<UInt32> = 512...16 << 20

    public var majorVersion: UInt32 { logFormatVersion >> 16 }
    /// Slots of a block.
    public var slotCount: Int { (Int(metadataSize) - MetadataHeader.byteCount) / MetadataEntry.byteCount }
    public var created: DiskTimestamp { DiskTimestamp(rawValue: timeStamp) }
    public var lastModified: DiskTimestamp { DiskTimestamp(rawValue: lastModifiedTimeStamp) }
    /// Whether the log was closed.
    public var isClosed: Bool { eolLocation != 0 }

    /// The header on disk, with its checksum put right.
    public func sealed() -> [UInt8] { seal(self, at: Self.checksumOffset) }
}

extension MetadataHeader {
    /// The header on disk, with its checksum put right.
    public func sealed() -> [UInt8] { seal(self, at: Self.checksumOffset) }
}

extension MetadataEntry {
    /// More in one entry is refused, and never written.
    public static let maximumDataLength: UInt32 = 1 << 31
    /// No disk is larger, so no entry may end beyond.
    public static let maximumEnd: UInt64 = 64 << 40

    /// The entry on disk, with its checksum put right.
    public func sealed() -> [UInt8] { seal(self, at: Self.checksumOffset) }

    /// As `sealed`, into the bytes of a block from `offset` on.
    func storeSealed(into block: inout MutableRawSpan, at offset: Int) {
        seal(self, at: Self.checksumOffset, into: &block, at: offset)
    }
}

private func seal(_ structure: some DiskStruct, at checksumOffset: Int) -> [UInt8] {
    var bytes = [UInt8].zeros(type(of: structure).byteCount)
    var target = bytes.mutableRawBytes
    seal(structure, at: checksumOffset, into: &target, at: 0)
    return bytes
}

private func seal<Structure: DiskStruct>(
    _ structure: Structure, at checksumOffset: Int, into target: inout MutableRawSpan, at offset: Int
) {
    structure.serialize(into: &target, at: offset)
    let range = offset..<offset + Structure.byteCount
    let sum = target.withPart(range) { complementedByteSum($0.bytes, skippingField: checksumOffset) }
    target.store(sum, at: offset + checksumOffset, .little)
}

extension DiskStruct {
    /// Offset of a field inside the structure, from the field list; for messages.
    static func offset(of name: String) -> UInt64 {
        UInt64(Self().dumped().first { $0.name == name }?.offset ?? 0)
    }
}
