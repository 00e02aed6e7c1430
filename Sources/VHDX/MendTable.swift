import BlockIO
import ByteCodec
import DiskModel

/// Repairs of the file's length, of the table and of the metadata: steps 4 and 5 of `VHDXChecker.repair`.
extension Mender {
    // MARK: Length

    mutating func mendTails() throws {
        guard kinds.contains(.tails), var headers = image.headers else { return }
        if let end = image.structureEnd {
            try touch(&headers, changesData: false)
            try lengthen(to: end)
            note(.tails, .vhdxStructurePastEnd, at: end, "file lengthened with zeros to \(end), over unused ends")
            try reopen()
        }
        guard var map = image.map else { return }
        var (end, changesData) = (UInt64(0), false)
        _ = try TableWalk(over: &map, in: image.file, TableRules(image), progress: { _ in }) { _, _, _, problem in
            for case (.tails, .extend(let to)) in problem.remedies {
                end = max(end, to)
                if problem.error.code == .vhdxBlockPastEnd { changesData = true }
                note(.tails, problem.error.code, at: problem.error.offset, "file lengthened with zeros to \(to)")
            }
            return nil
        }
        guard end > image.fileByteCount else { return }
        try touch(&headers, changesData: changesData)
        try lengthen(to: end)
        try reopen()
    }

    private func lengthen(to end: UInt64) throws(IOError) {
        guard try file.byteCount() < end else { return }
        try file.resize(to: end)
        try file.sync()
    }

    // MARK: Through the log

    mutating func mendTable(_ progress: EditProgress) throws {
        guard !kinds.isDisjoint(with: Self.logged), image.canLog, !image.hasLog, var headers = image.headers,
            var map = image.map
        else { return }
        let total = map.geometry.entryCount * TableEntry.byteCount
        var writer = Writer(mending: file.path)
        try writer.begin(&headers, &map, file, changesData: kinds.contains(.dropBlocks))
        do {
            try mendMetadata(&writer, map)
            var walk = try mendEntries(&writer, &map) { done throws(DiskError) in try progress(min(done, total), total)
            }
            if kinds.contains(.bat) {
                try mendAnchors(&walk, &writer, &map)
                try mendPadding(walk, &writer, &map)
            }
            if kinds.contains(.allocate), !walk.hasEntriesPastEnd { try allocate(&writer, &map) }
        } catch {
            // What was mended is whole; after a failed flush nothing more is written, and the log is replayed.
            try? writer.close(&headers, &map, file)
            throw error
        }
        try writer.close(&headers, &map, file)
        try reopen()
        try progress(total, total)
    }

    private func flushIfFull(_ writer: inout Writer, _ map: inout BlockMap) throws {
        if map.table.dirty.count >= LogWriter.pagesPerEntry { try writer.flush(&map, file) }
    }

    private mutating func mendEntries(
        _ writer: inout Writer, _ map: inout BlockMap, _ progress: (UInt64) throws(DiskError) -> Void
    ) throws -> TableWalk {
        try TableWalk(over: &map, in: file, TableRules(image), progress: progress) {
            map, use, entry, problem in
            guard let (kind, mended) = problem.mended(by: kinds) else { return nil }
            note(kind, problem.error.code, at: problem.error.offset, Self.describe(use, entry, mended, map.geometry))
            try flushIfFull(&writer, &map)
            return mended
        }
    }

    private static func describe(
        _ use: TableGeometry.Use, _ entry: TableEntry, _ mended: TableEntry, _ geometry: TableGeometry
    ) -> String {
        let change = "entry of \(use.name) was \(entry.hexadecimal), becomes \(mended.hexadecimal)"
        guard case .payload(let block) = use, mended.rawValue == 0 else { return change }
        let start = geometry.start(ofBlock: block)
        return change + ": bytes \(start) to \(start + geometry.usedByteCount(ofBlock: block)) of the disk given up"
    }

    private mutating func mendAnchors(_ walk: inout TableWalk, _ writer: inout Writer, _ map: inout BlockMap) throws {
        try walk.claimAnchors(of: &map, in: file) { map, use, entry, problem in
            try flushIfFull(&writer, &map)
            try map.table.set(
                TableEntry(rawValue: UInt64(entry.stateBits)), at: map.geometry.index(of: use), in: file)
            note(
                .bat, problem.code, at: problem.offset, "\(use.name) gives up the space it kept at \(entry.fileOffset)")
        }
    }

    /// Entries behind the last one in use, where they cannot be what is left of a larger disk.
    private mutating func mendPadding(_ walk: TableWalk, _ writer: inout Writer, _ map: inout BlockMap) throws {
        guard try !image.mayHaveLostItsParent && !walk.paddingHoldsBlocks(&map, in: file) else { return }
        try map.forEachPaddingEntry(file) { map, index, entry in
            try flushIfFull(&writer, &map)
            try map.table.set(.absent, at: index, in: file)
            note(
                .bat, .vhdxTablePadding, at: map.table.fileOffset(ofIndex: index),
                "entry behind the last one was \(entry.hexadecimal), becomes 0")
        }
    }

    /// Gives the blocks that a fixed image lacks their space, at the file's end.
    private mutating func allocate(_ writer: inout Writer, _ map: inout BlockMap) throws {
        guard image.isFixed else { return }
        for block in 0..<map.geometry.payloadBlockCount {
            let index = map.geometry.index(ofPayloadBlock: block)
            let entry = try map.table.entry(index, in: file)
            guard entry.isPlainlyAbsent else { continue }
            try writer.write(BlockPart(block: block, offset: 0, byteCount: 0), &map, file) { _ in }
            note(
                .allocate, .vhdxFixedNotAllocated, at: map.table.fileOffset(ofIndex: index),
                "block \(block) allocated at \(map.fileByteCount - map.geometry.blockByteCount)")
        }
    }

    // MARK: Metadata

    private mutating func mendMetadata(_ writer: inout Writer, _ map: BlockMap) throws {
        guard kinds.contains(.metadata), let metadata = image.metadata else { return }
        var pages = MetadataPages(file)
        for (offset, entry) in metadata.table {
            var mended = entry
            mended.flags &= 7
            if !entry.isUser, let expected = Metadata.expectedFlags[entry.itemID] { mended.flags = expected }
            mended.reserved = 0
            guard mended != entry else { continue }
            try pages.put(mended.serialized(), at: offset)
            let hadWrongFlags = mended.flags != entry.flags & 7
            note(
                .metadata, hadWrongFlags ? .vhdxItemFlags : .vhdxMetadataReserved, at: offset,
                "flags of item \(entry.itemID) become \(mended.flags), reserved bits zero")
        }
        let start = metadata.region.lowerBound
        let bytes = try file.bytes(at: start, count: MetadataTableHeader.byteCount)
        var header = try MetadataTableHeader(parsing: bytes.rawBytes)
        header.reserved = 0
        if header.serialized() != bytes {
            try pages.put(header.serialized(), at: start)
            note(.metadata, .vhdxMetadataReserved, at: start, "reserved bytes of the metadata table cleared")
        }
        if image.has(.vhdxReservedFlags), let item = metadata.find(KnownGUID.fileParameters) {
            var parameters = metadata.fileParameters
            parameters.flags &= 3
            try pages.put(parameters.serialized(), at: item.start)
            note(.metadata, .vhdxReservedFlags, at: item.start + 4, "reserved flags of the file parameters cleared")
        }
        guard !pages.isEmpty else { return }
        // 18 pages at most, since changes concern the metadata table and one item of eight bytes.
        try writer.commit(pages.sorted, map.fileByteCount, file)
        try file.sync()
    }
}

extension TableEntry {
    fileprivate var hexadecimal: String { "0x\(String(rawValue, radix: 16))" }
}
