import BlockIO
import ByteCodec
import DiskModel

/// The place of a block table, with XenServer's batmap behind it where there is one.
struct TablePlace: Equatable {
    var offset: UInt64
    /// Max Table Entries.
    var entryCount: UInt64
    var hasBatmap: Bool

    /// Whole sectors.
    var tableRange: Range<UInt64> { offset..<offset + (4 * entryCount).roundedUp(to: sectorByteCount) }
    private var mapByteCount: UInt64 { entryCount.dividedRoundingUp(by: 8).roundedUp(to: sectorByteCount) }
    var end: UInt64 {
        tableRange.upperBound + (hasBatmap ? UInt64(BatmapHeader.byteCount) + mapByteCount : 0)
    }
    var byteCount: UInt64 { end - offset }

    /// Writes the table at this place: the old one's first `keptCount` entries, the others empty to the end of the last
    /// sector, and a batmap of zeros. No flush.
    /// - Parameter old: the offset of the table in use; where it is this one, its entries stay as they are.
    func write(
        _ file: any BlockFile, keeping keptCount: UInt64, from old: UInt64, batmap: BatmapHeader?,
        progress: EditProgress
    ) throws {
        let total = byteCount
        let kept = 4 * keptCount
        if old != offset {
            let buffer = IOBuffer(byteCount: Int(min(1 << 20, max(1, kept))))
            var done: UInt64 = 0
            while done < kept {
                let count = Int(min(UInt64(buffer.byteCount), kept - done))
                try buffer.fill(count, from: file, at: old + done)
                try file.write(buffer.bytes(0..<count), at: offset + done)
                done += UInt64(count)
                try progress(done, total)
            }
        }
        try Self.writeEmptyEntries(file, offset + kept..<tableRange.upperBound)
        guard hasBatmap, var header = batmap else { return }
        header.mapOffset = tableRange.upperBound + UInt64(BatmapHeader.byteCount)
        header.mapSize = UInt32(mapByteCount / sectorByteCount)
        header.checksum = BatmapHeader.clearedChecksum
        try writeZeros(file, header.mapOffset..<end)
        try file.write(header.serialized(), at: tableRange.upperBound)
    }

    /// Fills a range of a table with the entries of blocks that are not there.
    static func writeEmptyEntries(_ file: any BlockFile, _ range: Range<UInt64>) throws(IOError) {
        guard !range.isEmpty else { return }
        let piece = [UInt8](repeating: 0xff, count: Int(min(1 << 20, range.upperBound - range.lowerBound)))
        var position = range.lowerBound
        while position < range.upperBound {
            let count = Int(min(UInt64(piece.count), range.upperBound - position))
            try file.write(piece.rawBytes.extracting(0..<count), at: position)
            position += UInt64(count)
        }
    }

    /// Makes a range zero that may lie over anything; written, so that it also works past the end of the file.
    private func writeZeros(_ file: any BlockFile, _ range: Range<UInt64>) throws(IOError) {
        let piece = [UInt8].zeros(Int(min(1 << 16, range.upperBound - range.lowerBound)))
        var position = range.lowerBound
        while position < range.upperBound {
            let count = Int(min(UInt64(piece.count), range.upperBound - position))
            try file.write(piece.rawBytes.extracting(0..<count), at: position)
            position += UInt64(count)
        }
    }
}

extension BatmapHeader {
    /// Of a map that says nothing about any block: the complement of a sum of zeros, over however many bytes the size of
    /// the disk makes it.
    static let clearedChecksum = UInt32.max
}

extension ImageEdit {
    /// Where the table stands now.
    var table: TablePlace {
        TablePlace(
            offset: image.header?.tableOffset ?? 0, entryCount: UInt64(image.header?.maxTableEntries ?? 0),
            hasBatmap: image.batmap != nil)
    }

    /// Max Table Entries for so many blocks: exact, but where XenServer keeps room for more, and its batmap behind it.
    func entryCount(forBlocks count: UInt64) -> UInt64 {
        image.batmap == nil ? count : max(count, table.entryCount)
    }

    /// Makes another place, or number of entries, the table's, and flushes. Both fields and the checksum lie in the
    /// header's first sector, which alone is written: the table is the old one or the new one, never a mixture.
    func useTable(_ place: TablePlace) throws {
        guard place != table else { return }
        let offset = image.footer.dataOffset
        var bytes = try file.bytes(at: offset, count: DynamicHeader.byteCount)
        var raw = bytes.mutableRawBytes
        raw.store(place.offset, at: DynamicHeader.tableOffsetOffset, .big)
        raw.store(UInt32(place.entryCount), at: DynamicHeader.maxTableEntriesOffset, .big)
        bytes = sealing(bytes, checksumAt: DynamicHeader.checksumOffset)
        try file.write(bytes.rawBytes.extracting(0..<Int(sectorByteCount)), at: offset)
        try file.sync()
    }

    /// Makes the batmap say nothing: a bit of a block that is no longer there, or a checksum that reaches as far as the
    /// size did, would mislead XenServer. The map first; a power cut before its checksum is written leaves a batmap that
    /// XenServer may refuse, until this is done again.
    func clearBatmap() throws {
        guard let batmap = image.batmap, let map = batmapRanges.last else { return }
        var header = batmap.header
        if header.checksum == BatmapHeader.clearedChecksum, try file.isZero(map) { return }
        try file.zero(map)
        try file.sync()
        header.checksum = BatmapHeader.clearedChecksum
        try file.write(header.serialized(), at: batmap.offset)
        try file.sync()
    }
}
