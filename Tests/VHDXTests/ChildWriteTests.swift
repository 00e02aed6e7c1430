import BlockIO
import ByteCodec
import DiskConformance
import DiskModel
import FaultInjection
import Glibc
import Synchronization
import Testing

@testable import VHDX

/// Writing into differencing images.
@Suite struct ChildWriteTests {
    struct Shape: Sendable {
        var size: UInt64
        var block: UInt64
        var sector: UInt64
        init(_ size: UInt64, _ block: UInt64, _ sector: UInt64) {
            (self.size, self.block, self.sector) = (size, block, sector)
        }
    }
    static let shapes: [Shape] = [
        Shape(8 << 20, 1 << 20, 512), Shape((5 << 20) + 512, 1 << 20, 512), Shape(9 << 20, 2 << 20, 4096),
        Shape(70 << 20, 32 << 20, 512), Shape(8 << 20, 1 << 20, 4096), Shape(600 << 20, 256 << 20, 512),
    ]

    @Test(arguments: shapes)
    func conformance(_ shape: Shape) throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("VHDX child conformance: blocks of \(shape.block), sectors of \(shape.sector), seed \(seed)")
        var random = SplitMix(seed: seed)
        // The parent ends before the child.
        let parent = random.bytes(5 << 20)
        let make: @Sendable () throws -> MemoryFile.Contents = {
            var image = try TinyImage(
                byteCount: shape.size, blockByteCount: shape.block, logicalSectorByteCount: Int(shape.sector))
            image.makeDifferencing()
            return image.contents
        }
        let subject = DiskSubject(
            name: "VHDX child, blocks of \(shape.block), sectors of \(shape.sector)", parent: parent, make: make,
            openForWriting: { try VHDXLayer(writing: $0) }, openForReading: { try VHDXLayer(reading: $0) })
        try checkConformance(subject, seed: seed, steps: 150)
    }

    private static func bytes(_ value: UInt8, _ count: UInt64) -> [UInt8] {
        [UInt8](repeating: value, count: Int(count))
    }

    /// What our checker says, without what a sector bitmap block whose blocks all became 6 is worth.
    static func findings(_ contents: MemoryFile.Contents) throws -> [FormatError.Code] {
        var options = CheckOptions()
        options.isDeep = true
        let report = try VHDXChecker.check(MemoryFile(contents), options, progress: quiet)
        return report.findings.map(\.finding.detail.code).filter { $0 != .vhdxUnusedSectorBitmap }
    }

    private func state(_ layer: VHDXLayer, _ block: UInt64) throws -> BlockState {
        try layer.state.withLock { try $0.map.block(block, in: layer.file).state }
    }

    private func entry(_ layer: VHDXLayer, _ block: UInt64) throws -> TableEntry {
        try layer.state.withLock {
            try $0.map.table.entry($0.map.geometry.index(ofPayloadBlock: block), in: layer.file)
        }
    }

    // MARK: States

    @Test func statesAfterWrites() throws {
        let child = try ChildImage.inAllStates()
        let file = MemoryFile(child.contents)
        let layer = try VHDXLayer(writing: file)
        var view = child.view
        func write(_ value: UInt8, _ start: UInt64, _ count: UInt64) throws {
            try layer.write(Self.bytes(value, count).rawBytes, at: start)
            view.write(Self.bytes(value, count).rawBytes, at: start)
        }
        func expect(_ block: UInt64, _ expected: BlockState, sourceLocation: SourceLocation = #_sourceLocation) throws {
            let range = block << 20..<min(child.byteCount, (block + 1) << 20)
            #expect(try state(layer, block) == expected, sourceLocation: sourceLocation)
            #expect(areEqual(try child.bytes(of: layer, range), view.bytes(range)), sourceLocation: sourceLocation)
        }
        for first in [0, 4096] as [UInt64] {
            try expect(first, .notPresent)
            try write(1, first << 20, 1 << 20)
            try expect(first, .fullyPresent)
            // Stale bits.
            try expect(first + 1, .notPresent)
            try write(2, (first + 1) << 20 + 512, 1024)
            try expect(first + 1, .partiallyPresent)
            try write(3, (first + 2) << 20, 2048)
            try expect(first + 2, .partiallyPresent)
            // The last two sectors that were the parent's.
            try write(4, (first + 3) << 20 + 17 * 512, 512)
            try expect(first + 3, .partiallyPresent)
            try write(5, (first + 3) << 20 + 18 * 512, 512)
            try expect(first + 3, .fullyPresent)
            try write(6, (first + 4) << 20 + 4096, 512)
            try expect(first + 4, .fullyPresent)
            try write(7, (first + 5) << 20, 512)
            try expect(first + 5, .fullyPresent)
            try write(8, (first + 6) << 20 + 512, 512)
            try expect(first + 6, .fullyPresent)
            try write(9, (first + 2) << 20, 1 << 20)
            try expect(first + 2, .fullyPresent)
        }
        // The disk's last block, of which it has less than all.
        #expect(try state(layer, 4103) == .notPresent)
        try write(10, 4103 << 20, (1 << 20) - 3 * 512)
        try expect(4103, .fullyPresent)
        try layer.close()
        let after = try VHDXLayer(reading: MemoryFile(file.contents))
        for range in [0..<8 << 20, 4096 << 20..<child.byteCount] as [Range<UInt64>] {
            #expect(areEqual(try child.bytes(of: after, range), view.bytes(range)))
        }
        #expect(try Self.findings(file.contents) == [])
    }

    @Test func zerosHideTheParent() throws {
        let child = try ChildImage.inAllStates()
        let file = MemoryFile(child.contents)
        let layer = try VHDXLayer(writing: file)
        let before = file.byteCount()
        try layer.writeZeroes(4 << 20..<6 << 20)
        #expect(layer.currentHeader.logGUID == .zero, "zeros over zeros change nothing")
        try layer.writeZeroes(0..<7 << 20)
        #expect(file.byteCount() == before, "nothing is allocated")
        for (block, expected) in [
            BlockState.zero, .zero, .fullyPresent, .fullyPresent, .undefined, .zero, .fullyPresent,
        ]
        .enumerated() {
            #expect(try state(layer, UInt64(block)) == expected, "block \(block)")
        }
        #expect(try entry(layer, 0).rawValue == 2)
        let zeros = try child.bytes(of: layer, 0..<7 << 20)
        #expect(!zeros.contains { $0 != 0 })
        #expect(try child.bytes(of: layer, 7 << 20..<(7 << 20) + 512) == child.view.bytes(7 << 20..<(7 << 20) + 512))
        let second = UInt64(4096 << 20)
        try layer.writeZeroes(second + 512..<second + 1024)
        try layer.writeZeroes(second + 2 << 20..<second + 2 << 20 + 2048)
        #expect(try state(layer, 4096) == .partiallyPresent)
        var view = child.view
        for zeros in [0..<7 << 20, second + 512..<second + 1024, second + 2 << 20..<second + 2 << 20 + 2048] {
            view.zero(zeros)
        }
        try layer.close()
        let after = try VHDXLayer(reading: MemoryFile(file.contents))
        for range in [0..<8 << 20, second..<child.byteCount] {
            #expect(areEqual(try child.bytes(of: after, range), view.bytes(range)))
        }
        // The stale bits that the image began with are still there.
        #expect(Set(try Self.findings(file.contents)) == [.vhdxIdleBits])
    }

    /// A child of a disk of 64 TiB: nothing is allocated, and what waits in memory is bounded.
    @Test func zerosOverAllOfTheLargestDisk() throws {
        let file = MemoryFile()
        try VHDXCreator.create(on: file, type: .dynamic, virtualByteCount: 64 << 40, blockByteCount: 64 << 20)
        var image = try TinyImage()
        image.contents = file.contents
        image.makeDifferencing()
        let recorded = RecordingFile(image.contents)
        let layer = try VHDXLayer(writing: recorded)
        try layer.write(Self.bytes(1, 512).rawBytes, at: 5 << 40)
        try layer.writeZeroes(0..<64 << 40)
        #expect(layer.state.withLock { $0.map.changedPageCount } <= LogWriter.pagesPerEntry)
        #expect(try layer.extents(in: 0..<5 << 40, limit: 9) == [Extent(offset: 0, byteCount: 5 << 40, source: .zero)])
        try layer.close()
        let after = try VHDXLayer(reading: MemoryFile(recorded.contents))
        let counts = try after.census().counts
        #expect(counts[2].count == (1 << 20) - 1)
        #expect(counts[4].count == 1)
        let largest = recorded.recording.operations.reduce(0) {
            if case .write(_, let bytes) = $1 { max($0, bytes.count) } else { $0 }
        }
        #expect(largest == (LogWriter.pagesPerEntry + 1) * 4096)
        #expect(try Self.findings(recorded.contents) == [])
    }

    // MARK: Everything at random

    @Test(arguments: [
        Shape(0, 1 << 20, 512), Shape(0, 2 << 20, 4096), Shape(0, 32 << 20, 512), Shape(0, 256 << 20, 4096),
    ])
    func randomWrites(_ shape: Shape) throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("VHDX child in all states: blocks of \(shape.block), sectors of \(shape.sector), seed \(seed)")
        var random = SplitMix(seed: seed)
        let child = try ChildImage.inAllStates(block: shape.block, sector: shape.sector)
        let file = MemoryFile(child.contents)
        var layer = try VHDXLayer(writing: file)
        var view = child.view
        // Where something happens in a block: its start and its end, and somewhere.
        func place() -> UInt64 {
            let block =
                UInt64.random(in: 0..<8, using: &random) + (Bool.random(using: &random) ? child.blocksPerChunk : 0)
            let sectors = shape.block / shape.sector
            let near = [0, 17, sectors - 20, UInt64.random(in: 0..<256, using: &random)].randomElement(using: &random)!
            return min(block * shape.block + near * shape.sector, child.byteCount - shape.sector)
        }
        for _ in 0..<250 {
            let start = place()
            let count = min(child.byteCount - start, UInt64.random(in: 1...64, using: &random) * shape.sector)
            switch Int.random(in: 0..<12, using: &random) {
            case 0..<5:
                let bytes = Self.bytes(UInt8.random(in: 1...99, using: &random), count)
                try layer.write(bytes.rawBytes, at: start)
                view.write(bytes.rawBytes, at: start)
            case 5 where shape.block <= 2 << 20:
                let whole = start.roundedDown(to: shape.block)
                let bytes = Self.bytes(
                    UInt8.random(in: 1...99, using: &random), min(shape.block, child.byteCount - whole))
                try layer.write(bytes.rawBytes, at: whole)
                view.write(bytes.rawBytes, at: whole)
            case 6:
                try layer.writeZeroes(start..<start + count)
                view.zero(start..<start + count)
            case 7:
                let long =
                    start..<min(child.byteCount, start + UInt64.random(in: 0...2, using: &random) * shape.block + count)
                // Not over the hundreds of blocks between the two chunks.
                guard long.upperBound <= 8 * shape.block || start >= child.blocksPerChunk * shape.block else {
                    continue
                }
                try layer.writeZeroes(long)
                view.zero(long)
            case 8: try layer.flush()
            case 9:
                try layer.close()
                layer = try VHDXLayer(writing: file)
            default:
                #expect(areEqual(try child.bytes(of: layer, start..<start + count), view.bytes(start..<start + count)))
            }
        }
        try layer.close()
        let after = try VHDXLayer(reading: MemoryFile(file.contents))
        for number in (0..<UInt64(8)).flatMap({ [$0, $0 + child.blocksPerChunk] }) {
            // Nothing happens between the first MiB of a block and its last one.
            for start in [0, shape.block / 2, shape.block - (1 << 20)] as [UInt64] {
                let from = number * shape.block + start
                let range = from..<min(child.byteCount, from + (1 << 20))
                guard areEqual(try child.bytes(of: after, range), view.bytes(range)) else {
                    Issue.record("seed \(seed): other bytes in \(range)")
                    return
                }
            }
        }
        #expect(try Self.findings(file.contents).filter { $0 != .vhdxIdleBits } == [])
        _ = try after.checkSharedSpace(accepting: [])
    }

    // MARK: Sessions

    @Test func aGivenDataWriteGUID() throws {
        let promised = GUID(7, 7, 7, 7)
        let file = MemoryFile(try ChildImage.inAllStates().contents)
        let before = try VHDXLayer(reading: file).currentHeader
        let layer = try VHDXLayer(writing: file, dataWriteGUID: promised)
        #expect(layer.currentHeader == before)
        try layer.beginSession()
        // What a kill right now leaves.
        let killed = try VHDXLayer(reading: MemoryFile(file.contents))
        #expect(killed.dataWriteGUID == promised)
        #expect(killed.currentHeader.fileWriteGUID != before.fileWriteGUID)
        let begun = layer.currentHeader
        try layer.beginSession()
        try layer.write(Self.bytes(1, 512).rawBytes, at: 0)
        #expect(layer.currentHeader == begun)
        try layer.close()
        #expect(try VHDXLayer(reading: file).dataWriteGUID == promised)
        #expect(throws: DiskError.self) { try VHDXLayer(reading: file).beginSession() }

        let other = GUID(8, 8, 8, 8)
        let size = layer.geometry.virtualByteCount
        _ = try VHDXResizer.resize(file, to: size + 4096, dataWriteGUID: other, progress: quiet)
        #expect(try VHDXLayer(reading: file).dataWriteGUID == other)
        _ = try VHDXResizer.resize(file, to: size + 4096, dataWriteGUID: promised, progress: quiet)
        #expect(try VHDXLayer(reading: file).dataWriteGUID == other, "nothing was to be done")
    }

    @Test func beginningIsDurable() throws {
        let recorded = RecordingFile(try ChildImage.inAllStates().contents)
        let layer = try VHDXLayer(writing: recorded, dataWriteGUID: testGUID)
        try layer.beginSession()
        recorded.mark(1)
        var count = 0
        PowerCuts(recorded.recording, imageLimit: 32).forEachImage { image in
            let found = try? VHDXLayer(reading: MemoryFile(image.contents))
            #expect(found != nil)
            if !image.marks.isEmpty {
                count += 1
                #expect(found?.dataWriteGUID == testGUID)
            }
        }
        #expect(count > 0)
    }

    @Test func leaveBlocksAllocatedMeansNothingInAChild() throws {
        var child = try TinyImage()
        child.makeDifferencing()
        child.put(UInt32(3), at: TinyImage.metadata + 65536 + 4)
        let file = child.file
        let layer = try VHDXLayer(writing: file)
        #expect(layer.type == .differencing)
        try layer.write(Self.bytes(1, 512).rawBytes, at: 512)
        #expect(try state(layer, 0) == .partiallyPresent)
        try layer.writeZeroes(1 << 20..<2 << 20)
        #expect(try entry(layer, 1).rawValue == 2)
        try layer.close()
        #expect(try Self.findings(file.contents) == [])
    }

    /// A block in state 7 whose chunk has no bitmap: a bitmap of zeros made for another block would turn its error into
    /// the parent's bytes.
    @Test func aBlockWithoutItsBitmapIsNotWrittenOver() throws {
        var image = try TinyImage()
        image.makeDifferencing()
        image.putBlock(3, 1, state: 7)
        do {
            _ = try VHDXLayer(writing: image.file)
            Issue.record("opened for writing")
        } catch { #expect(error.formatError?.code == .vhdxNoSectorBitmap) }
        _ = try VHDXLayer(reading: image.file)
    }

    // MARK: Cost

    /// Front to back in pieces of 1 MiB: one allocation a block, and nothing in the log that is not new.
    @Test(arguments: [1 << 20, 32 << 20] as [UInt64])
    func sequentialWrites(_ block: UInt64) throws {
        func operations(isChild: Bool) throws -> (count: Int, logged: Int) {
            var image = try TinyImage(byteCount: 64 << 20, blockByteCount: block)
            if isChild { image.makeDifferencing() }
            let recorded = RecordingFile(image.contents)
            let layer = try VHDXLayer(writing: recorded)
            let bytes = Self.bytes(5, 1 << 20)
            for start in stride(from: UInt64(0), to: 64 << 20, by: 1 << 20) {
                try layer.write(bytes.rawBytes, at: start)
            }
            try layer.close()
            let operations = recorded.recording.operations
            let logged = operations.reduce(0) {
                if case .write(let offset, let bytes) = $1, offset >> 20 == 1 { $0 + bytes.count } else { $0 }
            }
            let after = try VHDXLayer(reading: MemoryFile(recorded.contents))
            #expect(try after.census().counts[4].count == (64 << 20) / block)
            return (operations.count, logged)
        }
        let (dynamic, child) = (try operations(isChild: false), try operations(isChild: true))
        print("VHDX blocks of \(block), 64 MiB: dynamic \(dynamic), child \(child)")
        // Of pages a sector bitmap's entry, and bits that were set and cleared again.
        #expect(child.count <= dynamic.count + 8)
        #expect(child.logged <= dynamic.logged + 8 * 4096)
    }

    // MARK: Failures

    @Test(arguments: [false, true])
    func everyCallFails(_ recovers: Bool) throws {
        let child = try ChildImage.inAllStates()
        var failures = 0
        for after in 0..<200 {
            let file = MemoryFile(child.contents)
            let failing = FailingFile(file, after: after, code: ENOSPC, recovers: recovers)
            var flushed = child.view
            var written: [(Range<UInt64>, UInt8)] = []
            do throws(DiskError) {
                let layer = try VHDXLayer(writing: failing)
                for (index, start) in [512, 1 << 20, 2 << 20, (3 << 20) + 17 * 512, 4 << 20, 4096 << 20].enumerated() {
                    let range = UInt64(start)..<UInt64(start) + 1024
                    written.append((range, UInt8(index + 1)))
                    try layer.write(Self.bytes(UInt8(index + 1), 1024).rawBytes, at: range.lowerBound)
                    try layer.flush()
                    for (range, value) in written {
                        flushed.write(Self.bytes(value, 1024).rawBytes, at: range.lowerBound)
                    }
                    written = []
                }
                try layer.writeZeroes(0..<3 << 20)
                try layer.flush()
                flushed.zero(0..<3 << 20)
                try layer.close()
            } catch { #expect(error.kind == .io) }
            if failing.hasFailed { failures += 1 }
            let reader = try VHDXLayer(reading: MemoryFile(file.contents))
            _ = try reader.census()
            for range in [0..<8 << 20, 4096 << 20..<child.byteCount] as [Range<UInt64>] {
                var expected = flushed.bytes(range)
                let found = try child.bytes(of: reader, range)
                if areEqual(found, expected) { continue }
                // Only what was not flushed may differ.
                for sector in 0..<expected.count / 512 where found[sector * 512] != expected[sector * 512] {
                    let at = range.lowerBound + UInt64(sector * 512)
                    let isNew = written.contains { $0.0.contains(at) && $0.1 == found[sector * 512] }
                    #expect(isNew || at < 3 << 20 && found[sector * 512] == 0, "call \(after), sector at \(at)")
                    expected.replaceSubrange(
                        sector * 512..<sector * 512 + 512, with: found[sector * 512..<sector * 512 + 512])
                }
                #expect(areEqual(found, expected), "call \(after)")
            }
            if !failing.hasFailed { break }
        }
        #expect(failures > 40 && failures < 200)
    }
}
