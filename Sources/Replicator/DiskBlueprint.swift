import BlockIO
public import ByteCodec
public import DiskModel
import ImageChain
import VHD
import VHDX

/// What the replica of a disk is like: one flat image in the source's format, of the same size, sectors and disk id.
public struct DiskBlueprint: Sendable, Equatable {
    public var format: ImageFormat
    /// `.fixed` or `.dynamic`.
    public var type: ImageType
    public var virtualByteCount: UInt64
    /// Nil for the format's usual one.
    public var blockByteCount: UInt64?
    public var logicalSectorByteCount: Int
    public var physicalSectorByteCount: Int
    /// Unique ID of a VHD, virtual disk ID of a VHDX.
    public var diskID: GUID

    /// Of the disk that a chain composes.
    /// - Throws: `.refused` for other formats than VHD and VHDX.
    init(_ chain: ImageChain) throws(DiskError) {
        let geometry = chain.geometry
        type = chain.leaf.type == .fixed ? .fixed : .dynamic
        virtualByteCount = geometry.virtualByteCount
        (logicalSectorByteCount, physicalSectorByteCount) =
            (geometry.logicalSectorByteCount, geometry.physicalSectorByteCount)
        blockByteCount = geometry.blockByteCount
        switch chain.leaf {
        case let leaf as VHDLayer:
            (format, diskID) = (.vhd, leaf.footer.uniqueID)
            // Windows opens no others.
            if let size = blockByteCount, ![512 << 10, 2 << 20].contains(size) { blockByteCount = nil }
            if diskID == .zero { diskID = .random() }
        case let leaf as VHDXLayer: (format, diskID) = (.vhdx, leaf.virtualDiskID)
        default:
            throw DiskError(
                .refused, path: chain.path, "only VHD and VHDX disks are replicated",
                hint: "make a VHDX of it first")
        }
    }

    public var fileExtension: String { format.rawValue }

    /// Makes the empty replica on an empty file.
    func create(on file: any BlockFile, now: Int64) throws(DiskError) {
        var image = NewImage(
            format: format, type: type, virtualByteCount: virtualByteCount, diskID: diskID, created: now)
        image.blockByteCount = blockByteCount
        image.logicalSectorByteCount = logicalSectorByteCount
        image.physicalSectorByteCount = physicalSectorByteCount
        try image.create(on: file)
        do { try file.sync() } catch { throw DiskError(error, doing: "creating the image") }
    }
}
