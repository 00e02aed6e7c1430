import BlockIO
import ByteCodec

/// The regions of a file. [MS-VHDX] 2.2.3
struct RegionTable: Sendable {
    /// Those that have a place in the file.
    private(set) var entries: [RegionTableEntry] = []
    /// Where each of these entries stands in the file.
    private(set) var entryOffsets: [UInt64] = []
    /// Of length 0 when an accepted error left it without a place, as is the next one.
    private(set) var blockAllocationTable = RegionTableEntry()
    private(set) var metadata = RegionTableEntry()
    /// Index in `Layout.regionTableOffsets` of the copy in use.
    let copy: Int
    /// The other copy is bad or differs, and a writer has to make it equal.
    let otherCopyDiffers: Bool

    /// Whether 64 KiB are a region table: signature and checksum.
    static func isValid(_ bytes: [UInt8]) -> Bool {
        hasSignature(bytes)
            && bytes.rawBytes.integer(at: 4, as: UInt32.self, .little)
                == crc32c(bytes.rawBytes, skippingField: 4)
    }

    private static func hasSignature(_ bytes: [UInt8]) -> Bool {
        bytes.rawBytes.integer(at: 0, as: UInt32.self, .little) == RegionTableHeader.expectedSignature
    }

    static func bytes(ofCopy copy: Int, in file: any BlockFile) throws(IOError) -> [UInt8] {
        try file.bytes(at: Layout.regionTableOffsets[copy], count: Layout.regionTableByteCount)
    }

    /// Reads the first valid copy, and checks the entries against the file's length, each other and the log.
    init(reading file: any BlockFile, log: Range<UInt64>?, _ findings: inout Findings) throws {
        let copies = [try Self.bytes(ofCopy: 0, in: file), try Self.bytes(ofCopy: 1, in: file)]
        let valid = copies.indices.filter { Self.isValid(copies[$0]) }
        if valid.isEmpty {
            try findings.refuse(
                FormatError(
                    .vhdxRegionTables, field: "Region table", offset: Layout.regionTableOffsets[0],
                    "1 and 2 are both invalid: each needs its signature and a matching CRC-32C", section: "2.2.3"))
        }
        guard let chosen = valid.first ?? copies.indices.first(where: { Self.hasSignature(copies[$0]) }) else {
            throw FormatError(
                .vhdxRegionTables, field: "Signature", offset: Layout.regionTableOffsets[0],
                "is \"regi\" in neither of the two region tables", section: "2.2.3")
        }
        copy = chosen
        otherCopyDiffers = copies[0] != copies[1]
        if otherCopyDiffers {
            let isBad = valid.count < 2
            findings.warn(
                FormatError(
                    .vhdxRegionTableCopies, field: "Region table \(2 - chosen)",
                    offset: Layout.regionTableOffsets[1 - chosen],
                    isBad ? "is invalid; the other copy is used" : "differs from the other copy, which is used",
                    section: "2.2.3"))
        }
        let fileByteCount = try file.byteCount()
        try parse(copies[chosen], fileByteCount: fileByteCount, &findings)
        try checkOverlaps(log: log, &findings)
    }

    private mutating func parse(_ bytes: [UInt8], fileByteCount: UInt64, _ findings: inout Findings) throws {
        let start = Layout.regionTableOffsets[copy]
        let header = try RegionTableHeader(parsing: bytes.rawBytes)
        let isCounted = header.entryCount <= Layout.maximumEntryCount
        if !isCounted {
            try findings.refuse(
                FormatError(
                    .vhdxRegionCount, field: "EntryCount", offset: start + 8,
                    "is \(header.entryCount), more than \(Layout.maximumEntryCount)", section: "2.2.3.1"))
        }
        var seen: Set<GUID> = []
        for index in 0..<min(Int(header.entryCount), Layout.maximumEntryCount) {
            let at = RegionTableHeader.byteCount + RegionTableEntry.byteCount * index
            let entry = try RegionTableEntry(
                parsing: bytes.rawBytes.extracting(at..<at + RegionTableEntry.byteCount))
            // Where the count is wrong, the entries end before the first empty one.
            if !isCounted, entry.guid == .zero { break }
            let offset = start + UInt64(at)
            guard seen.insert(entry.guid).inserted else {
                try findings.refuse(
                    FormatError(
                        .vhdxDuplicateRegion, field: "Guid", offset: offset, "\(entry.guid) occurs twice",
                        section: "2.2.3.2"))
                continue
            }
            try add(entry, at: offset, fileByteCount: fileByteCount, &findings)
        }
        for (id, name) in [(KnownGUID.blockAllocationTable, "BAT"), (KnownGUID.metadata, "metadata")]
        where !seen.contains(id) {
            try findings.refuse(
                FormatError(
                    .vhdxRegionMissing, field: "Guid", offset: start, "of the \(name) region is not in the table",
                    section: "2.2.3.2"))
        }
    }

    private mutating func add(
        _ entry: RegionTableEntry, at offset: UInt64, fileByteCount: UInt64, _ findings: inout Findings
    ) throws(FormatError) {
        let hasPlace = try entry.hasPlace(at: offset, fileByteCount: fileByteCount, &findings)
        switch entry.guid {
        case KnownGUID.blockAllocationTable: if hasPlace { blockAllocationTable = entry }
        case KnownGUID.metadata: if hasPlace { metadata = entry }
        default: try Self.checkUnknown(entry, at: offset, &findings)
        }
        if !entry.isRequired, KnownGUID.requiredRegions.contains(entry.guid) {
            findings.note(
                .information,
                FormatError(
                    .vhdxRegionNotRequired, field: "Required", offset: offset + 28,
                    "is 0 for the region \(entry.guid), expected 1", section: "2.2.3.2"))
        }
        if hasPlace {
            entries.append(entry)
            entryOffsets.append(offset)
        }
    }

    private static func checkUnknown(
        _ entry: RegionTableEntry, at offset: UInt64, _ findings: inout Findings
    ) throws(FormatError) {
        guard !entry.isRequired else {
            return try findings.refuse(
                FormatError(
                    .vhdxUnknownRequiredRegion, field: "Guid", offset: offset,
                    "\(entry.guid) is unknown and marked as required", section: "2.2.3.2"))
        }
        findings.note(
            .information,
            FormatError(
                .vhdxUnknownOptional, field: "Guid", offset: offset,
                "\(entry.guid) is an unknown optional region, kept as it is", section: "2.2.3.2"))
    }

    private func checkOverlaps(log: Range<UInt64>?, _ findings: inout Findings) throws(FormatError) {
        var ranges = entries.map { (range: $0.range, name: "region \($0.guid)") }
        if let log { ranges.append((log, "log")) }
        ranges.sort { $0.range.lowerBound < $1.range.lowerBound }
        for (a, b) in zip(ranges, ranges.dropFirst()) where a.range.upperBound > b.range.lowerBound {
            try findings.refuse(
                FormatError(
                    .vhdxOverlap, field: "FileOffset", offset: Layout.regionTableOffsets[copy],
                    "of \(b.name) is \(b.range.lowerBound), inside \(a.name), which ends at \(a.range.upperBound)",
                    section: "2.2.3.2"))
        }
    }
}

extension RegionTableEntry {
    /// Whether the region stands where one can; with an accepted error only its end may lie past the file's.
    fileprivate func hasPlace(
        at offset: UInt64, fileByteCount: UInt64, _ findings: inout Findings
    ) throws(FormatError) -> Bool {
        func refuse(_ code: FormatError.Code, _ field: String, _ at: UInt64, _ problem: String) throws(FormatError) {
            try findings.refuse(FormatError(code, field: field, offset: offset + at, problem, section: "2.2.3.2"))
        }
        guard length > 0 else {
            try refuse(.vhdxRegionLength, "Length", 24, "is 0")
            return false
        }
        guard fileOffset % Layout.mebibyte == 0, fileOffset >= Layout.headerSectionByteCount else {
            try refuse(
                .vhdxAlignment, "FileOffset", 16, "is \(fileOffset), expected a multiple of 1 MiB from 1 MiB on")
            return false
        }
        guard UInt64(length) % Layout.mebibyte == 0 else {
            try refuse(.vhdxAlignment, "Length", 24, "is \(length), no multiple of 1 MiB")
            return false
        }
        guard let range = checkedRange(fileOffset, UInt64(length)), range.upperBound <= fileByteCount else {
            try refuse(
                .vhdxStructurePastEnd, "FileOffset", 16,
                "and Length place region \(guid) at \(fileOffset) + \(length), past the file's end at \(fileByteCount)")
            return fileOffset < min(fileByteCount, Layout.maximumFileByteCount)
        }
        return true
    }
}
