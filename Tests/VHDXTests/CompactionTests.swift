import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Glibc
import Testing

@testable import VHDX

@Suite struct CompactionTests {
    private static func checkUnknownRegion(_ layer: VHDXLayer) throws {
        let region = layer.regions.entries.first { $0.guid == ScatteredImage.unknownRegion }!
        let bytes = try layer.file.bytes(at: region.fileOffset, count: ScatteredImage.unknownBytes.count)
        #expect(bytes == ScatteredImage.unknownBytes)
    }

    /// Images by chance: contents as before, and no MiB too many.
    @Test(arguments: [false, true], [1 << 20, 4 << 20] as [UInt64]) func scattered(
        _ isDifferencing: Bool, _ block: UInt64
    ) throws {
        let start = UInt64.random(in: 0 ... .max - 100)
        print("VHDX compaction: seeds from \(start)")
        for seed in start..<start + 24 {
            let scattered = try ScatteredImage(
                seed: seed, count: 2 + seed % 9, blockByteCount: block, isDifferencing: isDifferencing,
                movesLog: seed % 3 == 0)
            let view = try scattered.image.view
            let file = try Edit.compact.check(scattered.contents, expecting: view)
            let layer = try VHDXLayer(reading: file)
            _ = try layer.census()
            #expect(layer.findings.allSatisfy { $0.severity == .information }, "seed \(seed): \(layer.findings)")
            try Self.checkUnknownRegion(layer)
            #expect(file.byteCount() >= scattered.smallestByteCount, "seed \(seed)")
            if block == 1 << 20 { #expect(file.byteCount() == scattered.smallestByteCount, "seed \(seed)") }
            let log = scattered.logEnd - mebibyte..<scattered.logEnd
            func pages(_ contents: MemoryFile.Contents) -> Int {
                contents.pages.pageIndices.count { !log.contains($0 * 4096) }
            }
            #expect(pages(file.contents) <= pages(scattered.contents), "seed \(seed): holes stay holes")
        }
    }

    @Test func planCounts() throws {
        var image = try TinyImage(byteCount: 20 << 20)
        image.putBlock(0, 1)
        image.putBlock(1, 0)
        image.putBlock(2, 2)
        image.putBlock(3, 0)
        image.putBlock(4, 3, state: 7)
        let plan = try VHDXCompactor.plan(image.file, progress: quiet)
        #expect(plan.blockCount == 5 && plan.droppedBlockCount == 2)
        #expect(plan.movedBlockCount == 1 && plan.movedByteCount == 1 << 20)
        #expect(plan.oldFileByteCount == 9 << 20 && plan.newFileByteCount == 7 << 20)
        let file = try Edit.compact.check(image.contents, expecting: image.view)
        let right: [UInt64] = [4 << 20 | 6, 0, 6 << 20 | 6, 0, 5 << 20 | 7]
        #expect(file.contents.bytes(TinyImage.table..<TinyImage.table + 40) == right.flatMap { little($0) })
    }

    @Test func nothingToDo() throws {
        var image = try TinyImage()
        image.putBlock(5, 1)
        let before = image.contents
        let file = try Edit.compact.check(before, expecting: image.view)
        #expect(Edit.same(file.contents, before))
    }

    /// What blocks without data say stays the same; in a child, zeros must not become the parent's.
    @Test(arguments: [false, true]) func states(_ isDifferencing: Bool) throws {
        var image = try TinyImage(byteCount: 20 << 20)
        if isDifferencing { image.makeDifferencing() }
        let values: [UInt64] = [0, 1, 2, 3, 4 << 20 | 1, 5 << 20 | 3, 4 << 20 | 2, 4 << 20]
        for (index, value) in values.enumerated() { image.setEntry(UInt64(index), value) }
        image.putBlock(8, 0)
        image.putBlock(9, 0, state: isDifferencing ? 7 : 6)
        let bits = image.append([UInt8](repeating: 0, count: 1 << 20))
        image.setEntry(4096, bits | 6)
        let file = try Edit.compact.check(image.contents, expecting: image.view)
        #expect(file.byteCount() == 4 << 20)
        let right: [UInt64] = [0, 1, 2, 3, 1, 3, 2, 0, isDifferencing ? 2 : 0, 0]
        #expect(file.contents.bytes(TinyImage.table..<TinyImage.table + 80) == right.flatMap { little($0) })
        if isDifferencing {
            #expect(file.contents.bytes(TinyImage.table + 32768..<TinyImage.table + 32776) == little(UInt64(0)))
        }
        #expect(
            try VHDXLayer(reading: file).census().counts.map(\.count)
                == (isDifferencing ? [13, 2, 3, 2, 0, 0] : [14, 2, 2, 2, 0, 0]))
    }

    @Test func fixedIsRefused() throws {
        let image = try TinyImage(type: .fixed)
        for plansOnly in [true, false] {
            let file = image.file
            do {
                _ =
                    plansOnly
                    ? try VHDXCompactor.plan(file, progress: quiet) : try VHDXCompactor.compact(file, progress: quiet)
                Issue.record("compacted")
            } catch {
                #expect(error.kind == .refused && error.hint?.contains("convert") == true, "\(error)")
            }
            #expect(Edit.same(file.contents, image.contents))
        }
    }

    @Test func lastBlockCutAtTheDisksEnd() throws {
        var image = try TinyImage(byteCount: (8 << 20) + 512, blockByteCount: 4 << 20)
        image.putBlock(0, 0, byteCount: 4 << 20)
        image.putBlock(2, 6, byteCount: 512, used: 512)
        let file = try Edit.compact.check(image.contents, expecting: image.view)
        #expect(file.byteCount() == 8 << 20)
    }

    /// Growing with a moved table leaves a gap; the table that shrinking made short enough cannot move back, blocks can.
    @Test func growShrinkCompact() throws {
        var image = try ResizeTests.untidy(ResizeTests.full)
        image.putBlock(7, 5)
        var view = try image.view
        var contents = image.contents
        let sizes: [UInt64] = [ResizeTests.full + 512, 3 << 40, 60_000 << 20, 8 << 20, ResizeTests.full + 512, 9 << 20]
        for size in sizes {
            view = view.resized(to: size)
            contents = try Edit.resize(to: size).check(contents, expecting: view).contents
            contents = try Edit.compact.check(contents, expecting: view).contents
            let layer = try VHDXLayer(reading: MemoryFile(contents))
            _ = try layer.census()
            #expect(layer.findings.isEmpty)
        }
        let writer = MemoryFile(contents)
        let layer = try VHDXLayer(writing: writer)
        try layer.write([UInt8](repeating: 1, count: 512).rawBytes, at: 8 << 20)
        try layer.close()
        _ = try VHDXLayer(reading: writer).census()
    }

    @Test func smallRounds() throws {
        for seed in 0..<UInt64(6) {
            let scattered = try ScatteredImage(seed: seed, count: 12, isDifferencing: seed % 2 == 1)
            let file = MemoryFile(scattered.contents)
            var compaction = try Compaction(EditSession(file, plansOnly: false), plansOnly: false)
            compaction.movesPerRound = 2
            compaction.byteCountPerFlush = 1 << 20
            try compaction.run(quiet)
            let layer = try VHDXLayer(reading: file)
            _ = try layer.census()
            #expect(try DiskView(layer) == scattered.image.view)
            #expect(file.byteCount() == scattered.smallestByteCount)
        }
    }

    @Test func pendingLogIsReplayedFirst() throws {
        var image = try TinyImage()
        image.putBlock(3, 0)
        let file = image.file
        let former = try VHDXLayer(writing: file)
        try former.write([UInt8](repeating: 3, count: 4096).rawBytes, at: 2 << 20)
        try former.flush()
        let view = try DiskView(VHDXLayer(reading: file))
        let compacted = try Edit.compact.check(file.contents, expecting: view)
        #expect(compacted.byteCount() == 5 << 20)
    }

    @Test func progressCanStop() throws {
        for limit in 0..<8 {
            let scattered = try ScatteredImage(seed: 5, count: 40, kinds: [.data, .zeros, .data])
            let file = MemoryFile(scattered.contents)
            let view = try scattered.image.view
            var calls = 0
            _ = try? VHDXCompactor.compact(file) { (_, _) throws(DiskError) in
                calls += 1
                if calls > limit { throw DiskError(.refused, path: "", "stop") }
            }
            let layer = try VHDXLayer(reading: file)
            #expect(layer.currentHeader.logGUID == .zero)
            #expect(try DiskView(layer) == view)
            let again = try Edit.compact.check(file.contents, expecting: view)
            #expect(again.byteCount() == scattered.smallestByteCount)
        }
    }

    @Test(arguments: [ENOSPC, EIO]) func failuresLeaveTheImageWhole(_ code: CInt) throws {
        var count = 0
        for seed in 0..<UInt64(4) {
            let scattered = try ScatteredImage(seed: seed, count: 6, isDifferencing: seed % 2 == 1)
            let view = try scattered.image.view
            for recovers in [false, true] {
                var after = 0
                while true {
                    let file = MemoryFile(scattered.contents)
                    let failing = FailingFile(file, after: after, code: code, recovers: recovers)
                    do {
                        _ = try VHDXCompactor.compact(failing, progress: quiet)
                    } catch { #expect(error.kind == .io, "\(error)") }
                    guard failing.hasFailed else { break }
                    count += 1
                    #expect(
                        try DiskView(VHDXLayer(reading: MemoryFile(file.contents))) == view, "\(seed), after \(after)")
                    _ = try VHDXCompactor.compact(file, progress: quiet)
                    let layer = try VHDXLayer(reading: file)
                    _ = try layer.census()
                    #expect(try DiskView(layer) == view, "again, \(seed), after \(after)")
                    #expect(file.byteCount() == scattered.smallestByteCount)
                    after += 1
                }
            }
        }
        print("VHDX compaction, failures with errno \(code): \(count) places")
        #expect(count > 150)
    }

    /// Against a list of booleans.
    @Test func usedSpace() {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix(seed: seed)
        for _ in 0..<40 {
            let size = UInt64.random(in: 1...300, using: &random)
            var space = UsedSpace(fileByteCount: size << 20)
            var model = [Bool](repeating: false, count: Int(size))
            for _ in 0..<30 {
                let start = UInt64.random(in: 0..<size, using: &random)
                let range = start..<min(size, start + .random(in: 1...40, using: &random))
                let isClaim = Int.random(in: 0..<3, using: &random) > 0
                if isClaim {
                    _ = space.claim(range.lowerBound << 20..<range.upperBound << 20)
                } else {
                    space.release(range.lowerBound << 20..<range.upperBound << 20)
                }
                for index in range { model[Int(index)] = isClaim }
                let limit = UInt64.random(in: 0...size, using: &random)
                let last = model[..<Int(limit)].lastIndex(of: true).map { UInt64($0 + 1) << 20 } ?? 0
                #expect(space.end(below: limit << 20) == last, "seed \(seed)")
                let count = UInt64.random(in: 1...20, using: &random)
                let from = UInt64.random(in: 0...size, using: &random)
                let gap = (from..<max(from, limit)).first { at in
                    at + count <= limit && !model[Int(at)..<Int(at + count)].contains(true)
                }
                #expect(
                    space.firstGap(of: count, from: from << 20, below: limit << 20) == gap.map { $0 << 20 },
                    "seed \(seed)")
            }
        }
    }
}
