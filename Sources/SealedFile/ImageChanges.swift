import ByteCodec

/// Where a chunk's ciphertext is.
enum ChunkLocation: Equatable, Sendable {
    /// Where the layout puts it.
    case inPlace
    /// At a position of the journal.
    case journal(UInt64)
}

/// What is to be read where a chunk is wanted.
enum ChunkContents: Sendable {
    case zeros
    case text(HotChunk)
    case sealed(ChunkEntry, ChunkLocation)
}

/// A chunk in memory, as plaintext, that the next commit enciphers. Changed by whoever has the turn to write, under the image's
/// lock, hence unchecked.
final class HotChunk: @unchecked Sendable {
    var text: [UInt8]
    /// Whether the last commit has nothing in the chunk's place, so that it can go there at once.
    let isFree: Bool

    init(_ text: [UInt8], isFree: Bool) { (self.text, self.isFree) = (text, isFree) }
}

/// What was changed since the last commit, and does not count until the next.
struct ImageChanges: Sendable {
    /// Entries at most before a commit comes by itself.
    static let limit = 32_768

    struct Change: Sendable {
        var entry: ChunkEntry
        var location: ChunkLocation
    }
    /// Chunks that are enciphered already, or zeros.
    private(set) var entries: [UInt64: Change] = [:]
    private(set) var hot: [UInt64: HotChunk] = [:]
    private(set) var hotForJournalCount = 0
    /// Pages that the next commit changes and that were not changed before it.
    private(set) var touched: Set<PageID> = []
    /// Pages of all levels below which something was changed.
    private(set) var pages: Set<PageID> = []
    /// Of the disk inside.
    var byteCount: UInt64

    init(byteCount: UInt64) { self.byteCount = byteCount }

    var isEmpty: Bool { entries.isEmpty && hot.isEmpty }
    var count: Int { entries.count + hot.count }

    mutating func set(_ change: Change, _ index: UInt64) {
        prepare(index)
        entries[index] = change
    }

    mutating func set(_ chunk: HotChunk, _ index: UInt64) {
        prepare(index)
        hot[index] = chunk
        if !chunk.isFree { hotForJournalCount += 1 }
    }

    /// Before another change of the chunk.
    private mutating func prepare(_ index: UInt64) {
        var next: PageID? = PageID(ofChunk: index)
        while let id = next, pages.insert(id).inserted { next = id.parent }
        if let old = hot.removeValue(forKey: index), !old.isFree { hotForJournalCount -= 1 }
    }

    mutating func touch(_ pages: some Sequence<PageID>) { touched.formUnion(pages) }

    mutating func removeAll() {
        entries.removeAll(keepingCapacity: true)
        hot.removeAll(keepingCapacity: true)
        touched.removeAll(keepingCapacity: true)
        pages.removeAll(keepingCapacity: true)
        hotForJournalCount = 0
    }
}
