import BlockIO
import ByteCodec

/// Replay of the active sequence of a log. Doing it twice gives the same file, so a replay that was cut off is simply
/// done again. [MS-VHDX] 3.1.1
extension LogRing {
    /// Bounds of a replay in memory, far above what any log at rest holds: pages, and ranges set to zero.
    static let replayedPageCount: UInt64 = 32768
    static let replayedZeroCount: UInt64 = 1024

    /// Finds the log's sequence. Nil when there is none and the caller accepted that: nothing is replayed then.
    static func pending(
        in file: any BlockFile, _ headers: HeaderPair, _ findings: inout Findings
    ) throws -> LogRing? {
        let header = headers.current
        guard header.logGUID != .zero else { return nil }
        let ring = try LogRing(scanning: file, header: header)
        guard let head = ring.active?.last else {
            let holdsEntry = try ring.holdsEntry()
            try findings.refuse(
                FormatError(
                    .vhdxNoLogSequence, field: "LogGuid", offset: Layout.headerOffsets[headers.slot] + 48,
                    "is \(header.logGUID), "
                        + (holdsEntry
                            ? "and the log has no valid sequence for it: changes of the metadata are lost"
                            : "but the log holds no entry of it: nothing was logged, giving the log up loses nothing"),
                    section: "3.1.1"))
            return nil
        }
        if let problem = ring.newerEntries(than: head) { try findings.refuse(problem) }
        let fileByteCount = try file.byteCount()
        if fileByteCount < head.flushedFileOffset {
            try findings.refuse(
                FormatError(
                    .vhdxFlushedFileOffset, field: "FlushedFileOffset",
                    offset: header.logOffset + UInt64(head.page) * Layout.pageByteCount + 48,
                    "is \(head.flushedFileOffset), but the file ends at \(fileByteCount): it was cut off",
                    section: "2.3.1.1"))
        }
        return ring
    }

    /// The breach that the log goes on behind the sequence that would be replayed: the disk would show an older state
    /// than it last had. An entry torn at the end of the log is not whole, and breaks no rule.
    private func newerEntries(than head: Entry) -> FormatError? {
        guard let first = newer.first, let last = newer.last else { return nil }
        let leftOut =
            newer.count == 1
            ? "1 newer entry (\(first.sequenceNumber)) is left out"
            : "\(newer.count) newer entries (\(first.sequenceNumber) to \(last.sequenceNumber)) are left out"
        return FormatError(
            .vhdxNewerLogEntries, field: "SequenceNumber",
            offset: range.lowerBound + UInt64(first.page) * Layout.pageByteCount + 16,
            "is \(first.sequenceNumber), and the newest complete sequence ends with \(head.sequenceNumber): \(leftOut), "
                + "because of damage, or a power cut between entries that were not flushed",
            section: "3.1.1")
    }

    /// Refuses what would take too much memory.
    func checkBoundsInMemory() throws(FormatError) {
        let entries = active ?? []
        let pages = entries.reduce(UInt64(0)) { $0 + UInt64($1.dataCount) }
        let zeros = entries.reduce(UInt64(0)) { $0 + UInt64($1.descriptorCount - $1.dataCount) }
        guard pages <= Self.replayedPageCount, zeros <= Self.replayedZeroCount else {
            throw FormatError(
                .vhdxReplayTooLarge, field: "Log", offset: range.lowerBound,
                "changes \(pages) pages and \(zeros) ranges, too many to replay in memory; replay it into a copy",
                section: "3.1.1")
        }
    }

    /// Replays into the file of the log itself, the caller having made sure that it may be written.
    ///
    /// 1. Both headers get a new FileWriteGuid, each flushed. 2. The entries are applied, and flushed. 3. Both
    /// headers get a zero LogGuid. A cut before 3 leaves the same log over targets that replay changes in the same
    /// way; DataWriteGuid stays, because what the disk shows does not change.
    func replayIntoFile(_ headers: inout HeaderPair) throws {
        try headers.update(on: file) { $0.fileWriteGUID = .random() }
        try replay(into: file)
        try file.sync()
        try headers.update(on: file) { $0.logGUID = .zero }
    }

    /// Applies the entries to `target`, and brings it to the length the log names.
    func replay(into target: any BlockFile) throws {
        guard let entries = active, let head = entries.last else { return }
        for entry in entries { try apply(entry, to: target) }
        if try target.byteCount() < head.lastFileOffset { try target.resize(to: head.lastFileOffset) }
    }

    private func apply(_ entry: Entry, to target: any BlockFile) throws {
        let descriptorPages = UInt32(LogEntryHeader.descriptorPageCount(UInt64(entry.descriptorCount)))
        var nextData = descriptorPages
        var done: UInt32 = 0
        for index in 0..<descriptorPages {
            let page = try bytes(ofPage: index, from: entry.page)
            let start = index == 0 ? LogEntryHeader.byteCount : 0
            let here = min(Int(entry.descriptorCount - done), (page.count - start) / DataDescriptor.byteCount)
            for number in 0..<here {
                switch LogDescriptor(page, at: start + number * DataDescriptor.byteCount) {
                case .zero(let descriptor)?: try apply(descriptor, to: target)
                case .data(let descriptor)?:
                    let data = try bytes(ofPage: nextData, from: entry.page)
                    let sector = try DataSector(parsing: data.rawBytes)
                    try target.write(sector.page(with: descriptor), at: descriptor.fileOffset)
                    nextData += 1
                case nil: continue
                }
            }
            done += UInt32(here)
        }
    }

    private func apply(_ descriptor: ZeroDescriptor, to target: any BlockFile) throws {
        guard let range = checkedRange(descriptor.fileOffset, descriptor.zeroLength), !range.isEmpty else { return }
        if try target.byteCount() < range.upperBound { try target.resize(to: range.upperBound) }
        try target.zero(range)
    }
}

extension DataSector {
    /// The page as it will stand in the file.
    func page(with descriptor: DataDescriptor) -> [UInt8] {
        var page = [UInt8].zeros(Self.byteCount)
        var raw = page.mutableRawBytes
        raw.store(descriptor.leadingBytes, at: 0, .little)
        raw.copy(data.rawBytes, at: 8)
        raw.store(descriptor.trailingBytes, at: 4092, .little)
        return page
    }

    /// The descriptor and the sector that say what a page becomes.
    static func logging(_ page: [UInt8], at fileOffset: UInt64, sequenceNumber: UInt64) -> (DataDescriptor, DataSector)
    {
        var descriptor = DataDescriptor()
        descriptor.leadingBytes = page.rawBytes.integer(at: 0, .little)
        descriptor.trailingBytes = page.rawBytes.integer(at: 4092, .little)
        descriptor.fileOffset = fileOffset
        descriptor.sequenceNumber = sequenceNumber
        var sector = DataSector()
        sector.data = page.rawBytes.array(8..<4092)
        sector.sequenceHigh = UInt32(sequenceNumber >> 32)
        sector.sequenceLow = UInt32(truncatingIfNeeded: sequenceNumber)
        return (descriptor, sector)
    }
}
