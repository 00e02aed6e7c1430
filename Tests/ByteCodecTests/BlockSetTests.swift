import ByteCodec
import Testing

@Suite struct BlockSetTests {
    @Test func likeAnArray() {
        for blocks in [[], [0], [63], [64], [0, 1, 62, 63, 64, 65, 127, 128, 1000, 1_000_000]] as [[UInt64]] {
            var set = BlockSet()
            for block in blocks { set.append(block) }
            #expect(set.count == UInt64(blocks.count) && set.last == blocks.last)
            for range in [0..<0, 0..<1, 0..<64, 1..<64, 63..<65, 64..<1_000_000, 0..<1_000_001, 5..<2_000_000]
                as [Range<UInt64>]
            {
                var seen: [UInt64] = []
                set.forEach(in: range) { seen.append($0) }
                #expect(seen == blocks.filter(range.contains), "\(blocks), \(range)")
            }
            for block in blocks { #expect(set.contains(block)) }
            #expect(!set.contains(2) && !set.contains(3_000_000))
        }
    }
}
