import ByteCodec
import Testing

@testable import SealedFile

@Suite struct ImageLayoutTests {
    let layout = ImageLayout(chunkByteCount: 16_384, journalByteCount: 33_554_432)

    /// A chunk, the pages before it, and the chunks before it.
    typealias Place = (index: UInt64, pages: UInt64, chunks: UInt64)

    /// By hand. The second page of level 1 comes before group 126, the second of level 2 before group 15876.
    static let places: [Place] = [
        (0, 3, 0), (1, 3, 1), (83, 3, 83), (84, 4, 84), (10_500, 128, 10_500), (10_583, 128, 10_583),
        (10_584, 130, 10_584), (10_668, 131, 10_668), (1_333_583, 16_003, 1_333_583), (1_333_584, 16_006, 1_333_584),
        (2_667_168, 32_009, 2_667_168),
    ]

    @Test(arguments: places) func chunks(place: Place) {
        let expected: UInt64 = 393_216 + 33_554_432 + place.pages * 4096 + place.chunks * 16_384
        #expect(layout.offset(ofChunk: place.index) == expected)
    }

    @Test func pagesStandBeforeTheirFirstChunk() {
        let start = layout.dataOffset
        #expect(layout.offset(of: PageID(level: 2, number: 0)) == start)
        #expect(layout.offset(of: PageID(level: 1, number: 0)) == start + 4096)
        #expect(layout.offset(of: PageID(level: 0, number: 0)) == start + 8192)
        #expect(layout.offset(of: PageID(level: 0, number: 1)) == layout.offset(ofChunk: 83) + 16_384)
        let group = layout.offset(ofChunk: 84 * 126 * 126)
        #expect(layout.offset(of: PageID(level: 0, number: 126 * 126)) == group - 4096)
        #expect(layout.offset(of: PageID(level: 1, number: 126)) == group - 8192)
        #expect(layout.offset(of: PageID(level: 2, number: 1)) == group - 12_288)
        #expect(layout.offset(ofChunk: 84 * 126 * 126 - 1) + 16_384 == group - 12_288)
    }

    /// Nothing overlaps, and nothing is left over, at every border of the first levels.
    @Test(arguments: [4096, 16_384, 65_536]) func everythingAdjoins(chunk: Int) {
        let layout = ImageLayout(chunkByteCount: chunk, journalByteCount: 1 << 20)
        var next = layout.dataOffset
        for group in UInt64(0)..<400 {
            for level in [2, 1, 0] {
                let span: UInt64 = [1, 126, 126 * 126][level]
                guard group % span == 0 else { continue }
                #expect(layout.offset(of: PageID(level: level, number: group / span)) == next)
                next += 4096
            }
            for index in PageID(level: 0, number: group).chunks {
                #expect(layout.offset(ofChunk: index) == next)
                next += UInt64(chunk)
            }
        }
    }

    @Test func limits() {
        #expect(ImageLayout.chunkLimit == 4092 * 126 * 126 * 84)
        let largest = ImageLayout(chunkByteCount: 65_536, journalByteCount: 1 << 30)
        #expect(largest.offset(ofChunk: ImageLayout.chunkLimit) < UInt64(Int64.max))
        #expect(!ImageLayout.isJournal(262_144, chunkByteCount: 65_536))
        #expect(ImageLayout.isJournal(524_288, chunkByteCount: 65_536))
        #expect(!ImageLayout.isJournal(262_144 + 512, chunkByteCount: 4096))
        #expect(!ImageLayout.isJournal(1 << 31, chunkByteCount: 4096))
    }

    @Test func structuresHaveTheirSizes() {
        let (root, record) = (RootHead().serialized(), RecordHead().serialized())
        #expect(root.count == RootHead.byteCount && record.count == RecordHead.byteCount)
    }

    @Test func anchorText() throws {
        let anchor = Anchor(containerID: Array(0..<16), generation: 77, rootDigest: Array(100..<132))
        let text = anchor.description
        let digest = (100..<132).map { String($0, radix: 16) }.joined()
        #expect(text == "sealed1:000102030405060708090a0b0c0d0e0f:77:\(digest)")
        #expect(Anchor(text) == anchor)
        for other in [
            "", "sealed1", text + ":", text + "0", "sealed2" + text.dropFirst(7), text.replacing("77", with: "-7"),
        ] {
            #expect(Anchor(other) == nil, "\(other)")
        }
        #expect(Anchor(text.replacing("77", with: "72057594037927936")) == nil)
        #expect(Anchor(text.replacing("0001", with: "+1-1")) == nil)
    }
}
