import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing
import VHD

@Suite struct ReaderTests {
    static func filled(_ values: UInt8...) -> [UInt8] { values.flatMap { [UInt8](repeating: $0, count: 512) } }

    // MARK: Footers

    @Test func shortFooter() throws {
        var image = TinyImage()
        image.addBlock(1, bits: 0xff, fill: 1)
        let layer = try VHDLayer(reading: MemoryFile(Array(image.bytes.dropLast())))
        expectFinding(.vhdShortFooter, .warning, in: layer)
        #expect(try contents(layer, 4096..<5120) == Self.filled(1, 2))
        let (fixed, _) = TinyImage.fixed(Self.filled(1, 2, 3))
        let file = MemoryFile(Array(fixed.dropLast()))
        #expect(try contents(try VHDLayer(reading: file)) == Self.filled(1, 2, 3))
        #expect(try VHDLayer.recognises(file))
    }

    @Test func trailingFooterIsPreferred() throws {
        var image = TinyImage()
        var other = image.footer
        other.uniqueID = TinyImage.parentID
        image.copy = other.sealed()
        let layer = try image.layer()
        #expect(layer.identity.id == TinyImage.id)
        expectFinding(.vhdFootersDiffer, .error, in: layer)
        other = image.footer
        other.timestamp = 1
        image.copy = other.sealed()
        expectFinding(.vhdFootersDiffer, .warning, in: try image.layer())
        image.copy = [UInt8].zeros(512)
        expectFinding(.vhdFooterCopy, .warning, in: try image.layer())
        image.copy = nil
        #expect(try image.layer().findings.allSatisfy { $0.detail.code == .vhdUnusualBlockSize })
    }

    @Test func copyWhereTheTrailingFooterIsGone() throws {
        var image = TinyImage()
        image.addBlock(0, bits: 0xff, fill: 1)
        for end in [[UInt8](repeating: 0xc7, count: 512), [], [1, 2, 3]] {
            image.end = end
            let layer = try image.layer()
            #expect(try contents(layer, 0..<1024) == Self.filled(1, 2))
            let report = try layer.report()
            #expect(report.structures.first { $0.name == "Footer (copy at 0)" }?.isActive == true)
            #expect(try VHDLayer.recognises(layer.file))
        }
        // A fixed disk has no copy: what stands at 0 is the guest's.
        var guest = TinyImage().bytes
        guest.replaceSubrange(0..<512, with: TinyImage.fixed(Self.filled(1)).footer.sealed())
        expectRule(.vhdTrailingFooter) { _ = try VHDLayer(reading: MemoryFile(guest + [UInt8].zeros(512))) }
    }

    @Test func guestDataOfFixedDisksIsNotLookedAt() throws {
        let guest = TinyImage().bytes
        let layer = try VHDLayer(reading: MemoryFile(TinyImage.fixed(guest).bytes))
        #expect(layer.type == .fixed)
        #expect(try contents(layer) == guest)
        // Not even where the footer's checksum is wrong.
        var damaged = TinyImage.fixed(guest).bytes
        damaged[guest.count + 64] ^= 1
        expectRule(.vhdChecksum) { _ = try VHDLayer(reading: MemoryFile(damaged)) }
        #expect(try contents(try VHDLayer(reading: MemoryFile(damaged), options: .accepting(.vhdChecksum))) == guest)
    }

    @Test func legacyHiddenByte() throws {
        var image = TinyImage()
        image.footer.creatorApplication = Array("tap\0".utf8)
        image.footer.creatorVersion = 0x0001_0001
        var footer = image.footer.sealed()
        footer[85] = 1
        (image.copy, image.end) = (footer, footer)
        #expect(try image.layer().footer.hidden == 1)
        image.footer.creatorVersion = 0x0001_0003
        footer = image.footer.sealed()
        footer[85] = 1
        (image.copy, image.end) = (footer, footer)
        expectRule(.vhdChecksum) { _ = try image.layer() }
    }

    @Test func warnings() throws {
        func finds(
            _ code: FormatError.Code, _ severity: Finding.Severity = .warning, _ change: (inout TinyImage) -> Void
        ) throws {
            var image = TinyImage()
            change(&image)
            expectFinding(code, severity, in: try image.layer())
        }
        try finds(.vhdFeatures) { $0.footer.features = 0 }
        try finds(.vhdUniqueID) { $0.footer.uniqueID = .zero }
        try finds(.vhdReserved) { $0.footer.hidden = 1 }
        try finds(.vhdGeometry) { $0.footer.geometry.cylinders = 9 }
        try finds(.vhdSavedState) { $0.footer.savedState = 1 }
        try finds(.vhdCurrentSize) { $0.footer.currentSize += 100 }
        try finds(.vhdHeader) { $0.header?.dataOffset = 512 }
        try finds(.vhdUnusualBlockSize) { _ in }
        try finds(.vhdMaxTableEntries, .information) { $0.header?.maxTableEntries = 5 }
        try finds(.vhdStrayParent) { $0.header?.parentTimestamp = 5 }
        try finds(.vhdTrailingBytes) { $0.end = $0.footer.sealed() + [0] }
        try finds(.vhdGeometrySize, .information) { $0.footer.creatorApplication = Array("vs  ".utf8) }
        var (bytes, footer) = TinyImage.fixed(Self.filled(1, 2))
        footer.currentSize = 512
        footer.dataOffset = 0xffff_ffff
        bytes.replaceSubrange(1024..., with: footer.sealed())
        let layer = try VHDLayer(reading: MemoryFile(bytes))
        expectFinding(.vhdFixedLength, .warning, in: layer)
        expectFinding(.vhdDataOffset, .warning, in: layer)
        #expect(try contents(layer) == Self.filled(1))
        #expect(try layer.census().gaps == [512..<1024])
    }

    @Test func brokenBatmapIsIgnored() throws {
        var image = TinyImage()
        image.footer.creatorApplication = Array("tap\0".utf8)
        image.footer.creatorVersion = 0x0001_0003
        var map = BatmapHeader()
        map.version = 0x0001_0002
        map.mapOffset = 1 << 40
        map.mapSize = 1
        image.body = map.serialized()
        expectFinding(.vhdBatmap, .warning, in: try image.layer())
        map.mapOffset = 2560
        image.body = map.serialized() + [UInt8].zeros(512)
        #expect(try image.layer().report().structures.contains { $0.name == "Batmap header" })
    }

    // MARK: Bitmaps

    @Test func bitmapsOfDynamicDisks() throws {
        var image = TinyImage()
        image.addBlock(1, bits: 0b0000_0001, fill: 0x10)
        let layer = try image.layer()
        #expect(
            try layer.extents(in: 0..<16384, limit: 10) == [
                Extent(offset: 0, byteCount: 4096, source: .hole),
                Extent(offset: 4096, byteCount: 3584, source: .zero),
                Extent(offset: 7680, byteCount: 512, source: .file(offset: 2048 + 512 + 3584)),
                Extent(offset: 8192, byteCount: 8192, source: .hole),
            ])
        var options = VHDReadOptions()
        options.ignoresBitmaps = true
        #expect(try contents(try image.layer(options), 4096..<5120) == Self.filled(0x10, 0x11))
    }

    @Test func bitmapsOfDifferencingDisks() throws {
        var image = TinyImage(DiskTypeCode.differencing)
        image.addBlock(1, bits: 0b0000_0001, fill: 0x10)
        var options = VHDReadOptions()
        options.ignoresBitmaps = true
        for layer in [try image.layer(), try image.layer(options)] {
            #expect(
                try layer.extents(in: 0..<16384, limit: 10) == [
                    Extent(offset: 0, byteCount: 7680, source: .parent),
                    Extent(offset: 7680, byteCount: 512, source: .file(offset: 2048 + 512 + 3584)),
                    Extent(offset: 8192, byteCount: 8192, source: .parent),
                ])
        }
    }

    @Test func extentsAreLongestRuns() throws {
        var image = TinyImage()
        for block in [1, 2] { image.addBlock(block, bits: 0xff, fill: 0) }
        image.addBlock(0, bits: 0b1010_1010, fill: 0)
        let layer = try image.layer()
        let all = try layer.extents(in: 0..<16384, limit: 100)
        #expect(all.count == 8 + 2 + 1)
        for limit in 1...all.count { #expect(try layer.extents(in: 0..<16384, limit: limit) == Array(all[..<limit])) }
        #expect(try layer.extents(in: 4096 + 7..<4096 + 9, limit: 1).first?.byteCount == 2)
        #expect(try layer.extents(in: 5..<5, limit: 1).isEmpty)
    }

    @Test func randomBitmaps() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix(seed: seed)
        for _ in 0..<50 {
            let file = MemoryFile(try newImage(.dynamic, 100 * 512, block: 65536))
            // One block of 128 sectors, of which the disk shows 100.
            var bitmap = random.bytes(16) + [UInt8].zeros(496)
            if Bool.random(using: &random) { bitmap.replaceSubrange(0..<12, with: [UInt8](repeating: 0xff, count: 12)) }
            let footer = file.contents.bytes(2048..<2560)
            try file.write([0, 0, 0, 4], at: 1536)
            try file.write(bitmap, at: 2048)
            try file.write(random.bytes(65536).map { $0 | 1 }, at: 2560)
            try file.write(footer, at: 2560 + 65536)
            let found = try contents(try VHDLayer(reading: file))
            for sector in 0..<100 {
                let isSet = bitmap[sector / 8] & (1 << UInt8(7 - sector % 8)) != 0
                #expect((found[sector * 512] != 0) == isSet, "seed \(seed)")
            }
        }
    }

    @Test(arguments: [512, 1024, 2048, 4096, 1 << 20, 256 << 20] as [UInt64]) func blockSizes(_ block: UInt64) throws {
        let file = MemoryFile(try newImage(.dynamic, 3 * block + 512, block: block))
        let disk = try VHDLayer(writing: file)
        try disk.write(Self.filled(1, 2).rawBytes, at: 2 * block - 512)
        try disk.write(Self.filled(3).rawBytes, at: 3 * block)
        try disk.close()
        let layer = try VHDLayer(reading: file)
        #expect(try contents(layer, 2 * block - 512..<2 * block + 512) == Self.filled(1, 2))
        #expect(try contents(layer, 3 * block..<3 * block + 512) == Self.filled(3))
        #expect(try layer.census().counts.map(\.count) == [1, 3])
    }

    @Test func largestDiskOpensAtOnce() throws {
        let file = MemoryFile(try newImage(.dynamic, VHDCreator.largestDynamicByteCount))
        let clock = ContinuousClock()
        let layer = try VHDLayer(reading: file)
        var extents: [Extent] = []
        let spent = try clock.measure {
            extents = try layer.extents(in: 0..<layer.geometry.virtualByteCount, limit: 10)
        }
        #expect(extents.count == 1)
        print("ReaderTests: extents of 1044480 absent blocks in \(spent)")
        #expect(try layer.census().counts.map(\.count) == [1_044_480, 0])
    }

    @Test func recognition() throws {
        for bytes in [[UInt8].zeros(4096), [], [UInt8].zeros(510), Self.filled(1)] {
            #expect(try !VHDLayer.recognises(MemoryFile(bytes)))
        }
        #expect(try VHDLayer.recognises(MemoryFile(TinyImage().bytes)))
        #expect(try VHDLayer.recognises(MemoryFile(TinyImage.fixed(Self.filled(1)).bytes)))
        #expect(try VHDLayer.recognises(MemoryFile(Array("v_poison".utf8) + [UInt8].zeros(2000))))
    }

    /// Damaged images never stop the process, and what is read stays inside the file.
    @Test func randomDamage() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("ReaderTests.randomDamage: seed \(seed)")
        var random = SplitMix(seed: seed)
        var image = TinyImage(DiskTypeCode.differencing)
        image.addLocator(0, "W2ru", utf16Bytes(".\\p.vhd", .little))
        image.addBlock(1, bits: 0x5a, fill: 1)
        image.addBlock(0, bits: 0xff, fill: 1)
        let whole = image.bytes
        for _ in 0..<2000 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let places = [0..<100, 512..<600, 1088..<1300, 1536..<1552, bytes.count - 512..<bytes.count - 400]
                let place = places.randomElement(using: &random)!.randomElement(using: &random)!
                bytes[place] = [0, 0xff, 0x80, 1, UInt8.random(in: 0...255, using: &random)].randomElement(
                    using: &random)!
            }
            if Int.random(in: 0..<4, using: &random) == 0 { bytes.removeLast(Int.random(in: 1..<3000, using: &random)) }
            let options = VHDReadOptions.accepting(
                .vhdChecksum, .vhdCurrentSize, .vhdParentLocator, .vhdParentIdentity, .vhdBlockPastEnd)
            do {
                let layer = try VHDLayer(reading: MemoryFile(bytes), options: options)
                _ = try layer.report()
                let extents = try layer.extents(in: 0..<min(layer.geometry.virtualByteCount, 1 << 20), limit: 100)
                for extent in extents {
                    guard case .file(let offset) = extent.source else { continue }
                    #expect(offset + extent.byteCount <= UInt64(bytes.count), "seed \(seed)")
                }
                _ = try layer.census()
            } catch {}
        }
    }
}
