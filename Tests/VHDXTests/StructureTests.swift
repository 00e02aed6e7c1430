import BlockIO
import ByteCodec
import DiskModel
import Testing

@testable import VHDX

@Suite struct StructureTests {
    @Test func everyStructureHasItsSize() {
        func check<T: DiskStruct>(_ type: T.Type) {
            #expect(T().serialized().count == T.byteCount, "\(T.self)")
            #expect(T().dumped().reduce(0) { $0 + $1.byteCount } == T.byteCount, "\(T.self)")
        }
        check(FileTypeIdentifier.self)
        check(Header.self)
        check(RegionTableHeader.self)
        check(RegionTableEntry.self)
        check(MetadataTableHeader.self)
        check(MetadataTableEntry.self)
        check(FileParameters.self)
        check(ParentLocatorHeader.self)
        check(ParentLocatorEntry.self)
        check(LogEntryHeader.self)
        check(ZeroDescriptor.self)
        check(DataDescriptor.self)
        check(DataSector.self)
    }

    @Test func checksumsOfKnownBytes() {
        #expect(crc32c([UInt8]("123456789".utf8).rawBytes) == 0xE306_9283)
        #expect(crc32c([UInt8].zeros(32).rawBytes) == 0x8A91_36AA)
        #expect(crc32c([UInt8](repeating: 0xff, count: 32).rawBytes) == 0x62A8_AB43)
        #expect(crc32c([UInt8](0..<32).rawBytes) == 0x46DD_794E)
        #expect(crc32c([UInt8]((0..<32).reversed()).rawBytes) == 0x113F_DB5C)
        #expect(crc32c([UInt8].zeros(4096).rawBytes) == 0x98F9_4189)
        #expect(crc32c([UInt8].zeros(65536).rawBytes) == 0x72C0_C4A4)
    }

    @Test func bytesOfTheKnownGUIDs() {
        let expected: [(GUID, String)] = [
            (KnownGUID.blockAllocationTable, "6677c22d23f600429d64115e9bfd4a08"),
            (KnownGUID.metadata, "06a27c8b90479a4bb8fe575f050f886e"),
            (KnownGUID.fileParameters, "3767a1ca36fa434db3b633f0aa44e76b"),
            (KnownGUID.virtualDiskSize, "2442a52f1bcd7648b2115dbed83bf4b8"),
            (KnownGUID.virtualDiskID, "ab12cabee6b2234593efc309e000c746"),
            (KnownGUID.logicalSectorSize, "1dbf41816fa90947ba47f233a8faab5f"),
            (KnownGUID.physicalSectorSize, "c748a3cd5d4471449cc9e9885251c556"),
            (KnownGUID.parentLocator, "2d5fd3a80bb34d45abf7d3d84834ab0c"),
            (KnownGUID.parentLocatorType, "b7ef4ab09ed1814ab78925b8e9445913"),
            (KnownGUID.chsParameters, "bcd702da3a3d3c42ac882a36ab21479b"),
            (KnownGUID.incompleteFile, "f085cc71691b284e9558c3bf83ae75d3"),
            (KnownGUID.persistentMemoryLabels, "8aaee1107e4b6941a40fcd70de928393"),
        ]
        for (guid, hex) in expected { #expect(hexadecimal(guid.bytes(.little)) == hex, "\(guid)") }
    }

    @Test func headerVector() throws {
        var header = Header()
        header.sequenceNumber = 1
        (header.fileWriteGUID, header.dataWriteGUID) = (testGUID, testGUID)
        (header.logLength, header.logOffset) = (1 << 20, 1 << 20)
        let bytes = header.sealed()
        #expect(
            hexadecimal(Array(bytes[..<80]))
                == "686561641a25c526010000000000000033221100554477668899aabbccddeeff33221100554477668899aabbccddeeff"
                + "0000000000000000000000000000000000000100000010000000100000000000")
        #expect(try Header(parsing: bytes.rawBytes).checksum == 0x26C5_251A)
    }

    @Test func regionTableVector() throws {
        var image = TinyImage.emptyFile()
        image.put([UInt8]("regi".utf8) + little(UInt32(0)) + little(UInt32(2)), at: 0)
        for (index, region) in [(KnownGUID.blockAllocationTable, 3), (KnownGUID.metadata, 2)].enumerated() {
            let at = UInt64(16 + 32 * index)
            image.put(region.0, at: at)
            image.put(UInt64(region.1) << 20, at: at + 16)
            image.put(UInt32(1 << 20), at: at + 24)
            image.put(UInt32(1), at: at + 28)
        }
        #expect(crc32c(image.bytes(0, 65536).rawBytes, skippingField: 4) == 0xC66B_8CAE)
        // The creator writes just that table.
        let file = try TinyImage().contents
        #expect(file.bytes(196608..<196616) == [UInt8]("regi".utf8) + little(UInt32(0xC66B_8CAE)))
    }

    @Test func emptyLogEntryVector() throws {
        let file = MemoryFile()
        var writer = LogWriter(range: 0..<mebibyte, guid: testGUID)
        try writer.append([], fileByteCount: 4 << 20, to: file)
        #expect(file.allBytes.count == 4096)
        #expect(file.allBytes.rawBytes.integer(at: 4, as: UInt32.self, .little) == 0x6384_8303)
        #expect(file.allBytes == TinyLogEntry(sequence: 1).bytes)
    }

    @Test func twoDescriptorLogEntryVector() throws {
        let page = (0..<4096).map { UInt8(truncatingIfNeeded: 7 * $0 + 3) }
        let entry = TinyLogEntry(
            sequence: 0x1_0000_0002, last: 5 << 20,
            changes: [.page(offset: 0x300000, page), .zero(offset: 0x301000, count: 8192)]
        ).bytes
        #expect(entry.count == 8192)
        #expect(entry.rawBytes.integer(at: 4, as: UInt32.self, .little) == 0x5531_6ED2)
        #expect(
            hexadecimal(Array(entry[64..<96])) == "64657363e7eef5fc030a11181f262d3400003000000000000200000001000000")
        #expect(hexadecimal(Array(entry[4096..<4112])) == "64617461010000003b424950575e656c")
        #expect(hexadecimal(Array(entry[8184...])) == "cbd2d9e002000000")

        let (descriptor, sector) = DataSector.logging(page, at: 0x300000, sequenceNumber: 0x1_0000_0002)
        #expect(descriptor.serialized() == Array(entry[64..<96]))
        #expect(sector.serialized() == Array(entry[4096...]))
        #expect(sector.page(with: descriptor) == page)

        var image = TinyImage.emptyFile()
        image.contents.resize(to: 4 << 20)
        image.put(entry, at: mebibyte)
        var header = Header()
        (header.logGUID, header.logLength, header.logOffset) = (testGUID, 1 << 20, 1 << 20)
        let ring = try LogRing(scanning: image.file, header: header)
        #expect(ring.active?.count == 1)
        #expect(ring.active?.first?.dataCount == 1)
    }

    @Test(
        arguments: [
            // Sector size, block size in MiB, chunk ratio, entries of 64 TiB: dynamic, differencing, table in MiB.
            (512, 1, 4096, 67_125_247, 67_125_248, 513), (512, 2, 2048, 33_570_815, 33_570_816, 257),
            (512, 8, 512, 8_404_991, 8_404_992, 65), (512, 32, 128, 2_113_535, 2_113_536, 17),
            (512, 256, 16, 278_527, 278_528, 3), (4096, 1, 32768, 67_110_911, 67_110_912, 513),
            (4096, 32, 1024, 2_099_199, 2_099_200, 17), (4096, 256, 128, 264_191, 264_192, 3),
        ] as [(UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)])
    func geometryOfTheLargestDisk(
        _ sector: UInt64, _ block: UInt64, _ ratio: UInt64, _ plain: UInt64, _ differencing: UInt64, _ size: UInt64
    ) {
        func geometry(_ isDifferencing: Bool) -> TableGeometry {
            TableGeometry(
                virtualByteCount: 64 << 40, blockByteCount: block << 20, logicalSectorByteCount: sector,
                isDifferencing: isDifferencing)
        }
        #expect(geometry(false).chunkRatio == ratio)
        #expect(geometry(false).entryCount == plain)
        #expect(geometry(true).entryCount == differencing)
        #expect((plain * 8).roundedUp(to: mebibyte) >> 20 == size)
        checkIndices(geometry(true))
    }

    @Test(
        arguments: [
            (1 << 30, 8, 512, 512, 128, 1, 128, 513), (127 << 30, 32, 512, 128, 4064, 32, 4095, 4128),
            (10 << 30, 32, 512, 128, 320, 3, 322, 387), (4 << 30, 32, 512, 128, 128, 1, 128, 129),
            ((4 << 30) + 512, 32, 512, 128, 129, 2, 130, 258), (1 << 40, 2, 4096, 16384, 524288, 32, 524319, 524320),
        ] as [(UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)])
    func geometryExamples(
        _ size: UInt64, _ block: UInt64, _ sector: UInt64, _ ratio: UInt64, _ payload: UInt64, _ bitmaps: UInt64,
        _ plain: UInt64, _ differencing: UInt64
    ) {
        for isDifferencing in [false, true] {
            let geometry = TableGeometry(
                virtualByteCount: size, blockByteCount: block << 20, logicalSectorByteCount: sector,
                isDifferencing: isDifferencing)
            #expect(geometry.chunkRatio == ratio)
            #expect(geometry.payloadBlockCount == payload)
            #expect(geometry.bitmapBlockCount == bitmaps)
            #expect(geometry.entryCount == (isDifferencing ? differencing : plain))
            checkIndices(geometry)
        }
    }

    private func checkIndices(_ geometry: TableGeometry) {
        let ratio = geometry.chunkRatio
        for block in [0, 1, ratio - 1, ratio, ratio + 1, 2 * ratio, geometry.payloadBlockCount - 1]
        where block < geometry.payloadBlockCount {
            let index = geometry.index(ofPayloadBlock: block)
            #expect(index == block + block / ratio)
            #expect(geometry.use(ofIndex: index) == .payload(block))
            #expect(geometry.payloadBlockCount(beforeIndex: index) == block)
        }
        for chunk in [0, 1, geometry.bitmapBlockCount - 1] where chunk < geometry.bitmapBlockCount {
            let index = geometry.index(ofBitmapBlock: chunk)
            #expect(index == chunk * (ratio + 1) + ratio)
            #expect(geometry.use(ofIndex: index) == .bitmap(chunk: chunk))
        }
    }
}

extension TinyImage {
    static func emptyFile() -> TinyImage {
        var image = TinyImage(empty: ())
        image.contents.resize(to: mebibyte)
        return image
    }
    private init(empty: ()) { contents = MemoryFile.Contents() }
}

func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
}
