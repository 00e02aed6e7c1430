import BlockIO
import ByteCodec
import DiskModel

/// The metadata blocks of a log, found from its end backwards.
///
/// Blocks point back only, and the log is read forward, so their places have to be kept; but in segments: only the last
/// block of each segment is kept for the whole log, and a segment's blocks are found again when its turn comes. Memory
/// is two segments, and 8 bytes for each further one.
struct BlockChain {
    static let segmentBlockCount = 1 << 16

    /// A block's place and the parts of its header that the walk needs.
    struct Block {
        var offset: UInt64
        var previous: UInt64
        var validCount: Int
    }

    let file: any BlockFile
    let metadataSize: UInt64
    let endOfLog: UInt64
    private(set) var blockCount: UInt64 = 0
    /// Offset of the last block of each segment, the log's last segment first.
    private(set) var segmentEnds: [UInt64] = []
    /// Whether the first block was reached; false only in a checker's walk.
    private(set) var isWhole = true
    /// The blocks of the log's first segment, from its last one backwards: found last, and asked for first.
    private var firstSegment: [Block] = []
    private let headerBytes = IOBuffer(byteCount: MetadataHeader.byteCount)

    init(_ file: any BlockFile, metadataSize: UInt64, endOfLog: UInt64, _ findings: inout LogFindings) throws(DiskError)
    {
        (self.file, self.metadataSize, self.endOfLog) = (file, metadataSize, endOfLog)
        guard endOfLog > UInt64(LogHeader.byteCount) else { return }
        var next: UInt64? = endOfLog - metadataSize
        while let offset = next {
            if blockCount % UInt64(Self.segmentBlockCount) == 0 {
                segmentEnds.append(offset)
                firstSegment.removeAll(keepingCapacity: true)
            }
            blockCount += 1
            guard let block = try block(at: offset, &findings) else {
                isWhole = false
                return
            }
            firstSegment.append(block)
            next = block.previous == 0 ? nil : offset - block.previous
        }
    }

    /// Reads and checks a block's header: rules 10 to 13. `offset` is at least 4096 and the block ends inside the log.
    /// - Returns: nil when a checker's walk cannot go on from here.
    func block(at offset: UInt64, _ findings: inout LogFindings) throws(DiskError) -> Block? {
        let header: MetadataHeader
        let sum: UInt32
        do {
            try headerBytes.fill(MetadataHeader.byteCount, from: file, at: offset)
            let bytes = headerBytes.bytes(0..<MetadataHeader.byteCount)
            header = try MetadataHeader(parsing: bytes)
            sum = complementedByteSum(bytes, skippingField: MetadataHeader.checksumOffset)
        } catch let error as IOError {
            throw DiskError(error, doing: "reading a metadata block")
        } catch {
            throw DiskError(.format, path: file.path, "\(error)")
        }
        func place(_ field: String) -> LogFindings.Place {
            .init(.block, field, at: offset + MetadataHeader.offset(of: field))
        }
        if sum != header.checksum {
            try findings.refuse(
                .hrlBlockChecksum, place("Checksum"),
                "is \(hex(header.checksum)), the block header's bytes give \(hex(sum))")
        }
        if !header.reservedIsZero {
            findings.note(.warning, .hrlReserved, place("Reserved"), "holds other bytes than zero")
        }
        let slots = (metadataSize - UInt64(MetadataHeader.byteCount)) / UInt64(MetadataEntry.byteCount)
        guard UInt64(header.validMetadataEntries) <= slots else {
            try findings.reject(
                .hrlValidEntries, place("ValidMetadataEntries"),
                "is \(header.validMetadataEntries), the block has \(slots) slots")
            return nil
        }
        let back = header.previousMetadataLocation
        guard back == 0 || back >= metadataSize else {
            try findings.reject(
                .hrlBackChain, place("PreviousMetadataLocation"),
                "is \(back), less than a block of \(metadataSize) bytes")
            return nil
        }
        guard back <= offset - UInt64(LogHeader.byteCount) else {
            try findings.reject(
                .hrlBackChain, place("PreviousMetadataLocation"),
                "is \(back), which leads before the end of the file header (block at \(hex(offset)))")
            return nil
        }
        return Block(offset: offset, previous: back, validCount: Int(header.validMetadataEntries))
    }

    /// The blocks of a segment, oldest first.
    func blocks(ofSegment index: Int) throws(DiskError) -> [Block] {
        if index == segmentEnds.count - 1 { return firstSegment.reversed() }
        // Judged when the chain was found; only a file that changed since can fail here.
        var judged = LogFindings(path: file.path, accepted: [.hrlBlockChecksum])
        let stop = index + 1 < segmentEnds.count ? segmentEnds[index + 1] : nil
        var result: [Block] = []
        var next: UInt64? = segmentEnds[index]
        while let offset = next, offset != stop {
            guard result.count < Self.segmentBlockCount, let block = try block(at: offset, &judged) else {
                throw DiskError(.io, path: file.path, "the log changed while it was being read")
            }
            result.append(block)
            next = block.previous == 0 ? nil : offset - block.previous
        }
        guard next == stop else { throw DiskError(.io, path: file.path, "the log changed while it was being read") }
        return result.reversed()
    }
}
