public import BlockIO
public import ByteCodec
public import DiskModel

/// Fills a new image, fixed or dynamic, on an empty file.
///
/// Blocks stand in the order of the disk, each with its data on a 4 KiB boundary, so that file systems can share it. So
/// one bit a block says the whole block table, and memory stays small. The table stands where every program expects it,
/// before the blocks; only where the size of the disk is not known before does it stand behind them.
public final class VHDBuilder: ImageBuilder {
    public let file: any BlockFile
    private let type: VHDCreator.NewType
    /// Of a differencing image; its paths stand behind the table.
    private let parent: ParentFields?
    private let blockByteCount: UInt64
    private let bitmap: [UInt8]
    private var footer: Footer
    private var isSizeKnown: Bool
    /// Where the first block's bitmap begins.
    private let firstBlockOffset: UInt64
    private let strideByteCount: UInt64
    private var present = BlockSet()

    /// - Parameters: as those of `VHDCreator.create`; a size of nil: `setVirtualByteCount` follows before `finish`.
    public convenience init(
        on file: any BlockFile, type: VHDCreator.NewType, virtualByteCount: UInt64?,
        blockByteCount: UInt64 = VHDCreator.defaultBlockByteCount, uniqueID: GUID, created: DiskTimestamp,
        creator: VHDCreator.Creator = .vhdtools
    ) throws(DiskError) {
        try self.init(
            on: file, type: type, virtualByteCount: virtualByteCount, blockByteCount: blockByteCount,
            uniqueID: uniqueID, created: created, creator: creator, parent: nil)
    }

    /// - Parameter parent: makes a dynamic image a differencing one, whose size is known. It has no blocks: their
    ///   bitmaps here are those of blocks that hide the parent whole.
    init(
        on file: any BlockFile, type: VHDCreator.NewType, virtualByteCount: UInt64?, blockByteCount: UInt64,
        uniqueID: GUID, created: DiskTimestamp, creator: VHDCreator.Creator, parent: ParentFields?
    ) throws(DiskError) {
        func refused(_ text: String) -> DiskError { DiskError(.refused, path: file.path, text) }
        guard blockByteCount.isPowerOfTwo, blockByteCount >= sectorByteCount, blockByteCount <= largestBlockByteCount
        else {
            throw refused("a block of \(blockByteCount) bytes is no power of two from 512 to \(largestBlockByteCount)")
        }
        guard uniqueID != .zero else { throw refused("the Unique ID of a new image may not be all zeros") }
        guard creator.application.count == 4, creator.hostOS.count == 4 else {
            throw refused("a creator's application and host OS have four characters each")
        }
        try diskErrors(file.path, "creating the image") {
            guard try file.byteCount() == 0 else { throw refused("the file is not empty") }
        }
        self.file = file
        self.type = type
        self.parent = parent
        self.blockByteCount = blockByteCount
        bitmap = SectorBitmap.full(blockByteCount: blockByteCount)
        isSizeKnown = false
        footer = Footer()
        let sparseType = parent == nil ? DiskTypeCode.dynamic : DiskTypeCode.differencing
        footer.diskType = type == .fixed ? DiskTypeCode.fixed : sparseType
        footer.dataOffset = type == .fixed ? noOffset : Self.headerOffset
        footer.timestamp = created.rawValue
        footer.creatorApplication = creator.application
        footer.creatorVersion = creator.version
        footer.creatorHostOS = creator.hostOS
        footer.uniqueID = uniqueID
        let entries = (virtualByteCount ?? 0).dividedRoundingUp(by: blockByteCount)
        let unit = min(BlockPlace.alignment, blockByteCount)
        firstBlockOffset = BlockPlace.next(
            after: Self.tableEnd(Self.tableOffset, entryCount: min(entries, UInt64(UInt32.max)))
                + (parent?.dataByteCount ?? 0),
            blockByteCount: blockByteCount, bitmapByteCount: UInt64(bitmap.count))
        strideByteCount = (UInt64(bitmap.count) + blockByteCount).roundedUp(to: unit)
        if let virtualByteCount { try setVirtualByteCount(virtualByteCount) }
    }

    private static let headerOffset: UInt64 = 512
    private static let tableOffset: UInt64 = 1536

    private static func tableEnd(_ offset: UInt64, entryCount: UInt64) -> UInt64 {
        offset + (4 * entryCount).roundedUp(to: sectorByteCount)
    }

    public var geometry: DiskGeometry {
        DiskGeometry(virtualByteCount: footer.currentSize, blockByteCount: type == .fixed ? nil : blockByteCount)
    }
    public var runByteCount: UInt64 { type == .fixed ? .max : blockByteCount }

    public func setVirtualByteCount(_ byteCount: UInt64) throws(DiskError) {
        try VHDCreator.checkSize(byteCount, isFixed: type == .fixed, path: file.path)
        (footer.originalSize, footer.currentSize) = (byteCount, byteCount)
        footer.geometry = writtenGeometry(virtualByteCount: byteCount)
        isSizeKnown = true
    }

    /// Takes another geometry than the size gives.
    func setGeometry(_ geometry: CHSGeometry) { footer.geometry = geometry }

    public func place(_ range: Range<UInt64>) throws(DiskError) -> UInt64 {
        guard type == .dynamic else { return range.lowerBound }
        let block = range.lowerBound / blockByteCount
        let offset: UInt64
        if present.last == block {
            offset = blockOffset(present.count - 1)
        } else {
            offset = blockOffset(present.count)
            guard offset + strideByteCount + sectorByteCount <= BlockPlace.fileLimit,
                block < largestDynamicByteCount / blockByteCount
            else {
                throw DiskError(
                    .refused, path: file.path, "no room for another block: the file of a dynamic VHD ends at 2 TiB",
                    hint: "make a VHDX")
            }
            present.append(block)
            do { try file.write(bitmap, at: offset) } catch { throw DiskError(error, doing: "writing a block") }
        }
        return offset + UInt64(bitmap.count) + range.lowerBound % blockByteCount
    }

    private func blockOffset(_ number: UInt64) -> UInt64 { firstBlockOffset + number * strideByteCount }

    public func finish() throws(DiskError) {
        try diskErrors(file.path, "finishing the image") {
            try writeBody()
            try writeFooters()
        }
    }

    // MARK: Tables

    private var blocksEnd: UInt64 {
        present.count == 0 ? firstBlockOffset : blockOffset(present.count - 1) + UInt64(bitmap.count) + blockByteCount
    }

    /// Everything but footers, without which the file is no image.
    func writeBody() throws(IOError) {
        precondition(isSizeKnown)
        guard type == .dynamic else { return try file.resize(to: footer.currentSize) }
        var header = DynamicHeader()
        header.blockSize = UInt32(blockByteCount)
        // Below 2^32: 2040 GiB in blocks of at least 512 bytes are 0xff000000.
        header.maxTableEntries = UInt32(footer.currentSize.dividedRoundingUp(by: blockByteCount))
        let entryCount = UInt64(header.maxTableEntries)
        let fitsBefore = Self.tableEnd(Self.tableOffset, entryCount: entryCount) <= firstBlockOffset
        header.tableOffset = fitsBefore ? Self.tableOffset : blocksEnd
        try writeTable(at: header.tableOffset, entryCount: entryCount)
        var structuresEnd = Self.tableEnd(header.tableOffset, entryCount: entryCount)
        if let parent {
            header.setParent(parent, parent.entries(at: structuresEnd))
            try file.write(parent.data, at: structuresEnd)
            structuresEnd += parent.dataByteCount
        }
        footerOffset = (present.count == 0 && fitsBefore ? structuresEnd : max(blocksEnd, structuresEnd))
            .roundedUp(to: sectorByteCount)
        try file.resize(to: footerOffset)
        try file.write(header.sealed(), at: Self.headerOffset)
    }
    private var footerOffset: UInt64 = 0

    func writeFooters() throws(IOError) {
        let bytes = footer.sealed()
        guard type == .dynamic else { return try file.write(bytes, at: footer.currentSize) }
        try file.write(bytes, at: footerOffset)
        try file.write(bytes, at: 0)
    }

    /// The table, padded with ones to a sector, in pieces of a megabyte.
    private func writeTable(at start: UInt64, entryCount: UInt64) throws(IOError) {
        let end = Self.tableEnd(start, entryCount: entryCount)
        var number: UInt64 = 0
        var position = start
        while position < end {
            var piece = [UInt8](repeating: 0xff, count: Int(min(1 << 20, end - position)))
            var raw = piece.mutableRawBytes
            let first = (position - start) / 4
            present.forEach(in: first..<first + UInt64(raw.byteCount / 4)) { block in
                let sector = UInt32(blockOffset(number) / sectorByteCount)
                raw.store(sector, at: Int(block - first) * 4, .big)
                number += 1
            }
            try file.write(piece, at: position)
            position += UInt64(piece.count)
        }
    }
}

/// Where new blocks are laid.
enum BlockPlace {
    /// Blocks' data is aligned to a page, smaller blocks to their size.
    static let alignment: UInt64 = 4096
    /// Where the file must end: a sector number has 32 bits, all ones being taken.
    static let fileLimit = UInt64(UInt32.max) * sectorByteCount

    /// Where the bitmap of a block begins, so that its data is aligned, at or after `end`.
    static func next(after end: UInt64, blockByteCount: UInt64, bitmapByteCount: UInt64) -> UInt64 {
        let unit = min(alignment, blockByteCount)
        return (end.roundedUp(to: sectorByteCount) + bitmapByteCount).roundedUp(to: unit) - bitmapByteCount
    }
}
