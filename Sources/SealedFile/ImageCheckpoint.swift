import BlockIO
import ByteCodec
import Glibc
import Synchronization

extension SealedImage {
    /// Steps 5 to 9. Only behind a commit: what is in memory of pages is what was committed.
    func checkpoint(_ writing: inout Writing) throws(IOError) {
        guard writing.access == .writing else { throw refusal("checkpoint") }
        guard state.withLock({ $0.head != $0.tail }) else { return }
        try checkCounts()
        writing.access = .failed
        let pages = state.withLock { state in state.tree.dirty.values.map(DirtyPage.init).sorted { $0.id < $1.id } }
        let end = try saveImages(pages.filter { $0.rootDigest != ImagePage.noDigest })
        try copyChunks()
        for page in pages { try file.write(page.bytes, at: layout.offset(of: page.id)) }
        try file.sync()
        try writeRoot(journalTail: end)
        try writeRoot(journalTail: end)
        state.withLock { $0.finishCheckpoint(end) }
        writing.access = .writing
    }

    /// Root blocks whose numbers no reader takes would lose what they lead to. Only who makes an image that begins with such
    /// numbers brings it here; its journal keeps what was committed.
    private func checkCounts() throws(IOError) {
        let (tail, sequence) = state.withLock { ($0.tail, $0.rootSequence) }
        guard tail < RootHead.countLimit - layout.journalByteCount, sequence < RootHead.countLimit - 2 else {
            throw IOError("checkpoint", path: path, .errno(EOVERFLOW))
        }
    }

    /// Step 5.
    /// - Returns: the journal's position behind it.
    private func saveImages(_ pages: [DirtyPage]) throws(IOError) -> UInt64 {
        guard !pages.isEmpty else { return state.withLock { $0.head } }
        let record = state.withLock { state in
            var record = JournalRecord(
                position: state.head, generation: state.generation, byteCount: state.byteCount,
                payloadByteCount: UInt64(pages.count * ImageLayout.pageByteCount), .pages(pages.map(\.id)))
            (record.head.previousRootDigest, record.head.rootDigest) = (state.rootDigest, state.rootDigest)
            return record
        }
        try checkRoom(upTo: record.end)
        try ring.write(record.bytes(keys).rawBytes, at: record.head.position)
        var position = record.payloadPosition
        for page in pages {
            let bytes = try state.withLock { (state) throws(IOError) in
                try state.tree.fileBytes(page.id, digest: page.rootDigest)
            }
            try ring.write(bytes.rawBytes, at: position)
            position += UInt64(bytes.count)
        }
        try file.sync()
        return record.end
    }

    /// Of step 6: chunks that are in the journal, to their places.
    private func copyChunks() throws(IOError) {
        let chunks = state.withLock { state in state.inJournal.sorted { $0.key < $1.key } }
        let buffer = IOBuffer(byteCount: ChunkBatch.byteCount)
        let capacity = ChunkBatch.byteCount / chunkByteCount
        for start in stride(from: 0, to: chunks.count, by: capacity) {
            let part = chunks[start..<min(chunks.count, start + capacity)]
            for (place, chunk) in part.enumerated() {
                let range = place * chunkByteCount..<(place + 1) * chunkByteCount
                try buffer.withMutableBytes(range) { (bytes) throws(IOError) in
                    try ring.read(into: &bytes, at: chunk.value)
                }
            }
            try forEachRun(of: part.map(\.key), layout) { (places, offset) throws(IOError) in
                let range = places.lowerBound * chunkByteCount..<places.upperBound * chunkByteCount
                try file.write(buffer.bytes(range), at: offset)
            }
        }
    }

    /// Step 7, for the older root block, or 8, for the other.
    private func writeRoot(journalTail: UInt64) throws(IOError) {
        let fileByteCount = try file.byteCount()
        let (root, slot) = state.withLock { state in
            var root = RootBlock(of: state, layout)
            (root.head.journalTail, root.head.fileByteCount) = (journalTail, fileByteCount)
            return (root, 1 - state.rootSlot)
        }
        try file.write(root.bytes(keys), at: ImageLayout.rootOffsets[slot])
        try file.sync()
        state.withLock { state in (state.rootSequence, state.rootSlot) = (root.head.sequence, slot) }
    }
}

extension RootBlock {
    /// The next one, for what is in memory.
    fileprivate init(of state: ImageState, _ layout: ImageLayout) {
        self.init()
        head.sequence = state.rootSequence + 1
        head.generation = state.generation
        head.byteCount = state.byteCount
        head.journalByteCount = layout.journalByteCount
        digests = state.tree.rootDigests
    }
}

extension ImageState {
    /// Everything is in its place, and both root blocks lead there.
    fileprivate mutating func finishCheckpoint(_ end: UInt64) {
        (tail, head, mustCheckpoint) = (end, end, false)
        inJournal.removeAll(keepingCapacity: true)
        tree.becomeClean()
    }
}

/// A page to be written, as a value: bytes are shared until they change.
private struct DirtyPage: Sendable {
    let id: PageID
    let bytes: [UInt8]
    let rootDigest: [UInt8]

    init(_ page: ImagePage) { (id, bytes, rootDigest) = (page.id, page.bytes, page.rootDigest) }
}
