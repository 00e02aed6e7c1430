import BlockIO
import ByteCodec
import DiskModel
import Testing
import VHD

/// Each rule for bad images, one planted corruption at a time.
@Suite struct RejectTests {
    struct Case: Sendable, CustomStringConvertible {
        var name: String
        var code: FormatError.Code
        var field: String
        var offset: UInt64
        var bytes: [UInt8]
        var description: String { name }

        init(
            _ name: String, _ code: FormatError.Code, _ field: String, at offset: UInt64,
            _ image: TinyImage = TinyImage(),
            _ change: (inout TinyImage) -> Void
        ) {
            var image = image
            change(&image)
            (self.name, self.code, self.field, self.offset, bytes) = (name, code, field, offset, image.bytes)
        }

        init(_ name: String, _ code: FormatError.Code, _ field: String, at offset: UInt64, bytes: [UInt8]) {
            (self.name, self.code, self.field, self.offset, self.bytes) = (name, code, field, offset, bytes)
        }
    }

    /// An image of 2560 bytes, whose trailing footer stands at 2048.
    static let opening: [Case] = [
        Case("no cookie", .vhdTrailingFooter, "Cookie", at: 2048) { $0.footer.cookie = Array("Conectix".utf8) },
        Case("version 2", .vhdFormatVersion, "File Format Version", at: 2060) { $0.footer.fileFormatVersion = 0x20000 },
        Case("type 0", .vhdDiskType, "Disk Type", at: 2108) { $0.footer.diskType = 0 },
        Case("type 1", .vhdDiskType, "Disk Type", at: 2108) { $0.footer.diskType = 1 },
        Case("type 5", .vhdDiskType, "Disk Type", at: 2108) { $0.footer.diskType = 5 },
        Case("poisoned", .vhdDisabled, "Cookie", at: 2048) { $0.footer.cookie = Array("v_poison".utf8) },
        Case("poisoned copy", .vhdDisabled, "Cookie", at: 0) {
            var footer = $0.footer
            footer.cookie = Array("v_poison".utf8)
            $0.copy = footer.sealed()
        },
        Case("journal", .vhdDisabled, "Cookie", at: 2048) { $0.footer.cookie = Array("vjournal".utf8) },
        Case("tap 0.1", .vhdOldTap, "Creator Version", at: 2080) {
            $0.footer.creatorApplication = Array("tap\0".utf8)
            $0.footer.creatorVersion = 1
        },
        Case("size 0", .vhdCurrentSize, "Current Size", at: 2096) { $0.footer.currentSize = 0 },
        Case("size 511", .vhdCurrentSize, "Current Size", at: 2096) { $0.footer.currentSize = 511 },
        Case("size over 2040 GiB", .vhdCurrentSize, "Current Size", at: 2096) {
            $0.footer.currentSize = VHDCreator.largestDynamicByteCount + 512
        },
        Case("no data offset", .vhdDataOffset, "Data Offset", at: 2064) { $0.footer.dataOffset = .max },
        Case("data offset 0", .vhdDataOffset, "Data Offset", at: 2064) { $0.footer.dataOffset = 0 },
        Case("data offset 511", .vhdDataOffset, "Data Offset", at: 2064) { $0.footer.dataOffset = 511 },
        Case("data offset past the end", .vhdDataOffset, "Data Offset", at: 2064) {
            $0.footer.dataOffset = 2560 - 1023
        },
        Case("header cookie", .vhdDataOffset, "Cookie", at: 512) { $0.header?.cookie = Array("cxsparsf".utf8) },
        Case("header version", .vhdHeader, "Header Version", at: 536) { $0.header?.headerVersion = 0x20000 },
        Case("block size 0", .vhdBlockSize, "Block Size", at: 544) { $0.header?.blockSize = 0 },
        Case("block size 256", .vhdBlockSize, "Block Size", at: 544) { $0.header?.blockSize = 256 },
        Case("block size 3 × 512", .vhdBlockSize, "Block Size", at: 544) { $0.header?.blockSize = 1536 },
        Case("block size 512 MiB", .vhdBlockSize, "Block Size", at: 544) { $0.header?.blockSize = 512 << 20 },
        Case("too few entries", .vhdMaxTableEntries, "Max Table Entries", at: 540) { $0.header?.maxTableEntries = 3 },
        Case("table at 0", .vhdTableOffset, "Table Offset", at: 528) { $0.header?.tableOffset = 0 },
        Case("table over the header", .vhdTableOffset, "Table Offset", at: 528) { $0.header?.tableOffset = 1024 },
        Case("table over the footer", .vhdTableOffset, "Table Offset", at: 528) { $0.header?.tableOffset = 2048 - 12 },
        Case("table past the end", .vhdTableOffset, "Table Offset", at: 528) { $0.header?.tableOffset = 1 << 40 },
        Case("table that wraps", .vhdTableOffset, "Table Offset", at: 528) { $0.header?.tableOffset = .max - 3 },
        Case("table larger than the file", .vhdTableOffset, "Table Offset", at: 528) {
            $0.footer.currentSize = VHDCreator.largestDynamicByteCount
            $0.header?.maxTableEntries = .max
        },
        Case("no parent", .vhdParentIdentity, "Parent Unique ID", at: 552, TinyImage(DiskTypeCode.differencing)) {
            $0.header?.parentUniqueID = .zero
        },
        Case("encrypted", .vhdEncrypted, "Keyhash Present", at: 2048 + 29) {
            $0.footer.creatorApplication = Array("tap\0".utf8)
            $0.footer.creatorVersion = 0x0001_0003
            var map = BatmapHeader()
            map.keyhashPresent = 1
            $0.body = map.serialized()
        },
    ]

    @Test(arguments: opening) func refusedOnOpening(_ image: Case) {
        expectRule(image.code, image.field, at: image.offset) { _ = try VHDLayer(reading: MemoryFile(image.bytes)) }
        expectRule(image.code, image.field, at: image.offset) { _ = try VHDLayer(writing: MemoryFile(image.bytes)) }
    }

    @Test func checksumsMayBeAccepted() throws {
        var footers = TinyImage()
        footers.addBlock(0, bits: 0xff, fill: 1)
        var bytes = footers.bytes
        let end = bytes.count - 512
        bytes[64] ^= 1
        bytes[end + 64] ^= 1
        expectRule(.vhdChecksum, "Checksum", at: UInt64(end) + 64) { _ = try VHDLayer(reading: MemoryFile(bytes)) }
        let layer = try VHDLayer(reading: MemoryFile(bytes), options: .accepting(.vhdChecksum))
        expectFinding(.vhdChecksum, .error, in: layer)
        #expect(try contents(layer)[512] == 2)

        var header = footers.bytes
        header[512 + 36] ^= 1
        expectRule(.vhdChecksum, "Checksum", at: 548) { _ = try VHDLayer(reading: MemoryFile(header)) }
        #expect(try contents(try VHDLayer(reading: MemoryFile(header), options: .accepting(.vhdChecksum)))[512] == 2)

        // The copy at 0 alone, with a wrong sum.
        var copy = footers.bytes
        copy[64] ^= 1
        copy.removeLast(512)
        expectRule(.vhdChecksum, "Checksum", at: 64) { _ = try VHDLayer(reading: MemoryFile(copy)) }
        #expect(try contents(try VHDLayer(reading: MemoryFile(copy), options: .accepting(.vhdChecksum)))[512] == 2)
    }

    @Test func tooShort() {
        for count in [0, 1, 510] {
            expectRule(.vhdTooShort) { _ = try VHDLayer(reading: MemoryFile([UInt8].zeros(count))) }
        }
        for count in [511, 512, 513, 1024, 4096] {
            expectRule(.vhdTrailingFooter) { _ = try VHDLayer(reading: MemoryFile([UInt8].zeros(count))) }
        }
    }

    @Test func splitImagesAreNamed() {
        do {
            _ = try VHDLayer(reading: MemoryFile([UInt8].zeros(4096)))
            Issue.record("not refused")
        } catch { #expect(error.description.contains(".v01")) }
    }

    @Test func fixedSizeLargerThanTheFile() throws {
        var (bytes, footer) = TinyImage.fixed([UInt8](repeating: 1, count: 1024))
        footer.currentSize = 2048
        bytes.replaceSubrange(1024..., with: footer.sealed())
        expectRule(.vhdCurrentSize, "Current Size", at: 1024 + 48) { _ = try VHDLayer(reading: MemoryFile(bytes)) }
        let layer = try VHDLayer(reading: MemoryFile(bytes), options: .accepting(.vhdCurrentSize))
        #expect(layer.geometry.virtualByteCount == 1024)
        #expect(try contents(layer) == [UInt8](repeating: 1, count: 1024))
    }

    // MARK: Table

    static let entries: [(String, UInt32, FormatError.Code)] = [
        ("0", 0, .vhdBlockOverMetadata), ("into the header", 1, .vhdBlockOverMetadata),
        ("into the table", 3, .vhdBlockOverMetadata), ("before the header", 2, .vhdBlockOverMetadata),
        ("the trailing footer", 13, .vhdBlockPastEnd), ("past the end", 14, .vhdBlockPastEnd),
        ("far past the end", 0xffff_fffe, .vhdBlockPastEnd), ("a tail over the footer", 5, .vhdBlockPastEnd),
    ]

    @Test(arguments: entries.indices) func badEntries(_ index: Int) throws {
        let (_, entry, code) = Self.entries[index]
        var image = TinyImage()
        image.addBlock(0, bits: 0xff, fill: 1)
        image.table[2] = entry
        // Bits are set, so that missing bytes are needed.
        for position in image.body.indices where position >= 512 { image.body[position] = 0xff }
        let layer = try image.layer()
        #expect(try contents(layer, 0..<8192).count == 8192)
        expectRule(code, "BAT entry 2", at: 1536 + 8) { _ = try layer.extents(in: 8192..<8704 + 3584, limit: 100) }
        // The last one also begins inside block 0.
        expectRule(entry == 5 ? .vhdBlocksOverlap : code) { _ = try VHDLayer(writing: MemoryFile(image.bytes)) }
        if entry != 5 { expectRule(code, "BAT entry 2", at: 1536 + 8) { _ = try layer.census() } }
    }

    @Test(arguments: [4, 5, 12] as [UInt32]) func overlaps(_ entry: UInt32) throws {
        var image = TinyImage()
        image.addBlock(0, bits: 0xff, fill: 1)
        image.addBlock(3, bits: 0xff, fill: 1)
        image.table[1] = entry
        expectRule(.vhdBlocksOverlap) { _ = try image.layer().census() }
        expectRule(.vhdBlocksOverlap) { _ = try VHDLayer(writing: MemoryFile(image.bytes)) }
    }

    @Test func entriesOverLocators() throws {
        var image = TinyImage(DiskTypeCode.differencing)
        image.addBlock(0, bits: 0xff, fill: 1)
        image.addLocator(0, "W2ru", utf16Bytes(".\\p.vhd", .little))
        image.addBlock(1, bits: 0xff, fill: 1)
        image.table[2] = image.table[0] + 3
        expectRule(.vhdBlockOverMetadata, "BAT entry 2") { _ = try image.layer().extents(in: 8192..<8704, limit: 1) }
    }

    @Test func missingTails() throws {
        var image = TinyImage()
        image.addBlock(0, bits: 0xff, fill: 1)
        image.addBlock(1, bits: 0b1111_0000, fill: 0x11)
        let bytes = Array(image.bytes.dropLast(512 + 2048))
        // Cut inside the last block, where bits are clear: nothing is missing.
        let layer = try VHDLayer(reading: MemoryFile(bytes))
        expectFinding(.vhdTrailingFooter, .warning, in: layer)
        #expect(try contents(layer, 4096..<8192)[1536] == 0x14)
        // Cut where bits are set.
        let shorter = Array(bytes.dropLast(512))
        let cut = try VHDLayer(reading: MemoryFile(shorter))
        expectRule(.vhdBlockPastEnd, "BAT entry 1", at: 1540) { _ = try contents(cut) }
        #expect(try contents(cut, 4096..<4096 + 1536).last == 0x13)
        let accepted = try VHDLayer(reading: MemoryFile(shorter), options: .accepting(.vhdBlockPastEnd))
        #expect(try contents(accepted, 4096 + 1024..<8192) == [UInt8](repeating: 0x13, count: 512) + .zeros(2560))
        expectRule(.vhdBlockPastEnd) { _ = try VHDLayer(writing: MemoryFile(shorter)) }
    }

    // MARK: Locators

    @Test func malformedLocators() throws {
        func refused(
            _ field: String, _ offset: UInt64? = nil, sourceLocation: SourceLocation = #_sourceLocation,
            _ change: (inout TinyImage) -> Void
        ) throws {
            var image = TinyImage(DiskTypeCode.differencing)
            image.addLocator(0, "W2ku", utf16Bytes("C:\\x\\parent.vhd", .little))
            change(&image)
            expectRule(.vhdParentLocator, field, at: offset, sourceLocation: sourceLocation) { _ = try image.layer() }
            let layer = try image.layer(.accepting(.vhdParentLocator))
            #expect(layer.parentLink?.locators.map(\.key) == ["W2ku"], sourceLocation: sourceLocation)
        }
        try refused("Platform Data", 2560) { $0.addLocator(1, "W2ru", Array("odd".utf8)) }
        try refused("Platform Data", 2560) { $0.addLocator(1, "W2ru", utf16Bytes("a\0b", .little)) }
        try refused("Platform Data", 2560) { $0.addLocator(1, "W2ru", utf16Bytes("a\nb", .little)) }
        try refused("Platform Data", 2560) { $0.addLocator(1, "W2ru", [0x00, 0xd8, 0x41, 0x00]) }
        try refused("Platform Data", 2560) { $0.addLocator(1, "MacX", [0x66, 0xff]) }
        try refused("Platform Data", 2560) { $0.addLocator(1, "Wi2r", Array("a\u{1b}b".utf8)) }
        try refused("Platform Data Length", 512 + 576 + 24 + 8) {
            $0.addLocator(1, "W2ru", utf16Bytes("p", .little))
            $0.header?.parentLocators[1].platformDataLength = 65_537
        }
        try refused("Platform Data Offset", 512 + 576 + 24 + 16) {
            $0.addLocator(1, "W2ru", utf16Bytes("p", .little))
            $0.header?.parentLocators[1].platformDataLength = 65_536
        }
        try refused("Platform Data Offset", 512 + 576 + 24 + 16) {
            $0.addLocator(1, "W2ru", utf16Bytes("p", .little))
            $0.header?.parentLocators[1].platformDataOffset = .max
        }
        try refused("Parent Unicode Name", 576) {
            let name = utf16Bytes("a\tb", .big)
            $0.header?.parentUnicodeName.replaceSubrange(0..<name.count, with: name)
        }
    }

    @Test func orderOfLocators() throws {
        var image = TinyImage(DiskTypeCode.differencing)
        image.addLocator(0, "Wi2k", Array("C:\\old.vhd\0".utf8))
        image.addLocator(1, "Mac ", [1, 2, 3])
        image.addLocator(2, "W2ku", utf16Bytes("C:\\d\\p.vhd\0\0", .little), space: 1)
        image.addLocator(3, "MacX", Array("file://localhost/d/p.vhd".utf8))
        image.addLocator(4, "Wi2r", Array("..\\o\u{e9}.vhd".unicodeScalars.map { UInt8($0.value) }))
        image.addLocator(6, "W2ru", utf16Bytes(".\\p.vhd", .little), space: 100_000)
        image.addLocator(7, "XXXX", [1])
        let name = utf16Bytes("D:\\vm\\p.avhd", .big)
        image.header?.parentUnicodeName.replaceSubrange(0..<name.count, with: name)
        let layer = try image.layer()
        #expect(
            layer.parentLink?.locators == [
                ParentLocator(kind: .relative, key: "W2ru", path: ".\\p.vhd"),
                ParentLocator(kind: .url, key: "MacX", path: "file://localhost/d/p.vhd"),
                ParentLocator(kind: .absolute, key: "W2ku", path: "C:\\d\\p.vhd"),
                ParentLocator(kind: .relative, key: "Wi2r", path: "..\\o\u{e9}.vhd"),
                ParentLocator(kind: .absolute, key: "Wi2k", path: "C:\\old.vhd"),
                ParentLocator(kind: .name, key: "Parent Unicode Name", path: "p.avhd"),
            ])
        #expect(layer.parentLink?.identities == [DiskIdentity(format: .vhd, id: TinyImage.parentID)])
        expectFinding(.vhdUnknownLocator, .warning, in: layer)
        expectFinding(.vhdParentLocator, .warning, in: layer)
    }

    @Test func rawParentByAcceptance() throws {
        var image = TinyImage(DiskTypeCode.differencing)
        image.header?.parentUniqueID = .zero
        let layer = try image.layer(.accepting(.vhdParentIdentity))
        #expect(layer.parentLink?.identities == [DiskIdentity(format: .raw, id: .zero)])
        #expect(layer.parentLink?.locators.isEmpty == true)
    }
}
