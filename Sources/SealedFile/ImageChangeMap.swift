import BlockIO
import ByteCodec
public import DiskModel
import Synchronization

extension SealedImage {
    /// Visits what commits behind an anchor's changed, up to the last commit: whole chunks as far as the disk goes, in order,
    /// runs that touch each other as one. Outside of them the disk is what it was at the anchor, cut or lengthened with zeros to
    /// its length now. Takes time by what was changed, and no memory to speak of.
    ///
    /// The anchor must be of this file's own history. One of an older commit is compared with it while the journal still has
    /// that commit, by opening with the anchor; a file that went another way since an older copy was put back cannot be told
    /// afterwards.
    /// - Throws: `.key` for another container's anchor, one that is newer than the file, or one of the last commit with other
    ///   contents, and for pages that are not authentic; `.io`; what `body` throws.
    public func forEachChangedRange(
        since anchor: Anchor, _ body: (Range<UInt64>) throws(DiskError) -> Void
    ) throws(DiskError) {
        let current = self.anchor
        try anchor.check(
            containerID: current.containerID, generation: current.generation,
            rootDigest: anchor.generation == current.generation ? current.rootDigest : nil, path: path)
        var run: Range<UInt64>?
        var index: UInt64 = 0
        while let next = try changedChunks(from: index, since: anchor.generation) {
            index = next.upperBound
            if let last = run, last.upperBound == next.lowerBound {
                run = last.lowerBound..<next.upperBound
                continue
            }
            if let run { try visit(run, body) }
            run = next
        }
        if let run { try visit(run, body) }
    }

    private func visit(
        _ chunks: Range<UInt64>, _ body: (Range<UInt64>) throws(DiskError) -> Void
    ) throws(DiskError) {
        let (end, size) = (state.withLock { $0.byteCount }, UInt64(chunkByteCount))
        let range = min(end, chunks.lowerBound * size)..<min(end, chunks.upperBound * size)
        if !range.isEmpty { try body(range) }
    }

    private func changedChunks(from index: UInt64, since generation: UInt64) throws(DiskError) -> Range<UInt64>? {
        do throws(IOError) {
            return try state.withLock { (state) throws(IOError) in
                try state.changedChunks(from: index, since: generation)
            }
        } catch { throw DiskError(error, doing: "reading what was changed") }
    }
}

extension ImageState {
    /// The first run, within a group, of chunks that commits behind a generation changed, at a chunk or behind it.
    func changedChunks(from first: UInt64, since generation: UInt64) throws(IOError) -> Range<UInt64>? {
        let pageCount = UInt64(tree.rootDigests.count / ImagePage.digestByteCount)
        let end = PageID(level: PageID.topLevel, number: pageCount).chunks.lowerBound
        var index = first
        while index < end {
            let id = PageID(ofChunk: index)
            guard let page = try changedPage(&index, since: generation) else { continue }
            func isChanged(_ index: UInt64) -> Bool {
                page.entry(Int(index - id.chunks.lowerBound)).generation > generation
            }
            while index < id.chunks.upperBound, !isChanged(index) { index += 1 }
            var stop = index
            while stop < id.chunks.upperBound, isChanged(stop) { stop += 1 }
            if stop > index { return index..<stop }
        }
        return nil
    }

    /// The metadata page of a chunk; nil where it, or one above it, was not changed since, and then the chunk becomes the
    /// first one behind what that page describes.
    private func changedPage(_ index: inout UInt64, since generation: UInt64) throws(IOError) -> ImagePage? {
        let own = PageID(ofChunk: index)
        var found: ImagePage?
        for level in stride(from: PageID.topLevel, through: 0, by: -1) {
            var id = own
            while id.level < level, let parent = id.parent { id = parent }
            found = try tree.page(id)
            guard let page = found, page.generation > generation else {
                index = id.chunks.upperBound
                return nil
            }
        }
        return found
    }
}

extension ImagePage {
    /// Of the last change of the page, and so of everything below it.
    var generation: UInt64 {
        let bytes = bytes
        return bytes.rawBytes.integer(at: 40, .little)
    }
}
