import BlockIO
import ByteCodec
import DiskModel

/// Rule 32: XenServer's map of full blocks.
extension ImageCheck {
    mutating func checkBatmap() throws {
        guard let (header, offset) = image.batmap else { return }
        batmapRepairs = try Batmap.canClear(image) ? [.batmap] : []
        let sum = try Batmap.checksum(file, header, image.footer.currentSize)
        if sum != header.checksum {
            report.add(
                .warning,
                FormatError(
                    .vhdBatmap, field: "Checksum", offset: offset + 24,
                    "of the batmap is \(hex(header.checksum)), its bytes give \(hex(sum))", section: "14"),
                repairs: batmapRepairs)
        }
        if options.isDeep { try checkUnallocatedBits() }
    }

    /// Whether the map calls a block full that is not: XenServer would take the data of all its sectors from here.
    mutating func checkBatmapBit(_ place: BlockOrder.Place, _ bitmap: SectorBitmap, _ layout: SparseLayout) throws {
        guard let (header, _) = image.batmap, try Batmap.isSet(place.block, file, header) else { return }
        guard !bitmap.isFull(layout.visibleSectorCount(ofBlock: place.block)) else { return }
        report.add(
            .error,
            FormatError(
                .vhdBatmap, field: "batmap", offset: place.offset,
                "calls block \(place.block) full, and its bitmap has clear bits", section: "14"),
            repairs: batmapRepairs)
    }

    private mutating func checkUnallocatedBits() throws {
        guard let (header, _) = image.batmap, let layout = image.layout else { return }
        try Batmap.forEachUnallocatedBit(file, header, layout) { block in
            report.add(
                .warning,
                FormatError(
                    .vhdBatmap, field: "batmap", offset: layout.tableOffset + 4 * block,
                    "calls block \(block) full, and it is not allocated", section: "14"),
                repairs: batmapRepairs)
        }
    }
}

/// What is reckoned from a batmap that the opener found well-formed.
enum Batmap {
    /// The complement of the sum of the map's bytes, which the first version took as signed ones.
    static func checksum(
        _ file: any BlockFile, _ header: BatmapHeader, _ virtualByteCount: UInt64
    ) throws(IOError) -> UInt32 {
        let sectors = min(UInt64(header.mapSize), max(1, (virtualByteCount >> 24).dividedRoundingUp(by: 512)))
        var sum: UInt32 = 0
        var position = header.mapOffset
        let end = header.mapOffset + sectors * sectorByteCount
        while position < end {
            let bytes = try file.bytes(at: position, count: Int(min(1 << 16, end - position)))
            sum &+= byteSum(bytes.rawBytes)
            if header.version <= 0x0001_0001 {
                for byte in bytes where byte >= 0x80 { sum &-= 256 }
            }
            position += UInt64(bytes.count)
        }
        return ~sum
    }

    static func isSet(_ block: UInt64, _ file: any BlockFile, _ header: BatmapHeader) throws(IOError) -> Bool {
        // The map has a bit for every entry of the table: the opener saw to that.
        try file.bytes(at: header.mapOffset + block / 8, count: 1)[0] & (0x80 >> UInt8(block % 8)) != 0
    }

    /// Visits the blocks of the disk that the map calls full and the table does not have, in order.
    static func forEachUnallocatedBit(
        _ file: any BlockFile, _ header: BatmapHeader, _ layout: SparseLayout, _ body: (UInt64) throws -> Void
    ) throws {
        var table = BlockAllocationTable(file, layout)
        let pageByteCount: UInt64 = 4096
        let byteCount = layout.blockCount.dividedRoundingUp(by: 8)
        for start in stride(from: 0, to: byteCount, by: UInt64.Stride(pageByteCount)) {
            let count = min(pageByteCount, byteCount - start)
            let bytes = try file.bytes(at: header.mapOffset + start, count: Int(count))
            for (index, byte) in bytes.enumerated() where byte != 0 {
                for bit in 0..<8 where byte & 0x80 >> UInt8(bit) != 0 {
                    let block = (start + UInt64(index)) * 8 + UInt64(bit)
                    guard block < layout.blockCount, try table.entry(block) == unallocatedEntry else { continue }
                    try body(block)
                }
            }
        }
    }

    /// Bytes of the map in the file.
    static func range(_ header: BatmapHeader) -> Range<UInt64> {
        header.mapOffset..<header.mapOffset + UInt64(header.mapSize) * sectorByteCount
    }

    /// Whether nothing at all stands where the map is: it is zeroed whole.
    static func canClear(_ image: ImageParser) throws -> Bool {
        guard isApart(image), HeaderMending.isTrusted(image), let (header, _) = image.batmap, let layout = image.layout
        else { return false }
        let map = range(header)
        var table = BlockAllocationTable(image.file, layout)
        var isFree = true
        try table.forEachEntry(layout) { _, entry in
            let offset = UInt64(entry) * sectorByteCount
            if (offset..<offset + layout.strideByteCount).overlaps(map) { isFree = false }
        }
        return isFree
    }

    /// Whether no other structure stands where the map is.
    static func isApart(_ image: ImageParser) -> Bool {
        guard let (header, offset) = image.batmap, let layout = image.layout, let table = image.header else {
            return false
        }
        let map = range(header)
        let others =
            image.locatorRanges + [
                0..<sectorByteCount, offset..<offset + sectorByteCount,
                image.headerOffset..<image.headerOffset + UInt64(DynamicHeader.byteCount),
                layout.tableOffset..<layout.tableOffset + 4 * UInt64(table.maxTableEntries),
            ]
        return map.upperBound <= layout.contentsEnd && !others.contains { $0.overlaps(map) }
            && offset % sectorByteCount == 0
    }
}
