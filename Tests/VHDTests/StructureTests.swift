import ByteCodec
import Testing
import VHD

@Suite struct StructureTests {
    @Test func sizes() {
        #expect(Footer().serialized().count == Footer.byteCount)
        #expect(DynamicHeader().serialized().count == DynamicHeader.byteCount)
        #expect(ParentLocatorEntry().serialized().count == ParentLocatorEntry.byteCount)
        #expect(BatmapHeader().serialized().count == BatmapHeader.byteCount)
    }

    @Test func offsets() {
        func offsets(_ fields: [FieldDump]) -> [String: Int] {
            Dictionary(fields.map { ($0.name, $0.offset) }, uniquingKeysWith: { first, _ in first })
        }
        let footer = offsets(Footer().dumped())
        for (name, offset) in [
            ("Cookie", 0), ("Features", 8), ("File Format Version", 12), ("Data Offset", 16), ("Time Stamp", 24),
            ("Creator Application", 28), ("Creator Version", 32), ("Creator Host OS", 36), ("Original Size", 40),
            ("Current Size", 48), ("Cylinders", 56), ("Heads", 58), ("Sectors Per Track", 59), ("Disk Type", 60),
            ("Checksum", 64), ("Unique ID", 68), ("Saved State", 84), ("Hidden", 85), ("Reserved", 86),
        ] { #expect(footer[name] == offset, "\(name)") }
        let header = offsets(DynamicHeader().dumped())
        for (name, offset) in [
            ("Cookie", 0), ("Data Offset", 8), ("Table Offset", 16), ("Header Version", 24), ("Max Table Entries", 28),
            ("Block Size", 32), ("Checksum", 36), ("Parent Unique ID", 40), ("Parent Time Stamp", 56), ("Reserved", 60),
            ("Parent Unicode Name", 64), ("Platform Code", 576), ("Platform Data Offset", 592),
        ] { #expect(header[name] == offset, "\(name)") }
        #expect(DynamicHeader().dumped().last?.offset == 768)
        let map = offsets(BatmapHeader().dumped())
        for (name, offset) in [
            ("Map Offset", 8), ("Map Size", 16), ("Version", 20), ("Checksum", 24), ("Marker", 28),
            ("Keyhash Present", 29), ("Keyhash Nonce", 30), ("Keyhash", 62), ("Reserved", 94),
        ] { #expect(map[name] == offset, "\(name)") }
    }

    @Test func fixedFooterVector() throws {
        var footer = Footer()
        footer.creatorApplication = Array("win ".utf8)
        footer.creatorVersion = 0x000a_0000
        footer.creatorHostOS = Array("Wi2k".utf8)
        (footer.originalSize, footer.currentSize) = (10 << 20, 10 << 20)
        footer.geometry = geometryCHS(virtualByteCount: 10 << 20)
        footer.diskType = DiskTypeCode.fixed
        footer.uniqueID = TinyImage.id
        let expected =
            "636f6e65637469780000000200010000ffffffffffffffff0000000077696e20000a00005769326b0000000000a00000"
            + "0000000000a00000012d041100000002ffffe85500112233445566778899aabbccddeeff00"
        let sealed = footer.sealed()
        #expect(hexadecimal(sealed.prefix(85)) == expected)
        #expect(sealed.dropFirst(85).allSatisfy { $0 == 0 })
        var read = try Footer(parsing: sealed.rawBytes)
        #expect(read.checksum == 0xffff_e855)
        read.checksum = 0
        #expect(read == footer)
    }

    @Test func dynamicVectors() throws {
        var footer = Footer()
        footer.dataOffset = 512
        footer.timestamp = 0x3000_0000
        footer.creatorApplication = Array("win ".utf8)
        footer.creatorVersion = 0x000a_0000
        footer.creatorHostOS = Array("Wi2k".utf8)
        (footer.originalSize, footer.currentSize) = (1 << 30, 1 << 30)
        footer.geometry = geometryCHS(virtualByteCount: 1 << 30)
        footer.diskType = DiskTypeCode.dynamic
        footer.uniqueID = TinyImage.id
        #expect(try Footer(parsing: footer.sealed().rawBytes).checksum == 0xffff_f0a6)
        #expect(DiskTimestamp(rawValue: footer.timestamp).description == "2025-07-08T16:12:48Z")

        var header = DynamicHeader()
        header.tableOffset = 1536
        header.maxTableEntries = 512
        header.blockSize = 2 << 20
        #expect(try DynamicHeader(parsing: header.sealed().rawBytes).checksum == 0xffff_f475)
    }

    @Test(
        arguments: [
            (1_048_576, 30, 4, 17, 1_044_480), (10_485_760, 301, 4, 17, 10_479_616),
            (67_108_864, 963, 8, 17, 67_055_616),
            (104_857_600, 1003, 12, 17, 104_761_344), (104_865_792, 1004, 12, 17, 104_865_792),
            (134_217_728, 963, 16, 17, 134_111_232), (260_046_848, 503, 16, 63, 259_596_288),
            (528_482_304, 1024, 16, 63, 528_482_304), (1_073_741_824, 2080, 16, 63, 1_073_479_680),
            (8_589_934_592, 16644, 16, 63, 8_589_901_824), (33_821_368_320, 65533, 16, 63, 33_821_319_168),
            (34_359_738_368, 16448, 16, 255, 34_359_214_080), (136_365_211_648, 65278, 16, 255, 136_363_130_880),
            (136_899_993_600, 65535, 16, 255, 136_899_993_600), (2_190_433_320_960, 65535, 16, 255, 136_899_993_600),
        ] as [(UInt64, UInt16, UInt8, UInt8, UInt64)])
    func geometry(_ row: (size: UInt64, cylinders: UInt16, heads: UInt8, sectors: UInt8, byteCount: UInt64)) {
        let found = geometryCHS(virtualByteCount: row.size)
        #expect(found == CHSGeometry(cylinders: row.cylinders, heads: row.heads, sectorsPerTrack: row.sectors))
        #expect(found.byteCount == row.byteCount)
    }

    @Test func geometryNeverExceedsTheSize() {
        for shift in 9..<63 {
            for size in [UInt64(1) << UInt64(shift), (UInt64(1) << UInt64(shift)) - 512, 3 << UInt64(shift - 2)] {
                #expect(geometryCHS(virtualByteCount: size).byteCount <= size)
            }
        }
        for size in [65535 * 16 * 63, 65535 * 16 * 63 - 1, 65535 * 16 * 255, 1024 * 16 * 17, 1023 * 16 * 31] as [UInt64]
        {
            #expect(geometryCHS(virtualByteCount: size * 512).byteCount <= size * 512)
        }
    }
}

func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
