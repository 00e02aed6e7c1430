import ByteCodec
import DiskModel
import FaultInjection
import Synchronization
import Testing

@testable import ImageChain

/// What a child must hold to look the same over another parent, for chains in random shapes, against the plain model.
@Suite struct ParentDifferenceTests {
    static let seeds: [UInt64] = [1, 2, 3, UInt64.random(in: 0 ... .max)]

    private struct Case {
        var child: RandomLayer
        var old: [RandomLayer]
        var new: [RandomLayer]
    }

    /// A new parent that has nothing to do with the old one, stands on it, or is one of its parents.
    private func makeCase(_ random: inout SplitMix, sectors: ClosedRange<Int> = 1...80) throws -> Case {
        let sector = Bool.random(using: &random) ? 512 : 4096
        func layers(_ depth: Int) throws -> [RandomLayer] {
            try (0..<depth).map { level in
                try RandomLayer(
                    sectors: Int.random(in: sectors, using: &random), sectorByteCount: sector,
                    hasParent: level < depth - 1, using: &random)
            }
        }
        let child = try RandomLayer(
            sectors: Int.random(in: sectors, using: &random), sectorByteCount: sector,
            blockByteCount: UInt64(sector) << UInt64.random(in: 0...4, using: &random), hasParent: true, using: &random)
        let old = try layers(Int.random(in: 1...3, using: &random))
        let extra = try RandomLayer(
            sectors: Int.random(in: sectors, using: &random), sectorByteCount: sector, hasParent: true, using: &random)
        let new = [try layers(2), [extra] + old, Array(old.suffix(1)), old].randomElement(using: &random)!
        return Case(child: child, old: old, new: new)
    }

    private func run(_ test: Case, writes: Bool) throws -> HeldByteCount {
        let (child, old) = (test.child, try ImageChain(leafFirst: test.old))
        var difference = ParentDifference(of: child, from: old, to: try ImageChain(leafFirst: test.new))
        return try difference.run(
            copy: { (offset, bytes) throws(DiskError) in if writes { try child.write(bytes, at: offset) } },
            zero: { (range) throws(DiskError) in if writes { try child.writeZeroes(range) } }, progress: { _, _ in })
    }

    private func expectSame(_ test: Case, _ note: Comment) throws {
        let (child, sector) = (test.child, Int(test.child.sector))
        let expected = try expectedContents([child] + test.old)
        let over = try expectedContents([child] + test.new)
        let before = child.state.withLock { $0.sources }
        let planned = try run(test, writes: false)
        #expect(child.state.withLock { $0.sources } == before, note)
        let held = try run(test, writes: true)
        #expect(held == planned, note)
        try #require(try expectedContents([child] + test.new) == expected, note)

        // No more than needed.
        let after = child.state.withLock { $0.sources }
        func bytes(_ contents: [UInt8], _ index: Int) -> [UInt8] {
            Array(contents[index * sector..<(index + 1) * sector])
        }
        func differs(_ index: Int) -> Bool { bytes(expected, index) != bytes(over, index) }
        let perBlock = Int(child.geometry.blockByteCount ?? child.sector) / sector
        var count = HeldByteCount()
        for index in after.indices where after[index] != before[index] {
            #expect(before[index] == .parent, note)
            if after[index] == .zero {
                count.zeroed += UInt64(sector)
                let block = index / perBlock * perBlock..<min(after.count, (index / perBlock + 1) * perBlock)
                #expect(ByteCodec.isZero(bytes(expected, index).rawBytes) && block.contains(where: differs), note)
            } else {
                count.copied += UInt64(sector)
                #expect(differs(index) && !ByteCodec.isZero(bytes(expected, index).rawBytes), note)
            }
        }
        #expect(count == held, note)
        // Nothing is left to do, which is what makes running it again safe.
        #expect(try run(test, writes: true) == HeldByteCount(), note)
    }

    @Test(arguments: seeds) func keepsContents(_ seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        for round in 0..<60 { try expectSame(try makeCase(&random), "seed \(seed), round \(round)") }
    }

    /// Pieces of the comparison end inside of runs.
    @Test(arguments: seeds.prefix(2)) func longDisks(_ seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        try expectSame(try makeCase(&random, sectors: 600...1300), "seed \(seed)")
    }

    // MARK: Zeros

    private func zeroed(_ block: UInt64, _ adds: [(Range<UInt64>, Bool)]) -> [Range<UInt64>] {
        var stretch = ZeroStretch(blockByteCount: block)
        var result: [Range<UInt64>] = []
        for (range, isNeeded) in adds { stretch.add(range, isNeeded: isNeeded) { result.append($0) } }
        stretch.finish { result.append($0) }
        return result
    }

    @Test func wholeBlocksOfZeros() {
        #expect(zeroed(8, [(0..<2, false), (2..<3, true), (3..<40, false)]) == [0..<8])
        #expect(zeroed(8, [(0..<30, false), (30..<31, true), (31..<90, false)]) == [24..<32])
        #expect(zeroed(8, [(4..<20, true)]) == [4..<8, 8..<16, 16..<20])
        #expect(zeroed(8, [(0..<4, true), (5..<8, false)]) == [0..<4])
        #expect(zeroed(8, [(0..<1 << 40, false)]) == [])
        #expect(zeroed(1 << 63, [(0..<512, false), (512..<1 << 63, true)]) == [0..<1 << 63])
        let end = UInt64.max - 511
        #expect(zeroed(512, [(end - 512..<end, true)]) == [end - 512..<end])
    }
}
