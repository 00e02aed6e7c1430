import BlockIO
import ByteCodec
import DiskModel

/// Reads and checks everything of an image that is there before its blocks.
struct ImageParser {
    /// What the opener stops at unless it is told to accept it.
    static let acceptable: Set<FormatError.Code> = [
        .vhdChecksum, .vhdCurrentSize, .vhdParentIdentity, .vhdParentLocator,
    ]

    let file: any BlockFile
    /// Notes errors and goes on behind them as far as can be; what then cannot be known is nil.
    private let isSurvey: Bool
    var findings: Findings
    let footers: FooterCopies
    var footer: Footer { footers.active.footer }
    private var footerOffset: UInt64 { footers.active.offset }

    private(set) var virtualByteCount: UInt64 = 0
    private(set) var header: DynamicHeader?
    /// Where the header was found: at the footer's Data Offset, or, in a survey, at 512 where none is there.
    private(set) var headerOffset: UInt64 = 0
    private(set) var layout: SparseLayout?
    private(set) var batmap: (header: BatmapHeader, offset: UInt64)?
    private(set) var locators: [ParentLocator] = []
    /// Where the parent's paths stand in the file.
    private(set) var locatorRanges: [Range<UInt64>] = []

    /// Reads as much as can be read.
    /// - Throws: `FormatError` where there is no footer to begin with, or the image is of another kind.
    init(surveying file: any BlockFile) throws { try self.init(file, accepting: Self.acceptable, isSurvey: true) }

    init(_ file: any BlockFile, accepting accepted: Set<FormatError.Code>, isSurvey: Bool = false) throws {
        (self.file, self.isSurvey) = (file, isSurvey)
        findings = Findings(accepting: accepted)
        footers = try FooterCopies(reading: file, &findings)
        try checkCreator()
        try checkCurrentSize()
        noteFooter()
        if footers.active.isSparse { try readHeader() } else { noteFixed() }
    }

    /// Stops the reading; a survey notes it and goes on.
    mutating func stop(_ error: FormatError) throws(FormatError) {
        guard isSurvey else { throw error }
        findings.note(.error, error)
    }

    func footerError(
        _ code: FormatError.Code, _ field: String, at offset: UInt64, _ problem: String, section: String = "3"
    ) -> FormatError {
        FormatError(code, field: field, offset: footerOffset + offset, problem, section: section)
    }

    // MARK: Footer

    private func checkCreator() throws(FormatError) {
        guard footer.isTap, footer.creatorVersion == 1 else { return }
        throw footerError(
            .vhdOldTap, "Creator Version", at: 32, "is 0.1 of XenServer, whose bitmaps have another order of bits",
            section: "14")
    }

    private mutating func checkCurrentSize() throws(FormatError) {
        var size = footer.currentSize
        let isFixed = !footers.active.isSparse
        if size % sectorByteCount != 0 {
            findings.warn(
                footerError(
                    .vhdCurrentSize, "Current Size", at: 48,
                    "is \(size), no multiple of 512; the rest of a sector is left out", section: "16"))
            size = size.roundedDown(to: sectorByteCount)
        }
        guard size > 0 else {
            return try stop(footerError(.vhdCurrentSize, "Current Size", at: 48, "is 0", section: "16"))
        }
        if isFixed, size > footers.contentsEnd {
            try findings.refuse(
                footerError(
                    .vhdCurrentSize, "Current Size", at: 48,
                    "is \(size), and only \(footers.contentsEnd) bytes stand before the footer", section: "16"))
            size = footers.contentsEnd.roundedDown(to: sectorByteCount)
            guard size > 0 else {
                return try stop(
                    footerError(.vhdCurrentSize, "Current Size", at: 48, "has no byte in the file", section: "16"))
            }
        }
        guard isFixed || size <= largestDynamicByteCount else {
            return try stop(
                footerError(
                    .vhdCurrentSize, "Current Size", at: 48,
                    "is \(size), more than \(largestDynamicByteCount), the most of this type", section: "13"))
        }
        virtualByteCount = size
    }

    private mutating func noteFooter() {
        if footer.features & ~1 != 2 {
            findings.warn(footerError(.vhdFeatures, "Features", at: 8, "is \(hex(footer.features)), not 2 or 3"))
        }
        if footer.uniqueID == .zero { findings.warn(footerError(.vhdUniqueID, "Unique ID", at: 68, "is all zeros")) }
        if MergeMark(in: footers.active.bytes) != nil {
            findings.warn(
                footerError(
                    .vhdUnfinishedMerge, "Reserved", at: UInt64(MergeMark.range.lowerBound),
                    "tells of a merge into this image that was interrupted; vhdmerge of the child it was begun with completes it"
                ))
        } else if !footer.reservedIsZero || (footer.hidden != 0 && !footer.isTap) {
            findings.warn(footerError(.vhdReserved, "Reserved", at: 85, "is not all zeros"))
        }
        let expected = geometryCHS(virtualByteCount: footer.currentSize)
        if footer.geometry != expected, footer.geometry != .maximum {
            findings.warn(
                footerError(
                    .vhdGeometry, "Disk Geometry", at: 56, "is \(footer.geometry), the size gives \(expected)",
                    section: "5.1"))
        }
        if footer.isByGeometry, footer.geometry.byteCount != footer.currentSize {
            findings.note(
                .information,
                footerError(
                    .vhdGeometrySize, "Disk Geometry", at: 56,
                    "gives \(footer.geometry.byteCount) bytes, which its creator showed of \(footer.currentSize)",
                    section: "5.2"))
        }
        if footer.savedState != 0 {
            findings.warn(
                footerError(
                    .vhdSavedState, "Saved State", at: 84, "is \(footer.savedState): a machine was saved with this disk"
                ))
        }
    }

    private mutating func noteFixed() {
        if footer.dataOffset != noOffset {
            findings.warn(
                footerError(.vhdDataOffset, "Data Offset", at: 16, "is \(hex(footer.dataOffset)), not all ones"))
        }
        if footers.contentsEnd > virtualByteCount {
            findings.warn(
                footerError(
                    .vhdFixedLength, "Current Size", at: 48,
                    "is \(footer.currentSize), and \(footers.contentsEnd) bytes stand before the footer", section: "11")
            )
        }
    }

    // MARK: Dynamic header

    private mutating func readHeader() throws {
        let byteCount = try file.byteCount()
        guard let (header, bytes, offset) = try findHeader(byteCount) else { return }
        (self.header, headerOffset) = (header, offset)
        try checkIdentity(of: header, bytes, at: offset)
        let isBlockSizeUsable = try checkBlockSize(header, at: offset)
        let isTableUsable = try virtualByteCount > 0 && isBlockSizeUsable && checkTable(header, at: offset, byteCount)
        noteHeader(header, at: offset)

        var structures = [0..<sectorByteCount, offset..<offset + UInt64(DynamicHeader.byteCount)]
        if footer.diskType == DiskTypeCode.differencing {
            var parser = ParentLocatorParser(file: file, fileByteCount: byteCount)
            try parser.parse(header, at: offset, &findings)
            (locators, locatorRanges) = (parser.locators, parser.ranges)
            structures += parser.ranges
            try checkParent(header, at: offset)
        } else {
            noteStrayParent(header, at: offset)
        }
        if let map = try readBatmap(header, byteCount) { structures += map }
        guard isTableUsable else { return }
        layout = SparseLayout(
            header: header, virtualByteCount: virtualByteCount, structures: structures,
            contentsEnd: footers.contentsEnd)
    }

    // MARK: Parent

    private mutating func checkParent(_ header: DynamicHeader, at offset: UInt64) throws(FormatError) {
        if header.parentUniqueID == .zero {
            try findings.refuse(
                FormatError(
                    .vhdParentIdentity, field: "Parent Unique ID", offset: offset + 40,
                    "is all zeros: XenServer's sign for a raw image as parent", section: "10.2"))
        }
        if locators.isEmpty {
            findings.note(
                .error,
                FormatError(
                    .vhdParentIdentity, field: "Parent locator", offset: offset + DynamicHeader.locatorsOffset,
                    "gives no place where the parent may be", section: "10.3"))
        }
    }

    private mutating func noteStrayParent(_ header: DynamicHeader, at offset: UInt64) {
        guard header.hasParentFields else { return }
        findings.warn(
            FormatError(
                .vhdStrayParent, field: "Parent Unique ID", offset: offset + 40,
                "or another field of a parent is set, and a dynamic disk has none", section: "6"))
    }

    // MARK: Batmap

    /// Whether the image was made by a version of XenServer's that writes batmaps.
    var mayHaveBatmap: Bool { footer.isTap && footer.creatorVersion >= 0x0001_0001 }

    /// The ranges of a usable batmap. A broken one is noted and ignored: reading never needs it.
    private mutating func readBatmap(_ header: DynamicHeader, _ byteCount: UInt64) throws -> [Range<UInt64>]? {
        guard mayHaveBatmap else { return nil }
        let tableEnd = (4 * UInt64(header.maxTableEntries)).roundedUp(to: sectorByteCount)
        guard let place = checkedRange(header.tableOffset, tableEnd).flatMap({ checkedRange($0.upperBound, 512) }),
            place.upperBound <= byteCount
        else { return nil }
        let bytes = try file.bytes(at: place.lowerBound, count: BatmapHeader.byteCount)
        let map = try BatmapHeader(parsing: bytes.rawBytes)
        guard map.cookie == BatmapHeader.cookie else { return nil }
        guard map.keyhashPresent == 0 else {
            try stop(
                FormatError(
                    .vhdEncrypted, field: "Keyhash Present", offset: place.lowerBound + 29,
                    "is \(map.keyhashPresent): the data is encrypted", section: "14"))
            return nil
        }
        let bits = UInt64(map.mapSize) * sectorByteCount * 8
        guard map.version <= 0x0001_0002, bits >= UInt64(header.maxTableEntries),
            let range = checkedRange(map.mapOffset, bits / 8), range.upperBound <= byteCount
        else {
            findings.warn(
                FormatError(
                    .vhdBatmap, field: "batmap", offset: place.lowerBound,
                    "has version \(hex(map.version)), \(map.mapSize) sectors at \(hex(map.mapOffset)): ignored",
                    section: "14"))
            return nil
        }
        batmap = (map, place.lowerBound)
        return [place, range]
    }
}
