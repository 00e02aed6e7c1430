import BlockIO
import ByteCodec

/// The entries of the log that are valid, and the sequence of them that is to be replayed. [MS-VHDX] 2.3, 3.1.1
///
/// One pass reads each page of the ring about once: pages of descriptors and data cannot begin with an entry's
/// signature, so an entry that claims the pages of another one fails before its checksum is computed. Only positions
/// and sums are kept, never contents.
struct LogRing: Sendable {
    /// What replay needs to know of a valid entry.
    struct Entry: Sendable, Equatable {
        /// Pages from the start of the ring.
        var page: UInt32
        var pageCount: UInt32
        var sequenceNumber: UInt64
        /// Pages from the start of the ring.
        var tailPage: UInt32
        var descriptorCount: UInt32
        var dataCount: UInt32
        var flushedFileOffset: UInt64
        var lastFileOffset: UInt64
        /// Behind the last byte that a descriptor changes.
        var targetEnd: UInt64
    }

    let file: any BlockFile
    let range: Range<UInt64>
    let guid: GUID
    var pageCount: UInt32 { UInt32((range.upperBound - range.lowerBound) / Layout.pageByteCount) }

    /// Entries to be replayed, first to last; nil when there is no valid sequence.
    private(set) var active: [Entry]?

    /// Whole entries with larger numbers than the active sequence's last one, in the order of their numbers: left out
    /// because something before them, without which they mean nothing, is not whole.
    private(set) var newer: [Entry] = []

    init(scanning file: any BlockFile, header: Header) throws {
        (self.file, range, guid) = (file, header.logRange, header.logGUID)
        var entries: [Entry] = []
        for page in 0..<pageCount {
            if let entry = try parse(at: page) { entries.append(entry) }
        }
        let whole = entries
        let fileEnd = entries.reduce(try file.byteCount()) { max($0, $1.lastFileOffset) }
        entries.removeAll { $0.targetEnd > fileEnd }
        active = activeSequence(entries)
        if let head = active?.last {
            newer = whole.filter { $0.sequenceNumber > head.sequenceNumber }
                .sorted { $0.sequenceNumber < $1.sequenceNumber }
        }
    }

    /// The complete sequence with the largest last number, from its tail on. A sequence that ends where a longer one
    /// ends has the same last entry, so only the longest ones need to be looked at.
    private func activeSequence(_ entries: [Entry]) -> [Entry]? {
        var indexByPage: [UInt32: Int] = [:]
        for (index, entry) in entries.enumerated() { indexByPage[entry.page] = index }
        var successor = [Int?](repeating: nil, count: entries.count)
        var hasPredecessor = [Bool](repeating: false, count: entries.count)
        for (index, entry) in entries.enumerated() {
            guard let next = indexByPage[(entry.page + entry.pageCount) % pageCount], entry.sequenceNumber < .max,
                entries[next].sequenceNumber == entry.sequenceNumber + 1
            else { continue }
            successor[index] = next
            hasPredecessor[next] = true
        }
        var best: [Entry]?
        for start in entries.indices where !hasPredecessor[start] {
            var sequence: [Entry] = []
            var index: Int? = start
            while let current = index {
                sequence.append(entries[current])
                index = successor[current]
            }
            guard let head = sequence.last, head.sequenceNumber > best?.last?.sequenceNumber ?? 0,
                let tail = sequence.firstIndex(where: { $0.page == head.tailPage })
            else { continue }
            best = Array(sequence[tail...])
        }
        return best
    }

    /// Whether a page begins as an entry of this log, be the entry valid or not.
    func holdsEntry() throws(IOError) -> Bool {
        for page in 0..<pageCount {
            let start = try bytes(ofPage: 0, from: page)
            if start.rawBytes.integer(at: 0, as: UInt32.self, .little) == LogEntryHeader.expectedSignature,
                GUID(start.rawBytes, at: 32, .little) == guid
            {
                return true
            }
        }
        return false
    }

    /// A page of an entry, by its number inside the entry; the ring goes round.
    func bytes(ofPage index: UInt32, from start: UInt32) throws(IOError) -> [UInt8] {
        let page = (UInt64(start) + UInt64(index)) % UInt64(pageCount)
        return try file.bytes(
            at: range.lowerBound + page * Layout.pageByteCount, count: Int(Layout.pageByteCount))
    }

    /// The entry that starts at a page, when every rule holds.
    private func parse(at page: UInt32) throws -> Entry? {
        let first = try bytes(ofPage: 0, from: page)
        guard let header = try headerIfPlausible(first) else { return nil }
        let descriptorPages = LogEntryHeader.descriptorPageCount(UInt64(header.descriptorCount))
        let pages = UInt64(header.entryLength) / Layout.pageByteCount
        guard descriptorPages <= pages else { return nil }

        var entry = Entry(
            page: page, pageCount: UInt32(pages), sequenceNumber: header.sequenceNumber,
            tailPage: header.tail / UInt32(Layout.pageByteCount), descriptorCount: header.descriptorCount, dataCount: 0,
            flushedFileOffset: header.flushedFileOffset, lastFileOffset: header.lastFileOffset, targetEnd: 0)
        var crc = crc32c(first.rawBytes, skippingField: 4)
        guard check(descriptorsOn: first, from: LogEntryHeader.byteCount, header.descriptorCount, 0, &entry) else {
            return nil
        }
        for index in 1..<UInt32(max(1, descriptorPages)) {
            let bytes = try bytes(ofPage: index, from: page)
            let done = 126 + 128 * (index - 1)
            guard check(descriptorsOn: bytes, from: 0, header.descriptorCount, done, &entry) else { return nil }
            crc = crc32c(bytes.rawBytes, initial: crc)
        }
        guard descriptorPages + UInt64(entry.dataCount) == pages else { return nil }
        for index in UInt32(descriptorPages)..<UInt32(pages) {
            let bytes = try bytes(ofPage: index, from: page)
            let sector = try DataSector(parsing: bytes.rawBytes)
            guard sector.signature == DataSector.expectedSignature, sector.sequenceNumber == header.sequenceNumber
            else { return nil }
            crc = crc32c(bytes.rawBytes, initial: crc)
        }
        return crc == header.checksum ? entry : nil
    }

    private func headerIfPlausible(_ page: [UInt8]) throws(FormatError) -> LogEntryHeader? {
        guard page.rawBytes.integer(at: 0, as: UInt32.self, .little) == LogEntryHeader.expectedSignature else {
            return nil
        }
        let header = try LogEntryHeader(parsing: page.rawBytes)
        let ring = range.upperBound - range.lowerBound
        let unit = UInt32(Layout.pageByteCount)
        guard header.logGUID == guid, header.reserved == 0, header.sequenceNumber > 0,
            header.entryLength >= unit, header.entryLength % unit == 0, UInt64(header.entryLength) <= ring,
            header.tail % unit == 0, UInt64(header.tail) < ring,
            header.lastFileOffset <= Layout.maximumFileByteCount
        else { return nil }
        return header
    }

    /// Checks the descriptors of one page, the first of which has the number `done`, and adds them to the entry.
    private func check(
        descriptorsOn page: [UInt8], from start: Int, _ count: UInt32, _ done: UInt32, _ entry: inout Entry
    ) -> Bool {
        guard done < count else { return true }
        let here = min(Int(count - done), (page.count - start) / DataDescriptor.byteCount)
        for index in 0..<here {
            guard let descriptor = LogDescriptor(page, at: start + index * DataDescriptor.byteCount),
                descriptor.sequenceNumber == entry.sequenceNumber, let target = descriptor.target,
                target.lowerBound % Layout.pageByteCount == 0, target.upperBound % Layout.pageByteCount == 0,
                // The identifier and the headers are never changed through the log, nor is the log itself.
                target.lowerBound >= Layout.regionTableOffsets[0],
                target.upperBound <= range.lowerBound || target.lowerBound >= range.upperBound || target.isEmpty
            else { return false }
            entry.targetEnd = max(entry.targetEnd, target.upperBound)
            if case .data = descriptor { entry.dataCount += 1 }
        }
        return true
    }
}

/// One descriptor of a log entry.
enum LogDescriptor {
    case zero(ZeroDescriptor)
    case data(DataDescriptor)

    init?(_ page: [UInt8], at offset: Int) {
        let bytes = page.rawBytes.extracting(offset..<offset + DataDescriptor.byteCount)
        switch bytes.integer(at: 0, as: UInt32.self, .little) {
        case ZeroDescriptor.expectedSignature:
            guard let descriptor = try? ZeroDescriptor(parsing: bytes), descriptor.reserved == 0 else { return nil }
            self = .zero(descriptor)
        case DataDescriptor.expectedSignature:
            guard let descriptor = try? DataDescriptor(parsing: bytes) else { return nil }
            self = .data(descriptor)
        default: return nil
        }
    }

    var sequenceNumber: UInt64 {
        switch self {
        case .zero(let descriptor): descriptor.sequenceNumber
        case .data(let descriptor): descriptor.sequenceNumber
        }
    }

    /// The range of the file that changes; nil when it overflows.
    var target: Range<UInt64>? {
        switch self {
        case .zero(let descriptor): checkedRange(descriptor.fileOffset, descriptor.zeroLength)
        case .data(let descriptor): checkedRange(descriptor.fileOffset, Layout.pageByteCount)
        }
    }
}
