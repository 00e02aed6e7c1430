import BlockIO
import ByteCodec

/// An image opened as far as there is a way: what would stop a reader is noted, and the next structure is looked at all
/// the same. Nothing is written: a log is replayed, and a file that lacks the end of a region is lengthened, in memory.
struct CheckedImage {
    /// The file, or an overlay of it.
    private(set) var file: any BlockFile
    private(set) var findings: [Finding] = []
    /// Which of the two headers have their signature and checksum.
    private(set) var validHeaders: [Int] = []
    /// Whether both headers say the same about the log.
    private(set) var haveHeadersOneLog = false
    /// Nil when neither has its signature.
    private(set) var headers: HeaderPair?
    private(set) var logRange: Range<UInt64>?
    /// The pending log, when it may be replayed into the file.
    private(set) var ring: LogRing?
    private(set) var regions: RegionTable?
    private(set) var metadata: Metadata?
    private(set) var map: BlockMap?
    /// Where a file has to end that lacks the ends of its log and regions, and nothing that counts of them; nil when it
    /// lacks none, or something that counts.
    private(set) var structureEnd: UInt64?
    /// Length of the file, after replay.
    private(set) var fileByteCount: UInt64 = 0

    /// - Throws: `IOError`.
    init(_ original: any BlockFile) throws {
        file = original
        fileByteCount = try original.byteCount()
        try stage { image, findings in try OpenedImage.checkIdentifier(image.file, &findings) }
        guard fileByteCount >= Layout.headerSectionByteCount else { return }
        try stage { image, findings in try image.readHeaders(&findings) }
        try stage { image, findings in try image.replayLog(&findings) }
        try stage { image, findings in try image.readRegions(&findings) }
        try stage { image, findings in try image.readMetadata(&findings) }
        try stage { image, findings in try image.readTable(&findings) }
        structureEnd = harmlessEnd()
    }

    /// Looks at one structure; a breach that leaves no way on in it ends it, not the rest.
    private mutating func stage(_ body: (inout CheckedImage, inout Findings) throws -> Void) throws {
        // A few for each region and item, of which there are 2047 at most.
        var noted = Findings(accepting: .everyVHDXRule, limit: 20_000)
        do { try body(&self, &noted) } catch let error as FormatError { noted.note(.error, error) }
        findings += noted.all
    }

    private mutating func readHeaders(_ findings: inout Findings) throws {
        let copies = try Layout.headerOffsets.indices.map { try HeaderPair.copy($0, of: file) }
        validHeaders = copies.indices.filter { copies[$0].isValid }
        haveHeadersOneLog = copies[0].header.meansSameLog(as: copies[1].header)
        let headers = try HeaderPair(reading: file, &findings)
        self.headers = headers
        if !headers.current.canGrow { findings.warn(headers.exhausted) }
        logRange = try headers.current.checkedLogRange(
            at: Layout.headerOffsets[headers.slot], fileByteCount: fileByteCount, &findings)
        if logRange == nil, findings.all.contains(where: { $0.detail.code == .vhdxStructurePastEnd }) {
            // Its place counts, though its end is missing.
            logRange = checkedRange(headers.current.logOffset, UInt64(headers.current.logLength))
        }
    }

    private mutating func replayLog(_ findings: inout Findings) throws {
        guard let headers, headers.current.logGUID != .zero, headers.current.version == 1,
            headers.current.logVersion == 0, let logRange, logRange.upperBound <= fileByteCount,
            let pending = try LogRing.pending(in: file, headers, &findings)
        else { return }
        if findings.all.isEmpty {
            ring = pending
            findings.warn(headers.dirtyLog("is pending; the rest is checked as it will be after replay"))
        }
        try pending.checkBoundsInMemory()
        let overlay = try OverlayFile(over: file)
        try pending.replay(into: overlay)
        (file, fileByteCount) = (overlay, overlay.byteCount())
    }

    private mutating func readRegions(_ findings: inout Findings) throws {
        let regions = try RegionTable(reading: file, log: logRange, &findings)
        self.regions = regions
        let end = regions.entries.map(\.range.upperBound).max() ?? 0
        guard end > fileByteCount else { return }
        let overlay = try file as? OverlayFile ?? OverlayFile(over: file)
        try overlay.resize(to: end)
        file = overlay
    }

    private mutating func readMetadata(_ findings: inout Findings) throws {
        guard let region = regions?.metadata, region.length > 0 else { return }
        metadata = try Metadata(reading: file, region: region.range, &findings)
    }

    private mutating func readTable(_ findings: inout Findings) throws {
        guard let regions, regions.blockAllocationTable.length > 0, let metadata, metadata.isUsable else { return }
        map = try BlockMap(
            metadata, regions, log: logRange, fileByteCount: fileByteCount,
            Findings(accepting: [.vhdxEntryReserved]))
        map?.notesEach = true
    }

    // MARK: What it says

    /// A log that is pending, or cannot be replayed, comes before any other change.
    var hasLog: Bool { headers.map { $0.current.logGUID != .zero } ?? false }

    /// A log of which something is missing that cannot be had again: all that is left is to give it up.
    var hasBrokenLog: Bool { has(.vhdxNoLogSequence) || has(.vhdxNewerLogEntries) }

    func has(_ code: FormatError.Code) -> Bool { findings.contains { $0.detail.code == code } }

    var isFixed: Bool {
        metadata.map { $0.fileParameters.leavesBlocksAllocated && !$0.fileParameters.hasParent } ?? false
    }

    /// A parent locator in an image that says it has no parent: the flag may be what is wrong, and then partially
    /// present blocks and sector bitmaps mean what they say.
    var mayHaveLostItsParent: Bool {
        metadata.map { !$0.fileParameters.hasParent && $0.find(KnownGUID.parentLocator) != nil } ?? false
    }

    private func harmlessEnd() -> UInt64? {
        let lacking = findings.count { $0.detail.code == .vhdxStructurePastEnd }
        guard lacking > 0, let headers else { return nil }
        var ends: [UInt64] = []
        if let logRange, logRange.upperBound > fileByteCount, logRange.lowerBound < fileByteCount,
            headers.current.logGUID == .zero
        {
            ends.append(logRange.upperBound)
        }
        for entry in regions?.entries ?? [] where entry.range.upperBound > fileByteCount {
            guard let needed = neededEnd(of: entry), needed <= fileByteCount else { return nil }
            ends.append(entry.range.upperBound)
        }
        return ends.count == lacking ? ends.max() : nil
    }

    /// Whether a region table is valid, and could be gone through.
    var hasValidRegionTable: Bool { regions != nil && !has(.vhdxRegionTables) }

    /// Where what counts in a region ends.
    private func neededEnd(of region: RegionTableEntry) -> UInt64? {
        switch region.guid {
        case KnownGUID.metadata:
            guard let metadata else { return nil }
            return metadata.table.reduce(region.fileOffset + UInt64(Layout.metadataTableByteCount)) {
                max($0, region.fileOffset + UInt64($1.entry.offset) + UInt64($1.entry.length))
            }
        case KnownGUID.blockAllocationTable: return map.map { $0.padding.lowerBound }
        default: return nil
        }
    }
}

extension Header {
    fileprivate func meansSameLog(as other: Header) -> Bool {
        (logGUID, logVersion, version) == (other.logGUID, other.logVersion, other.version)
            && (logOffset, logLength) == (other.logOffset, other.logLength)
    }
}
