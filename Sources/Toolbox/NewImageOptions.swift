public import ArgumentParser
import BlockIO
public import ByteCodec
public import DiskModel
public import ImageChain

/// What a new image is to be like.
public struct NewImageOptions: ParsableArguments {
    @Option(
        name: [.customShort("O"), .long],
        help: ArgumentHelp("vhd, vhdx or raw; by default what the file's name ends with.", valueName: "format"))
    public var outputFormat: ImageFormat?
    @Flag(help: "All blocks are there from the start (a file without blocks in VHD).")
    public var fixed = false
    @Flag(help: "Blocks are added when they are written: the default.")
    public var dynamic = false
    @Option(
        help: ArgumentHelp(
            "Block size: 512K or 2M (VHD, default 2M), 1M to 256M (VHDX, default 32M).", valueName: "size"),
        transform: ByteQuantity.parse)
    public var block: ByteQuantity?
    @Option(help: ArgumentHelp("Logical sector size: 512 or, VHDX only, 4096.", valueName: "bytes"))
    public var sector: Int?
    @Option(help: ArgumentHelp("Physical sector size, VHDX only: 512 or 4096 (default).", valueName: "bytes"))
    public var physicalSector: Int?
    @Option(help: ArgumentHelp("The disk's id instead of a random one.", valueName: "guid"))
    public var id: GUID?
    @Option(
        help: ArgumentHelp(
            "FileWriteGuid and DataWriteGuid of a VHDX instead of random ones.", valueName: "guid"))
    public var writeId: GUID?
    @Option(
        help: ArgumentHelp("The time of creation that a VHD says, instead of now.", valueName: "time"),
        transform: TimeArgument.parse)
    public var time: TimeArgument?
    @Flag(help: "Reserve the space of a fixed image, so that writing to it cannot find the disk full.")
    public var preallocate = false
    @Flag(name: [.customShort("f"), .customLong("force")], help: "Replace an existing file.")
    public var replaces = false
    public init() {}

    public func validate() throws {
        if fixed, dynamic { throw ValidationError("--fixed and --dynamic exclude each other") }
        if let sector, ![512, 4096].contains(sector) { throw ValidationError("--sector is 512 or 4096") }
        if let physicalSector, ![512, 4096].contains(physicalSector) {
            throw ValidationError("--physical-sector is 512 or 4096")
        }
        if id == .zero { throw ValidationError("--id may not be all zeros") }
    }

    /// The format that was asked for, or that a file's name says.
    public func format(of path: String) throws(DiskError) -> ImageFormat {
        if let outputFormat { return outputFormat }
        let name = splitPath(path).name.lowercased()
        for (ending, format) in [
            (".vhd", ImageFormat.vhd), (".vhdx", .vhdx), (".raw", .raw), (".img", .raw), (".dd", .raw), (".bin", .raw),
        ] where name.hasSuffix(ending) { return format }
        throw DiskError(
            .refused, path: path, "its name does not say what format it is to have", hint: "add -O vhdx, vhd or raw")
    }

    /// The new image, checked.
    /// - Parameter virtualByteCount: nil where only the end of a stream will tell.
    public func newImage(_ format: ImageFormat, virtualByteCount: UInt64?, path: String) throws(DiskError) -> NewImage {
        func refused(_ text: String) -> DiskError { DiskError(.refused, path: path, text) }
        if format == .raw, dynamic { throw refused("a raw image is never dynamic") }
        if format == .raw, block != nil { throw refused("a raw image has no blocks") }
        if format == .vhd, fixed, block != nil { throw refused("a fixed VHD has no blocks") }
        if format != .vhdx, physicalSector != nil { throw refused("only a VHDX has a physical sector size") }
        if format != .vhdx, writeId != nil { throw refused("only a VHDX has a write id") }
        var image = NewImage(
            format: format, type: fixed || format == .raw ? .fixed : .dynamic, virtualByteCount: virtualByteCount,
            diskID: id ?? .random(), created: time?.unixSeconds ?? ToolRun.now())
        image.blockByteCount = block?.byteCount
        image.logicalSectorByteCount = sector ?? 512
        image.physicalSectorByteCount = physicalSector
        image.writeID = writeId
        if preallocate, image.type != .fixed { throw refused("--preallocate goes with --fixed") }
        try image.check(path: path)
        return image
    }
}

extension GUID: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

extension NewImage {
    /// As people and scripts are told.
    public var document: JSONValue {
        [
            "format": .string(format.rawValue), "type": .string(type.rawValue),
            "virtual_size": .optional(virtualByteCount),
            "block_size": .optional(usedBlockByteCount),
            "logical_sector_size": .integer(Int64(logicalSectorByteCount)),
            "physical_sector_size": .integer(Int64(usedPhysicalSectorByteCount)),
            "disk_id": .optional(format == .raw ? nil : diskID.description),
        ]
    }

    /// One line: `VHDX, dynamic, 64 GiB (… bytes), blocks of 32 MiB`.
    public func description(plain: Bool) -> String {
        var text = type == .fixed && format == .raw ? format.title : "\(format.title), \(type)"
        if let size = virtualByteCount { text += ", \(Quantity.bytes(size, plain: plain))" }
        if let block = usedBlockByteCount {
            text += ", blocks of \(plain ? "\(block)" : Quantity.short(block))"
        }
        return text
    }
}
