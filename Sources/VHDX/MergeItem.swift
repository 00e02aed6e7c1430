public import BlockIO
public import ByteCodec
public import DiskModel

// Ours: what a VHDX says while others are merged into it. A user item of the metadata, not required, holds the merge's id:
// 16 bytes, as all GUIDs stand in this format. Other programs keep or ignore it. The image with which the merge was begun has
// the same id in its parent locator, under the key `vhdtools_merge`.

extension Metadata {
    private var mergeEntry: (offset: UInt64, entry: MetadataTableEntry)? {
        table.first { $0.entry.itemID == KnownGUID.unfinishedMerge && $0.entry.isUser }
    }

    /// - Returns: the merge's id; zero, which nobody bears, for an item of another length.
    func readMergeItem(_ file: any BlockFile, _ findings: inout Findings) throws(IOError) -> GUID? {
        guard let found = mergeEntry else { return nil }
        findings.warn(
            FormatError(
                .vhdxUnfinishedMerge, field: "ItemId", offset: found.offset,
                "tells of a merge into this image that was interrupted; vhdmerge of the child it was begun with completes it",
                section: "2.6.1.2"))
        guard found.entry.length == GUID.byteCount else { return .zero }
        let start = region.lowerBound + UInt64(found.entry.offset)
        let bytes = try file.bytes(at: start, count: GUID.byteCount)
        return GUID(bytes.rawBytes, .little)
    }

    /// The pages that change when the item gets a value, or goes. They fit into one entry of the log.
    /// - Throws: `.refused` where the table or the region has no room; `.io`.
    func pages(settingMerge id: GUID?, in file: any BlockFile) throws -> [(offset: UInt64, bytes: [UInt8])] {
        var pages = MetadataPages(file)
        if let found = mergeEntry { try remove(found.offset, &pages) }
        if let id { try add(id, &pages, path: file.path) }
        return pages.sorted
    }

    private func entryOffset(_ index: Int) -> UInt64 {
        region.lowerBound + UInt64(MetadataTableHeader.byteCount + index * MetadataTableEntry.byteCount)
    }

    /// Offset of EntryCount in the table's header.
    private static let countOffset: UInt64 = 10

    /// The last entry takes the place of the one that goes; the order of entries means nothing.
    private func remove(_ offset: UInt64, _ pages: inout MetadataPages) throws(IOError) {
        guard let last = table.last else { return }
        if last.offset != offset { try pages.put(last.entry.serialized(), at: offset) }
        try pages.put(.zeros(MetadataTableEntry.byteCount), at: last.offset)
        try putCount(table.count - 1, &pages)
    }

    private func add(_ id: GUID, _ pages: inout MetadataPages, path: String) throws {
        let count = table.count - (mergeEntry == nil ? 0 : 1)
        let userCount = table.count { $0.entry.isUser && $0.entry.itemID != KnownGUID.unfinishedMerge }
        guard count < Layout.maximumEntryCount, userCount < Layout.maximumUserItemCount,
            let place = room(for: KnownGUID.unfinishedMerge, byteCount: GUID.byteCount)
        else {
            throw DiskError(
                .refused, path: path, "its metadata have no room for the sign of a merge",
                hint: "vhdconvert makes one image of the child and its parents")
        }
        var entry = MetadataTableEntry()
        (entry.itemID, entry.offset, entry.length) = (KnownGUID.unfinishedMerge, place, UInt32(GUID.byteCount))
        entry.flags = 1
        try pages.put(id.bytes(.little), at: region.lowerBound + UInt64(place))
        try pages.put(entry.serialized(), at: entryOffset(count))
        try putCount(count + 1, &pages)
    }

    private func putCount(_ count: Int, _ pages: inout MetadataPages) throws(IOError) {
        let low = UInt8(truncatingIfNeeded: count)
        try pages.put([low, UInt8(truncatingIfNeeded: count >> 8)], at: region.lowerBound + Self.countOffset)
    }
}

extension VHDXLinkEditor {
    /// Says in an image that a merge into it is under way, or with nil that none is. DataWriteGuid stays. Steps and power
    /// cuts as for all edits of this type: a cut leaves the old item or the new one.
    /// - Throws: as `relink`; `.refused` where the metadata have no room.
    public static func setUnfinishedMerge(_ file: any BlockFile, to id: GUID?) throws(DiskError) {
        try diskErrors(file.path, "marking the merge") {
            var session = try EditSession(file, plansOnly: false)
            guard session.metadata.unfinishedMerge != id else { return }
            let pages = try session.metadata.pages(settingMerge: id, in: session.file)
            try session.write(pages)
        }
    }

    /// Says in a differencing image that a merge was begun with it, or with nil that none was.
    /// - Throws: as `relink`.
    public static func setMerge(_ file: any BlockFile, to id: GUID?) throws(DiskError) {
        try edit(file, "marking the merge", changesData: false) { locator in
            guard let id else { return locator.remove(ParentLocatorItem.Key.merge) }
            locator.set(ParentLocatorItem.Key.merge, to: id)
        }
    }
}
