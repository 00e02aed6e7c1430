import BlockIO
import ByteCodec
import DiskModel

/// Rules 19 to 25: the table, the blocks, and what is between them.
extension ImageCheck {
    /// Bytes between the last entry and the end of its sector.
    mutating func checkTablePadding() throws {
        guard let layout = image.layout, let header = image.header else { return }
        let end = layout.tableOffset + 4 * UInt64(header.maxTableEntries)
        let padding = end..<end.roundedUp(to: sectorByteCount)
        guard !padding.isEmpty, padding.upperBound <= layout.contentsEnd else { return }
        let bytes = try file.bytes(at: end, count: Int(padding.upperBound - end))
        guard bytes.contains(where: { $0 != bytes[0] }) || (bytes[0] != 0 && bytes[0] != 0xff) else { return }
        report.add(
            .information,
            FormatError(
                .vhdTablePadding, field: "BAT", offset: end,
                "is followed by \(bytes.count) bytes that are neither all 0xff nor all zeros; nobody reads them",
                section: "7"))
    }

    mutating func checkBlocks(_ progress: EditProgress) throws {
        guard let layout = image.layout else { return }
        var table = BlockAllocationTable(file, layout)
        var order = BlockOrder()
        var space = UsedSpace(claimedStructures(layout))
        let contents = BlockContents(file, layout)
        let drops: [RepairKind] = BlockMending.canEditTable(image, layout) ? [.dropBlocks] : []
        let canLengthen = try TailMending.canLengthen(image)
        var (done, total) = (UInt64(0), UInt64(0))
        // Makers leave room before the first block; what is left of a lost block is as large as one.
        var smallestGap = layout.strideByteCount
        try order.survey(&table, layout) { event in
            switch event {
            case .counted(let count): total = count * layout.strideByteCount
            case .misplaced(let error, _), .overlap(let error): report.add(.error, error, repairs: drops)
            case .givenUp: break
            case .block(let place, let isSound):
                let range = place.offset..<place.offset + layout.strideByteCount
                space.claim(range) { noteGap($0, atLeast: smallestGap) }
                smallestGap = Self.smallestGap
                if range.upperBound > layout.contentsEnd { try noteTail(place, layout, canLengthen) }
                guard options.isDeep else { return }
                if isSound { try checkContents(place, contents, layout) }
                done += layout.strideByteCount
                try progress(done, total)
            }
        }
        space.finish(layout.contentsEnd) { noteGap($0, atLeast: smallestGap) }
        if options.isDeep {
            report.deepByteCount = total
            try progress(total, total)
        }
    }

    /// Everything that is not free for blocks, in whole sectors, with the entries of the table that no block needs.
    private func claimedStructures(_ layout: SparseLayout) -> [Range<UInt64>] {
        var structures = layout.structures
        if let header = image.header, let range = checkedRange(layout.tableOffset, 4 * UInt64(header.maxTableEntries)) {
            structures.append(range)
        }
        return structures.map {
            $0.lowerBound.roundedDown(
                to: sectorByteCount)..<min(
                    max($0.upperBound, layout.contentsEnd), $0.upperBound.roundedUp(to: sectorByteCount))
        }.sorted { $0.lowerBound < $1.lowerBound }
    }

    /// Blocks whose data begins at a page leave up to seven sectors between them.
    private static let smallestGap = 8 * sectorByteCount

    /// Rule 25.
    private mutating func noteGap(_ gap: Range<UInt64>, atLeast smallest: UInt64) {
        guard gap.upperBound - gap.lowerBound >= smallest else { return }
        report.add(
            .information,
            FormatError(
                .vhdOrphanedSpace, field: "file", offset: gap.lowerBound,
                "has \(gap.upperBound - gap.lowerBound) bytes that nothing uses; compacting gives them back",
                section: "8"))
    }

    /// Rule 20, of a block that begins where it may and ends past the end of the blocks' region.
    private mutating func noteTail(_ place: BlockOrder.Place, _ layout: SparseLayout, _ canLengthen: Bool) throws {
        let bitmap = SectorBitmap(try file.bytes(at: place.offset, count: Int(layout.bitmapByteCount)))
        let held = (layout.contentsEnd - place.offset - layout.bitmapByteCount) / sectorByteCount
        let visible = layout.visibleSectorCount(ofBlock: place.block)
        let isMissing = held < visible && bitmap.runEnd(from: Int(held), to: visible, isSet: false) < visible
        if isMissing { lacksVisibleBytes = true }
        let what = image.footers.hasTrailing ? "on over the footer" : "on past the end of the file"
        report.add(
            isMissing ? .error : .warning,
            layout.problem(
                .vhdBlockPastEnd, place.block, place.entry,
                "goes \(what) at \(hex(layout.contentsEnd)): "
                    + (isMissing
                        ? "data is missing; a copy of the file may still have it"
                        : "nothing that the disk shows is missing, but nobody can write the image")),
            repairs: canLengthen ? [.tails] : [])
    }

    // MARK: Contents

    private mutating func checkContents(
        _ place: BlockOrder.Place, _ contents: BlockContents, _ layout: SparseLayout
    ) throws {
        let isDynamic = image.footer.diskType == DiskTypeCode.dynamic
        let (bitmap, stray) = try contents.read(place, findsStray: isDynamic)
        if let first = stray.first {
            let count = stray.reduce(0) { $0 + $1.count }
            report.add(
                .error,
                FormatError(
                    .vhdDataUnderClearBits, field: "block \(place.block)",
                    offset: place.offset + layout.bitmapByteCount + UInt64(first.lowerBound) * sectorByteCount,
                    "holds data in \(count) sectors from its sector \(first.lowerBound) on whose bits are clear: "
                        + "some programs read the data, others zeros", section: "8.1"),
                repairs: HeaderMending.isTrusted(image) ? [.setBits, .zeroSectors] : [])
        }
        noteBitsPastEnd(place, bitmap, layout)
        try checkBatmapBit(place, bitmap, layout)
    }

    /// Rule 24.
    private mutating func noteBitsPastEnd(_ place: BlockOrder.Place, _ bitmap: SectorBitmap, _ layout: SparseLayout) {
        let visible = layout.visibleSectorCount(ofBlock: place.block)
        let all = Int(layout.blockByteCount / sectorByteCount)
        let first = bitmap.runEnd(from: visible, to: all, isSet: false)
        guard first < all else { return }
        report.add(
            .information,
            FormatError(
                .vhdBitsPastEnd, field: "block \(place.block)", offset: place.offset + UInt64(first / 8),
                "has bits of sectors past the end of the disk, which nobody reads", section: "8"))
    }
}

extension SparseLayout {
    /// Sectors of a block that belong to the virtual disk.
    func visibleSectorCount(ofBlock block: UInt64) -> Int {
        Int(visibleByteCount(ofBlock: block).dividedRoundingUp(by: sectorByteCount))
    }
}

extension FooterCopies {
    /// Whether something stands at the end of the file that can be told to be a footer.
    var hasTrailing: Bool { trailing.isValid || trailing.failsOnlyChecksum }
}

/// Reads whole blocks.
struct BlockContents {
    private let file: any BlockFile
    private let layout: SparseLayout
    private let buffer = IOBuffer(byteCount: 1 << 20)

    init(_ file: any BlockFile, _ layout: SparseLayout) { (self.file, self.layout) = (file, layout) }

    /// Reads a block's bitmap and data, as far as the file has them and leaving out its holes.
    /// - Returns: the bitmap and, when asked, the runs of sectors that belong to the disk, have clear bits and hold
    ///   anything but zeros.
    func read(_ place: BlockOrder.Place, findsStray: Bool) throws(IOError) -> (SectorBitmap, stray: [Range<Int>]) {
        let bitmap = SectorBitmap(try file.bytes(at: place.offset, count: Int(layout.bitmapByteCount)))
        let start = place.offset + layout.bitmapByteCount
        let end = min(start + layout.blockByteCount, layout.contentsEnd.roundedDown(to: sectorByteCount))
        let visible = findsStray ? layout.visibleSectorCount(ofBlock: place.block) : 0
        var stray: [Range<Int>] = []
        var position = start
        while position < end, let data = try file.data(from: position), data.lowerBound < end {
            position = max(position, data.lowerBound.roundedDown(to: sectorByteCount))
            let limit = min(end, data.upperBound.roundedUp(to: sectorByteCount))
            while position < limit {
                let count = Int(min(UInt64(buffer.byteCount), limit - position))
                try buffer.fill(count, from: file, at: position)
                let first = Int((position - start) / sectorByteCount)
                if first < visible {
                    let sectors = first..<min(visible, first + count / Int(sectorByteCount))
                    Self.appendStray(&stray, sectors, bitmap, buffer.bytes(0..<sectors.count * Int(sectorByteCount)))
                }
                position += UInt64(count)
            }
        }
        return (bitmap, stray)
    }

    private static func appendStray(
        _ stray: inout [Range<Int>], _ sectors: Range<Int>, _ bitmap: SectorBitmap, _ bytes: RawSpan
    ) {
        var sector = sectors.lowerBound
        while sector < sectors.upperBound {
            sector = bitmap.runEnd(from: sector, to: sectors.upperBound, isSet: true)
            let end = bitmap.runEnd(from: sector, to: sectors.upperBound, isSet: false)
            for clear in sector..<end {
                let offset = (clear - sectors.lowerBound) * Int(sectorByteCount)
                guard !isZero(bytes.extracting(offset..<offset + Int(sectorByteCount))) else { continue }
                if stray.last?.upperBound == clear {
                    stray[stray.count - 1] = stray[stray.count - 1].lowerBound..<clear + 1
                } else {
                    stray.append(clear..<clear + 1)
                }
            }
            sector = end
        }
    }
}
