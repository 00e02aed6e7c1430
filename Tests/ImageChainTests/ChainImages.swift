import BlockIO
import ByteCodec
import DiskModel
import Testing
import ToolTesting
import VHD
import VHDX

/// Small images with parents, made field by field.
enum ChainImages {
    static func id(_ number: UInt64) -> GUID { GUID(0x0a0b_0c0d, 1, 2, number) }

    /// A path in a VHD: platform code and text.
    struct Locator {
        var code: String
        var text: String
        var bytes: [UInt8] { code == "MacX" || code.hasPrefix("Wi2") ? Array(text.utf8) : utf16Bytes(text, .little) }
        static func relative(_ text: String) -> Locator { Locator(code: "W2ru", text: text) }
        static func absolute(_ text: String) -> Locator { Locator(code: "W2ku", text: text) }
        static func url(_ text: String) -> Locator { Locator(code: "MacX", text: text) }
    }

    static let vhdBlock = 4096

    /// A differencing VHD with blocks of 4 KiB. `sectors` are its own ones, by number, each filled with one byte.
    static func vhdChild(
        _ own: UInt64, of parent: UInt64, size: Int = 16384, _ locators: [Locator], name: String = "",
        sectors: [Int: UInt8] = [:]
    ) -> [UInt8] {
        var footer = Footer()
        footer.diskType = DiskTypeCode.differencing
        footer.dataOffset = 512
        footer.uniqueID = id(own)
        footer.creatorApplication = Array("win ".utf8)
        (footer.originalSize, footer.currentSize) = (UInt64(size), UInt64(size))
        footer.geometry = geometryCHS(virtualByteCount: UInt64(size))
        var header = DynamicHeader()
        header.tableOffset = 1536
        header.blockSize = UInt32(vhdBlock)
        let blockCount = (size + vhdBlock - 1) / vhdBlock
        header.maxTableEntries = UInt32(blockCount)
        header.parentUniqueID = id(parent)
        let nameBytes = utf16Bytes(name, .big)
        header.parentUnicodeName.replaceSubrange(0..<nameBytes.count, with: nameBytes)
        let bodyStart = 1536 + (4 * blockCount + 511) / 512 * 512
        var body: [UInt8] = []
        for (slot, locator) in locators.enumerated() {
            var entry = VHD.ParentLocatorEntry()
            entry.platformCode = Array(locator.code.utf8).rawBytes.integer(at: 0, .big)
            entry.platformDataLength = UInt32(locator.bytes.count)
            entry.platformDataSpace = UInt32((locator.bytes.count + 511) / 512 * 512)
            entry.platformDataOffset = UInt64(bodyStart + body.count)
            header.parentLocators[slot] = entry
            body += locator.bytes + [UInt8].zeros((512 - locator.bytes.count % 512) % 512)
        }
        var table = [UInt8](repeating: 0xff, count: bodyStart - 1536)
        for block in Set(sectors.keys.map { $0 / 8 }).sorted() {
            var raw = table.mutableRawBytes
            raw.store(UInt32((bodyStart + body.count) / 512), at: 4 * block, .big)
            var bits: UInt8 = 0
            var data: [UInt8] = []
            for sector in 0..<8 {
                if sectors[block * 8 + sector] != nil { bits |= 0x80 >> UInt8(sector) }
                data += [UInt8](repeating: sectors[block * 8 + sector] ?? 0xdd, count: 512)
            }
            body += [bits] + [UInt8].zeros(511) + data
        }
        return footer.sealed() + header.sealed() + table + body + footer.sealed()
    }

    /// A fixed VHD; sector `i` is filled with `fill + i`.
    static func vhdBase(_ own: UInt64, size: Int = 16384, fill: UInt8 = 0) throws -> [UInt8] {
        let file = MemoryFile()
        try VHDCreator.create(
            on: file, type: .fixed, virtualByteCount: UInt64(size), uniqueID: id(own),
            created: DiskTimestamp(rawValue: 0))
        try file.write(pattern(fill, size), at: 0)
        return file.allBytes
    }

    static func pattern(_ fill: UInt8, _ size: Int) -> [UInt8] {
        (0..<size / 512).flatMap { [UInt8](repeating: fill &+ UInt8(truncatingIfNeeded: $0), count: 512) }
    }

    /// A dynamic VHDX of 1 MiB blocks; `sectors` are written.
    static func vhdxBase(
        _ own: UInt64, size: UInt64 = 4 << 20, sector: Int = 512, sectors: [UInt64: UInt8] = [:]
    ) throws -> MemoryFile {
        let file = MemoryFile()
        try VHDXCreator.create(
            on: file, type: .dynamic, virtualByteCount: size, blockByteCount: 1 << 20,
            logicalSectorByteCount: sector, newGUID: { id(own) })
        if !sectors.isEmpty {
            let layer = try VHDXLayer(writing: file)
            for (number, value) in sectors {
                try layer.write([UInt8](repeating: value, count: sector).rawBytes, at: number * UInt64(sector))
            }
            try layer.close()
            try restoreDataWriteGUID(file, own)
        }
        return file
    }

    /// Writing gave the image a new identity: back to the known one, in both headers.
    private static func restoreDataWriteGUID(_ file: MemoryFile, _ own: UInt64) throws {
        for offset in [65536, 131_072] as [UInt64] {
            let old = try file.bytes(at: offset, count: 4096)
            var header = try Header(parsing: old.rawBytes)
            header.dataWriteGUID = id(own)
            var bytes = header.serialized()
            let checksum = crc32c(bytes.rawBytes, skippingField: 4)
            var raw = bytes.mutableRawBytes
            raw.store(checksum, at: 4, .little)
            try file.write(bytes, at: offset)
        }
    }

    /// A differencing VHDX: `vhdxBase` with the flag, a parent locator, and blocks partly its own.
    static func vhdxChild(
        _ own: UInt64, of parent: UInt64, size: UInt64 = 4 << 20, sector: Int = 512,
        _ pairs: [(key: String, value: String)], sectors: [UInt64: UInt8] = [:]
    ) throws -> MemoryFile {
        let file = try vhdxBase(own, size: size, sector: sector)
        let metadata: UInt64 = 2 << 20
        var parameters = FileParameters()
        (parameters.blockSize, parameters.flags) = (1 << 20, 2)
        try file.write(parameters.serialized(), at: metadata + 65536)
        let item = locatorItem([("parent_linkage", id(parent).braced)] + pairs)
        try file.write(item, at: metadata + 65536 + 4096)
        var entry = MetadataTableEntry()
        (entry.itemID, entry.flags) = (KnownGUID.parentLocator, 4)
        (entry.offset, entry.length) = (65536 + 4096, UInt32(item.count))
        try file.write(entry.serialized(), at: metadata + 32 + 5 * 32)
        var header = MetadataTableHeader()
        header.entryCount = 6
        try file.write(header.serialized(), at: metadata)
        try addOwnSectors(file, sector, sectors)
        return file
    }

    private static func locatorItem(_ pairs: [(key: String, value: String)]) -> [UInt8] {
        var header = ParentLocatorHeader()
        header.keyValueCount = UInt16(pairs.count)
        var entries: [UInt8] = []
        var texts: [UInt8] = []
        let textStart = 20 + 12 * pairs.count
        for pair in pairs {
            let (key, value) = (utf16Bytes(pair.key, .little), utf16Bytes(pair.value, .little))
            var entry = VHDX.ParentLocatorEntry()
            (entry.keyOffset, entry.keyLength) = (UInt32(textStart + texts.count), UInt16(key.count))
            texts += key
            (entry.valueOffset, entry.valueLength) = (UInt32(textStart + texts.count), UInt16(value.count))
            texts += value
            entries += entry.serialized()
        }
        return header.serialized() + entries + texts
    }

    /// Blocks partially present, their bits in the one bitmap block of the first chunk. The table stands at 3 MiB.
    private static func addOwnSectors(_ file: MemoryFile, _ sector: Int, _ sectors: [UInt64: UInt8]) throws {
        guard !sectors.isEmpty else { return }
        let mebibyte: UInt64 = 1 << 20
        let perBlock = mebibyte / UInt64(sector)
        let chunkRatio = (UInt64(sector) << 23) / mebibyte
        func setEntry(_ index: UInt64, _ value: UInt64) throws {
            var bytes = [UInt8].zeros(8)
            var raw = bytes.mutableRawBytes
            raw.store(value, at: 0, .little)
            try file.write(bytes, at: 3 * mebibyte + 8 * index)
        }
        let bitmap = file.byteCount()
        file.resize(to: bitmap + mebibyte)
        try setEntry(chunkRatio, bitmap | 6)
        for block in Set(sectors.keys.map { $0 / perBlock }) {
            let place = file.byteCount()
            // What lies under clear bits must never be seen.
            try file.write([UInt8](repeating: 0xdd, count: Int(mebibyte)), at: place)
            try setEntry(block, place | 7)
            for (number, value) in sectors where number / perBlock == block {
                try file.write([UInt8](repeating: value, count: sector), at: place + number % perBlock * UInt64(sector))
                var byte = try file.bytes(at: bitmap + number / 8, count: 1)
                byte[0] |= 1 << UInt8(number % 8)
                try file.write(byte, at: bitmap + number / 8)
            }
        }
    }
}

/// Expects a `DiskError` of a kind, and returns it.
@discardableResult func diskError(
    _ kind: DiskError.Kind, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) throws -> DiskError {
    let error = try #require(throws: DiskError.self, sourceLocation: sourceLocation) { try body() }
    #expect(error.kind == kind, "\(error)", sourceLocation: sourceLocation)
    return error
}
