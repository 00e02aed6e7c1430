import BlockIO
import ByteCodec

/// Appends entries to the ring of the log. Every entry's tail is the entry itself: the caller has made the final
/// places of the entry before durable. [MS-VHDX] 2.3, 3.1.2
struct LogWriter: Sendable {
    let guid: GUID
    private let range: Range<UInt64>
    private var nextPage: UInt64 = 0
    private var nextSequenceNumber: UInt64 = 1

    /// Pages that one entry changes at most. With its one page of descriptors it takes about a quarter of the
    /// smallest ring (1 MiB), so that an entry never reaches the one before it, which counts until the new one is
    /// durable.
    static let pagesPerEntry = 64

    init(range: Range<UInt64>, guid: GUID) { (self.range, self.guid) = (range, guid) }

    /// Writes one entry that replaces pages of the file; the caller flushes before and after.
    /// - Parameter fileByteCount: the file's length, durable, a multiple of 1 MiB.
    mutating func append(
        _ pages: [(offset: UInt64, bytes: [UInt8])], fileByteCount: UInt64, to file: any BlockFile
    ) throws {
        precondition(pages.count <= Self.pagesPerEntry)
        let entry = bytes(of: pages, fileByteCount)
        let start = range.lowerBound + nextPage * Layout.pageByteCount
        let untilEnd = min(entry.count, Int(range.upperBound - start))
        try file.write(entry.rawBytes.extracting(0..<untilEnd), at: start)
        if untilEnd < entry.count {
            try file.write(entry.rawBytes.extracting(untilEnd..<entry.count), at: range.lowerBound)
        }
        let ringPages = (range.upperBound - range.lowerBound) / Layout.pageByteCount
        nextPage = (nextPage + UInt64(entry.count) / Layout.pageByteCount) % ringPages
        nextSequenceNumber += 1
    }

    private func bytes(of pages: [(offset: UInt64, bytes: [UInt8])], _ fileByteCount: UInt64) -> [UInt8] {
        let descriptorPages = LogEntryHeader.descriptorPageCount(UInt64(pages.count))
        var header = LogEntryHeader()
        header.entryLength = UInt32((descriptorPages + UInt64(pages.count)) * Layout.pageByteCount)
        header.tail = UInt32(nextPage * Layout.pageByteCount)
        header.sequenceNumber = nextSequenceNumber
        header.descriptorCount = UInt32(pages.count)
        header.logGUID = guid
        (header.flushedFileOffset, header.lastFileOffset) = (fileByteCount, fileByteCount)

        var entry = header.serialized()
        entry.reserveCapacity(Int(header.entryLength))
        var sectors: [DataSector] = []
        for page in pages {
            let (descriptor, sector) = DataSector.logging(
                page.bytes, at: page.offset, sequenceNumber: nextSequenceNumber)
            entry += descriptor.serialized()
            sectors.append(sector)
        }
        entry += [UInt8].zeros(Int(descriptorPages * Layout.pageByteCount) - entry.count)
        for sector in sectors { entry += sector.serialized() }
        let checksum = crc32c(entry.rawBytes)
        var raw = entry.mutableRawBytes
        raw.store(checksum, at: 4, .little)
        return entry
    }
}
