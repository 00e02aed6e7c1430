import BlockIO
import ByteCodec

/// What a sealed image knows, under its lock: the last commit, and what was changed since.
struct ImageState {
    let tree: PageTree
    var changes: ImageChanges
    /// Of the last commit.
    var generation: UInt64
    var byteCount: UInt64
    var rootDigest: [UInt8]
    /// Chunks of the last commit whose newest version is in the journal, and its position.
    var inJournal: [UInt64: UInt64] = [:]
    /// The journal's positions from which the root block in the file lets records follow, and where the next one goes.
    var tail: UInt64
    var head: UInt64
    /// A checkpoint was cut off, and pages may stand in the journal only, behind its head.
    var mustCheckpoint = false
    /// Of the root block in the file, and which of the two it is.
    var rootSequence: UInt64
    var rootSlot: Int

    var isChanged: Bool { !changes.isEmpty || changes.byteCount != byteCount }

    func contents(_ index: UInt64) throws(IOError) -> ChunkContents {
        if let chunk = changes.hot[index] { return .text(chunk) }
        if let change = changes.entries[index] {
            return change.entry.state == .data ? .sealed(change.entry, change.location) : .zeros
        }
        let entry = try tree.entry(index)
        switch entry.state {
        case .data: return .sealed(entry, inJournal[index].map { .journal($0) } ?? .inPlace)
        case .absent, .zero: return .zeros
        case nil: throw IOError("reading an entry of the sealed image", path: tree.path, .notAuthentic)
        }
    }

    /// Whether the last commit has nothing in a chunk's place.
    func isFree(_ index: UInt64) throws(IOError) -> Bool { try tree.entry(index).state != .data }

    func isData(_ index: UInt64) throws(IOError) -> Bool {
        if case .zeros = try contents(index) { false } else { true }
    }

    /// Passes over what was never written.
    /// - Returns: `index`, or where its page, or one above that, is not there, the first chunk behind that page's.
    func chunkPastAbsence(_ index: UInt64) throws(IOError) -> UInt64 {
        for level in [2, 1, 0] {
            var id = PageID(ofChunk: index)
            while id.level < level, let parent = id.parent { id = parent }
            if !changes.pages.contains(id), try tree.page(id) == nil { return id.chunks.upperBound }
        }
        return index
    }

    /// Pages above a chunk, with its own, that the next commit would be the first to change.
    func untouchedPages(_ index: UInt64) -> [PageID] {
        var result: [PageID] = []
        var next: PageID? = PageID(ofChunk: index)
        while let id = next {
            if tree.dirty[id] == nil, !changes.touched.contains(id) { result.append(id) }
            next = id.parent
        }
        return result
    }

    /// Whether a change of so many more chunks leaves room in the journal for the commit, and behind it for images of all
    /// pages that a checkpoint then overwrites.
    func hasRoom(
        _ layout: ImageLayout, chunks: Int, forJournal: Int, pages: Int
    ) -> Bool {
        let entryCount = changes.count + chunks
        let pageCount = tree.dirty.count + changes.touched.count + pages
        guard entryCount <= ImageChanges.limit, pageCount <= PageTree.dirtyLimit else { return false }
        let payload = UInt64((changes.hotForJournalCount + forJournal) * layout.chunkByteCount)
        let images = UInt64(pageCount * ImageLayout.pageByteCount)
        let needed =
            JournalRecord.headByteCount(changes: entryCount) + payload + JournalRecord.headByteCount(pages: pageCount)
            + images
        return needed <= layout.journalByteCount - (head - tail)
    }
}
