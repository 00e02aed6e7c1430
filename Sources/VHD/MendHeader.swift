import BlockIO
import ByteCodec
import DiskModel

/// What can be mended in the dynamic header, decided the same way by check and repair.
enum HeaderMending {
    static let editKinds: Set<RepairKind> = [.fields, .bat]

    static func range(_ image: ImageParser) -> Range<UInt64> {
        image.headerOffset..<image.headerOffset + UInt64(DynamicHeader.byteCount)
    }

    static func bytes(_ image: ImageParser) throws(IOError) -> [UInt8] {
        try image.file.bytes(at: image.headerOffset, count: DynamicHeader.byteCount)
    }

    /// Whether everything in a header with a wrong checksum fits the image, and nothing else would.
    static func isPlausible(_ image: ImageParser) throws -> Bool {
        guard image.header != nil, image.headerOffset % sectorByteCount == 0,
            image.headerOffset == image.footer.dataOffset
        else { return false }
        return try Plausibility.holds(image.file, range(image)) && !isExplainedOtherwise(image)
    }

    /// Whether the sum is that of a header in which one byte of a number that says where blocks are was another, and
    /// that header would fit the image as well: a table that was shifted by a sector may look like an empty one.
    private static func isExplainedOtherwise(_ image: ImageParser) throws -> Bool {
        let bytes = try bytes(image)
        let stored: UInt32 = bytes.rawBytes.integer(at: DynamicHeader.checksumOffset, .big)
        let found = complementedByteSum(bytes.rawBytes, skippingField: DynamicHeader.checksumOffset)
        // Both are complements: what the bytes gained, the sum lost.
        let gain = Int(Int32(bitPattern: stored &- found))
        for offset in [16..<24, 28..<36].joined() {
            guard let other = UInt8(exactly: Int(bytes[offset]) - gain) else { continue }
            let overlay = try OverlayFile(over: image.file)
            try overlay.write([other], at: image.headerOffset + UInt64(offset))
            if try Plausibility.holds(overlay, range(image)) { return true }
        }
        return false
    }

    /// Rules whose breach leaves in doubt where blocks are, and what they hold.
    private static let doubts: Set<FormatError.Code> = [
        .vhdChecksum, .vhdHeader, .vhdBlockSize, .vhdMaxTableEntries, .vhdTableOffset, .vhdEncrypted,
    ]

    /// Whether a repair may change the header, or anything by what it says: it is right as it stands, and the footer's.
    static func isTrusted(_ image: ImageParser) -> Bool {
        guard image.header != nil, image.headerOffset == image.footer.dataOffset, image.footers.active.isValid else {
            return false
        }
        let footers = [image.footers.trailing.offset, 0].map { $0 + UInt64(Footer.checksumOffset) }
        return !image.findings.all.contains { finding in
            finding.severity == .error && doubts.contains(finding.detail.code)
                && !footers.contains(finding.detail.offset)
        }
    }

    /// Whether changed bytes can be written so that the header is whole at every moment.
    static func canWrite(_ new: [UInt8], over old: [UInt8], _ image: ImageParser) throws -> Bool {
        if isOneSector(new, old, image) { return true }
        let footers = image.footers
        guard let copy = footers.copy, copy.isValid, let layout = image.layout else { return false }
        if footers.trailing.isValid {
            guard copy.bytes == footers.trailing.bytes, footers.trailing.storedByteCount == sectorByteCount,
                footers.trailing.offset % sectorByteCount == 0
            else { return false }
        }
        // What stands behind the end for a while must not be taken for the missing tail of a block.
        guard try BlockMending.usedEnd(image, layout) <= layout.contentsEnd else { return false }
        let end = try image.file.byteCount().roundedUp(to: sectorByteCount)
        return try LengthMending.isHarmless(image, footerAt: end + UInt64(DynamicHeader.byteCount))
    }

    static func isOneSector(_ new: [UInt8], _ old: [UInt8], _ image: ImageParser) -> Bool {
        image.headerOffset % sectorByteCount == 0
            && Array(new[Int(sectorByteCount)...]) == Array(old[Int(sectorByteCount)...])
    }

    /// Whether a repair of these kinds gets through.
    static func canMend(_ image: ImageParser, _ kinds: Set<RepairKind>) throws -> Bool {
        guard isTrusted(image) else { return false }
        let old = try bytes(image)
        let changes = try HeaderChanges(image, kinds)
        return try !changes.all.isEmpty && canWrite(changes.applied(to: old), over: old, image)
    }
}

/// What the kinds asked for change in a dynamic header.
struct HeaderChanges {
    struct Change {
        var kind: RepairKind
        var code: FormatError.Code
        var range: Range<Int>
        var bytes: [UInt8]
        var what: String
    }
    private(set) var all: [Change] = []

    init(_ image: ImageParser, _ kinds: Set<RepairKind>) throws {
        guard let header = image.header else { return }
        if kinds.contains(.fields) {
            if header.dataOffset != noOffset {
                add(.fields, .vhdHeader, 8, bigEndianBytes(noOffset), "next pointer set to all ones")
            }
            if !header.reserved1IsZero { add(.fields, .vhdHeader, 60, .zeros(4), "reserved bytes cleared") }
            if !header.reserved2IsZero { add(.fields, .vhdHeader, 768, .zeros(256), "reserved bytes cleared") }
            if image.footer.diskType == DiskTypeCode.dynamic, header.hasParentFields, !header.looksLinked {
                add(.fields, .vhdStrayParent, 40, .zeros(20), "fields of a parent cleared in a disk without one")
                add(.fields, .vhdStrayParent, 64, .zeros(704), "name and places of a parent cleared")
            }
        }
        if kinds.contains(.bat), let count = try Self.exactEntryCount(image, header) {
            add(.bat, .vhdMaxTableEntries, 28, bigEndianBytes(count), "Max Table Entries set to \(count)")
        }
    }

    private mutating func add(
        _ kind: RepairKind, _ code: FormatError.Code, _ offset: Int, _ bytes: [UInt8], _ what: String
    ) {
        all.append(
            Change(kind: kind, code: code, range: offset..<offset + bytes.count, bytes: bytes, what: what))
    }

    /// A header's bytes with the changes and the right checksum.
    func applied(to bytes: [UInt8]) -> [UInt8] {
        let new = all.reduce(bytes) { patched($0, at: $1.range.lowerBound, $1.bytes) }
        return sealing(new, checksumAt: DynamicHeader.checksumOffset)
    }

    /// The count to shrink Max Table Entries to; nil where it is exact, or where something hangs on the entries that no
    /// block of the disk needs: blocks, or the place of XenServer's batmap.
    private static func exactEntryCount(_ image: ImageParser, _ header: DynamicHeader) throws -> UInt32? {
        guard let layout = image.layout, UInt64(header.maxTableEntries) > layout.blockCount else { return nil }
        let (needed, all) = (4 * layout.blockCount, 4 * UInt64(header.maxTableEntries))
        let isMoved = needed.roundedUp(to: sectorByteCount) != all.roundedUp(to: sectorByteCount)
        if isMoved, image.mayHaveBatmap { return nil }
        guard all - needed <= 4 << 20 else { return nil }
        let end = min(layout.tableOffset + all, try image.file.byteCount())
        let start = layout.tableOffset + needed
        if start < end {
            let extra = try image.file.bytes(at: start, count: Int(end - start))
            // Programs fill what they do not use with ones or zeros.
            guard extra.allSatisfy({ $0 == 0xff }) || isZero(extra.rawBytes) else { return nil }
        }
        return UInt32(layout.blockCount)
    }
}

extension DynamicHeader {
    /// Whether any field that only a differencing image has is set.
    var hasParentFields: Bool {
        !(parentUniqueID == .zero && parentTimestamp == 0 && isZero(parentUnicodeName.rawBytes)
            && parentLocators.allSatisfy { $0 == ParentLocatorEntry() })
    }

    /// Whether a parent is named with a place: in a dynamic image, the type may be what is wrong.
    var looksLinked: Bool { parentUniqueID != .zero && parentLocators.contains { $0.platformCode != 0 } }
}

extension Mender {
    /// Rule 5, of the dynamic header.
    mutating func mendHeaderChecksum(_ image: ImageParser) throws {
        guard image.header != nil, !HeaderMending.isTrusted(image), image.footers.active.isValid,
            try HeaderMending.isPlausible(image)
        else { return }
        let new = sealing(try HeaderMending.bytes(image), checksumAt: DynamicHeader.checksumOffset)
        try writeDurably(Array(new[..<Int(sectorByteCount)]), at: image.headerOffset)
        actions.add(
            .checksums, .vhdChecksum, at: image.headerOffset + UInt64(DynamicHeader.checksumOffset),
            "checksum of the dynamic header computed again")
    }

    /// Rules 15, 17 and 26.
    mutating func mendHeaderFields(_ image: ImageParser) throws {
        guard try HeaderMending.canMend(image, kinds) else { return }
        let old = try HeaderMending.bytes(image)
        let changes = try HeaderChanges(image, kinds)
        let new = changes.applied(to: old)
        if HeaderMending.isOneSector(new, old, image) {
            try writeDurably(Array(new[..<Int(sectorByteCount)]), at: image.headerOffset)
        } else {
            try replaceHeader(image, with: new)
        }
        for change in changes.all {
            actions.add(change.kind, change.code, at: image.headerOffset + UInt64(change.range.lowerBound), change.what)
        }
    }

    /// Step 6, for a header of which both sectors change.
    private func replaceHeader(_ image: ImageParser, with new: [UInt8]) throws {
        let footer = image.footers.active.bytes
        let oldEnd = try file.byteCount()
        let end = oldEnd.roundedUp(to: sectorByteCount)
        let leading = sealing(patched(footer, at: 16, bigEndianBytes(end)), checksumAt: Footer.checksumOffset)
        do {
            try writeDurably(new, at: end)
            try writeDurably(leading, at: end + UInt64(DynamicHeader.byteCount))
        } catch {
            // What is in use is not touched yet; without the new end the file is as it was.
            do { try file.resize(to: oldEnd) } catch {}
            throw error
        }
        try writeDurably(leading, at: 0)
        try writeDurably(new, at: image.headerOffset)
        try writeDurably(footer, at: 0)
        try file.resize(to: oldEnd)
        try file.sync()
    }
}
