public import ByteCodec

/// One write of a log: an entry with its place and the place of its data.
public struct LogWrite: Sendable, Equatable {
    public enum DataChecksum: String, Sendable {
        /// Not computed by the writer.
        case none
        case ok
        case bad
        /// There is one, and it was not asked to be verified.
        case unverified
    }

    /// From 1, in the order of the log.
    public var number: UInt64
    /// Index of the entry in its block.
    public var slot: Int
    /// Offset of the block in the file.
    public var blockOffset: UInt64
    /// Offset of the data in the file.
    public var dataOffset: UInt64
    /// Offset of the write on the virtual disk.
    public var diskOffset: UInt64
    public var byteCount: UInt64
    public var timestamp: DiskTimestamp
    /// Whether the entry's checksum holds; false only when HRL015 was accepted.
    public var checksumOK: Bool
    /// `.bad` only when HRL016 was accepted.
    public var dataChecksum: DataChecksum

    /// Offset of the entry in the file.
    public var entryOffset: UInt64 {
        blockOffset + UInt64(MetadataHeader.byteCount) + UInt64(slot) * UInt64(MetadataEntry.byteCount)
    }
    /// Where the data stands in the file.
    public var dataRange: Range<UInt64> { dataOffset..<dataOffset + byteCount }
    /// What it overwrites on the disk.
    public var diskRange: Range<UInt64> { diskOffset..<diskOffset + byteCount }
}
