import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing

@testable import VHDX

@Suite struct ReadTests {
    @Test func recognition() throws {
        var image = try TinyImage()
        #expect(try VHDXLayer.recognises(image.file))
        image.put([0], at: 0)
        #expect(try VHDXLayer.recognises(image.file), "two valid headers are enough")
        image.put([0], at: 65536)
        #expect(try !VHDXLayer.recognises(image.file))
        #expect(try !VHDXLayer.recognises(MemoryFile()))
        #expect(try !VHDXLayer.recognises(MemoryFile([UInt8].zeros(2 << 20))))
    }

    @Test func newerHeaderIsCurrent() throws {
        var image = try TinyImage()
        #expect(try VHDXLayer(reading: image.file).currentHeader.sequenceNumber == 2)
        image.put([9], at: 131072 + 200)
        let layer = try VHDXLayer(reading: image.file)
        #expect(layer.currentHeader.sequenceNumber == 1)
        #expect(layer.findings.map(\.detail.code) == [.vhdxHeaders])
        let writer = try VHDXLayer(writing: image.file)
        try writer.write([UInt8](repeating: 1, count: 512).rawBytes, at: 0)
        try writer.close()
    }

    @Test func equalSequenceNumbers() throws {
        var image = try TinyImage()
        image.put(image.bytes(65536, 4096), at: 131072)
        let same = try VHDXLayer(reading: image.file)
        #expect(same.findings.map(\.severity) == [.information])
        _ = try VHDXLayer(writing: image.file)
        image.put(GUID.random(), at: 131072 + 32)
        image.seal()
        let different = try VHDXLayer(reading: image.file)
        #expect(different.findings.map(\.severity) == [.warning])
        #expect(different.dataWriteGUID == same.dataWriteGUID, "header 1 wins")
        #expect(throws: DiskError.self) { try VHDXLayer(writing: image.file) }
    }

    @Test func secondRegionTableServes() throws {
        var image = try TinyImage()
        image.put([1], at: 196608 + 60000)
        let layer = try VHDXLayer(reading: image.file)
        #expect(layer.findings.map(\.detail.code) == [.vhdxRegionTableCopies])
        #expect(try layer.report().structures.filter(\.isActive).contains { $0.name == "Region table 2" })
    }

    @Test func optionalUnknownsAreKept() throws {
        var image = try TinyImage()
        image.addRegion(GUID(5, 5, 5, 5), image.append([1], count: mebibyte), 1 << 20, required: false)
        image.addItem(GUID(6, 6, 6, 6), flags: 0, [1, 2, 3])
        image.addItem(KnownGUID.chsParameters, flags: 4, [UInt8].zeros(8), offset: 0x30000)
        image.addItem(KnownGUID.virtualDiskID, flags: 1, [1], offset: 0x31000)
        let layer = try VHDXLayer(reading: image.file)
        #expect(
            layer.findings.map(\.detail.code) == [.vhdxUnknownOptional, .vhdxUnknownOptional, .vhdxUnknownOptional])
        #expect(layer.virtualDiskID == GUID(1, 2, 3, 4), "the user's item is another one")
        #expect(try layer.census().gaps.isEmpty)
    }

    @Test func regionsNeedNotBeMarkedAsRequired() throws {
        var image = try TinyImage()
        image.inRegionTables(16 + 28, UInt32(0))
        image.inRegionTables(48 + 28, UInt32(0))
        #expect(
            try VHDXLayer(reading: image.file).findings.map(\.detail.code) == [
                .vhdxRegionNotRequired, .vhdxRegionNotRequired,
            ])
    }

    /// Every state, with offsets in the states that ignore them.
    @Test func statesWithoutParent() throws {
        var image = try TinyImage()
        let data = image.append([UInt8](repeating: 7, count: 1 << 20))
        for (index, value) in [data, data | 1, data | 2, data | 3, data | 6, 0, 1, 3].enumerated() {
            image.setEntry(UInt64(index), value)
        }
        let layer = try VHDXLayer(reading: image.file)
        let extents = try layer.extents(in: 0..<8 << 20, limit: 100)
        #expect(
            extents == [
                Extent(offset: 0, byteCount: 1 << 20, source: .hole),
                Extent(offset: 1 << 20, byteCount: 3 << 20, source: .zero),
                Extent(offset: 4 << 20, byteCount: 1 << 20, source: .file(offset: data)),
                Extent(offset: 5 << 20, byteCount: 1 << 20, source: .hole),
                Extent(offset: 6 << 20, byteCount: 2 << 20, source: .zero),
            ])
        for limit in 1...5 {
            #expect(try layer.extents(in: 0..<8 << 20, limit: limit) == Array(extents.prefix(limit)))
        }
        let census = try layer.census()
        #expect(census.counts.map(\.count) == [2, 2, 1, 2, 1, 0])
        #expect(
            census.counts.map(\.state) == [
                "not_present", "undefined", "zero", "unmapped", "fully_present", "partially_present",
            ])
        let codes = layer.findings.map(\.detail.code)
        #expect(codes.filter { $0 == .vhdxEntryReserved }.count == 1)
        #expect(codes.contains(.vhdxSoftAnchor), "the anchors stand where block 4 does")
    }

    @Test func stateSevenWithoutParentIsReadAsSix() throws {
        var image = try TinyImage()
        let data = image.append([UInt8](repeating: 7, count: 1 << 20))
        image.setEntry(2, data | 7)
        let layer = try VHDXLayer(reading: image.file)
        #expect(try contents(of: layer, 2 << 20..<3 << 20) == [UInt8](repeating: 7, count: 1 << 20))
        #expect(layer.findings.map(\.detail.code) == [.vhdxBlockState])
    }

    @Test func softAnchorsCountAsUsed() throws {
        var image = try TinyImage()
        image.setEntry(1, image.append([1], count: mebibyte) | 3)
        _ = image.append([1], count: 2 * mebibyte)
        let layer = try VHDXLayer(reading: image.file)
        let census = try layer.census()
        #expect(census.gaps == [5 << 20..<7 << 20])
        #expect(census.gapCount == 1)
        #expect(!layer.findings.contains { $0.detail.code == .vhdxSoftAnchor })
    }

    /// A child with 4096-byte sectors or 512-byte ones, bits set by chance, against a model.
    @Test(arguments: [512, 4096])
    func sectorBitmaps(_ sectorByteCount: Int) throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("sector bitmaps: seed \(seed)")
        var random = SplitMix(seed: seed)
        var image = try TinyImage(logicalSectorByteCount: sectorByteCount)
        image.makeDifferencing()
        let sectors = (1 << 20) / sectorByteCount
        let ratio: UInt64 = sectorByteCount == 512 ? 4096 : 32768
        let bitmap = image.append([UInt8].zeros(1 << 20))
        image.setEntry(ratio, bitmap | 6)
        var expected: [Extent] = []
        for block in 0..<UInt64(4) {
            let data = image.append([1], count: mebibyte)
            image.setEntry(block, data | 7)
            var bits = [UInt8].zeros(sectors / 8)
            var sector = 0
            while sector < sectors {
                let run = min(sectors - sector, Int.random(in: 1...200, using: &random))
                let isSet = Bool.random(using: &random)
                for index in sector..<sector + run where isSet { bits[index / 8] |= 1 << (index % 8) }
                let start = UInt64(sector * sectorByteCount)
                expected.appendRun(
                    Extent(
                        offset: block << 20 + start, byteCount: UInt64(run * sectorByteCount),
                        source: isSet ? .file(offset: data + start) : .parent))
                sector += run
            }
            image.put(bits, at: bitmap + block * UInt64(bits.count))
        }
        expected.appendRun(Extent(offset: 4 << 20, byteCount: 4 << 20, source: .parent))
        let layer = try VHDXLayer(reading: image.file)
        #expect(try layer.extents(in: 0..<8 << 20, limit: 100_000) == expected)
        for limit in [1, 2, 7] {
            #expect(try layer.extents(in: 0..<8 << 20, limit: limit) == Array(expected.prefix(limit)))
        }
        // From any sector on.
        for _ in 0..<50 {
            let start = UInt64.random(in: 0..<UInt64(8 * sectors), using: &random) * UInt64(sectorByteCount)
            var cut: [Extent] = []
            for extent in expected where extent.end > start {
                let low = max(start, extent.offset)
                var source = extent.source
                if case .file(let offset) = source { source = .file(offset: offset + low - extent.offset) }
                cut.appendRun(Extent(offset: low, byteCount: extent.end - low, source: source))
            }
            #expect(try layer.extents(in: start..<8 << 20, limit: 100_000) == cut)
        }
        _ = try layer.census()
    }

    /// Blocks on both sides of a chunk's end: the entry of the bitmap block stands between them.
    @Test func interleaving() throws {
        // Chunk ratio 16 with blocks of 256 MiB.
        var image = try TinyImage(byteCount: 34 * 256 << 20, blockByteCount: 256 << 20)
        var offsets: [UInt64] = []
        for index: UInt64 in [15, 17, 35] {
            offsets.append(image.append([UInt8(index)], count: 256 << 20))
            image.setEntry(index, offsets.last! | 6)
        }
        // The slots of bitmap blocks mean nothing here.
        image.setEntry(16, 77)
        let layer = try VHDXLayer(reading: image.file)
        let files = try layer.extents(in: 0..<34 * 256 << 20, limit: 100).filter {
            if case .file = $0.source { true } else { false }
        }
        // Blocks 15 and 16 adjoin in the disk and in the file.
        #expect(
            files == [
                Extent(offset: 15 * 256 << 20, byteCount: 512 << 20, source: .file(offset: offsets[0])),
                Extent(offset: 33 * 256 << 20, byteCount: 256 << 20, source: .file(offset: offsets[2])),
            ])
        #expect(try layer.census().counts[4].count == 3)
        #expect(layer.findings.contains { $0.detail.code == .vhdxUnusedSectorBitmap })
    }

    @Test func lastBlockMayBeCutAtTheDisksEnd() throws {
        var image = try TinyImage(byteCount: (1 << 20) + 1024)
        image.setEntry(1, image.append([UInt8](repeating: 3, count: 1024)) | 6)
        let layer = try VHDXLayer(reading: image.file)
        #expect(
            try layer.extents(in: 0..<(1 << 20) + 1024, limit: 10).last
                == Extent(offset: 1 << 20, byteCount: 1024, source: .file(offset: 4 << 20)))
        #expect(try layer.census().allocatedByteCount == 1024)
        let file = image.file
        let writer = try VHDXLayer(writing: file)
        try writer.write([UInt8](repeating: 4, count: 512).rawBytes, at: (1 << 20) + 512)
        try writer.write([UInt8](repeating: 5, count: 512).rawBytes, at: 0)
        try writer.close()
        let after = try VHDXLayer(reading: file)
        #expect(
            try contents(of: after, 1 << 20..<(1 << 20) + 1024) == [UInt8](repeating: 3, count: 512)
                + [UInt8](repeating: 4, count: 512))
        _ = try after.census()
    }

    @Test func parentLink() throws {
        var image = try TinyImage()
        image.makeDifferencing([
            ("absolute_win32_path", #"\\?\d:\p.vhdx"#), ("parent_linkage2", "{00000001-0002-0003-0000-000000000004}"),
            ("volume_path", #"\\?\Volume{x}\p.vhdx"#), ("relative_path", #".\p.vhdx"#),
            ("parent_linkage", TinyImage.linkage.uppercased()),
        ])
        let layer = try VHDXLayer(reading: image.file)
        #expect(layer.type == .differencing)
        #expect(layer.parentLink?.identities.map(\.id) == [testGUID, GUID(1, 2, 3, 4)])
        #expect(layer.parentLink?.locators.map(\.kind) == [.relative, .volume, .absolute])
        #expect(layer.parentLink?.locators.map(\.key) == ["relative_path", "volume_path", "absolute_win32_path"])
        #expect(layer.parentLocatorPairs.count == 5)
        do { _ = try VHDXLayer(writing: image.file) } catch { #expect(error.kind == .refused) }
    }

    @Test func reportNamesEveryStructure() throws {
        let layer = try VHDXLayer(reading: try TinyImage(type: .fixed).file)
        let report = try layer.report()
        #expect(report.creator == "test")
        #expect(report.diskID == GUID(1, 2, 3, 4))
        #expect(report.writeIDs.map(\.name) == ["FileWriteGuid", "DataWriteGuid"])
        #expect(report.log.state == .clean)
        #expect(
            report.structures.map(\.name).prefix(5) == [
                "File type identifier", "Header 1", "Header 2", "Region table 1", "Region table 2",
            ])
        #expect(!report.structures.contains { !$0.isValid })
        #expect(layer.type == .fixed)
        #expect(try layer.census().counts[4].count == 8)
        #expect(layer.findings.isEmpty)
    }
}
