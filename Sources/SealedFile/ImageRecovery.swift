import BlockIO
import ByteCodec
import DiskModel

/// Brings an image's state up to the last commit: from the newest root block, by the records of the journal, in memory only.
struct ImageRecovery {
    private let file: any BlockFile
    private let keys: ContainerKeys
    private let containerID: [UInt8]
    let layout: ImageLayout
    private(set) var state: ImageState
    /// Where an anchor's generation was passed, its root digest.
    private var passed: [UInt8]?
    private let anchor: Anchor?

    /// - Throws: `.format` SEAL009 without a root block; `.key` for contents that are not what was committed, and for those an
    ///   anchor does not fit; `.io`, also for a file that was cut.
    init(
        _ file: any BlockFile, _ envelope: Envelope, _ keys: ContainerKeys, anchor: Anchor?
    ) throws(DiskError) {
        (self.file, self.keys, self.anchor, containerID) = (file, keys, anchor, envelope.containerID)
        let (root, slot) = try Self.newestRoot(file, keys, envelope.chunkByteCount)
        layout = ImageLayout(chunkByteCount: envelope.chunkByteCount, journalByteCount: root.head.journalByteCount)
        let codes = PageCodes(keys, containerID: envelope.containerID)
        state = ImageState(
            tree: PageTree(file, layout, codes, rootDigests: root.digests),
            changes: ImageChanges(byteCount: root.head.byteCount), generation: root.head.generation,
            byteCount: root.head.byteCount,
            rootDigest: codes.rootDigest(
                byteCount: root.head.byteCount, generation: root.head.generation, digests: root.digests),
            tail: root.head.journalTail, head: root.head.journalTail, rootSequence: root.head.sequence, rootSlot: slot)
        do throws(IOError) {
            try checkLength(root)
            try readJournal()
            try checkTop()
        } catch { throw DiskError(error, doing: "reading the journal of the sealed image") }
        try anchor?.check(containerID: containerID, generation: state.generation, rootDigest: passed, path: file.path)
    }

    private static func newestRoot(
        _ file: any BlockFile, _ keys: ContainerKeys, _ chunkByteCount: Int
    ) throws(DiskError) -> (RootBlock, Int) {
        var newest: (root: RootBlock, slot: Int)?
        for (slot, offset) in ImageLayout.rootOffsets.enumerated() {
            // One that cannot be read is none; the other is as good.
            guard let root = RootBlock(file, at: offset, keys, chunkByteCount: chunkByteCount),
                root.head.sequence > newest?.root.head.sequence ?? 0
            else { continue }
            newest = (root, slot)
        }
        guard let newest else {
            throw DiskError(
                FormatError(
                    .sealedRoot, field: "RootBlock", offset: ImageLayout.rootOffsets[0], "is not valid in either copy",
                    section: "Root block"),
                path: file.path, doing: "reading the root block", hint: "bring the file back from a copy")
        }
        return (newest.root, newest.slot)
    }

    private func checkLength(_ root: RootBlock) throws(IOError) {
        let count = try file.byteCount()
        guard count >= max(root.head.fileByteCount, layout.dataOffset) else {
            throw IOError("reading the sealed image", path: file.path, .endOfFile(byteCount: count))
        }
    }

    /// Checks all pages of level 2: a root block that somebody put back shows here. Where there is none, its place has never
    /// been written.
    private func checkTop() throws(IOError) {
        let end = try file.byteCount()
        for number in 0..<ImageLayout.rootDigestLimit {
            let id = PageID(level: PageID.topLevel, number: number)
            let offset = layout.offset(of: id)
            guard offset < end || number < state.tree.rootDigests.count / ImagePage.digestByteCount else { return }
            guard try state.tree.page(id) == nil else { continue }
            guard try file.isZero(offset..<offset + UInt64(ImageLayout.pageByteCount)) else {
                throw IOError("reading a page of the sealed image", path: file.path, .notAuthentic, offset: offset)
            }
        }
    }

    // MARK: Journal

    /// Twice: images of pages stand behind the commits whose replay may need them.
    private mutating func readJournal() throws(IOError) {
        let tree = state.tree
        try walkJournal { record throws(IOError) in
            guard case .pages(let pages) = record.body else { return }
            for (number, page) in pages.enumerated() where tree.images[page] == nil {
                tree.images[page] = record.payloadPosition + UInt64(number * ImageLayout.pageByteCount)
            }
        }
        notePassed()
        try walkJournal { record throws(IOError) in
            // What a record of pages at the end began is done again, in the same room.
            state.mustCheckpoint = !record.isCommit
            guard case .commit(let changes) = record.body else { return }
            try replay(changes, record)
            state.head = record.end
            notePassed()
        }
    }

    /// Visits the records from the tail on, each of which continues the one before it by generation and root digest.
    private func walkJournal(_ visit: (JournalRecord) throws(IOError) -> Void) throws(IOError) {
        let ring = JournalRing(file: file, layout: layout)
        var (position, generation, digest) = (state.tail, state.generation, state.rootDigest)
        while true {
            let room = layout.journalByteCount - (position - state.tail)
            var failure: IOError?
            let found = JournalRecord(at: position, room: room, keys) { position, count in
                do throws(IOError) { return try ring.bytes(at: position, count: count) } catch {
                    failure = error
                    return .zeros(count)
                }
            }
            if let failure { throw failure }
            guard let record = found, record.head.previousRootDigest == digest,
                record.head.generation == generation + (record.isCommit ? 1 : 0)
            else { return }
            try visit(record)
            (position, generation, digest) = (record.end, record.head.generation, record.head.rootDigest)
        }
    }

    private mutating func replay(_ changes: [JournalRecord.Change], _ record: JournalRecord) throws(IOError) {
        guard record.head.byteCount <= layout.byteCountLimit else { throw notAuthentic(record) }
        for change in changes { try replay(change, record) }
        try finish(record)
    }

    private mutating func replay(_ change: JournalRecord.Change, _ record: JournalRecord) throws(IOError) {
        let group = change.index - change.index % ImageLayout.chunksPerGroup
        guard change.index < ImageLayout.chunkLimit else { throw notAuthentic(record) }
        switch change.entry.state {
        case .data:
            if change.place == JournalRecord.Change.inPlace {
                state.inJournal[change.index] = nil
            } else {
                guard change.place >= record.payloadPosition, change.place <= record.end,
                    record.end - change.place >= UInt64(layout.chunkByteCount)
                else { throw notAuthentic(record) }
                state.inJournal[change.index] = change.place
            }
            try state.tree.setEntry(change.entry, change.index)
        case .zero:
            guard change.place > 0, change.place <= group + ImageLayout.chunksPerGroup - change.index else {
                throw notAuthentic(record)
            }
            for index in change.index..<change.index + change.place {
                state.inJournal[index] = nil
                try state.tree.setEntry(change.entry, index)
            }
        case .absent, nil: throw notAuthentic(record)
        }
        guard state.tree.dirty.count <= 2 * PageTree.dirtyLimit else { throw notAuthentic(record) }
    }

    private mutating func finish(_ record: JournalRecord) throws(IOError) {
        try state.tree.settle(generation: record.head.generation)
        let digest = state.tree.codes.rootDigest(
            byteCount: record.head.byteCount, generation: record.head.generation, digests: state.tree.rootDigests)
        guard digest == record.head.rootDigest else { throw notAuthentic(record) }
        (state.generation, state.byteCount, state.rootDigest) = (record.head.generation, record.head.byteCount, digest)
        state.changes.byteCount = record.head.byteCount
    }

    private func notAuthentic(_ record: JournalRecord) -> IOError {
        IOError(
            "reading the journal", path: file.path, .notAuthentic,
            offset: ImageLayout.journalOffset + record.head.position % layout.journalByteCount)
    }

    // MARK: Anchor

    private mutating func notePassed() {
        if let anchor, anchor.generation == state.generation { passed = state.rootDigest }
    }
}
