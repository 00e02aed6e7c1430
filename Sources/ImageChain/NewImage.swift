public import BlockIO
public import ByteCodec
public import DiskModel
import RawDisk
import VHD
import VHDX

/// What a new image is to be like.
public struct NewImage: Sendable, Equatable {
    public var format: ImageFormat
    /// `.fixed` or `.dynamic`; raw images are fixed.
    public var type: ImageType
    /// Nil where only the end of a stream will tell.
    public var virtualByteCount: UInt64?
    /// Nil for the format's usual one: 2 MiB in a VHD, 32 MiB in a VHDX.
    public var blockByteCount: UInt64?
    public var logicalSectorByteCount = 512
    /// VHDX only; nil for its usual 4096.
    public var physicalSectorByteCount: Int?
    /// Unique ID of a VHD, virtual disk ID of a VHDX.
    public var diskID: GUID
    /// FileWriteGuid and DataWriteGuid of a VHDX, for images that are to be the same byte for byte; nil for random ones.
    public var writeID: GUID?
    /// Seconds since 1970, kept in a VHD.
    public var created: Int64

    public init(
        format: ImageFormat, type: ImageType, virtualByteCount: UInt64?, diskID: GUID = .random(), created: Int64
    ) {
        (self.format, self.type, self.virtualByteCount) = (format, type, virtualByteCount)
        (self.diskID, self.created) = (diskID, created)
    }

    /// Block sizes that can be had, each a power of two: Windows opens no other VHD.
    public static func blockByteCounts(_ format: ImageFormat) -> [UInt64] {
        switch format {
        case .raw: []
        case .vhd: [512 << 10, 2 << 20]
        case .vhdx: (20...28).map { 1 << $0 }
        }
    }

    /// The block size the image will have; nil where there are no blocks.
    public var usedBlockByteCount: UInt64? {
        switch format {
        case .raw: nil
        case .vhd: type == .fixed ? nil : blockByteCount ?? VHDCreator.defaultBlockByteCount
        case .vhdx: blockByteCount ?? Self.defaultVHDXBlockByteCount
        }
    }
    private static let defaultVHDXBlockByteCount: UInt64 = 32 << 20
    /// The physical sector size the image will have.
    public var usedPhysicalSectorByteCount: Int { format == .vhdx ? physicalSectorByteCount ?? 4096 : 512 }

    private func refused(_ text: String, _ path: String, _ hint: String? = nil) -> DiskError {
        DiskError(.refused, path: path, text, hint: hint)
    }

    /// - Throws: `.refused` for what the format cannot have.
    public func check(path: String) throws(DiskError) {
        guard type != .differencing else { throw refused("a differencing image is not made here", path) }
        if let block = blockByteCount, type == .dynamic || format == .vhdx {
            guard Self.blockByteCounts(format).contains(block) else {
                let sizes = format == .vhd ? "512 KiB or 2 MiB" : "a power of two from 1 MiB to 256 MiB"
                throw refused("a block of \(block) bytes: a \(format.title) image has \(sizes)", path)
            }
        }
        guard format == .vhdx || logicalSectorByteCount == 512 else {
            throw refused("\(format.title) images have sectors of 512 bytes", path, "choose VHDX: -O vhdx")
        }
        if format == .vhd, type == .dynamic, let size = virtualByteCount, size > VHDCreator.largestDynamicByteCount {
            throw refused("a dynamic VHD has 2040 GiB at most", path, "choose VHDX: -O vhdx, or --fixed")
        }
        if format == .vhdx, let size = virtualByteCount, size > Layout.maximumVirtualByteCount {
            throw refused("a VHDX has 64 TiB at most", path)
        }
    }

    /// Begins the image on an empty file.
    public func builder(on file: any BlockFile) throws(DiskError) -> any ImageBuilder {
        try check(path: file.path)
        switch format {
        case .raw: return try RawBuilder(on: file, virtualByteCount: virtualByteCount)
        case .vhd:
            return try VHDBuilder(
                on: file, type: type == .fixed ? .fixed : .dynamic, virtualByteCount: virtualByteCount,
                blockByteCount: usedBlockByteCount ?? VHDCreator.defaultBlockByteCount, uniqueID: diskID,
                created: DiskTimestamp(unixSeconds: created))
        case .vhdx:
            let writeID = writeID
            return try VHDXBuilder(
                on: file, type: type, virtualByteCount: virtualByteCount,
                blockByteCount: blockByteCount ?? Self.defaultVHDXBlockByteCount,
                logicalSectorByteCount: logicalSectorByteCount,
                physicalSectorByteCount: usedPhysicalSectorByteCount, virtualDiskID: diskID,
                newGUID: { writeID ?? .random() })
        }
    }

    /// Makes the image, all zeros, on an empty file. Nothing is flushed.
    public func create(on file: any BlockFile) throws(DiskError) { try builder(on: file).finish() }
}
