import BlockIO
import ByteCodec
import DiskModel

/// The walk over the whole table. [MS-VHDX] 2.5
extension BlockMap {
    struct Walk {
        /// By state bits.
        var counts = [UInt64](repeating: 0, count: 8)
        var allocatedByteCount: UInt64 = 0
        /// Where the last block ends, whole.
        var blockEnd: UInt64 = 0
        var used: UsedSpace
    }

    /// Counts blocks by state, checks every entry, and that no two blocks share space. In bounded memory.
    /// - Parameter checksBitmaps: whether a block in state 7 without a sector bitmap block ends the walk.
    mutating func walk(file: any BlockFile, reportsAnchors: Bool, checksBitmaps: Bool = false) throws -> Walk {
        var walk = Walk(used: UsedSpace(fileByteCount: fileByteCount))
        _ = walk.used.claim(0..<Layout.headerSectionByteCount)
        for range in reserved { _ = walk.used.claim(range) }
        var hasAnchors = false
        var checkedChunk: UInt64?
        try forEachEntry(file) { map, use, entry in
            switch use {
            case .payload(let block):
                let checked = try map.check(entry, ofBlock: block)
                walk.counts[Int(checked.state.rawValue)] += 1
                if checksBitmaps, checked.state == .partiallyPresent, checkedChunk != map.geometry.chunk(ofBlock: block)
                {
                    _ = try map.bits(ofBlock: block, in: file)
                    checkedChunk = map.geometry.chunk(ofBlock: block)
                }
                if checked.state.isPresent {
                    let count = min(map.geometry.blockByteCount, map.fileByteCount - checked.fileOffset)
                    walk.allocatedByteCount += count
                    walk.blockEnd = max(walk.blockEnd, checked.fileOffset + map.geometry.blockByteCount)
                    try map.claim(checked.fileOffset, count, entry, use, &walk.used)
                } else if checked.fileOffset != 0, [.undefined, .unmapped].contains(checked.state) {
                    hasAnchors = true
                }
            case .bitmap(let chunk):
                try map.claimBitmap(entry, chunk, &walk.used)
            }
        }
        walk.counts[0] = geometry.payloadBlockCount - walk.counts[1...].reduce(0, +)
        if reportsAnchors, hasAnchors { try checkAnchors(file, &walk.used) }
        return walk
    }

    /// Looks for present blocks that share space, whatever else is wrong with other entries.
    /// - Returns: the first breach where that rule was accepted.
    mutating func sharedSpace(file: any BlockFile, accepting accepted: Set<FormatError.Code>) throws -> [Finding] {
        var used = UsedSpace(fileByteCount: fileByteCount)
        var kept: [Finding] = []
        try forEachEntry(file) { map, use, entry in
            let offset: UInt64?
            var byteCount = Layout.bitmapBlockByteCount
            switch use {
            case .payload(let block):
                let checked = try? map.check(entry, ofBlock: block)
                offset = checked?.state.isPresent == true ? checked?.fileOffset : nil
                byteCount = map.geometry.blockByteCount
            case .bitmap(let chunk):
                guard map.geometry.isDifferencing else { return }
                offset = (try? map.bitmapOffset(entry, ofChunk: chunk)) ?? nil
            }
            guard let offset, !used.claim(offset..<offset + byteCount) else { return }
            let error = map.duplicate(offset, use)
            guard accepted.contains(error.code) else { throw error }
            if kept.isEmpty { kept.append(Finding(.error, error)) }
        }
        return kept
    }

    private func duplicate(_ offset: UInt64, _ use: TableGeometry.Use) -> FormatError {
        error(
            .vhdxDuplicateBlock, "FileOffsetMB", geometry.index(of: use),
            "is \(offset >> 20), where another block already stands")
    }

    /// Visits the entries in use that are not zero, in order.
    mutating func forEachEntry(
        _ file: any BlockFile, _ body: (inout BlockMap, TableGeometry.Use, TableEntry) throws -> Void
    ) throws {
        let count = geometry.entryCount
        var index: UInt64 = 0
        while index < count {
            let run = try table.run(at: index, in: file)
            let end = min(run.endIndex, count)
            guard run.page != nil else {
                index = end
                continue
            }
            var (chunk, place) = index.quotientAndRemainder(dividingBy: geometry.chunkRatio + 1)
            while index < end {
                let entry = run.entry(index)
                if place == geometry.chunkRatio {
                    if entry.rawValue != 0 { try body(&self, .bitmap(chunk: chunk), entry) }
                    (chunk, place) = (chunk + 1, 0)
                } else {
                    let block = chunk * geometry.chunkRatio + place
                    if entry.rawValue != 0, block < geometry.payloadBlockCount {
                        try body(&self, .payload(block), entry)
                    }
                    place += 1
                }
                index += 1
            }
        }
    }

    /// Visits the entries behind the last one in use that are not zero, by their index.
    mutating func forEachPaddingEntry(
        _ file: any BlockFile, _ body: (inout BlockMap, UInt64, TableEntry) throws -> Void
    ) throws {
        var index = geometry.entryCount
        let end = (padding.upperBound - table.region.lowerBound) / TableEntry.byteCount
        while index < end {
            let run = try table.run(at: index, in: file)
            if run.page != nil {
                for place in index..<min(run.endIndex, end) where run.entry(place).rawValue != 0 {
                    try body(&self, place, run.entry(place))
                }
            }
            index = run.endIndex
        }
    }

    private mutating func claim(
        _ offset: UInt64, _ byteCount: UInt64, _ entry: TableEntry, _ use: TableGeometry.Use, _ used: inout UsedSpace
    ) throws(FormatError) {
        guard !used.claim(offset..<offset + byteCount) else { return }
        let problem = duplicate(offset, use)
        guard findings.accepted.contains(problem.code) else { throw problem }
        noteOnce(.error, problem)
    }

    private mutating func claimBitmap(_ entry: TableEntry, _ chunk: UInt64, _ used: inout UsedSpace) throws {
        guard geometry.isDifferencing else { return noteOnce(.warning, strayBitmap(entry, chunk)) }
        guard let offset = try bitmapOffset(entry, ofChunk: chunk) else { return }
        try claim(offset, Layout.bitmapBlockByteCount, entry, .bitmap(chunk: chunk), &used)
    }

    func strayBitmap(_ entry: TableEntry, _ chunk: UInt64) -> FormatError {
        error(
            .vhdxUnusedSectorBitmap, "State", geometry.index(ofBitmapBlock: chunk),
            "of sector bitmap \(chunk) is \(entry.stateBits) in an image without parent; ignored")
    }

    private mutating func checkAnchors(_ file: any BlockFile, _ used: inout UsedSpace) throws {
        try forEachEntry(file) { map, use, entry in
            if let problem = map.anchorProblem(entry, use, &used) { map.noteOnce(.error, problem) }
        }
    }

    /// Claims the former space of a block that is undefined or unmapped: it counts as used, and must not be anybody
    /// else's. Blocks that are present have claimed theirs before.
    func anchorProblem(
        _ entry: TableEntry, _ use: TableGeometry.Use, _ used: inout UsedSpace
    ) -> FormatError? {
        guard case .payload(let block) = use, let state = entry.state, [.undefined, .unmapped].contains(state),
            entry.fileOffset != 0
        else { return nil }
        let range = checkedRange(entry.fileOffset, geometry.blockByteCount)
        if let range, range.upperBound <= fileByteCount, used.claim(range) { return nil }
        return error(
            .vhdxSoftAnchor, "FileOffsetMB", geometry.index(of: use),
            "of block \(block) keeps space at \(entry.fileOffset) that is in use or past the file's end")
    }

    /// What lies behind the last entry in use, up to the region's end, or to the file's where a checker goes on though
    /// that comes first.
    var padding: Range<UInt64> {
        let start = table.fileOffset(ofIndex: geometry.entryCount)
        return start..<max(start, min(table.region.upperBound, fileByteCount))
    }

    var paddingProblem: FormatError {
        FormatError(
            .vhdxTablePadding, field: "BAT", offset: padding.lowerBound,
            "is not zero behind its last entry; ignored", section: "2.5")
    }

    func missingBlocks(_ count: UInt64) -> FormatError {
        FormatError(
            .vhdxFixedNotAllocated, field: "State", offset: table.region.lowerBound,
            "is not 6 for \(count) blocks of a fixed image", section: "2.5.1.1")
    }
}
