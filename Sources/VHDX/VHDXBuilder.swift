public import BlockIO
public import ByteCodec
public import DiskModel

/// Fills a new image, fixed or dynamic, on an empty file: the log at 1 MiB (1 MiB long), metadata at 2 MiB, the table at
/// 3 MiB, blocks behind it in the order of the disk. So one bit a block says the whole table, and memory stays small. Only
/// where the size of the disk is not known before does the table stand behind the blocks.
public final class VHDXBuilder: ImageBuilder {
    public let file: any BlockFile
    private let type: ImageType
    private let blockByteCount: UInt64
    private let logicalSectorByteCount: Int
    private let physicalSectorByteCount: Int
    private let virtualDiskID: GUID
    private let creator: String
    private var header: Header
    private var virtualByteCount: UInt64?
    private let firstBlockOffset: UInt64
    private var present = BlockSet()

    /// - Parameters: as those of `VHDXCreator.create`; a size of nil: `setVirtualByteCount` follows before `finish`.
    public init(
        on file: any BlockFile, type: ImageType, virtualByteCount: UInt64?, blockByteCount: UInt64 = 32 << 20,
        logicalSectorByteCount: Int = 512, physicalSectorByteCount: Int = 4096, virtualDiskID: GUID = .random(),
        creator: String = "vhdtools", newGUID: () -> GUID = { .random() }
    ) throws(DiskError) {
        func refuse(_ what: String) -> DiskError { DiskError(.refused, path: file.path, what) }
        guard type != .differencing else { throw refuse("a differencing image is made from its parent") }
        guard [512, 4096].contains(logicalSectorByteCount), [512, 4096].contains(physicalSectorByteCount) else {
            throw refuse("sectors have 512 or 4096 bytes")
        }
        try Self.checkNew(file, blockByteCount: blockByteCount)
        (self.file, self.type, self.blockByteCount) = (file, type, blockByteCount)
        self.logicalSectorByteCount = logicalSectorByteCount
        self.physicalSectorByteCount = physicalSectorByteCount
        (self.virtualDiskID, self.creator) = (virtualDiskID, creator)
        header = Header(newGUID: newGUID)
        let start = NewStructures.metadata.upperBound
        guard let virtualByteCount else {
            firstBlockOffset = start
            return
        }
        try Self.checkSize(virtualByteCount, logicalSectorByteCount, path: file.path)
        let geometry = TableGeometry(
            virtualByteCount: virtualByteCount, blockByteCount: blockByteCount,
            logicalSectorByteCount: UInt64(logicalSectorByteCount), isDifferencing: false)
        firstBlockOffset = start + Self.tableByteCount(geometry)
        self.virtualByteCount = virtualByteCount
    }

    /// Refuses a block size that the format does not have, and a file that is not empty.
    static func checkNew(_ file: any BlockFile, blockByteCount: UInt64) throws(DiskError) {
        guard blockByteCount.isPowerOfTwo, Layout.blockByteCounts.contains(blockByteCount) else {
            throw DiskError(
                .refused, path: file.path,
                "a block size of \(blockByteCount) bytes is no power of two from 1 MiB to 256 MiB")
        }
        try diskErrors(file.path, "creating the image") {
            guard try file.byteCount() == 0 else {
                throw DiskError(.refused, path: file.path, "the file is not empty")
            }
        }
    }

    private static func checkSize(_ byteCount: UInt64, _ sector: Int, path: String) throws(DiskError) {
        guard byteCount > 0, byteCount <= Layout.maximumVirtualByteCount, byteCount % UInt64(sector) == 0 else {
            throw DiskError(
                .refused, path: path,
                "a disk of \(byteCount) bytes: a disk has whole sectors of \(sector) bytes, from one to 64 TiB")
        }
    }

    static func tableByteCount(_ geometry: TableGeometry) -> UInt64 {
        (geometry.entryCount * TableEntry.byteCount).roundedUp(to: Layout.mebibyte)
    }

    public var geometry: DiskGeometry {
        DiskGeometry(
            virtualByteCount: virtualByteCount ?? 0, logicalSectorByteCount: logicalSectorByteCount,
            physicalSectorByteCount: physicalSectorByteCount, blockByteCount: blockByteCount)
    }
    public var runByteCount: UInt64 { type == .fixed ? .max : blockByteCount }

    public func setVirtualByteCount(_ byteCount: UInt64) throws(DiskError) {
        precondition(virtualByteCount == nil || virtualByteCount == byteCount)
        try Self.checkSize(byteCount, logicalSectorByteCount, path: file.path)
        virtualByteCount = byteCount
    }

    public func place(_ range: Range<UInt64>) throws(DiskError) -> UInt64 {
        guard type == .dynamic else { return firstBlockOffset + range.lowerBound }
        let block = range.lowerBound / blockByteCount
        guard block < Layout.maximumVirtualByteCount / blockByteCount else {
            throw DiskError(.refused, path: file.path, "the disk is larger than 64 TiB")
        }
        if present.last != block { present.append(block) }
        return firstBlockOffset + (present.count - 1) * blockByteCount + range.lowerBound % blockByteCount
    }

    public func finish() throws(DiskError) {
        try diskErrors(file.path, "finishing the image") {
            try writeBody()
            try writeHeaders()
        }
    }

    // MARK: Structures

    /// Everything but the headers, without which the file is no image.
    func writeBody() throws(IOError) {
        let geometry = TableGeometry(
            virtualByteCount: virtualByteCount ?? 0, blockByteCount: blockByteCount,
            logicalSectorByteCount: UInt64(logicalSectorByteCount), isDifferencing: false)
        let count = type == .fixed ? geometry.payloadBlockCount : present.count
        let blocksEnd = firstBlockOffset + count * blockByteCount
        let before = NewStructures.metadata.upperBound
        let tableStart = before + Self.tableByteCount(geometry) <= firstBlockOffset ? before : blocksEnd
        let structures = NewStructures(
            type: type, geometry: geometry, physicalSectorByteCount: UInt32(physicalSectorByteCount),
            virtualDiskID: virtualDiskID, creator: creator,
            table: tableStart..<tableStart + Self.tableByteCount(geometry))
        try file.resize(to: max(blocksEnd, structures.table.upperBound))
        try writeTable(geometry, at: tableStart)
        try structures.write(to: file)
    }

    func writeHeaders() throws(IOError) { try header.writeCopies(to: file) }

    /// The table in pieces of a megabyte; those without a block stay holes.
    private func writeTable(_ geometry: TableGeometry, at start: UInt64) throws(IOError) {
        let entriesPerPiece: UInt64 = (1 << 20) / TableEntry.byteCount
        var number: UInt64 = 0
        var first: UInt64 = 0
        while first < geometry.entryCount {
            let end = min(first + entriesPerPiece, geometry.entryCount)
            let blocks =
                geometry.payloadBlockCount(beforeIndex: first)..<geometry.payloadBlockCount(beforeIndex: end)
            let numberBefore = number
            var bytes = [UInt8].zeros(Int((end - first) * TableEntry.byteCount))
            func enter(_ block: UInt64) {
                var raw = bytes.mutableRawBytes
                let entry = TableEntry(.fullyPresent, fileOffset: firstBlockOffset + number * blockByteCount)
                let place = geometry.index(ofPayloadBlock: block) - first
                raw.store(entry.rawValue, at: Int(place * TableEntry.byteCount), .little)
                number += 1
            }
            if type == .fixed { blocks.forEach(enter) } else { present.forEach(in: blocks, enter) }
            if number > numberBefore { try file.write(bytes, at: start + first * TableEntry.byteCount) }
            first = end
        }
    }
}
