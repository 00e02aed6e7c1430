import BlockIO
import ByteCodec
import DiskConformance
import DiskModel
import FaultInjection
import Testing
import VHD

/// Compacts, and checks the plan against what came of it, the contents, and that once more changes nothing.
@discardableResult
func checkCompaction(
    _ initial: MemoryFile.Contents, parent: VHDLayer? = nil, sourceLocation: SourceLocation = #_sourceLocation
) throws -> (contents: MemoryFile.Contents, plan: CompactionPlan) {
    let before = try contents(try VHDLayer(reading: MemoryFile(initial)), parent: parent)
    let file = MemoryFile(initial)
    let plan = try VHDCompactor.plan(file, progress: quiet)
    #expect(file.allBytes == initial.allBytes, "planning changed the file", sourceLocation: sourceLocation)
    var last: (UInt64, UInt64) = (0, 0)
    let done = try VHDCompactor.compact(file) { (done, total) throws(DiskError) in
        #expect(done >= last.0 && done <= total && (last.1 == 0 || last.1 == total), sourceLocation: sourceLocation)
        last = (done, total)
    }
    #expect(last.0 == last.1 && last.1 > 0, sourceLocation: sourceLocation)
    #expect(done == plan, sourceLocation: sourceLocation)
    #expect(file.byteCount() == plan.newFileByteCount, sourceLocation: sourceLocation)
    let layer = try VHDLayer(reading: file)
    #expect(try contents(layer, parent: parent) == before, sourceLocation: sourceLocation)
    let counts = try layer.census().counts.map(\.count)
    #expect(counts[1] == plan.blockCount - plan.droppedBlockCount, sourceLocation: sourceLocation)
    try checkWhole(file.contents, sourceLocation: sourceLocation)
    let bytes = file.allBytes
    let again = try VHDCompactor.compact(file, progress: quiet)
    #expect(file.allBytes == bytes, "the second time changed the file", sourceLocation: sourceLocation)
    #expect(
        again.droppedBlockCount == 0 && again.movedBlockCount == 0 && again.oldFileByteCount == again.newFileByteCount,
        sourceLocation: sourceLocation)
    return (file.contents, plan)
}

/// An image where every block has been written, in an order of chance, and some made zero again.
func patchwork(
    blocks: UInt64, block: UInt64, zeros: Set<UInt64>, seed: UInt64, tail: UInt64 = 0
) throws -> MemoryFile.Contents {
    var random = SplitMix(seed: seed)
    let size = blocks * block - tail
    let file = MemoryFile(try newImage(.dynamic, size, block: block))
    let disk = try VHDLayer(writing: file)
    for index in (0..<blocks).shuffled(using: &random) {
        let sector = UInt64.random(in: 0..<(min(block, size - index * block) / 512), using: &random)
        try disk.write(
            [UInt8](repeating: UInt8(index % 255 + 1), count: 512).rawBytes, at: index * block + sector * 512)
    }
    for index in zeros { try disk.writeZeroes(index * block..<min(size, (index + 1) * block)) }
    try disk.close()
    return file.contents
}

@Suite struct CompactionTests {
    @Test(arguments: [512, 4096, 65536, 512 << 10] as [UInt64]) func dropsAndMoves(_ block: UInt64) throws {
        for (seed, zeros) in [[], [0], [7], [2, 3, 9], Set(0..<12), [1, 3, 5, 7, 9, 11]].enumerated()
            as EnumeratedSequence<[Set<UInt64>]>
        {
            let image = try patchwork(blocks: 12, block: block, zeros: zeros, seed: UInt64(seed), tail: 512 % block)
            let (result, plan) = try checkCompaction(image)
            #expect(plan.blockCount == 12 && plan.droppedBlockCount == UInt64(zeros.count))
            let bitmap = (block / 4096 + 511) / 512 * 512 + (block < 4096 ? 512 : 0)
            let slot = max(
                block + bitmap, (block + bitmap + min(block, 4096) - 1) / min(block, 4096) * min(block, 4096))
            #expect(result.byteCount <= 4096 + UInt64(12 - zeros.count) * slot + 512)
            // What is left is data: compacting again after resizing changes nothing that is read.
            let (large, _) = try checkResize(result, to: block > 4096 ? 20 * block : 2000 * block)
            try checkCompaction(large)
        }
    }

    @Test func fullImagesStayAsTheyAre() throws {
        let image = try patchwork(blocks: 20, block: 4096, zeros: [], seed: 1)
        let (result, plan) = try checkCompaction(image)
        #expect(plan.movedBlockCount == 0 && plan.newFileByteCount == plan.oldFileByteCount)
        #expect(result.allBytes == image.allBytes)
    }

    /// Holes of blocks that stand side by side without gaps, as qemu leaves them: nothing is lost to alignment.
    @Test func unalignedHolesAreFilled() throws {
        var image = TinyImage()
        image.footer.currentSize = 16 * 4096
        image.footer.geometry = geometryCHS(virtualByteCount: 16 * 4096)
        image.header?.maxTableEntries = 16
        image.table = [UInt32](repeating: .max, count: 16)
        for block in 0..<16 {
            image.addBlock(block, bits: [3, 4, 5, 9].contains(block) ? 0 : 0xff, fill: UInt8(block * 9))
        }
        let (result, plan) = try checkCompaction(MemoryFile.Contents(image.bytes))
        #expect(plan.droppedBlockCount == 4 && plan.movedBlockCount == 4 && plan.movedByteCount == 4 * 4608)
        #expect(result.byteCount == 2048 + 12 * 4608 + 512)
    }

    /// Bytes under clear bits, which a dynamic disk does not show.
    @Test func clearBitsAreZeros() throws {
        var image = TinyImage()
        image.addBlock(0, bits: 0, fill: 0x70)
        image.addBlock(1, bits: 0b0100_0000, fill: 0x70)
        image.addBlock(2, bits: 0b1000_0000, fill: 0)
        let (_, plan) = try checkCompaction(MemoryFile.Contents(image.bytes))
        // The one sector that block 2 shows is filled with zeros.
        #expect(plan.droppedBlockCount == 2)
    }

    /// A block with holes goes where old bytes stand: they do not show through.
    @Test func holesAreCopiedAsZeros() throws {
        let block: UInt64 = 65536
        let file = MemoryFile(try newImage(.dynamic, 8 * block, block: block))
        let disk = try VHDLayer(writing: file)
        try disk.write([UInt8](repeating: 0x77, count: Int(block)).rawBytes, at: 3 * block)
        for at in [block, 2 * block + 30 * 512, 5 * block - 512] {
            try disk.write([UInt8](repeating: 0x11, count: 512).rawBytes, at: at)
        }
        try disk.close()
        // The first block in the file loses its bits and keeps its bytes.
        let layer = try VHDLayer(reading: file)
        guard case .file(let data) = try layer.extents(in: 3 * block..<4 * block, limit: 1)[0].source else {
            Issue.record("block 3 is not there")
            return
        }
        try file.write([UInt8].zeros(512), at: data - 512)
        let (_, plan) = try checkCompaction(file.contents)
        #expect(plan.droppedBlockCount == 1 && plan.movedBlockCount == 1)
    }

    /// Images with a few bytes changed at random: refused, or compacted and resized without a change of what is read.
    @Test func randomDamage() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("CompactionTests.randomDamage: seed \(seed)")
        var (random, done) = (SplitMix(seed: seed), 0)
        let originals = [
            ResizeTests.blocks(ResizeTests.xenImage(), shift: 0).bytes,
            CompactionPowerCutTests.differencing().allBytes, ResizePowerCutTests.untidy(DiskTypeCode.dynamic).allBytes,
        ]
        for turn in 0..<1500 {
            var bytes = originals[turn % 3]
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                // Where the structures are, mostly.
                let most = turn % 5 == 0 ? bytes.count : 2600
                bytes[Int.random(in: 0..<most, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if turn % 2 == 0 { mendSums(&bytes) }
            let size = UInt64.random(in: 1...300, using: &random) * 512
            guard let before = try? contentsIfSmall(bytes) else { continue }
            for step in 0..<2 {
                let file = MemoryFile(bytes)
                do {
                    if step == 0 {
                        _ = try VHDCompactor.plan(file, progress: quiet)
                    } else {
                        _ = try VHDResizer.plan(file, to: size)
                    }
                } catch {
                    #expect(file.allBytes == bytes)
                    continue
                }
                if step == 0 {
                    _ = try VHDCompactor.compact(file, progress: quiet)
                } else {
                    _ = try VHDResizer.resize(file, to: size, progress: quiet)
                }
                let found = try contents(try VHDLayer(reading: file))
                #expect(found == (step == 0 ? before : resized(before, to: size)), "seed \(seed), turn \(turn)")
                done += 1
            }
        }
        #expect(done > 100)
    }

    private func contentsIfSmall(_ bytes: [UInt8]) throws -> [UInt8]? {
        let layer = try VHDLayer(reading: MemoryFile(bytes))
        return layer.geometry.virtualByteCount > 4 << 20 ? nil : try contents(layer)
    }

    /// Makes the checksums of both footers and the header right again.
    private func mendSums(_ bytes: inout [UInt8]) {
        for (start, count, field) in [(0, 512, 64), (512, 1024, 36), (bytes.count - 512, 512, 64)] {
            var part = Array(bytes[start..<start + count])
            let sum = complementedByteSum(part.rawBytes, skippingField: field)
            var raw = part.mutableRawBytes
            raw.store(sum, at: field, .big)
            bytes.replaceSubrange(start..<start + count, with: part)
        }
    }

    /// What lies past the disk's end in the last block does not keep it.
    @Test func tailsDoNotCount() throws {
        var image = TinyImage()
        image.footer.currentSize = 3 * 4096 + 512
        image.footer.geometry = .maximum
        image.addBlock(3, bits: 0b0111_1111, fill: 0x70)
        let (_, plan) = try checkCompaction(MemoryFile.Contents(image.bytes))
        #expect(plan.droppedBlockCount == 1)
    }

    @Test func differencingImages() throws {
        var image = TinyImage(DiskTypeCode.differencing)
        image.addLocator(0, "W2ru", Array("p.vhd".utf8).flatMap { [$0, 0] })
        image.addLocator(1, "W2ku", Array("C:\\p.vhd".utf8).flatMap { [$0, 0] }, space: 2)
        image.body += [UInt8].zeros(512)
        image.addBlock(2, bits: 0, fill: 0x70)
        // Written zeros hide the parent.
        image.addBlock(3, bits: 0b1000_0000, fill: 0)
        image.addBlock(0, bits: 0b0010_0001, fill: 0x10)
        let parent = try VHDLayer(reading: MemoryFile(TinyImage.fixed([UInt8](repeating: 9, count: 16384)).bytes))
        let (result, plan) = try checkCompaction(MemoryFile.Contents(image.bytes), parent: parent)
        #expect(plan.droppedBlockCount == 1 && plan.movedBlockCount == 1)
        #expect(result.byteCount == 2048 + 1536 + 2 * 4608 + 512)
        #expect(try VHDLayer(reading: MemoryFile(result)).parentLink?.locators.count == 2)
        // The table moves to the end and comes back; the paths stay where they are.
        let file = MemoryFile(image.bytes)
        _ = try VHDResizer.resize(file, to: 1000 * 4096, progress: quiet)
        #expect(try VHDLayer(reading: file).header?.tableOffset == 3584 + 3 * 4608)
        let before = file.contents.bytes(2048..<3584)
        let (small, _) = try checkCompaction(file.contents, parent: parent)
        #expect(try VHDLayer(reading: MemoryFile(small)).header?.tableOffset == 3584)
        #expect(small.bytes(2048..<3584) == before)
    }

    @Test func tablesComeBack() throws {
        let used = try patchwork(blocks: 30, block: 4096, zeros: [], seed: 3)
        let (large, plan) = try checkResize(used, to: 600 * 4096)
        #expect(plan.movesTable)
        // More blocks behind the table, and holes before it.
        let file = MemoryFile(large)
        let disk = try VHDLayer(writing: file)
        for block in [100, 200, 300] as [UInt64] {
            try disk.write([UInt8](repeating: 0x44, count: 4096).rawBytes, at: block * 4096)
        }
        try disk.writeZeroes(4 * 4096..<9 * 4096)
        try disk.close()
        let (small, compaction) = try checkCompaction(file.contents)
        #expect(compaction.droppedBlockCount == 5)
        let table = try #require(try VHDLayer(reading: MemoryFile(small)).header?.tableOffset)
        #expect(table < 30 * 4608)
        #expect(small.byteCount < used.byteCount)
    }

    /// A table that pins the end of the file and has no hole large enough: it goes where the blocks made room.
    @Test func tablesFollowTheBlocks() throws {
        let used = try patchwork(blocks: 60, block: 512, zeros: [2, 5, 7, 11, 13, 40, 41, 43, 50], seed: 3)
        let (large, plan) = try checkResize(used, to: 2000 * 512)
        #expect(plan.movesTable)
        let (small, compaction) = try checkCompaction(large)
        #expect(compaction.movedBlockCount > 0)
        #expect(small.byteCount <= large.byteCount - 9 * 1024)
    }

    /// Space of blocks that a power cut kept from being entered, which the writer never takes again.
    @Test func orphanedSpaceIsReclaimed() throws {
        let initial = try patchwork(blocks: 6, block: 4096, zeros: [], seed: 8)
        let (large, _) = try checkResize(initial, to: 64 * 4096)
        let recording = RecordingFile(large)
        let disk = try VHDLayer(writing: recording)
        for block in 10..<20 as Range<UInt64> {
            try disk.write([UInt8](repeating: 0x33, count: 4096).rawBytes, at: block * 4096)
        }
        try disk.flush()
        var (longest, reclaimed) = (large.byteCount, 0)
        try PowerCuts(recording.recording, imageLimit: 24).forEachImage { image in
            // What was not entered is lost to the writer.
            let file = MemoryFile(image.contents)
            try VHDLayer(writing: file).close()
            let layer = try VHDLayer(reading: file)
            let kept = try layer.census().counts[1].count
            longest = max(longest, file.byteCount())
            let (result, _) = try checkCompaction(file.contents)
            #expect(result.byteCount <= 4096 + kept * 8192 + 512)
            if result.byteCount < file.byteCount() { reclaimed += 1 }
        }
        print("CompactionTests: orphaned space reclaimed in \(reclaimed) images, the longest of \(longest) bytes")
        #expect(reclaimed > 0)
    }

    @Test func batmapsAreCleared() throws {
        var image = ResizeTests.blocks(ResizeTests.xenImage(entryCount: 256), shift: 512)
        image.addBlock(2, bits: 0, fill: 0x20)
        image.table[2] += 1
        let (result, plan) = try checkCompaction(MemoryFile.Contents(image.bytes))
        #expect(plan.droppedBlockCount == 1)
        #expect(result.bytes(3072..<3584).allSatisfy { $0 == 0 })
        // Without drops it stays as it is.
        let full = ResizeTests.blocks(ResizeTests.xenImage(), shift: 0)
        let (same, _) = try checkCompaction(MemoryFile.Contents(full.bytes))
        #expect(same.bytes(2560..<2561) == [0x40])
    }

    @Test func refusals() throws {
        expectRefusal("convert") {
            _ = try VHDCompactor.compact(
                MemoryFile(TinyImage.fixed([UInt8](repeating: 3, count: 1024)).bytes), progress: quiet)
        }
        var saved = TinyImage()
        saved.footer.savedState = 1
        expectRefusal("saved") { _ = try VHDCompactor.plan(MemoryFile(saved.bytes), progress: quiet) }
        var cut = TinyImage()
        cut.addBlock(0, bits: 0xff, fill: 1)
        cut.table[0] += 1
        expectRule(.vhdBlockPastEnd) { _ = try VHDCompactor.compact(MemoryFile(cut.bytes), progress: quiet) }
    }

    @Test func everyFailureLeavesAWholeImage() throws {
        let moved = try checkResize(
            try patchwork(blocks: 12, block: 4096, zeros: [1, 4, 5], seed: 5, tail: 512), to: 600 * 4096
        ).contents
        let tiny = try patchwork(blocks: 40, block: 512, zeros: [2, 5, 7, 11, 13], seed: 6)
        var failures = 0
        for initial in [moved, tiny] {
            let before = try contents(try VHDLayer(reading: MemoryFile(initial)))
            let final = try checkCompaction(initial).contents.byteCount
            for (after, recovers) in (0..<80).flatMap({ [($0, false), ($0, true)] }) {
                let file = MemoryFile(initial)
                let failing = FailingFile(file, after: after, recovers: recovers)
                do { _ = try VHDCompactor.compact(failing, progress: quiet) } catch { failures += 1 }
                #expect(try contents(try VHDLayer(reading: file)) == before, "call \(after)")
                #expect(try checkCompaction(file.contents).contents.byteCount <= final, "call \(after)")
            }
        }
        #expect(failures > 60)
    }

    @Test func progressStopsWhereTheImageIsWhole() throws {
        let initial = try patchwork(blocks: 12, block: 4096, zeros: [1, 4, 5], seed: 5)
        var stops = 0
        for calls in 0..<20 {
            let file = MemoryFile(initial)
            var left = calls
            do {
                _ = try VHDCompactor.compact(file) { (_, _) throws(DiskError) in
                    left -= 1
                    if left < 0 { throw DiskError(.io, path: "", "stopped") }
                }
            } catch { stops += 1 }
            #expect(
                try contents(try VHDLayer(reading: file)) == contents(try VHDLayer(reading: MemoryFile(initial))))
            try checkCompaction(file.contents)
        }
        #expect(stops > 12 && stops < 20)
    }
}
