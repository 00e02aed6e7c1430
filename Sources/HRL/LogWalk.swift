import BlockIO
import ByteCodec
import DiskModel

/// One pass over the writes of a log, oldest first, with all checks of blocks and entries. Holds one block, and a window of
/// the data where that is verified.
struct LogWalk {
    let file: any BlockFile
    let header: LogHeader
    /// The target's size where there is a target.
    var virtualByteCount: UInt64?
    var verifiesData = false
    var findings: LogFindings
    private(set) var summary = LogSummary()
    private var previousTime: UInt32 = 0
    private var dataSum: DataSum

    init(_ file: any BlockFile, header: LogHeader, endOfLog: UInt64, findings: LogFindings) {
        (self.file, self.header, self.findings) = (file, header, findings)
        dataSum = DataSum(file)
        summary.endOfLog = endOfLog
    }

    /// Walks the log. What was noticed is in `findings`, also after an error.
    /// - Returns: false when a checker's walk found the chain of blocks broken and looked at no entry.
    mutating func run(_ body: (LogWrite) throws(DiskError) -> Void) throws(DiskError) -> Bool {
        let chain = try BlockChain(
            file, metadataSize: UInt64(header.metadataSize), endOfLog: summary.endOfLog, &findings)
        guard chain.isWhole else { return false }
        // The block fits: the log holds at least one, and its size is bounded.
        let buffer = IOBuffer(byteCount: chain.blockCount == 0 ? 0 : Int(header.metadataSize))
        var dataStart = UInt64(LogHeader.byteCount)
        for segment in (0..<chain.segmentEnds.count).reversed() {
            for block in try chain.blocks(ofSegment: segment) {
                try read(block, into: buffer)
                try visit(block, buffer, gap: dataStart..<block.offset, body)
                dataStart = block.offset + UInt64(header.metadataSize)
            }
        }
        noteTotals()
        return true
    }

    private func read(_ block: BlockChain.Block, into buffer: IOBuffer) throws(DiskError) {
        do { try buffer.fill(Int(header.metadataSize), from: file, at: block.offset) } catch {
            throw DiskError(error, doing: "reading a metadata block")
        }
    }

    private mutating func visit(
        _ block: BlockChain.Block, _ buffer: IOBuffer, gap: Range<UInt64>,
        _ body: (LogWrite) throws(DiskError) -> Void
    ) throws(DiskError) {
        let usedCount = MetadataHeader.byteCount + block.validCount * MetadataEntry.byteCount
        summary.blockCount += 1
        if block.validCount == 0, summary.blockCount > 1 {
            findings.note(
                .information, .hrlEmptyBlock, .init(.layout, "ValidMetadataEntries", at: block.offset), "is 0")
        }
        if !isZero(buffer.bytes(usedCount..<buffer.byteCount)) {
            findings.note(
                .warning, .hrlUnusedSlots, .init(.block, "unused slots", at: block.offset + UInt64(usedCount)),
                "hold other bytes than zero")
        }
        var dataOffset = gap.lowerBound
        for slot in 0..<block.validCount {
            guard
                let write = try judge(slot, of: block, buffer, dataOffset: dataOffset, gapEnd: gap.upperBound)
            else { return }
            dataOffset += write.byteCount
            count(write)
            try body(write)
        }
        if dataOffset < gap.upperBound {
            findings.note(
                .warning, .hrlDataSum, .init(.layout, "data", at: dataOffset),
                "has \(gap.upperBound - dataOffset) bytes before the block that no entry describes")
        }
    }

    /// Checks an entry: rules 10 and 15 to 20.
    /// - Returns: nil when a checker's walk must leave the rest of the block alone.
    private mutating func judge(
        _ slot: Int, of block: BlockChain.Block, _ buffer: IOBuffer, dataOffset: UInt64, gapEnd: UInt64
    ) throws(DiskError) -> LogWrite? {
        let start = MetadataHeader.byteCount + slot * MetadataEntry.byteCount
        let bytes = buffer.bytes(start..<start + MetadataEntry.byteCount)
        let entry: MetadataEntry
        do { entry = try MetadataEntry(parsing: bytes) } catch { throw DiskError(error, path: file.path) }
        let sum = complementedByteSum(bytes, skippingField: MetadataEntry.checksumOffset)
        let number = summary.writeCount + 1
        var write = LogWrite(
            number: number, slot: slot, blockOffset: block.offset, dataOffset: dataOffset,
            diskOffset: entry.byteOffset, byteCount: UInt64(entry.dataLength),
            timestamp: DiskTimestamp(rawValue: entry.timeStamp), checksumOK: sum == entry.checksum,
            dataChecksum: entry.dataChecksum == 0 ? .none : .unverified)
        let entryOffset = block.offset + UInt64(start)
        func place(_ field: String) -> LogFindings.Place {
            .init(.entry, field, at: entryOffset + MetadataEntry.offset(of: field), write: number)
        }
        if sum != entry.checksum {
            if slot == 0, isZero(bytes) {
                try findings.reject(
                    .hrlReversePacked, place("ByteOffset"),
                    "slot 0 is empty: the block is packed from its last slot down, which is not supported")
                return nil
            }
            try findings.refuse(
                .hrlEntry, place("Checksum"), "is \(hex(entry.checksum)), the entry's bytes give \(hex(sum))")
        }
        if entry.metaOperation != MetadataEntry.write {
            try findings.reject(
                .hrlEntry, place("MetaOperation"), "is \(entry.metaOperation), only 1 (write) is defined")
        }
        if entry.dataLength == 0 { try findings.reject(.hrlEntry, place("DataLength"), "is 0") }
        if entry.dataLength > MetadataEntry.maximumDataLength {
            try findings.reject(
                .hrlDataLength, place("DataLength"),
                "is \(entry.dataLength), allowed are up to \(MetadataEntry.maximumDataLength)")
        }
        guard write.byteCount <= gapEnd - dataOffset else {
            try findings.reject(
                .hrlDataSum, place("DataLength"),
                "is \(entry.dataLength), but only \(gapEnd - dataOffset) bytes of data are left before the block")
            return nil
        }
        try judgeRange(entry, place("ByteOffset"))
        noteOddities(entry, place)
        if entry.dataChecksum != 0, verifiesData {
            let sum = try dataSum.complementedSum(of: write.dataRange)
            write.dataChecksum = sum == entry.dataChecksum ? .ok : .bad
            if sum != entry.dataChecksum {
                try findings.refuse(
                    .hrlDataChecksum, place("DataChecksum"),
                    "is \(hex(entry.dataChecksum)), the data's bytes give \(hex(sum))")
            }
        }
        return write
    }

    private mutating func judgeRange(
        _ entry: MetadataEntry, _ place: @autoclosure () -> LogFindings.Place
    ) throws(DiskError) {
        let limit = virtualByteCount ?? MetadataEntry.maximumEnd
        guard let end = entry.byteOffset.adding(UInt64(entry.dataLength)) else {
            return try findings.reject(
                .hrlDiskRange, place(), "\(entry.byteOffset) plus \(entry.dataLength) bytes overflows")
        }
        if end > limit {
            try findings.reject(
                .hrlDiskRange, place(),
                "\(entry.byteOffset) plus \(entry.dataLength) bytes ends past the "
                    + (virtualByteCount == nil ? "largest disk's" : "disk's") + " \(limit) bytes")
        }
    }

    private mutating func noteOddities(_ entry: MetadataEntry, _ place: (String) -> LogFindings.Place) {
        if entry.location != 0 {
            findings.note(.warning, .hrlReserved, place("Location"), "is \(entry.location), expected 0")
        }
        if !entry.reservedIsZero {
            findings.note(.warning, .hrlReserved, place("Reserved"), "holds other bytes than zero")
        }
        if (entry.byteOffset | UInt64(entry.dataLength)) % 512 != 0 {
            findings.note(
                .warning, .hrlAlignment, place("ByteOffset"),
                "\(entry.byteOffset) and DataLength \(entry.dataLength) are not both multiples of 512")
        }
        if entry.timeStamp < previousTime {
            findings.note(
                .warning, .hrlEntryTime, place("TimeStamp"),
                "is \(DiskTimestamp(rawValue: entry.timeStamp)), before that of the write before it")
        }
        if entry.timeStamp < header.timeStamp || (header.isClosed && entry.timeStamp > header.lastModifiedTimeStamp) {
            findings.note(
                .warning, .hrlEntryTime, place("TimeStamp"),
                "is \(DiskTimestamp(rawValue: entry.timeStamp)), not between the header's "
                    + "\(header.created) and \(header.lastModified)")
        }
        previousTime = entry.timeStamp
    }

    private mutating func count(_ write: LogWrite) {
        summary.writeCount += 1
        summary.byteCount &+= write.byteCount
        if summary.firstTime == nil { summary.firstTime = write.timestamp }
        summary.lastTime = write.timestamp
        summary.minimumOffset = min(summary.minimumOffset ?? .max, write.diskOffset)
        summary.maximumEnd = max(summary.maximumEnd, write.diskOffset &+ write.byteCount)
        if write.dataChecksum != .none { summary.checksummedWriteCount += 1 }
    }

    private mutating func noteTotals() {
        guard header.isClosed, header.totalMetadataEntries != summary.writeCount else { return }
        findings.note(
            .warning, .hrlTotalEntries,
            .init(.header, "TotalMetadataEntries", at: LogHeader.offset(of: "TotalMetadataEntries")),
            "is \(header.totalMetadataEntries), the blocks hold \(summary.writeCount) entries")
    }
}

/// Reads what may hold other bytes than zero in a range, piece by piece; `body` gets the bytes and their offset.
func forEachDataPiece(
    of file: any BlockFile, in range: Range<UInt64>, _ buffer: IOBuffer, _ body: (RawSpan, UInt64) throws -> Void
) throws {
    var position = range.lowerBound
    while position < range.upperBound, let data = try file.data(from: position), data.lowerBound < range.upperBound {
        position = max(position, data.lowerBound)
        let end = min(data.upperBound, range.upperBound)
        while position < end {
            let count = Int(min(UInt64(buffer.byteCount), end - position))
            try buffer.fill(count, from: file, at: position)
            try body(buffer.bytes(0..<count), position)
            position += UInt64(count)
        }
    }
}
