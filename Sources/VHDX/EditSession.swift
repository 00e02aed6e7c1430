import BlockIO
import ByteCodec
import DiskModel

/// An image whose structure is changed in place, or only looked at to plan that: what resizing and compacting share.
/// Every change of a structure goes through the log, by `Writer`, whose steps the comments name.
///
/// The end, when the file is to be cut:
///  1. An empty log entry tells the smaller length (steps 7 and 8). *Cut: the entry changes nothing; the file is
///     longer than it says.*
///  2. The session is closed (steps 11 and 12). *Cut: at rest, with unused space at the end.*
///  3. The file is cut, and flushed. *Cut: long or short, nothing names what is cut off.*
struct EditSession {
    /// The file, or an overlay with the replayed log while planning.
    let file: any BlockFile
    /// Before anything was done, the replay included.
    let oldFileByteCount: UInt64
    /// All blocks are to be allocated, always.
    let isFixed: Bool
    private(set) var headers: HeaderPair
    private(set) var regions: RegionTable
    private(set) var metadata: Metadata
    var map: BlockMap
    private var writer: Writer

    var geometry: TableGeometry { map.geometry }
    var logRange: Range<UInt64> { headers.current.logRange }

    /// Opens, checks that the image may be written, and that no two blocks share space.
    /// - Parameter plansOnly: whether nothing is written, a pending log being replayed in memory.
    init(_ original: any BlockFile, plansOnly: Bool) throws {
        oldFileByteCount = try original.byteCount()
        let opened = try OpenedImage(original, VHDXReadOptions(), replaysIntoFile: !plansOnly)
        writer = try Writer(opened, path: original.path, writesPayload: false)
        let parameters = opened.metadata.fileParameters
        isFixed = parameters.leavesBlocksAllocated && !parameters.hasParent
        (file, headers, regions, metadata) = (opened.file, opened.headers, opened.regions, opened.metadata)
        map = opened.map
    }

    // MARK: Looking

    /// Where the last structure and the last block end, of those blocks that a disk of another geometry keeps; and how
    /// many present blocks it does not keep. Space kept for blocks without data counts as used.
    mutating func usedEnd(keeping kept: TableGeometry) throws -> (end: UInt64, droppedBlockCount: UInt64) {
        var end = map.reserved.map(\.upperBound).reduce(Layout.headerSectionByteCount, max)
        var dropped: UInt64 = 0
        try map.forEachEntry(file) { map, use, entry in
            switch use {
            case .payload(let block):
                let place = try map.check(entry, ofBlock: block)
                guard block < kept.payloadBlockCount else {
                    dropped += place.state.isPresent ? 1 : 0
                    return
                }
                let placeEnd = place.fileOffset + kept.blockByteCount
                let isAnchor = [.undefined, .unmapped].contains(place.state) && placeEnd <= map.fileByteCount
                if place.state.isPresent || isAnchor && place.fileOffset > 0 { end = max(end, placeEnd) }
            case .bitmap(let chunk):
                guard chunk < kept.bitmapBlockCount, map.geometry.isDifferencing,
                    let offset = try map.bitmapOffset(entry, ofChunk: chunk)
                else { return }
                end = max(end, offset + Layout.bitmapBlockByteCount)
            }
        }
        return (end, dropped)
    }

    // MARK: Changing

    /// Steps 1 to 4, once.
    /// - Parameter dataWriteGUID: the new DataWriteGuid, if data changes; nil for a random one.
    mutating func begin(changesData: Bool, dataWriteGUID: GUID? = nil) throws {
        writer.dataWriteGUID = dataWriteGUID
        try writer.begin(&headers, &map, file, changesData: changesData)
    }

    /// Changes an entry of the table; many changed pages are flushed on the way.
    mutating func set(_ entry: TableEntry, at index: UInt64) throws {
        try map.table.set(entry, at: index, in: file)
        if map.table.dirty.count >= LogWriter.pagesPerEntry { try flush() }
    }

    /// Steps 7 to 9. Then space that no entry names any more may be used again.
    mutating func flush() throws { try writer.flush(&map, file) }

    /// A flush of what was written into free space.
    mutating func sync() throws { try writer.sync(file) }

    /// Steps 7 to 9 for pages of regions and metadata, in one entry of the log.
    mutating func replace(_ pages: [(offset: UInt64, bytes: [UInt8])]) throws {
        try writer.replace(pages, map.fileByteCount, file)
    }

    /// Goes on with regions and metadata as they now stand in the file. No changed page of the table may be waiting.
    mutating func reload() throws {
        var findings = Findings(accepting: [])
        regions = try RegionTable(reading: file, log: logRange, &findings)
        metadata = try Metadata(reading: file, region: regions.metadata.range, &findings)
        map = BlockMap(
            regions: regions, geometry: metadata.tableGeometry, log: logRange, fileByteCount: map.fileByteCount,
            findings: findings)
    }

    /// Makes a range at the end of the file part of it, with zeros in all of it, and flushes.
    /// - Parameter range: free, from the end of the used space on.
    mutating func extend(over range: Range<UInt64>) throws {
        let end = max(range.upperBound, map.fileByteCount)
        // Interrupted sessions leave bytes in space that nothing names.
        try file.zero(range.clamped(to: 0..<map.fileByteCount))
        if end > map.fileByteCount { try file.resize(to: end) }
        map.fileByteCount = end
        try sync()
    }

    /// Closes, and cuts the file where it is longer. A session that never began leaves the file alone.
    mutating func finish(fileByteCount end: UInt64) throws {
        guard writer.log != nil else { return }
        try flush()
        let isLonger = end < map.fileByteCount
        if isLonger {
            map.fileByteCount = end
            try replace([])
        }
        try writer.close(&headers, &map, file)
        guard isLonger else { return }
        try file.resize(to: end)
        try file.sync()
    }

    /// After a failure: closes, if what is durable is still known. Else the log is left to the next one who opens.
    mutating func abandon() { try? writer.close(&headers, &map, file) }
}

extension Metadata {
    /// The table's geometry for this disk.
    var tableGeometry: TableGeometry { tableGeometry(virtualByteCount: virtualDiskSize) }

    /// As it would be for another size.
    func tableGeometry(virtualByteCount: UInt64) -> TableGeometry {
        TableGeometry(
            virtualByteCount: virtualByteCount, blockByteCount: UInt64(fileParameters.blockSize),
            logicalSectorByteCount: UInt64(logicalSectorSize), isDifferencing: fileParameters.hasParent)
    }

    /// The pages that hold the disk's size, with another one in it; two where the item lies across a page's end.
    func pages(
        settingVirtualByteCount byteCount: UInt64, in file: any BlockFile
    ) throws -> [(offset: UInt64, bytes: [UInt8])] {
        guard let item = find(KnownGUID.virtualDiskSize) else { return [] }
        let start = item.start.roundedDown(to: Layout.pageByteCount)
        let end = (item.start + UInt64(item.entry.length)).roundedUp(to: Layout.pageByteCount)
        var bytes = try file.bytes(at: start, count: Int(end - start))
        var raw = bytes.mutableRawBytes
        raw.store(byteCount, at: Int(item.start - start), .little)
        return stride(from: start, to: end, by: Int(Layout.pageByteCount)).map { offset in
            let at = Int(offset - start)
            return (offset, Array(bytes[at..<at + Int(Layout.pageByteCount)]))
        }
    }
}

extension RegionTable {
    /// The pages of both copies that change when a region gets another place: at most two a copy. The copies are
    /// equal, since every session begins by making them so.
    func pages(
        moving guid: GUID, to range: Range<UInt64>, in file: any BlockFile
    ) throws -> [(offset: UInt64, bytes: [UInt8])] {
        let old = try Self.bytes(ofCopy: copy, in: file)
        var new = old
        guard let index = entries.firstIndex(where: { $0.guid == guid }) else { return [] }
        let at = RegionTableHeader.byteCount + RegionTableEntry.byteCount * index
        var raw = new.mutableRawBytes
        raw.store(range.lowerBound, at: at + 16, .little)
        raw.store(UInt32(range.upperBound - range.lowerBound), at: at + 24, .little)
        let checksum = crc32c(new.rawBytes, skippingField: 4)
        raw = new.mutableRawBytes
        raw.store(checksum, at: 4, .little)
        var pages: [(offset: UInt64, bytes: [UInt8])] = []
        for start in stride(from: 0, to: new.count, by: Int(Layout.pageByteCount)) {
            let end = start + Int(Layout.pageByteCount)
            guard !bytesEqual(old.rawBytes.extracting(start..<end), new.rawBytes.extracting(start..<end)) else {
                continue
            }
            for copy in Layout.regionTableOffsets { pages.append((copy + UInt64(start), Array(new[start..<end]))) }
        }
        return pages
    }
}
