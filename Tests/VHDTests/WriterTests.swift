import BlockIO
import ByteCodec
import DiskConformance
import DiskModel
import FaultInjection
import Testing
import VHD

/// New images of a kind, in memory.
func newImage(
    _ type: VHDCreator.NewType, _ byteCount: UInt64, block: UInt64 = VHDCreator.defaultBlockByteCount
) throws -> MemoryFile.Contents {
    let file = MemoryFile()
    try VHDCreator.create(
        on: file, type: type, virtualByteCount: byteCount, blockByteCount: block, uniqueID: TinyImage.id,
        created: DiskTimestamp(rawValue: 0x3000_0000))
    return file.contents
}

/// What every image has to be after writing: both footers equal, nothing overlapping, no complaint at all.
func checkWhole(_ contents: MemoryFile.Contents, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let file = MemoryFile(contents)
    let layer = try VHDLayer(reading: file)
    let complaints = layer.findings.filter { $0.detail.code != .vhdUnusualBlockSize && $0.severity > .information }
    #expect(complaints.isEmpty, "\(complaints)", sourceLocation: sourceLocation)
    _ = try layer.census()
    if layer.type != .fixed {
        #expect(
            contents.bytes(0..<512) == contents.bytes(contents.byteCount - 512..<contents.byteCount),
            sourceLocation: sourceLocation)
    }
}

@Suite struct WriterTests {
    static let kinds: [(VHDCreator.NewType, UInt64, UInt64)] = [
        (.fixed, 3 << 20, 2 << 20), (.dynamic, 9 << 20, 2 << 20), (.dynamic, 5 << 20, 512 << 10),
        (.dynamic, (1 << 20) + 512, 4096), (.dynamic, 40 * 512, 512), (.dynamic, (200 << 20) + 1536, 16 << 20),
    ]

    @Test(arguments: kinds.indices) func conformance(_ index: Int) throws {
        let kind = Self.kinds[index]
        let subject = DiskSubject(
            name: "VHD \(kind)", make: { try newImage(kind.0, kind.1, block: kind.2) },
            openForWriting: { try VHDLayer(writing: $0) }, openForReading: { try VHDLayer(reading: $0) })
        for seed in UInt64(1)...3 { try checkConformance(subject, seed: seed) }
    }

    @Test(arguments: kinds.indices) func randomOperations(_ index: Int) throws {
        let kind = Self.kinds[index]
        let seed = UInt64.random(in: 0 ... .max)
        print("WriterTests.randomOperations \(index): seed \(seed)")
        var random = SplitMix(seed: seed)
        let file = MemoryFile(try newImage(kind.0, kind.1, block: kind.2))
        var disk = try VHDLayer(writing: file)
        var model = [UInt8].zeros(Int(kind.1))
        let sectors = Int(min(kind.1, 9 << 20)) / 512
        for _ in 0..<300 {
            let start = Int.random(in: 0..<sectors, using: &random)
            let count = Int.random(in: 1...min(sectors - start, 64), using: &random)
            let range = start * 512..<(start + count) * 512
            switch Int.random(in: 0..<8, using: &random) {
            case 0..<4:
                let bytes = random.bytes(range.count)
                try disk.write(bytes.rawBytes, at: UInt64(range.lowerBound))
                model.replaceSubrange(range, with: bytes)
            case 4:
                try disk.writeZeroes(UInt64(range.lowerBound)..<UInt64(range.upperBound))
                model.replaceSubrange(range, with: [UInt8].zeros(range.count))
            case 5: try disk.flush()
            case 6 where start % 4 == 0:
                try disk.close()
                try checkWhole(file.contents)
                disk = try VHDLayer(writing: file)
            default:
                let found = try contents(disk, UInt64(range.lowerBound)..<UInt64(range.upperBound))
                #expect(found == Array(model[range]), "seed \(seed)")
            }
        }
        try disk.close()
        try checkWhole(file.contents)
        let found = try contents(try VHDLayer(reading: file), 0..<UInt64(sectors * 512))
        #expect(found == Array(model[..<(sectors * 512)]), "seed \(seed)")
    }

    @Test func sectorsUnderClearBits() throws {
        var image = TinyImage()
        image.addBlock(1, bits: 0b1010_0000, fill: 0x10)
        let file = MemoryFile(image.bytes)
        let disk = try VHDLayer(writing: file)
        try disk.write([UInt8](repeating: 7, count: 1024).rawBytes, at: 4096 + 3 * 512)
        let before = file.allBytes[2048]
        #expect(before == 0b1010_0000, "a bit was set before its data is durable")
        try disk.flush()
        #expect(file.allBytes[2048] == 0b1011_1000)
        try disk.close()
        let found = try contents(try VHDLayer(reading: file), 4096..<8192)
        let expected: [UInt8] = [0x10, 0, 0x12, 7, 7, 0, 0, 0]
        #expect(found == expected.flatMap { [UInt8](repeating: $0, count: 512) })
        let zeroed = try VHDLayer(writing: file)
        try zeroed.writeZeroes(4096..<4096 + 2048)
        try zeroed.close()
        #expect(try contents(try VHDLayer(reading: file), 4096..<4096 + 2560).prefix(2048).allSatisfy { $0 == 0 })
        #expect(file.allBytes[2048] == 0b1011_1000)
    }

    @Test func newBlocksAreAlignedAndFull() throws {
        let file = MemoryFile(try newImage(.dynamic, 9 << 20))
        let disk = try VHDLayer(writing: file)
        for block in [3, 0, 4] as [UInt64] {
            try disk.write([UInt8](repeating: 9, count: 512).rawBytes, at: block << 21 + 512)
        }
        try disk.close()
        let layer = try VHDLayer(reading: file)
        let extents = try layer.extents(in: 0..<9 << 20, limit: 100)
        #expect(extents.count == 3 || extents.count == 4)
        for extent in extents {
            if case .file(let offset) = extent.source { #expect(offset % 4096 == 0) }
        }
        // The image ends right behind its last block.
        let table = try #require(layer.header?.tableOffset)
        let entry = file.contents.bytes(table + 16..<table + 20).rawBytes.integer(at: 0, as: UInt32.self, .big)
        #expect(file.byteCount() == UInt64(entry) * 512 + 512 + 2 << 20 + 512)
        #expect(layer.identity.id == TinyImage.id)
    }

    @Test func zeroesAllocateNothing() throws {
        let contents = try newImage(.dynamic, 64 << 20)
        let file = MemoryFile(contents)
        let disk = try VHDLayer(writing: file)
        try disk.writeZeroes(0..<64 << 20)
        try disk.close()
        #expect(file.allBytes == contents.allBytes)
    }

    @Test func fullMediumLeavesAValidImage() throws {
        for after in 0..<40 {
            let file = MemoryFile(try newImage(.dynamic, 1 << 20, block: 4096))
            let failing = FailingFile(file, after: after, code: 28, recovers: true)
            var acknowledged: [UInt64] = []
            do {
                let disk = try VHDLayer(writing: failing)
                var pending: [UInt64] = []
                for block in 0..<12 as Range<UInt64> {
                    do {
                        try disk.write([UInt8](repeating: UInt8(block + 1), count: 4096).rawBytes, at: block * 4096)
                        pending.append(block)
                    } catch  where error.kind == .io { continue }
                }
                try disk.close()
                acknowledged = pending
            } catch {}
            let layer = try VHDLayer(reading: file)
            _ = try layer.census()
            for block in 0..<12 as Range<UInt64> {
                let found = try contents(layer, block * 4096..<(block + 1) * 4096)
                if acknowledged.contains(block) {
                    #expect(found == [UInt8](repeating: UInt8(block + 1), count: 4096), "call \(after), block \(block)")
                } else {
                    #expect(found.allSatisfy { $0 == 0 || $0 == UInt8(block + 1) })
                }
            }
        }
    }

    @Test func nothingIsWrittenAfterAFailedFlush() throws {
        let file = MemoryFile(try newImage(.dynamic, 1 << 20, block: 4096))
        // Reserving takes a write, a sync and a zeroing; then bitmap and data; the sync of the flush fails once.
        let failing = FailingFile(file, after: 5, recovers: true)
        let disk = try VHDLayer(writing: failing)
        let bytes = [UInt8](repeating: 1, count: 512)
        try disk.write(bytes.rawBytes, at: 0)
        #expect(throws: DiskError.self) { try disk.flush() }
        for attempt in [{ try disk.write(bytes.rawBytes, at: 0) }, { try disk.flush() }, { try disk.close() }] {
            do {
                try attempt()
                Issue.record("not refused")
            } catch let error as DiskError {
                #expect(error.kind == .refused)
                #expect(error.description.contains("flush failed"))
            }
        }
    }

    @Test func largestFile() throws {
        // The trailing footer just below 2 TiB: no block fits any more.
        var image = TinyImage()
        image.body = []
        let file = MemoryFile(image.bytes)
        let end = UInt64(UInt32.max) * 512 - 512
        file.resize(to: end)
        try file.write(image.footer.sealed(), at: end)
        let disk = try VHDLayer(writing: file)
        do {
            try disk.write([UInt8](repeating: 1, count: 512).rawBytes, at: 0)
            Issue.record("not refused")
        } catch {
            #expect(error.kind == .refused)
            #expect(error.description.contains("2 TiB"))
        }
        try disk.close()
        #expect(try contents(try VHDLayer(reading: file)).allSatisfy { $0 == 0 })
    }

    // MARK: Opening for writing

    @Test func whatMayNotBeWritten() throws {
        var saved = TinyImage()
        saved.footer.savedState = 1
        var damaged = TinyImage().bytes
        damaged[64] ^= 1
        damaged[damaged.count - 512 + 64] ^= 1
        let cases: [([UInt8], VHDReadOptions, DiskError.Kind)] = [
            (TinyImage(DiskTypeCode.differencing).bytes, .init(), .refused), (saved.bytes, .init(), .refused),
            (damaged, .accepting(.vhdChecksum), .refused), (damaged, .init(), .format),
        ]
        for (bytes, options, kind) in cases {
            let file = MemoryFile(bytes)
            do {
                _ = try VHDLayer(writing: file, options: options)
                Issue.record("not refused")
            } catch { #expect(error.kind == kind, "\(error)") }
            #expect(file.allBytes == bytes)
        }
        let reader = try VHDLayer(reading: MemoryFile(TinyImage().bytes))
        #expect(throws: DiskError.self) { try reader.write([UInt8].zeros(512).rawBytes, at: 0) }
    }

    @Test func contradictingFooters() throws {
        var image = TinyImage()
        image.addBlock(0, bits: 0xff, fill: 1)
        var other = image.footer
        other.uniqueID = TinyImage.parentID
        image.copy = other.sealed()
        let file = MemoryFile(image.bytes)
        #expect(throws: DiskError.self) { _ = try VHDLayer(writing: file) }
        let disk = try VHDLayer(writing: file, options: .accepting(.vhdFootersDiffer))
        try disk.close()
        #expect(try VHDLayer(reading: file).identity.id == TinyImage.id)
        try checkWhole(file.contents)
    }

    @Test func footersAreRepaired() throws {
        var image = TinyImage()
        image.addBlock(0, bits: 0xff, fill: 1)
        let whole = image.bytes
        var killed = whole
        killed.replaceSubrange(killed.count - 512..<killed.count, with: [UInt8](repeating: 0xc7, count: 512))
        var noCopy = whole
        noCopy.replaceSubrange(0..<512, with: [UInt8].zeros(512))
        for bytes in [whole, killed, noCopy, Array(whole.dropLast(512)), Array(whole.dropLast()), killed + [1, 2, 3]] {
            let file = MemoryFile(bytes)
            let disk = try VHDLayer(writing: file)
            try disk.write([UInt8](repeating: 5, count: 512).rawBytes, at: 8192)
            try disk.close()
            try checkWhole(file.contents)
            let found = try contents(try VHDLayer(reading: file))
            #expect(found[0] == 1 && found[4095] == 8 && found[8192] == 5 && found[8704] == 0)
        }
        let short = TinyImage.fixed([UInt8](repeating: 3, count: 1024)).bytes
        let file = MemoryFile(Array(short.dropLast()))
        try VHDLayer(writing: file).close()
        #expect(file.allBytes == short)
    }

    @Test func overlapIsRefusedBeforeWriting() throws {
        var image = TinyImage()
        image.addBlock(0, bits: 0xff, fill: 1)
        image.addBlock(1, bits: 0xff, fill: 1)
        image.table[1] = image.table[0] + 8
        let bytes = image.bytes
        expectRule(.vhdBlocksOverlap, "BAT entry 1", at: 1540) { _ = try VHDLayer(writing: MemoryFile(bytes)) }
    }
}

@Suite struct CreatorTests {
    @Test func refusals() throws {
        func kind(_ body: () throws -> Void) -> DiskError.Kind? {
            do { try body() } catch let error as DiskError { return error.kind } catch {}
            return nil
        }
        func create(
            _ type: VHDCreator.NewType = .dynamic, _ size: UInt64 = 1 << 20, block: UInt64 = 2 << 20,
            id: GUID = TinyImage.id, on file: MemoryFile = MemoryFile()
        ) throws {
            try VHDCreator.create(
                on: file, type: type, virtualByteCount: size, blockByteCount: block, uniqueID: id,
                created: DiskTimestamp(rawValue: 0))
        }
        #expect(kind { try create(.dynamic, 0) } == .refused)
        #expect(kind { try create(.fixed, 513) } == .refused)
        #expect(kind { try create(.dynamic, VHDCreator.largestDynamicByteCount + 512) } == .refused)
        #expect(kind { try create(block: 3 << 20) } == .refused)
        #expect(kind { try create(block: 256) } == .refused)
        #expect(kind { try create(block: 512 << 20) } == .refused)
        #expect(kind { try create(id: .zero) } == .refused)
        #expect(kind { try create(on: MemoryFile([1])) } == .refused)
        #expect(kind { try create(.dynamic, VHDCreator.largestDynamicByteCount) } == nil)
    }

    @Test(arguments: [1 << 20, 104_865_792, 136_365_211_648, 512] as [UInt64]) func exactSizes(_ size: UInt64) throws {
        let contents = try newImage(.dynamic, size)
        let layer = try VHDLayer(reading: MemoryFile(contents))
        #expect(layer.findings.isEmpty)
        #expect(layer.geometry.virtualByteCount == size)
        let geometry = layer.footer.geometry
        #expect(geometry == .maximum || geometry.byteCount == size)
        #expect(layer.header?.maxTableEntries == UInt32(size.dividedRoundingUp(by: 2 << 20)))
        #expect(try layer.census().gapCount == (size.dividedRoundingUp(by: 2 << 20) % 128 == 0 ? 0 : 1))
        try checkWhole(contents)
    }
}
