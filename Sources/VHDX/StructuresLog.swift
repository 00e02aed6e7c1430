public import ByteCodec

// The structures of the log. [MS-VHDX] 2.3

/// Start of a log entry. [MS-VHDX] 2.3.1.1
public struct LogEntryHeader: DiskStruct, Equatable {
    public static let byteCount = 64
    public static let byteOrder = ByteOrder.little
    public static let expectedSignature = signature32("loge")
    public var signature = Self.expectedSignature
    /// CRC-32C over all of the entry.
    public var checksum: UInt32 = 0
    public var entryLength: UInt32 = 0
    /// Offset in the ring of the oldest entry that replay still needs.
    public var tail: UInt32 = 0
    public var sequenceNumber: UInt64 = 0
    public var descriptorCount: UInt32 = 0
    public var reserved: UInt32 = 0
    public var logGUID = GUID.zero
    /// File length known to be durable when the entry was written.
    public var flushedFileOffset: UInt64 = 0
    /// File length that holds all structures.
    public var lastFileOffset: UInt64 = 0

    public init() {}
    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("Signature", &signature)
        try f.field("Checksum", &checksum)
        try f.field("EntryLength", &entryLength)
        try f.field("Tail", &tail)
        try f.field("SequenceNumber", &sequenceNumber)
        try f.field("DescriptorCount", &descriptorCount)
        try f.field("Reserved", &reserved)
        try f.field("LogGuid", &logGUID)
        try f.field("FlushedFileOffset", &flushedFileOffset)
        try f.field("LastFileOffset", &lastFileOffset)
    }

    /// Pages at the start of the entry that hold the header and `count` descriptors.
    static func descriptorPageCount(_ count: UInt64) -> UInt64 {
        (UInt64(byteCount) + UInt64(ZeroDescriptor.byteCount) * count).dividedRoundingUp(by: Layout.pageByteCount)
    }
}

/// Says that a range of the file becomes zeros. [MS-VHDX] 2.3.1.2
public struct ZeroDescriptor: DiskStruct, Equatable {
    public static let byteCount = 32
    public static let byteOrder = ByteOrder.little
    public static let expectedSignature = signature32("zero")
    public var signature = Self.expectedSignature
    public var reserved: UInt32 = 0
    public var zeroLength: UInt64 = 0
    public var fileOffset: UInt64 = 0
    public var sequenceNumber: UInt64 = 0

    public init() {}
    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("ZeroSignature", &signature)
        try f.field("Reserved", &reserved)
        try f.field("ZeroLength", &zeroLength)
        try f.field("FileOffset", &fileOffset)
        try f.field("SequenceNumber", &sequenceNumber)
    }
}

/// Says that a page of the file is replaced; the page's first eight and last four bytes stand here, because the data
/// sector needs their places for itself. [MS-VHDX] 2.3.1.3
public struct DataDescriptor: DiskStruct, Equatable {
    public static let byteCount = 32
    public static let byteOrder = ByteOrder.little
    public static let expectedSignature = signature32("desc")
    public var signature = Self.expectedSignature
    /// Bytes 4092 to 4095 of the page.
    public var trailingBytes: UInt32 = 0
    /// Bytes 0 to 7 of the page.
    public var leadingBytes: UInt64 = 0
    public var fileOffset: UInt64 = 0
    public var sequenceNumber: UInt64 = 0

    public init() {}
    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("DataSignature", &signature)
        try f.field("TrailingBytes", &trailingBytes)
        try f.field("LeadingBytes", &leadingBytes)
        try f.field("FileOffset", &fileOffset)
        try f.field("SequenceNumber", &sequenceNumber)
    }
}

/// The rest of a page that a data descriptor replaces. [MS-VHDX] 2.3.1.4
public struct DataSector: DiskStruct, Equatable {
    public static let byteCount = 4096
    public static let byteOrder = ByteOrder.little
    public static let expectedSignature = signature32("data")
    public var signature = Self.expectedSignature
    public var sequenceHigh: UInt32 = 0
    /// Bytes 8 to 4091 of the page.
    public var data = [UInt8].zeros(4084)
    public var sequenceLow: UInt32 = 0

    public init() {}
    public mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("DataSignature", &signature)
        try f.field("SequenceHigh", &sequenceHigh)
        try f.bytes("Data", &data, count: 4084)
        try f.field("SequenceLow", &sequenceLow)
    }

    var sequenceNumber: UInt64 { UInt64(sequenceHigh) << 32 | UInt64(sequenceLow) }
}
