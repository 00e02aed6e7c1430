import BlockIO
import ByteCodec
import DiskConformance
import DiskModel
import FaultInjection
import Testing
import VHD

/// Writing into differencing images: a sector is the parent's until it is written or zeroed.
@Suite struct DifferencingWriterTests {
    static let kinds: [(byteCount: UInt64, block: UInt64)] = [
        ((1 << 20) + 512, 4096), (5 << 20, 512 << 10), (9 << 20, 2 << 20), ((40 << 20) + 1536, 16 << 20),
        (40 * 512, 512),
    ]

    @Test(arguments: kinds.indices) func conformance(_ index: Int) throws {
        let kind = Self.kinds[index]
        // Shorter than the child: zeros follow.
        let parent = parentBytes(Int(min(kind.byteCount, 6 << 20)) - 1024)
        let subject = DiskSubject(
            name: "VHD child \(kind)", parent: parent, make: { newChild(kind.byteCount, block: kind.block) },
            openForWriting: { try VHDLayer(writing: $0) }, openForReading: { try VHDLayer(reading: $0) })
        for seed in UInt64(1)...2 { try checkConformance(subject, seed: seed) }
    }

    @Test func conformanceOfAnOldChild() throws {
        // What the child has of its own counts as the fresh disk's bytes.
        let layer = try oldChild().layer()
        let parent = try layerBytes(layer, 0..<16384, parent: parentBytes(16384))
        let subject = DiskSubject(
            name: "VHD child with blocks", parent: parent, make: { MemoryFile.Contents(oldChild().bytes) },
            openForWriting: { try VHDLayer(writing: $0) }, openForReading: { try VHDLayer(reading: $0) })
        for seed in UInt64(1)...3 { try checkConformance(subject, seed: seed) }
    }

    /// What every sector of a disk is said to come from: the child's file or zeros (true), or the parent (false).
    static func owned(_ layer: VHDLayer, _ range: Range<UInt64>) throws -> [Bool] {
        var result: [Bool] = []
        try layer.forEachExtent(in: range) { extent in
            result += repeatElement(extent.source != .parent, count: Int(extent.byteCount / 512))
        }
        return result
    }

    /// The bits are those of the sectors written or zeroed, and no others, also after blocks were there in part.
    @Test(arguments: 0..<kinds.count + 1) func bitsOfWrittenSectorsAlone(_ index: Int) throws {
        let isOld = index == Self.kinds.count
        let contents =
            isOld ? MemoryFile.Contents(oldChild().bytes) : newChild(Self.kinds[index].0, block: Self.kinds[index].1)
        let seed = UInt64.random(in: 0 ... .max)
        print("DifferencingWriterTests.bitsOfWrittenSectorsAlone \(index): seed \(seed)")
        var random = SplitMix(seed: seed)
        let file = MemoryFile(contents)
        var disk = try VHDLayer(writing: file)
        let before = contents.bytes(0..<1536)
        let end = min(disk.geometry.virtualByteCount, 20 << 20)
        var model = try Self.owned(disk, 0..<end)
        for step in 0..<150 {
            let start = Int.random(in: 0..<model.count, using: &random)
            let longest = step % 10 == 0 ? 9000 : 24
            let count = Int.random(in: 1...min(model.count - start, longest), using: &random)
            let range = UInt64(start) * 512..<UInt64(start + count) * 512
            switch Int.random(in: 0..<8, using: &random) {
            case 0..<4:
                let bytes = [UInt8](repeating: 7, count: count * 512)
                try disk.write(bytes.rawBytes, at: range.lowerBound)
                for sector in start..<start + count { model[sector] = true }
            case 4:
                try disk.writeZeroes(range)
                for sector in start..<start + count { model[sector] = true }
            case 5: try disk.flush()
            case 6 where step % 4 == 0:
                try disk.close()
                disk = try VHDLayer(writing: file)
            default:
                #expect(try Self.owned(disk, range) == Array(model[start..<start + count]), "seed \(seed)")
            }
        }
        try disk.close()
        try checkWhole(file.contents)
        let reader = try VHDLayer(reading: file)
        #expect(try Self.owned(reader, 0..<end) == model, "seed \(seed)")
        #expect(reader.identity == disk.identity && reader.parentLink?.locators == disk.parentLink?.locators)
        #expect(file.contents.bytes(0..<1536) == before, "footer or header changed")
    }

    // MARK: Bitmaps

    /// 16 MiB have 32768 bits in eight sectors; of these only those that change are written, once a flush.
    @Test func bitsOverSeveralSectors() throws {
        let file = RecordingFile(newChild(40 << 20, block: 16 << 20))
        let disk = try VHDLayer(writing: file)
        let bytes = [UInt8](repeating: 9, count: 3 << 20)
        try disk.write(bytes.rawBytes, at: (16 << 20) + (1 << 20) + 512)
        #expect(file.contents.bitmapOffset(1) == nil, "a block was entered before its payload is durable")
        try disk.flush()
        let offset = try #require(file.contents.bitmapOffset(1))
        let found = file.contents.bytes(offset..<offset + 4096)
        var expected = [UInt8].zeros(4096)
        for sector in 2049..<8193 { expected[sector / 8] |= 0x80 >> UInt8(sector % 8) }
        #expect(found == expected)
        #expect(Self.bitmapWrites(file, offset..<offset + 4096) == [offset, offset + 512, offset + 1024])
        #expect(file.contents.bitmapOffset(0) == nil && file.contents.bitmapOffset(2) == nil)
        try disk.close()
    }

    private static func bitmapWrites(_ file: RecordingFile, _ range: Range<UInt64>) -> [UInt64] {
        file.recording.operations.compactMap {
            if case .write(let offset, let bytes) = $0, range.overlaps(offset..<offset + UInt64(bytes.count)) {
                return offset
            }
            return nil
        }
    }

    @Test func manySmallWritesWriteTheBitmapOnce() throws {
        let file = RecordingFile(newChild(4 << 20, block: 2 << 20))
        let disk = try VHDLayer(writing: file)
        for turn in 1...2 {
            for sector in stride(from: turn, to: 4096, by: 16) {
                try disk.write([UInt8](repeating: 3, count: 512).rawBytes, at: UInt64(sector) * 512)
            }
            try disk.flush()
            let offset = try #require(file.contents.bitmapOffset(0))
            #expect(Self.bitmapWrites(file, offset..<offset + 512).count == turn)
        }
        try disk.close()
    }

    // MARK: Zeros

    @Test func zeroesHideTheParent() throws {
        let parent = try parentLayer(parentBytes(16384))
        let file = MemoryFile(oldChild().bytes)
        let disk = try VHDLayer(writing: file)
        var expected = try contents(disk, parent: parent)
        // In a block that is not there; over clear bits with bytes under them; across both.
        for range in [4608..<5120, 8192..<9728, 3584..<4608] as [Range<UInt64>] {
            try disk.writeZeroes(range)
            expected.replaceSubrange(Int(range.lowerBound)..<Int(range.upperBound), with: [UInt8].zeros(range.count))
        }
        #expect(try contents(disk, parent: parent) == expected)
        try disk.close()
        #expect(try contents(try VHDLayer(reading: file), parent: parent) == expected)
        let offset = try #require(file.contents.bitmapOffset(1))
        #expect(file.contents.bytes(offset..<offset + 2)[0] == 0b1100_0000)
        #expect(file.contents.bytes(2048 + 512..<2048 + 513) == [0b1111_0000])
    }

    /// A zeroed block takes its bitmap and no space for data.
    @Test func zeroedBlocksAreHoles() throws {
        let file = MemoryFile(newChild(64 << 20, block: 2 << 20))
        let disk = try VHDLayer(writing: file)
        try disk.writeZeroes(0..<64 << 20)
        try disk.close()
        for block in 0..<32 as Range<UInt64> {
            let offset = try #require(file.contents.bitmapOffset(block))
            #expect(file.contents.bytes(offset..<offset + 512) == [UInt8](repeating: 0xff, count: 512))
            // Pages of a file in memory have more than a sector.
            let data = file.data(from: offset + 16384)
            #expect((data?.lowerBound ?? .max) >= offset + (2 << 20) - 16384, "data of block \(block) takes space")
        }
        try checkWhole(file.contents)
    }

    /// Zeroing as many blocks as may be keeps a bounded number of changes in memory, and reserves space in few steps.
    @Test func zeroingManyBlocksIsFlushedOnTheWay() throws {
        let blockCount = 40_000
        let file = RecordingFile(newChild(UInt64(blockCount) * 512, block: 512))
        let disk = try VHDLayer(writing: file)
        try disk.writeZeroes(0..<UInt64(blockCount) * 512)
        try disk.flush()
        var (syncCount, pendingBitmaps, mostPending, bitmapCount) = (0, 0, 0, 0)
        for operation in file.recording.operations {
            switch operation {
            case .sync:
                syncCount += 1
                (mostPending, pendingBitmaps) = (max(mostPending, pendingBitmaps), 0)
            case .write(let offset, _) where offset >= 1536 + UInt64(blockCount) * 4:
                pendingBitmaps += 1
                bitmapCount += 1
            default: break
            }
        }
        #expect(bitmapCount >= blockCount)
        #expect(mostPending <= 2100, "\(mostPending) bitmaps were held in memory")
        #expect(syncCount < 200, "\(syncCount) flushes")
        #expect(try Self.owned(disk, 0..<UInt64(blockCount) * 512).allSatisfy { $0 })
        try disk.close()
    }

    @Test func fileLimitIsTwoTebibytes() throws {
        var image = TinyImage(DiskTypeCode.differencing)
        image.addLocator(0, "W2ru", utf16Bytes(".\\parent.vhd", .little))
        image.addBlock(3, bits: 0b1000_0000, fill: 0x60)
        let file = MemoryFile(image.bytes)
        // Room for two blocks of a bitmap and eight sectors.
        let end = (UInt64(UInt32.max) * 512 - 512 - 2 * 8192).roundedDown(to: 4096) - 512
        file.resize(to: end)
        try file.write(image.footer.sealed(), at: end)
        let disk = try VHDLayer(writing: file)
        do {
            try disk.writeZeroes(0..<16384)
            Issue.record("not refused")
        } catch { #expect(error.kind == .refused && error.description.contains("2 TiB"), "\(error)") }
        // Blocks that are there can still be written.
        try disk.writeZeroes(3 * 4096 + 512..<3 * 4096 + 1024)
        try disk.close()
        let parent = try parentLayer(parentBytes(16384))
        let reader = try VHDLayer(reading: file)
        var expected = parentBytes(16384)
        expected.replaceSubrange(0..<8192, with: [UInt8].zeros(8192))
        expected.replaceSubrange(12288..<12800, with: [UInt8](repeating: 0x60, count: 512))
        expected.replaceSubrange(12800..<13312, with: [UInt8].zeros(512))
        #expect(try contents(reader, parent: parent) == expected)
        #expect(file.byteCount() <= UInt64(UInt32.max) * 512)
    }

    // MARK: Payload that somebody else moves

    /// A move that fails enters nothing, and what it left in its place shows in no block that comes there.
    @Test func failedMovesShowNothing() throws {
        let parent = try parentLayer(parentBytes(16384))
        let file = MemoryFile(oldChild().bytes)
        let disk = try VHDLayer(writing: file)
        var expected = try contents(disk, parent: parent)
        let garbage = [UInt8](repeating: 0x99, count: 4096)
        for range in [0..<4096, 4096..<8192] as [Range<UInt64>] {
            do throws(DiskError) {
                try disk.write(range) { (_, offset) throws(DiskError) in
                    do throws(IOError) { try file.write(garbage, at: offset) } catch { throw DiskError(error) }
                    throw DiskError(.busy, path: "elsewhere", "moving failed")
                }
                Issue.record("not thrown")
            } catch { #expect(error.kind == .busy) }
            #expect(try contents(disk, parent: parent) == expected)
        }
        // Takes the place that the failed one had.
        var places: [UInt64] = []
        try disk.write(12288..<12800) { (part, offset) throws(DiskError) in
            #expect(part == 12288..<12800)
            places.append(offset)
            do throws(IOError) { try file.write([UInt8](repeating: 5, count: 512), at: offset) } catch {
                throw DiskError(error)
            }
        }
        try disk.writeZeroes(13312..<13824)
        expected.replaceSubrange(12288..<12800, with: [UInt8](repeating: 5, count: 512))
        expected.replaceSubrange(13312..<13824, with: [UInt8].zeros(512))
        try disk.close()
        #expect(try contents(try VHDLayer(reading: file), parent: parent) == expected)
        #expect(places == [try #require(file.contents.bitmapOffset(3)) + 512])
    }
}
