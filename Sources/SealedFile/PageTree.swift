import BlockIO
import ByteCodec

/// The pages as the last commit has them: those that changed since the root block in the file was written, and some others
/// that were read of late. Used under the image's lock only.
///
/// A page is read from its place, or where that is not the one its digest names, from the image of it that a checkpoint put
/// into the journal before it was cut off.
final class PageTree {
    /// Of each of two halves of what is kept of unchanged pages: 4 MiB in all.
    private static let keptCount = 512
    /// Pages that differ from the file's, at most, in memory: a checkpoint comes when they are more.
    static let dirtyLimit = 4096

    private let file: any BlockFile
    private let layout: ImageLayout
    let codes: PageCodes
    var path: String { file.path }
    /// Of the pages of level 2, one behind the other; and as the root block in the file has them.
    private(set) var rootDigests: [UInt8]
    private(set) var dirty: [PageID: ImagePage] = [:]
    private var stale: [[ImagePage]] = [[], [], []]
    private var recent: [PageID: ImagePage] = [:]
    private var older: [PageID: ImagePage] = [:]
    /// Where in the journal images of pages stand, after a checkpoint that was cut off; after several, some of them torn.
    private var images: [PageID: [UInt64]] = [:]

    init(_ file: any BlockFile, _ layout: ImageLayout, _ codes: PageCodes, rootDigests: [UInt8]) {
        (self.file, self.layout, self.codes, self.rootDigests) = (file, layout, codes, rootDigests)
    }

    // MARK: Looking

    /// Nil for a page that is not there, with nothing below it.
    func page(_ id: PageID) throws(IOError) -> ImagePage? {
        if let page = dirty[id] ?? recent[id] { return page }
        if let page = older[id] {
            keep(page)
            return page
        }
        let digest = try self.digest(of: id)
        guard digest != ImagePage.noDigest else { return nil }
        let page = ImagePage(id, bytes: try fileBytes(id, digest: digest), digest: digest)
        keep(page)
        return page
    }

    /// What the last commit says of a chunk.
    func entry(_ index: UInt64) throws(IOError) -> ChunkEntry {
        let id = PageID(ofChunk: index)
        guard let page = try page(id) else { return .absent }
        return page.entry(Int(index % ImageLayout.chunksPerGroup))
    }

    private func digest(of id: PageID) throws(IOError) -> [UInt8] {
        if let parent = id.parent { return try page(parent)?.childDigest(id.slot) ?? ImagePage.noDigest }
        let start = Int(id.number) * ImagePage.digestByteCount
        guard start < rootDigests.count else { return ImagePage.noDigest }
        return Array(rootDigests[start..<start + ImagePage.digestByteCount])
    }

    /// A page of the file, by its digest.
    /// - Throws: `.notAuthentic` where it is neither in its place nor in the journal.
    func fileBytes(_ id: PageID, digest: [UInt8]) throws(IOError) -> [UInt8] {
        let offset = layout.offset(of: id)
        do throws(IOError) {
            let bytes = try file.bytes(at: offset, count: ImageLayout.pageByteCount)
            if codes.isPage(bytes, id, digest: digest) { return bytes }
        } catch {
            guard case .endOfFile = error.reason, images[id] != nil else { throw error }
        }
        for position in images[id] ?? [] {
            let bytes = try JournalRing(file: file, layout: layout).bytes(
                at: position, count: ImageLayout.pageByteCount)
            if codes.isPage(bytes, id, digest: digest) { return bytes }
        }
        throw IOError("reading a page of the sealed image", path: file.path, .notAuthentic, offset: offset)
    }

    func addImage(_ id: PageID, at position: UInt64) { images[id, default: []].append(position) }

    private func keep(_ page: ImagePage) {
        if recent.count >= Self.keptCount {
            older = recent
            recent.removeAll(keepingCapacity: true)
        }
        recent[page.id] = page
    }

    // MARK: Changing

    /// Changes a chunk's entry; `settle` follows.
    func setEntry(_ entry: ChunkEntry, _ index: UInt64) throws(IOError) {
        let page = try pageToChange(PageID(ofChunk: index))
        page.setEntry(entry, Int(index % ImageLayout.chunksPerGroup))
    }

    private func pageToChange(_ id: PageID) throws(IOError) -> ImagePage {
        let page = try page(id) ?? ImagePage(id)
        if !page.isDirty {
            page.isDirty = true
            dirty[id] = page
            (recent[id], older[id]) = (nil, nil)
        }
        if !page.isStale {
            page.isStale = true
            stale[id.level].append(page)
        }
        return page
    }

    /// Brings codes and digests up to date, from below.
    func settle(generation: UInt64) throws(IOError) {
        for level in 0...PageID.topLevel {
            let pages = stale[level]
            stale[level] = []
            for page in pages {
                let digest = codes.finish(page, generation: generation)
                page.digest = digest
                page.isStale = false
                if let parent = page.id.parent {
                    try pageToChange(parent).setChildDigest(digest, page.id.slot)
                } else {
                    setRootDigest(digest, page.id.number)
                }
            }
        }
    }

    private func setRootDigest(_ digest: [UInt8], _ number: UInt64) {
        let start = Int(number) * ImagePage.digestByteCount
        if start >= rootDigests.count {
            rootDigests += [UInt8].zeros(start + ImagePage.digestByteCount - rootDigests.count)
        }
        rootDigests.replaceSubrange(start..<start + ImagePage.digestByteCount, with: digest)
    }

    /// The file has all pages now, and its root block leads to them.
    func becomeClean() {
        for page in dirty.values {
            page.isDirty = false
            page.rootDigest = page.digest
            keep(page)
        }
        dirty.removeAll()
        images.removeAll()
    }
}
