import BlockIO
import ByteCodec
import Cipher
import Digest

@testable import SealedFile

/// Changes a sealed image that was closed, and makes the digests and codes above the change right again, as only who holds the
/// keys of the pages can. So one check alone is left to refuse the change.
struct ImageForger {
    let keys: ContainerKeys
    let containerID: [UInt8]
    let layout: ImageLayout
    var contents: MemoryFile.Contents

    init(_ image: SealedImage, _ contents: MemoryFile.Contents) {
        (keys, containerID, layout) = (image.keys, image.envelope.containerID, image.layout)
        self.contents = contents
    }

    func page(_ id: PageID) -> [UInt8] {
        let start = layout.offset(of: id)
        return contents.bytes(start..<start + UInt64(ImageLayout.pageByteCount))
    }

    /// - Parameter code: a page's code; nil for the right one.
    mutating func setPage(_ id: PageID, _ page: [UInt8], code: [UInt8]? = nil) {
        var page = page
        page.replaceSubrange(0..<32, with: code ?? self.code(of: page, id))
        contents.write(page.rawBytes, at: layout.offset(of: id))
        let digest = Digest.hash(.sha256, page.rawBytes)
        guard let parent = id.parent else { return setRootDigest(digest, id.number) }
        var above = self.page(parent)
        let start = ImagePage.headByteCount + id.slot * ImagePage.digestByteCount
        above.replaceSubrange(start..<start + ImagePage.digestByteCount, with: digest)
        setPage(parent, above)
    }

    /// HMAC-SHA-256 over what follows the code, the container's id, the level and the number.
    private func code(of page: [UInt8], _ id: PageID) -> [UInt8] {
        var place = [UInt8].zeros(16)
        var raw = place.mutableRawBytes
        raw.store(UInt64(id.level), at: 0, .little)
        raw.store(id.number, at: 8, .little)
        let covered = Array(page[32...]) + containerID + place
        return HMACSHA256.code(covered.rawBytes, key: keys.pageKey.bytes)
    }

    private mutating func setRootDigest(_ digest: [UInt8], _ number: UInt64) {
        changeRoots { root in
            let start = Int(number) * ImagePage.digestByteCount
            root.digests.replaceSubrange(start..<start + ImagePage.digestByteCount, with: digest)
        }
    }

    /// Changes both root blocks, under right codes.
    mutating func changeRoots(_ change: (inout RootBlock) -> Void) {
        let file = MemoryFile(contents)
        for offset in ImageLayout.rootOffsets {
            guard var root = RootBlock(file, at: offset, keys, chunkByteCount: layout.chunkByteCount) else { continue }
            change(&root)
            contents.write(root.bytes(keys).rawBytes, at: offset)
        }
    }

    func entry(_ index: UInt64) -> [UInt8] {
        let start = entryStart(index)
        return Array(page(PageID(ofChunk: index))[start..<start + ChunkEntry.byteCount])
    }

    mutating func setEntry(_ index: UInt64, _ entry: [UInt8]) {
        var page = page(PageID(ofChunk: index))
        let start = entryStart(index)
        page.replaceSubrange(start..<start + ChunkEntry.byteCount, with: entry)
        setPage(PageID(ofChunk: index), page)
    }

    private func entryStart(_ index: UInt64) -> Int {
        ImagePage.headByteCount + Int(index % ImageLayout.chunksPerGroup) * ChunkEntry.byteCount
    }

    func chunk(_ index: UInt64) -> [UInt8] {
        let start = layout.offset(ofChunk: index)
        return contents.bytes(start..<start + UInt64(layout.chunkByteCount))
    }

    mutating func setChunk(_ index: UInt64, _ bytes: [UInt8]) {
        contents.write(bytes.rawBytes, at: layout.offset(ofChunk: index))
    }

    /// The records of the journal from its start on, as they stand in the file.
    func records() -> [JournalRecord] {
        let ring = JournalRing(file: MemoryFile(contents), layout: layout)
        var (records, position): ([JournalRecord], UInt64) = ([], 0)
        while let record = try? JournalRecord(
            at: position, room: layout.journalByteCount - position, keys, read: { try ring.bytes(at: $0, count: $1) })
        {
            records.append(record)
            position = record.end
        }
        return records
    }

    /// Puts a record in its place, under a right code.
    mutating func setRecord(_ record: JournalRecord) {
        contents.write(record.bytes(keys).rawBytes, at: ImageLayout.journalOffset + record.head.position)
    }
}
