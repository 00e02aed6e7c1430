/// The image formats, by the name users give them.
public enum ImageFormat: String, Sendable, CaseIterable, CustomStringConvertible {
    case raw, vhd, vhdx
    public var description: String { rawValue }
    /// As people write it.
    public var title: String { self == .raw ? "raw" : rawValue.uppercased() }
}

public enum ImageType: String, Sendable, CaseIterable, CustomStringConvertible {
    case fixed, dynamic, differencing
    public var description: String { rawValue }
}

/// Size and units of a virtual disk.
public struct DiskGeometry: Sendable, Equatable {
    /// What the guest sees, in bytes.
    public var virtualByteCount: UInt64
    /// The guest's unit of reading and writing: 512 or 4096.
    public var logicalSectorByteCount: Int
    public var physicalSectorByteCount: Int
    /// The unit of allocation in the file; nil where there is none (raw and fixed VHD).
    public var blockByteCount: UInt64?

    public init(
        virtualByteCount: UInt64, logicalSectorByteCount: Int = 512, physicalSectorByteCount: Int = 512,
        blockByteCount: UInt64? = nil
    ) {
        self.virtualByteCount = virtualByteCount
        self.logicalSectorByteCount = logicalSectorByteCount
        self.physicalSectorByteCount = physicalSectorByteCount
        self.blockByteCount = blockByteCount
    }
}
