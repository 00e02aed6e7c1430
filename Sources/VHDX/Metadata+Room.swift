import BlockIO
import ByteCodec
import DiskModel

extension Metadata {
    /// Where a system item can stand with another length: where it is, else in the first gap between the others, else
    /// behind the last one. Its old place counts as free, since place and bytes change together.
    /// - Returns: from the start of the region; nil where there is no such gap.
    func room(for id: GUID, byteCount: Int) -> UInt32? {
        let regionByteCount = region.upperBound - region.lowerBound
        var gaps: [Range<UInt64>] = []
        var end = UInt64(Layout.metadataTableByteCount)
        let others = table.map(\.entry).filter { $0.length > 0 && ($0.isUser || $0.itemID != id) }
        for entry in others.sorted(by: { $0.offset < $1.offset }) {
            if UInt64(entry.offset) > end { gaps.append(end..<UInt64(entry.offset)) }
            end = max(end, UInt64(entry.offset) + UInt64(entry.length))
        }
        if end < regionByteCount { gaps.append(end..<regionByteCount) }
        if let old = find(id)?.entry.offset,
            gaps.contains(where: { $0.contains(UInt64(old)) && $0.upperBound - UInt64(old) >= UInt64(byteCount) })
        {
            return old
        }
        return gaps.first { $0.upperBound - $0.lowerBound >= UInt64(byteCount) }
            .flatMap { UInt32(exactly: $0.lowerBound) }
    }

    /// The pages that change when the parent locator gets other bytes: those of the item, at its old place or another
    /// one, and of its entry in the table. They fit into one entry of the log, so that all of them take effect or none.
    /// - Throws: `.refused` where the region or a log entry has no room for them; `.io`.
    func pages(
        settingParentLocator bytes: [UInt8], in file: any BlockFile
    ) throws -> [(offset: UInt64, bytes: [UInt8])] {
        func refuse(_ what: String) -> DiskError {
            DiskError(
                .refused, path: file.path, what, hint: "make a new child of the parent and copy the contents into it")
        }
        guard let item = find(KnownGUID.parentLocator) else { return [] }
        guard let place = room(for: KnownGUID.parentLocator, byteCount: bytes.count) else {
            throw refuse("the metadata region has no room for a parent locator of \(bytes.count) bytes")
        }
        // Two pages for where the item begins and ends inside one, one for the entry.
        guard bytes.count <= (LogWriter.pagesPerEntry - 3) * Int(Layout.pageByteCount) else {
            throw refuse("a parent locator of \(bytes.count) bytes is too long to be changed through the log")
        }
        var pages = MetadataPages(file)
        try pages.put(bytes, at: region.lowerBound + UInt64(place))
        var entry = item.entry
        (entry.offset, entry.length) = (place, UInt32(bytes.count))
        try pages.put(entry.serialized(), at: item.offset)
        return pages.sorted
    }
}
