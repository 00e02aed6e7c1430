import ByteCodec

/// Where things stand in a sealed image (docs/formats/sealed-image.md, Regions and Chunks).
///
/// Chunks stand in groups of 84 behind the metadata page that describes them; each 126 groups have a page of digests (level
/// 1) before the first of them, and each 126 of those one more (level 2) before that. So every place is arithmetic, and an
/// image that was never written in some part has nothing there.
struct ImageLayout: Equatable, Sendable {
    static let envelopeOffsets: [UInt64] = [0, 65_536]
    static let envelopeAreaByteCount: UInt64 = 65_536
    static let rootOffsets: [UInt64] = [131_072, 262_144]
    static let journalOffset: UInt64 = 393_216
    static let pageByteCount = 4096
    static let chunksPerGroup: UInt64 = 84
    static let childrenPerPage: UInt64 = 126
    /// Digests of level 2 that a root block has room for.
    static let rootDigestLimit: UInt64 = 4092
    static let journalByteCounts: ClosedRange<UInt64> = 262_144...1_073_741_824
    static let defaultJournalByteCount: UInt64 = 33_554_432

    let chunkByteCount: Int
    let journalByteCount: UInt64

    /// Whether a journal can have this size: whole pages, within bounds, and room for some chunks of the size.
    static func isJournal(_ byteCount: UInt64, chunkByteCount: Int) -> Bool {
        journalByteCounts.contains(byteCount) && byteCount % UInt64(pageByteCount) == 0
            && byteCount / UInt64(chunkByteCount) >= 8
    }

    /// D: where the first page stands.
    var dataOffset: UInt64 { Self.journalOffset + journalByteCount }
    /// How many chunks an image can have.
    static let chunkLimit = rootDigestLimit * childrenPerPage * childrenPerPage * chunksPerGroup
    /// The longest disk, in bytes.
    var byteCountLimit: UInt64 { Self.chunkLimit * UInt64(chunkByteCount) }

    /// Bytes of the pages that stand before the chunks of a group, its own metadata page among them.
    private func pageBytes(before group: UInt64) -> UInt64 {
        let first = group / Self.childrenPerPage
        let second = first / Self.childrenPerPage
        return UInt64(Self.pageByteCount) * ((second + 1) + (first + 1) + (group + 1))
    }

    /// The place of a chunk in the file. Below `chunkLimit` nothing overflows.
    func offset(ofChunk index: UInt64) -> UInt64 {
        dataOffset + pageBytes(before: index / Self.chunksPerGroup) + index * UInt64(chunkByteCount)
    }

    /// The place of a page in the file: the pages of a group come in the order level 2, level 1, metadata page.
    func offset(of page: PageID) -> UInt64 {
        var group = page.number
        for _ in 0..<page.level { group *= Self.childrenPerPage }
        let back = UInt64(page.level + 1) * UInt64(Self.pageByteCount)
        return offset(ofChunk: group * Self.chunksPerGroup) - back
    }
}

/// Which page: metadata pages are of level 0, those with digests of level 1 and 2.
struct PageID: Hashable, Comparable, Sendable {
    static let topLevel = 2
    let level: Int
    let number: UInt64

    init(level: Int, number: UInt64) { (self.level, self.number) = (level, number) }
    /// The metadata page of a chunk.
    init(ofChunk index: UInt64) { self.init(level: 0, number: index / ImageLayout.chunksPerGroup) }

    /// The page with this page's digest; of level 2 the root block has it.
    var parent: PageID? {
        level < Self.topLevel ? PageID(level: level + 1, number: number / ImageLayout.childrenPerPage) : nil
    }
    /// Which of its parent's digests is this page's.
    var slot: Int { Int(number % ImageLayout.childrenPerPage) }

    /// The chunks below this page.
    var chunks: Range<UInt64> {
        var count = ImageLayout.chunksPerGroup
        for _ in 0..<level { count *= ImageLayout.childrenPerPage }
        return number * count..<(number + 1) * count
    }

    static func < (left: PageID, right: PageID) -> Bool { (left.level, left.number) < (right.level, right.number) }
}
