import BlockIO
import ByteCodec
import DiskModel
import Testing
import VHD

/// A small image with one breach of one rule, and what is to come of it.
struct Planted: Sendable, CustomStringConvertible {
    var name: String
    var bytes: [UInt8]
    var code: FormatError.Code
    var severity: Finding.Severity
    var offset: UInt64
    /// What the check must offer; each alone must mend it.
    var repairs: Set<RepairKind>
    /// Whether it opens, with all blocks in their places and whole, before anything is mended.
    var isReadable = true
    /// Errors of other rules that the same damage is, and why, where it says so beside it.
    var otherErrors: Set<FormatError.Code> = []
    /// Kinds that mend those other errors.
    var otherRepairs: Set<RepairKind> = []
    var options = CheckOptions()
    /// The disk's bytes when mended, and before where it is readable.
    var disk: [UInt8]
    /// The disk's bytes after a repair that changes them.
    var changed: [RepairKind: [UInt8]] = [:]
    /// Repairs whose intermediate state shows what neither the state before nor the state after does: see Mend.swift.
    var isLostOnTheWay = false

    /// Whether it opens and still cannot be read whole, because data is missing.
    var lacksData = false
    var opens: Bool { isReadable || lacksData }

    var description: String { "\(code): \(name)" }
}

extension Planted {
    /// One in a dynamic or differencing image whose disk stays what it is.
    static func sparse(
        _ code: FormatError.Code, _ name: String, _ severity: Finding.Severity, at offset: UInt64,
        _ repairs: Set<RepairKind>, _ bytes: [UInt8], _ more: (inout Planted) -> Void = { _ in }
    ) -> Planted {
        var planted = Planted(
            name: name, bytes: bytes, code: code, severity: severity, offset: offset, repairs: repairs, disk: Good.disk)
        more(&planted)
        return planted
    }

    static func fixed(
        _ code: FormatError.Code, _ name: String, _ severity: Finding.Severity, at offset: UInt64,
        _ repairs: Set<RepairKind>, _ bytes: [UInt8], _ more: (inout Planted) -> Void = { _ in }
    ) -> Planted {
        var planted = sparse(code, name, severity, at: offset, repairs, bytes) { $0.disk = Good.fixedDisk }
        more(&planted)
        return planted
    }

    static func unreadable(_ planted: inout Planted) { planted.isReadable = false }
    static func deep(_ planted: inout Planted) { planted.options.isDeep = true }
}

/// Good images to plant in. Their blocks are small, which is rule 16, and nothing else is wrong with them.
enum Good {
    /// Blocks 2 and 0 in this order, with data under every set bit and zeros under the clear ones.
    static func dynamic(_ change: (inout TinyImage) -> Void = { _ in }) -> TinyImage {
        var image = TinyImage()
        addBlocks(&image)
        change(&image)
        return image
    }

    static func differencing(_ change: (inout TinyImage) -> Void = { _ in }) -> TinyImage {
        var image = TinyImage(DiskTypeCode.differencing)
        image.addLocator(0, "W2ku", utf16Bytes("C:\\d\\parent.vhd", .little))
        image.addLocator(1, "W2ru", utf16Bytes(".\\parent.vhd", .little))
        let name = utf16Bytes("parent.vhd", .big)
        image.header?.parentUnicodeName.replaceSubrange(0..<name.count, with: name)
        addBlocks(&image)
        change(&image)
        return image
    }

    /// Where the batmap's header and map stand in `xen`.
    static let batmapOffset: UInt64 = 2048
    static let mapOffset: UInt64 = 2560

    /// An image of XenServer's with a batmap that calls block 2 full.
    static func xen(map: UInt8 = 0b0010_0000, _ change: (inout TinyImage, inout BatmapHeader) -> Void = { _, _ in })
        -> TinyImage
    {
        var image = TinyImage()
        image.footer.creatorApplication = Array("tap\0".utf8)
        image.footer.creatorVersion = 0x0001_0003
        var batmap = BatmapHeader()
        batmap.mapOffset = mapOffset
        batmap.mapSize = 1
        batmap.version = 0x0001_0002
        batmap.checksum = ~UInt32(map)
        image.body = .zeros(1024)
        addBlocks(&image)
        change(&image, &batmap)
        image.body.replaceSubrange(0..<512, with: batmap.serialized())
        image.body[512] = map
        return image
    }

    static func fixed(_ change: (inout Footer) -> Void = { _ in }) -> [UInt8] {
        var (bytes, footer) = TinyImage.fixed(fixedDisk)
        change(&footer)
        bytes.replaceSubrange(fixedDisk.count..., with: footer.sealed())
        return bytes
    }
    static let fixedDisk = (0..<16).flatMap { [UInt8](repeating: UInt8($0) + 1, count: 512) }

    /// Block 2 is full; block 0 has data in its first five sectors.
    private static func addBlocks(_ image: inout TinyImage) {
        image.addBlock(2, bits: 0xff, fill: 0x20)
        image.addBlock(0, bits: 0xf8, fill: 0x50)
        image.body.replaceSubrange((image.body.count - 3 * 512)..., with: [UInt8].zeros(3 * 512))
    }

    /// What a reader sees in the images above; a parent reads as zeros.
    static let disk: [UInt8] = {
        var disk = [UInt8].zeros(16384)
        for sector in 0..<5 { fill(&disk, sector, 0x50 + UInt8(sector)) }
        for sector in 0..<8 { fill(&disk, 16 + sector, 0x20 + UInt8(sector)) }
        return disk
    }()

    static func fill(_ disk: inout [UInt8], _ sector: Int, _ value: UInt8) {
        disk.replaceSubrange(sector * 512..<sector * 512 + 512, with: [UInt8](repeating: value, count: 512))
    }
}

extension TinyImage {
    /// Byte offset of a block in the file.
    func blockOffset(_ block: Int) -> Int { Int(table[block]) * 512 }
}

extension [UInt8] {
    /// The bytes with some put in.
    func with(_ new: [UInt8], at offset: Int) -> [UInt8] {
        var bytes = self
        bytes.replaceSubrange(offset..<offset + new.count, with: new)
        return bytes
    }

    /// The bytes with both footers, or a fixed disk's one, changed and their checksums right.
    func withFooters(isFixed: Bool = false, _ change: ([UInt8]) -> [UInt8]) -> [UInt8] {
        let new = change(Array(suffix(512))).withSum(at: 64)
        let bytes = with(new, at: count - 512)
        return isFixed ? bytes : bytes.with(new, at: 0)
    }

    /// The bytes with the header at 512 changed and its checksum right.
    func withHeader(_ change: ([UInt8]) -> [UInt8]) -> [UInt8] {
        with(change(Array(self[512..<1536])).withSum(at: 36), at: 512)
    }

    /// A structure with its checksum made right.
    func withSum(at offset: Int) -> [UInt8] {
        let sum = complementedByteSum(rawBytes, skippingField: offset)
        return with((0..<4).map { UInt8(truncatingIfNeeded: sum >> UInt32(24 - 8 * $0)) }, at: offset)
    }
}
