import BlockIO
import ByteCodec
import DiskModel

/// Bytes inside one block.
struct BlockPart {
    var block: UInt64
    /// From the block's start.
    var offset: UInt64
    var byteCount: UInt64

    /// Whether it is all that the disk has of the block.
    func isWhole(_ geometry: TableGeometry) -> Bool {
        offset == 0 && byteCount >= geometry.usedByteCount(ofBlock: block)
    }

    /// Its sectors, counted from the block's first one.
    func sectors(_ geometry: TableGeometry) -> Range<UInt64> {
        let sector = geometry.logicalSectorByteCount
        return offset / sector..<(offset + byteCount) / sector
    }
}

/// Writing into blocks: steps 5 and 6.
extension Writer {
    /// Writes bytes inside one block, which `move` puts at the offset in the file that it is given.
    mutating func write(
        _ part: BlockPart, _ map: inout BlockMap, _ file: any BlockFile, _ move: (UInt64) throws -> Void
    ) throws {
        let place = try map.block(part.block, in: file)
        switch place.state {
        case .fullyPresent: try move(place.fileOffset + part.offset)
        case .partiallyPresent: try writePresent(part, at: place.fileOffset, &map, file, move)
        case .notPresent where map.geometry.isDifferencing && !part.isWhole(map.geometry):
            try writePartOfAbsent(part, &map, file, move)
        case .notPresent, .undefined, .zero, .unmapped:
            try makeRoom(forPages: 1, &map, file)
            let start = try appendSpace(map.geometry.blockByteCount, &map, file) { try move($0 + part.offset) }
            try enter(TableEntry(.fullyPresent, fileOffset: start), .payload(part.block), &map, file)
        }
    }

    /// Step 5 in a block of state 7.
    private mutating func writePresent(
        _ part: BlockPart, at blockOffset: UInt64, _ map: inout BlockMap, _ file: any BlockFile,
        _ move: (UInt64) throws -> Void
    ) throws {
        let bits = try map.bits(ofBlock: part.block, in: file)
        try makeRoom(forPages: 1 + bits.pageCount, &map, file)
        try move(blockOffset + part.offset)
        guard try map.bitmaps.set(part.sectors(map.geometry), of: bits, in: file) else { return }
        try map.bitmaps.clear(bits, in: file)
        try enter(TableEntry(.fullyPresent, fileOffset: blockOffset), .payload(part.block), &map, file)
    }

    /// Step 6 for part of a block that shows its parent.
    private mutating func writePartOfAbsent(
        _ part: BlockPart, _ map: inout BlockMap, _ file: any BlockFile, _ move: (UInt64) throws -> Void
    ) throws {
        let known = try map.bitsIfAny(ofBlock: part.block, in: file)
        let bitmapByteCount = known == nil ? Layout.bitmapBlockByteCount : 0
        let pageCount = map.geometry.bits(ofBlock: part.block, bitmap: 0).pageCount
        try makeRoom(forPages: 2 + pageCount, &map, file)
        let start = try appendSpace(bitmapByteCount + map.geometry.blockByteCount, &map, file) {
            try move($0 + bitmapByteCount + part.offset)
        }
        let bits = known ?? map.geometry.bits(ofBlock: part.block, bitmap: start)
        if known == nil {
            let chunk = map.geometry.chunk(ofBlock: part.block)
            try enter(TableEntry(.fullyPresent, fileOffset: start), .bitmap(chunk: chunk), &map, file)
        }
        try map.bitmaps.clear(bits, in: file)
        _ = try map.bitmaps.set(part.sectors(map.geometry), of: bits, in: file)
        let entry = TableEntry(.partiallyPresent, fileOffset: start + bitmapByteCount)
        try enter(entry, .payload(part.block), &map, file)
    }

    /// Lengthens the file by space that reads as zeros, and has it filled.
    /// - Returns: where it starts, a multiple of 1 MiB.
    private func appendSpace(
        _ byteCount: UInt64, _ map: inout BlockMap, _ file: any BlockFile, _ fill: (UInt64) throws -> Void
    ) throws -> UInt64 {
        let before = map.fileByteCount
        let start = before.roundedUp(to: Layout.mebibyte)
        let end = start + byteCount
        guard end <= Layout.maximumFileByteCount else {
            throw DiskError(.refused, path: path, "the file would grow above 192 TiB")
        }
        try file.checkLength(atLeast: before)
        try file.resize(to: end)
        map.fileByteCount = end
        do {
            try fill(start)
        } catch {
            // A full disk: nothing points at the new space, which is given back if that works.
            if (try? file.resize(to: before)) != nil { map.fileByteCount = before }
            throw error
        }
        return start
    }

    private func enter(
        _ entry: TableEntry, _ use: TableGeometry.Use, _ map: inout BlockMap, _ file: any BlockFile
    ) throws {
        try map.table.set(entry, at: map.geometry.index(of: use), in: file)
    }
}
