import BlockIO
import ByteCodec
import DiskModel

/// Says where the bytes of each block are: reads the block allocation table and the sector bitmaps, and checks every
/// entry when it is read. [MS-VHDX] 2.5
struct BlockMap: Sendable {
    var table: BlockTable
    var findings: Findings
    /// Grows when a writer appends blocks.
    var fileByteCount: UInt64
    /// Log and regions, sorted; no block may touch them.
    let reserved: [Range<UInt64>]
    var bitmaps = SectorBitmaps()
    private var noted: Set<FormatError.Code> = []
    /// Whether every entry that breaks a rule is noted, for a checker that takes the findings as they come.
    var notesEach = false

    var geometry: TableGeometry { table.geometry }

    /// Pages of the table and of sector bitmaps that are changed in memory only.
    var changedPageCount: Int { table.pages.changed.count + bitmaps.pages.changed.count }

    init(table: BlockTable, reserved: [Range<UInt64>], fileByteCount: UInt64, findings: Findings) {
        self.table = table
        self.reserved = reserved.sorted { $0.lowerBound < $1.lowerBound }
        self.fileByteCount = fileByteCount
        self.findings = findings
    }

    /// The map of an image whose regions and metadata are known.
    init(
        _ metadata: Metadata, _ regions: RegionTable, log: Range<UInt64>?, fileByteCount: UInt64, _ findings: Findings
    ) throws(FormatError) {
        let geometry = metadata.tableGeometry
        let table = regions.blockAllocationTable.range
        guard geometry.entryCount * TableEntry.byteCount <= table.upperBound - table.lowerBound else {
            throw FormatError(
                .vhdxTableTooSmall, field: "Length", offset: Layout.regionTableOffsets[regions.copy],
                "of the BAT region is \(table.upperBound - table.lowerBound), too short for \(geometry.entryCount) entries",
                section: "2.5")
        }
        self.init(
            regions: regions, geometry: geometry, log: log, fileByteCount: fileByteCount, findings: findings)
    }

    /// The map of a file with these regions.
    init(
        regions: RegionTable, geometry: TableGeometry, log: Range<UInt64>?, fileByteCount: UInt64, findings: Findings
    ) {
        self.init(
            table: BlockTable(geometry, region: regions.blockAllocationTable.range),
            reserved: regions.entries.map(\.range) + (log.map { [$0] } ?? []), fileByteCount: fileByteCount,
            findings: findings)
    }

    /// Bounds what is kept of the table and of sector bitmaps; three quarters are the table's.
    mutating func limitCache(to byteCount: Int) {
        table.limitCache(to: byteCount / 4 * 3)
        bitmaps.limitCache(to: byteCount / 4)
    }

    /// A payload block's entry after all checks.
    struct Block: Sendable, Equatable {
        var state: BlockState
        /// Where the block, or in states 1 and 3 perhaps its former contents, stands in the file.
        var fileOffset: UInt64
    }

    /// Notes the first entry that breaks a rule; a table may break it a million times.
    mutating func noteOnce(_ severity: Finding.Severity, _ error: FormatError) {
        guard notesEach || noted.insert(error.code).inserted else { return }
        findings.note(severity, error)
    }

    /// Gives what was noted, and forgets it.
    mutating func takeFindings() -> [Finding] {
        if findings.all.isEmpty { return [] }
        defer { findings = Findings(accepting: findings.accepted) }
        return findings.all
    }

    func error(_ code: FormatError.Code, _ field: String, _ index: UInt64, _ problem: String) -> FormatError {
        FormatError(code, field: field, offset: table.fileOffset(ofIndex: index), problem, section: "2.5.1")
    }

    /// Checks a payload block's entry that is not zero.
    mutating func check(_ entry: TableEntry, ofBlock block: UInt64) throws(FormatError) -> Block {
        let index = geometry.index(ofPayloadBlock: block)
        guard var state = entry.state else {
            throw error(.vhdxBlockState, "State", index, "of block \(block) is \(entry.stateBits), which is reserved")
        }
        try checkReserved(entry, index)
        if state == .partiallyPresent, !geometry.isDifferencing {
            let problem = error(
                .vhdxBlockState, "State", index, "of block \(block) is 7 in an image without parent; read as 6")
            noteOnce(.warning, problem)
            state = .fullyPresent
        }
        guard state.isPresent else {
            if entry.fileOffset != 0, state == .notPresent || state == .zero {
                let problem = error(
                    .vhdxEntryReserved, "FileOffsetMB", index,
                    "of block \(block) is not zero in state \(entry.stateBits); ignored")
                noteOnce(.warning, problem)
            }
            return Block(state: state, fileOffset: entry.fileOffset)
        }
        try checkPlace(
            entry, index, "block \(block)", byteCount: geometry.blockByteCount,
            neededByteCount: geometry.usedByteCount(ofBlock: block))
        return Block(state: state, fileOffset: entry.fileOffset)
    }

    private mutating func checkReserved(_ entry: TableEntry, _ index: UInt64) throws(FormatError) {
        guard !entry.reservedIsZero else { return }
        let problem = error(
            .vhdxEntryReserved, "Reserved", index, "bits 3 to 19 are 0x\(String(entry.rawValue & 0xf_fff8, radix: 16))")
        guard findings.accepted.contains(problem.code) else { throw problem }
        noteOnce(.error, problem)
    }

    /// Checks where a present block stands. Its end may lie behind the file's end only for bytes nobody needs.
    private func checkPlace(
        _ entry: TableEntry, _ index: UInt64, _ name: String, byteCount: UInt64, neededByteCount: UInt64
    ) throws(FormatError) {
        let offset = entry.fileOffset
        guard offset > 0 else {
            throw error(.vhdxPresentWithoutOffset, "FileOffsetMB", index, "of \(name) is 0 though it is present")
        }
        guard offset < Layout.maximumFileByteCount else {
            throw error(.vhdxOffsetTooLarge, "FileOffsetMB", index, "of \(name) is \(offset >> 20), above 192 TiB")
        }
        guard offset + neededByteCount <= fileByteCount else {
            throw error(
                .vhdxBlockPastEnd, "FileOffsetMB", index,
                "of \(name) places it at \(offset) + \(neededByteCount), past the file's end at \(fileByteCount)")
        }
        var (low, high) = (0, reserved.count)
        while low < high {
            let middle = (low + high) / 2
            if reserved[middle].upperBound > offset { high = middle } else { low = middle + 1 }
        }
        guard low == reserved.count || reserved[low].lowerBound >= offset + byteCount else {
            throw error(
                .vhdxOverlap, "FileOffsetMB", index,
                "of \(name) places it at \(offset), over the log or region at \(reserved[low].lowerBound)")
        }
    }

    /// A payload block's checked entry.
    mutating func block(_ block: UInt64, in file: any BlockFile) throws -> Block {
        let entry = try table.entry(geometry.index(ofPayloadBlock: block), in: file)
        return try check(entry, ofBlock: block)
    }

    /// Where the sector bitmap block of a chunk stands; nil when it has none.
    mutating func bitmapOffset(_ entry: TableEntry, ofChunk chunk: UInt64) throws(FormatError) -> UInt64? {
        let index = geometry.index(ofBitmapBlock: chunk)
        guard entry.rawValue != 0 else { return nil }
        try checkReserved(entry, index)
        switch entry.stateBits {
        case 0: return nil
        case 6:
            try checkPlace(
                entry, index, "sector bitmap \(chunk)", byteCount: Layout.bitmapBlockByteCount,
                neededByteCount: Layout.bitmapBlockByteCount)
            return entry.fileOffset
        default:
            throw error(
                .vhdxSectorBitmapState, "State", index,
                "of sector bitmap \(chunk) is \(entry.stateBits), expected 0 or 6")
        }
    }

    /// Where the bits of a block of a differencing image would stand; nil when its chunk has no sector bitmap block.
    mutating func bitsIfAny(ofBlock block: UInt64, in file: any BlockFile) throws -> SectorBitmaps.Place? {
        let chunk = geometry.chunk(ofBlock: block)
        let entry = try table.entry(geometry.index(ofBitmapBlock: chunk), in: file)
        return try bitmapOffset(entry, ofChunk: chunk).map { geometry.bits(ofBlock: block, bitmap: $0) }
    }

    /// Where the bits of a block in state 7 stand.
    mutating func bits(ofBlock block: UInt64, in file: any BlockFile) throws -> SectorBitmaps.Place {
        guard let place = try bitsIfAny(ofBlock: block, in: file) else {
            throw noBitmap(of: block, geometry.chunk(ofBlock: block))
        }
        return place
    }

    func noBitmap(of block: UInt64, _ chunk: UInt64) -> FormatError {
        error(
            .vhdxNoSectorBitmap, "State", geometry.index(ofPayloadBlock: block),
            "of block \(block) is 7, but sector bitmap \(chunk) is not present")
    }

    // MARK: Extents

    mutating func extents(in range: Range<UInt64>, limit: Int, file: any BlockFile) throws -> [Extent] {
        var result: [Extent] = []
        var block = geometry.block(at: range.lowerBound)
        var position = range.lowerBound
        let absent: Extent.Source = geometry.isDifferencing ? .parent : .hole
        while position < range.upperBound {
            let run = try table.run(at: geometry.index(ofPayloadBlock: block), in: file)
            let endBlock = geometry.payloadBlockCount(beforeIndex: run.endIndex)
            guard run.page != nil else {
                let end =
                    endBlock == geometry.payloadBlockCount
                    ? range.upperBound : min(range.upperBound, geometry.start(ofBlock: endBlock))
                result.appendRun(Extent(offset: position, byteCount: end - position, source: absent))
                if result.count > limit { return Array(result.prefix(limit)) }
                (position, block) = (end, endBlock)
                continue
            }
            while block < endBlock, position < range.upperBound {
                let entry = run.entry(geometry.index(ofPayloadBlock: block))
                let start = geometry.start(ofBlock: block)
                let end = min(range.upperBound, start + geometry.blockByteCount)
                if entry.rawValue == 0 {
                    result.appendRun(Extent(offset: position, byteCount: end - position, source: absent))
                } else {
                    let checked = try check(entry, ofBlock: block)
                    switch checked.state {
                    case .notPresent:
                        result.appendRun(Extent(offset: position, byteCount: end - position, source: absent))
                    case .undefined, .zero, .unmapped:
                        result.appendRun(Extent(offset: position, byteCount: end - position, source: .zero))
                    case .fullyPresent:
                        let offset = checked.fileOffset + (position - start)
                        result.appendRun(
                            Extent(offset: position, byteCount: end - position, source: .file(offset: offset)))
                    case .partiallyPresent:
                        try appendSectors(
                            of: block, checked.fileOffset, position..<end, &result, limit: limit, file: file)
                    }
                }
                if result.count > limit { return Array(result.prefix(limit)) }
                (position, block) = (end, block + 1)
            }
        }
        return result
    }

    /// The runs of a partially present block: a set bit means the file has the sector, the lowest bit of a byte
    /// first. Stops soon after `limit`. [MS-VHDX] 2.4
    private mutating func appendSectors(
        of block: UInt64, _ blockOffset: UInt64, _ range: Range<UInt64>, _ result: inout [Extent], limit: Int,
        file: any BlockFile
    ) throws {
        let bits = try self.bits(ofBlock: block, in: file)
        let sectorSize = geometry.logicalSectorByteCount
        let blockStart = geometry.start(ofBlock: block)
        var position = range.lowerBound
        while position < range.upperBound, result.count <= limit {
            let sector = (position - blockStart) / sectorSize
            let last = (range.upperBound - blockStart).dividedRoundingUp(by: sectorSize)
            let (isInFile, count) = try bitmaps.run(in: sector..<last, of: bits, file: file)
            let end = min(range.upperBound, blockStart + (sector + count) * sectorSize)
            result.appendRun(
                Extent(
                    offset: position, byteCount: end - position,
                    source: isInFile ? .file(offset: blockOffset + (position - blockStart)) : .parent))
            position = end
        }
    }
}
