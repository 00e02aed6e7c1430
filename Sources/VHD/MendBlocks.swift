import BlockIO
import ByteCodec
import DiskModel

/// What can be mended in the table and the blocks, decided the same way by check and repair.
enum BlockMending {
    /// Entries are written a sector of the table at a time.
    static func canEditTable(_ image: ImageParser, _ layout: SparseLayout) -> Bool {
        layout.tableOffset % sectorByteCount == 0 && HeaderMending.isTrusted(image)
    }

    /// Where everything ends that has a place in the file, whether the file reaches that far or not.
    static func usedEnd(_ image: ImageParser, _ layout: SparseLayout) throws -> UInt64 {
        var end = layout.structures.map(\.upperBound).max() ?? 0
        if let header = image.header {
            // Entries that no block needs stand in the file too.
            end = max(end, min(layout.tableOffset + 4 * UInt64(header.maxTableEntries), layout.contentsEnd))
        }
        try forEachBlock(image, layout) { place, _ in end = max(end, place.offset + layout.strideByteCount) }
        return end
    }

    /// Visits the blocks that have a place, in the order of the file.
    static func forEachBlock(
        _ image: ImageParser, _ layout: SparseLayout, _ body: (BlockOrder.Place, _ isSound: Bool) throws -> Void
    ) throws {
        var table = BlockAllocationTable(image.file, layout)
        var order = BlockOrder()
        try order.survey(&table, layout) { event in
            if case .block(let place, let isSound) = event { try body(place, isSound) }
        }
    }
}

extension Mender {
    /// Rules 20, 21 and 22: gives up blocks that stand where none can be.
    mutating func dropBlocks(_ image: ImageParser) throws {
        guard let layout = image.layout, BlockMending.canEditTable(image, layout) else { return }
        var survey = BlockAllocationTable(file, layout)
        // Of its own: the one above is being read.
        var table = BlockAllocationTable(file, layout)
        var order = BlockOrder()
        var isFirst = true
        func drop(_ block: UInt64, _ code: FormatError.Code) throws {
            if isFirst, Batmap.isApart(image) { try clearBatmap(image, for: .dropBlocks) }
            isFirst = false
            try table.set(block, to: unallocatedEntry)
            if table.dirtyPieces.count > 256 { try table.writeDirtyPieces() }
            actions.add(.dropBlocks, code, at: layout.tableOffset + 4 * block, "block \(block) given up")
        }
        try order.survey(&survey, layout) { event in
            switch event {
            case .misplaced(let error, let block): try drop(block, error.code)
            case .givenUp(let place): try drop(place.block, .vhdBlocksOverlap)
            case .counted, .overlap, .block: break
            }
        }
        guard !isFirst else { return }
        try table.writeDirtyPieces()
        try file.sync()
    }

    /// Rule 23: makes all readers see the same in sectors under clear bits.
    mutating func mendStrayData(_ image: ImageParser, _ progress: EditProgress) throws {
        guard let layout = image.layout, image.footer.diskType == DiskTypeCode.dynamic,
            HeaderMending.isTrusted(image)
        else { return }
        let contents = BlockContents(file, layout)
        let total = layout.contentsEnd
        var isChanged = false
        try BlockMending.forEachBlock(image, layout) { place, isSound in
            guard isSound else { return }
            let (bitmap, stray) = try contents.read(place, findsStray: true)
            if !stray.isEmpty {
                isChanged = true
                try mendStrayData(place, layout, bitmap, stray)
            }
            try progress(min(total, place.offset + layout.strideByteCount), total)
        }
        if isChanged { try file.sync() }
    }

    private mutating func mendStrayData(
        _ place: BlockOrder.Place, _ layout: SparseLayout, _ bitmap: SectorBitmap, _ stray: [Range<Int>]
    ) throws(IOError) {
        let count = stray.reduce(0) { $0 + $1.count }
        let data = place.offset + layout.bitmapByteCount
        if kinds.contains(.zeroSectors) {
            for run in stray {
                try file.zero(
                    data + UInt64(run.lowerBound) * sectorByteCount..<data + UInt64(run.upperBound) * sectorByteCount)
            }
            return actions.add(
                .zeroSectors, .vhdDataUnderClearBits, at: data + UInt64(stray[0].lowerBound) * sectorByteCount,
                "\(count) sectors of block \(place.block) zeroed")
        }
        var new = bitmap
        for run in stray { new.set(run) }
        for start in stride(from: 0, to: new.bytes.count, by: Int(sectorByteCount)) {
            let sector = Array(new.bytes[start..<start + Int(sectorByteCount)])
            guard sector != Array(bitmap.bytes[start..<start + Int(sectorByteCount)]) else { continue }
            try file.write(sector, at: place.offset + UInt64(start))
        }
        actions.add(
            .setBits, .vhdDataUnderClearBits, at: place.offset, "bits of \(count) sectors of block \(place.block) set")
    }

    // MARK: Batmap

    /// Rule 32: a map without a bit is always right.
    mutating func mendBatmap(_ image: ImageParser) throws {
        guard let (header, _) = image.batmap, try Batmap.canClear(image) else { return }
        let isRight = try header.checksum == Batmap.checksum(file, header, image.footer.currentSize)
        guard try !isRight || hasWrongBit(image) else { return }
        try clearBatmap(image, for: .batmap)
    }

    private mutating func clearBatmap(_ image: ImageParser, for kind: RepairKind) throws {
        guard let (header, offset) = image.batmap else { return }
        try file.zero(Batmap.range(header))
        try file.sync()
        let sector = try file.bytes(at: offset, count: BatmapHeader.byteCount)
        try writeDurably(patched(sector, at: 24, bigEndianBytes(UInt32.max)), at: offset)
        actions.add(kind, .vhdBatmap, at: offset, "batmap cleared: no block is called full")
    }

    /// Whether the map calls a block full that is not, or is not there.
    private func hasWrongBit(_ image: ImageParser) throws -> Bool {
        var options = CheckOptions()
        options.isDeep = true
        var check = ImageCheck(image, options, CheckReport())
        try check.checkBatmap()
        guard let layout = image.layout, check.report.findings.isEmpty else { return true }
        try BlockMending.forEachBlock(image, layout) { place, isSound in
            guard isSound else { return }
            let bitmap = SectorBitmap(try file.bytes(at: place.offset, count: Int(layout.bitmapByteCount)))
            try check.checkBatmapBit(place, bitmap, layout)
        }
        return !check.report.findings.isEmpty
    }
}
