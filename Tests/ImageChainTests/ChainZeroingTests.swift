import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Synchronization
import Testing

@testable import ImageChain

/// Zeroing through a chain: right everywhere, and nothing done in the leaf where there is nothing to hide.
@Suite struct ChainZeroingTests {
    static let seeds: [UInt64] = [1, 2, 3, 4, UInt64.random(in: 0 ... .max)]

    /// Which sectors a range touches in a leaf, block by block: those of blocks in which the chain stores something.
    private func expectedSectors(_ chain: ImageChain, _ range: Range<UInt64>, unit: UInt64) throws -> Set<UInt64> {
        let sector = UInt64(chain.geometry.logicalSectorByteCount)
        var result: Set<UInt64> = []
        var start = range.lowerBound
        while start < range.upperBound {
            let end = min(range.upperBound, (start / unit + 1) * unit)
            let runs = try chain.extents(in: start..<end, limit: .max)
            if !runs.allSatisfy({ $0.extent.source == .zero || $0.extent.source == .hole }) {
                result.formUnion(start / sector..<end / sector)
            }
            start = end
        }
        return result
    }

    @Test(arguments: seeds) func touchesOnlyWhatStoresSomething(_ seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        for round in 0..<40 {
            let blocks: UInt64? = [nil, 512, 2048, 8192].randomElement(using: &random)!
            let leaf = try RandomLayer(
                sectors: Int.random(in: 1...120, using: &random), blockByteCount: blocks, hasParent: true,
                using: &random)
            let middle = try RandomLayer(
                sectors: Int.random(in: 1...120, using: &random), hasParent: true, using: &random)
            // Often smaller than the leaf: what lies behind its end is zero.
            let base = try RandomLayer(
                sectors: Int.random(in: 1...120, using: &random), hasParent: false, using: &random)
            let chain = try ImageChain(leafFirst: [leaf, middle, base], writableLeaf: leaf)
            var model = try expectedContents([leaf, middle, base])
            let count = leaf.geometry.virtualByteCount / 512
            let first = UInt64.random(in: 0..<count, using: &random)
            let range = first * 512..<UInt64.random(in: first...count, using: &random) * 512
            let before = leaf.state.withLock { $0.sources }
            let wanted = try expectedSectors(chain, range, unit: blocks ?? 512)
            try chain.writeZeroes(range)
            let note: Comment = "seed \(seed), round \(round), \(range), blocks \(String(describing: blocks))"
            let after = leaf.state.withLock { $0.sources }
            for index in after.indices where !wanted.contains(UInt64(index)) {
                try #require(after[index] == before[index], note)
            }
            for index in wanted { try #require(after[Int(index)] == .zero, note) }
            model.replaceSubrange(
                Int(range.lowerBound)..<Int(range.upperBound),
                with: [UInt8].zeros(Int(range.upperBound - range.lowerBound)))
            try #require(try chain.bytes(at: 0, count: model.count) == model, note)
        }
    }

    /// Parts of sectors, too, are left alone where nothing is stored.
    @Test func partsOfSectorsOverEmptySpace() throws {
        let leaf = EmptyLayer(byteCount: 1 << 20, hasParent: true)
        let chain = try ImageChain(
            leafFirst: [leaf, EmptyLayer(byteCount: 4096, hasParent: false)], writableLeaf: leaf)
        for range in [0..<1, 100..<200, 511..<513, 4000..<5000, 1023..<1 << 20] as [Range<UInt64>] {
            try chain.writeZeroes(range)
        }
        #expect(leaf.writes == [])
    }

    /// A discard of 64 TiB that nobody ever wrote does nothing, and is soon done.
    @Test func hugeDiscard() throws {
        let size: UInt64 = 64 << 40
        let leaf = EmptyLayer(byteCount: size, hasParent: true)
        let middle = EmptyLayer(byteCount: size / 2, hasParent: true)
        let layers = [leaf, middle, EmptyLayer(byteCount: 512, hasParent: false)]
        let chain = try ImageChain(leafFirst: layers, writableLeaf: leaf)
        try chain.writeZeroes(0..<size)
        #expect(leaf.writes == [])
        #expect(leaf.askedCount < 10)
    }

    /// A layer alone knows best: it is asked for the whole range.
    @Test func withoutParentTheLeafDecides() throws {
        let leaf = EmptyLayer(byteCount: 1 << 20, hasParent: false)
        let chain = try ImageChain(leafFirst: [leaf], writableLeaf: leaf)
        try chain.writeZeroes(512..<8192)
        #expect(leaf.writes == [512..<8192])
    }
}

/// A layer that stores nothing, and notes what it is told to write.
private final class EmptyLayer: WritableDiskLayer {
    let file: any BlockFile = MemoryFile()
    let format = ImageFormat.raw
    let type = ImageType.dynamic
    let geometry: DiskGeometry
    let identity = DiskIdentity(format: .raw, id: .zero)
    let parentLink: ParentLink?
    let findings: [Finding] = []
    let hasReplayedLog = false
    private let state = Mutex((writes: [Range<UInt64>](), asked: 0))

    init(byteCount: UInt64, hasParent: Bool) {
        geometry = DiskGeometry(virtualByteCount: byteCount, blockByteCount: 1 << 20)
        parentLink = hasParent ? ParentLink(identities: [], locators: []) : nil
    }

    var writes: [Range<UInt64>] { state.withLock { $0.writes } }
    var askedCount: Int { state.withLock { $0.asked } }

    func extents(in range: Range<UInt64>, limit: Int) throws(DiskError) -> [Extent] {
        try checkRange(range)
        state.withLock { $0.asked += 1 }
        return [
            Extent(
                offset: range.lowerBound, byteCount: range.upperBound - range.lowerBound,
                source: parentLink == nil ? .hole : .parent)
        ]
    }

    func write(_ bytes: RawSpan, at offset: UInt64) throws(DiskError) {
        let range = offset..<offset + UInt64(bytes.byteCount)
        state.withLock { $0.writes.append(range) }
    }
    func write(_ range: Range<UInt64>, by move: PayloadMove) throws(DiskError) {
        state.withLock { $0.writes.append(range) }
    }
    func writeZeroes(_ range: Range<UInt64>) throws(DiskError) { state.withLock { $0.writes.append(range) } }
    func flush() throws(DiskError) {}
    func close() throws(DiskError) {}
}
