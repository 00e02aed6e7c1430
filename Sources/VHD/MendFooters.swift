import BlockIO
import ByteCodec
import DiskModel

/// What can be mended in the footer's copies, decided the same way by check and repair.
enum FooterMending {
    static let editKinds: Set<RepairKind> = [.fields, .geometry, .savedState, .id]

    /// A copy's bytes with the checksum made right, where only that is wrong: it then equals the other copy, or there
    /// is no other to go by and everything else in it fits the image.
    static func checksumTarget(
        _ copy: FooterCopy, _ footers: FooterCopies, _ file: any BlockFile
    ) throws -> [UInt8]? {
        guard copy.failsOnlyChecksum else { return nil }
        let target = sealing(copy.bytes, checksumAt: Footer.checksumOffset)
        let other = copy.offset == footers.trailing.offset ? footers.copy : footers.trailing
        if let other, other.isValid { return target == other.bytes ? target : nil }
        if let other, other.failsOnlyChecksum, sealing(other.bytes, checksumAt: Footer.checksumOffset) != target {
            return nil
        }
        let place = footers.active.offset
        return try Plausibility.holds(file, place..<place + sectorByteCount) ? target : nil
    }

    /// The copy that a bad trailing footer is made from: the one at 0.
    static func source(_ image: ImageParser) throws -> FooterCopy? {
        let footers = image.footers
        guard !footers.trailing.isValid else { return nil }
        if let copy = footers.copy { return copy.isValid && copy.isSparse ? copy : nil }
        guard footers.trailing.failsOnlyChecksum, try image.file.byteCount() >= 1024 else { return nil }
        // A footer whose type alone was changed to that of a fixed disk.
        let copy = try FooterCopy(reading: image.file, at: 0, cookieCode: .vhdFooterCopy)
        guard copy.isValid, copy.isSparse, copy.bytes[..<60] == footers.trailing.bytes[..<60],
            copy.bytes[68...] == footers.trailing.bytes[68...]
        else { return nil }
        return copy
    }

    enum TrailingPlace: Equatable {
        case after(UInt64)
        /// Data is missing at the end of the file, and only lengthening it gives the footer a place.
        case tailFirst
    }

    /// Where a trailing footer belongs that is missing or damaged: over the damaged one, in the file's last sector
    /// where nothing else stands, or behind the file's end. Nil where half a sector of a block, filled up with zeros,
    /// would count as what the block held, and where the file may not become longer.
    static func placeOfTrailing(_ image: ImageParser) throws -> TrailingPlace? {
        let place = try wantedPlaceOfTrailing(image)
        let isPossible =
            switch place {
            case .after(let offset): try LengthMending.isHarmless(image, footerAt: offset)
            case .tailFirst: try TailMending.canLengthen(image)
            case nil: false
            }
        return isPossible ? place : nil
    }

    private static func wantedPlaceOfTrailing(_ image: ImageParser) throws -> TrailingPlace? {
        if image.footers.trailing.failsOnlyChecksum { return .after(image.footers.trailing.offset) }
        let fileEnd = try image.file.byteCount()
        let behind = fileEnd.roundedUp(to: sectorByteCount)
        guard let layout = image.layout, HeaderMending.isTrusted(image) else {
            return fileEnd == behind ? .after(behind) : nil
        }
        let usedEnd = try BlockMending.usedEnd(image, layout)
        // Blocks that stand where none can be keep their bytes too.
        var coveredEnd = usedEnd
        var table = BlockAllocationTable(image.file, layout)
        try table.forEachEntry(layout) { _, entry in
            let offset = UInt64(entry) * sectorByteCount
            if offset < fileEnd { coveredEnd = max(coveredEnd, offset + layout.strideByteCount) }
        }
        if fileEnd == behind {
            return .after(coveredEnd <= fileEnd - sectorByteCount ? fileEnd - sectorByteCount : behind)
        }
        if coveredEnd <= fileEnd { return .after(behind) }
        return usedEnd > fileEnd ? .tailFirst : nil
    }

    /// Whether the trailing footer lacks its last byte, and can get it.
    static func canComplete(_ image: ImageParser) throws -> Bool {
        let trailing = image.footers.trailing
        return try trailing.isValid && trailing.storedByteCount < sectorByteCount
            && LengthMending.isHarmless(image, footerAt: trailing.offset)
    }

    /// Whether the footer in use can be changed without a moment in which no footer is valid.
    static func canEdit(_ image: ImageParser) -> Bool {
        let footers = image.footers
        guard footers.active.isValid else { return false }
        // Torn, it would leave the other one, which then must say the same.
        return footers.active.offset % sectorByteCount == 0 || footers.copy?.bytes == footers.active.bytes
    }

    /// Whether the footer can be made to lead to a header that stands at 512.
    static func canPointToHeader(_ image: ImageParser) -> Bool {
        image.header != nil && image.headerOffset != image.footer.dataOffset && canEdit(image)
    }
}

extension Mender {
    /// Rule 5, of both copies.
    mutating func mendFooterChecksums(_ image: ImageParser) throws {
        let footers = image.footers
        // Both are decided on before either is written.
        var targets: [(copy: FooterCopy, bytes: [UInt8])] = []
        for copy in [footers.trailing, footers.copy].compactMap({ $0 }) {
            if let bytes = try FooterMending.checksumTarget(copy, footers, file) { targets.append((copy, bytes)) }
        }
        for (copy, bytes) in targets {
            guard copy.offset % sectorByteCount == 0 || targets.count > 1 || footers.copy?.isValid == true else {
                continue
            }
            try writeDurably(Array(bytes.prefix(Int(copy.storedByteCount))), at: copy.offset)
            actions.add(
                .checksums, .vhdChecksum, at: copy.offset + UInt64(Footer.checksumOffset),
                "checksum of the footer computed again")
        }
    }

    /// Rules 1 and 4.
    mutating func mendTrailingFooter(_ image: ImageParser) throws {
        let trailing = image.footers.trailing
        if let source = try FooterMending.source(image) {
            guard case .after(let place) = try FooterMending.placeOfTrailing(image) else { return }
            try writeDurably(source.bytes, at: place)
            actions.add(
                .footer, trailing.problem?.code ?? .vhdTrailingFooter, at: place,
                "footer written again from its copy at 0")
        } else if try FooterMending.canComplete(image) {
            try writeDurably([0], at: trailing.offset + trailing.storedByteCount)
            actions.add(.footer, .vhdShortFooter, at: trailing.offset, "footer made 512 bytes long")
        }
    }

    /// Rules 2 and 3.
    mutating func mendFooterCopy(_ image: ImageParser) throws {
        let footers = image.footers
        guard footers.trailing.isValid, footers.trailing.isSparse, footers.copy?.bytes != footers.trailing.bytes else {
            return
        }
        try writeDurably(footers.trailing.bytes, at: 0)
        actions.add(
            .footer, footers.copyProblem == nil ? .vhdFootersDiffer : .vhdFooterCopy, at: 0,
            "copy at 0 written again from the footer at the end")
    }

    /// Rule 8, dynamic and differencing.
    mutating func mendDataOffset(_ image: ImageParser) throws {
        guard FooterMending.canPointToHeader(image) else { return }
        try writeFooters(image) {
            sealing(patched($0.bytes, at: 16, bigEndianBytes(image.headerOffset)), checksumAt: Footer.checksumOffset)
        }
        actions.add(
            .footer, .vhdDataOffset, at: image.footers.active.offset + 16,
            "Data Offset made to lead to the header at \(hex(image.headerOffset))")
    }

    /// Rules 6, 8 (fixed), 9, 10, 11 and 13.
    mutating func mendFooterFields(_ image: ImageParser) throws {
        guard FooterMending.canEdit(image) else { return }
        let (id, active) = (GUID.random(), image.footers.active)
        // Of a size that the file contradicts, the geometry is the only other witness.
        let kinds = FixedMending.isTooShort(image) ? kinds.subtracting([.geometry]) : kinds
        let changes = FooterChanges(active, kinds, newID: id)
        let isCopyWritten = try writeFooters(image) { copy in
            // Of two copies that differ in nothing else, the one left behind by a power cut gets the other's ID.
            let own = FooterChanges(
                copy, kinds, newID: active.footer.uniqueID == .zero ? id : active.footer.uniqueID)
            return own.applied(to: copy.bytes)
        }
        for change in changes.all {
            actions.add(change.kind, change.code, at: active.offset + UInt64(change.offset), change.what)
        }
        if changes.all.isEmpty, isCopyWritten, let kind = FooterMending.editKinds.intersection(kinds).min() {
            actions.add(kind, .vhdFootersDiffer, at: 0, "copy at 0 changed like the footer at the end")
        }
    }

    /// Writes both copies as `edit` makes them, the trailing one first; the copy at 0 only where it becomes its equal,
    /// and neither where nothing changes.
    /// - Returns: whether the copy at 0 was written.
    @discardableResult
    private func writeFooters(_ image: ImageParser, _ edit: (FooterCopy) -> [UInt8]) throws(IOError) -> Bool {
        let footers = image.footers
        let target = edit(footers.active)
        if footers.trailing.isValid, target != footers.trailing.bytes {
            try writeDurably(Array(target.prefix(Int(footers.trailing.storedByteCount))), at: footers.trailing.offset)
        }
        guard let copy = footers.copy, copy.isValid, copy.isSparse, target != copy.bytes, edit(copy) == target else {
            return false
        }
        try writeDurably(target, at: 0)
        return true
    }
}

/// What the kinds asked for change in a footer.
struct FooterChanges {
    struct Change {
        var kind: RepairKind
        var code: FormatError.Code
        var offset: Int
        var bytes: [UInt8]
        var what: String
    }
    private(set) var all: [Change] = []

    init(_ copy: FooterCopy, _ kinds: Set<RepairKind>, newID: GUID) {
        let footer = copy.footer
        // Children may hang on the mark of a merge.
        if kinds.contains(.fields) { addFields(footer, clearsReserved: MergeMark(in: copy.bytes) == nil) }
        if kinds.contains(.id), footer.uniqueID == .zero {
            add(.id, .vhdUniqueID, 68, newID.bytes(.big), "Unique ID set to \(newID)")
        }
        let geometry = geometryCHS(virtualByteCount: footer.currentSize)
        if kinds.contains(.geometry), footer.geometry != geometry, footer.geometry != .maximum {
            let new = footer.geometryToWrite
            add(
                .geometry, .vhdGeometry, 56, bigEndianBytes(new.cylinders) + [new.heads, new.sectorsPerTrack],
                "geometry set to \(new)")
        }
        if kinds.contains(.savedState), footer.savedState != 0 {
            add(.savedState, .vhdSavedState, 84, [0], "mark of a saved machine cleared")
        }
    }

    private mutating func addFields(_ footer: Footer, clearsReserved: Bool) {
        if footer.features & ~1 != 2 {
            add(
                .fields, .vhdFeatures, 8, bigEndianBytes(2 | footer.features & 1),
                "Features set to \(2 | footer.features & 1)")
        }
        if footer.diskType == DiskTypeCode.fixed, footer.dataOffset != noOffset {
            add(.fields, .vhdDataOffset, 16, bigEndianBytes(noOffset), "Data Offset of a fixed disk set to all ones")
        }
        if clearsReserved, !footer.reservedIsZero || (footer.hidden != 0 && !footer.isTap) {
            let start = footer.isTap ? Footer.hiddenOffset + 1 : Footer.hiddenOffset
            add(.fields, .vhdReserved, start, .zeros(Footer.byteCount - start), "reserved bytes cleared")
        }
    }

    private mutating func add(
        _ kind: RepairKind, _ code: FormatError.Code, _ offset: Int, _ bytes: [UInt8], _ what: String
    ) { all.append(Change(kind: kind, code: code, offset: offset, bytes: bytes, what: what)) }

    /// A footer's bytes with the changes and the right checksum; the same bytes where nothing changes.
    func applied(to bytes: [UInt8]) -> [UInt8] {
        guard !all.isEmpty else { return bytes }
        let new = all.reduce(bytes) { patched($0, at: $1.offset, $1.bytes) }
        return sealing(new, checksumAt: Footer.checksumOffset)
    }
}

extension Footer {
    /// The geometry of the size: for programs that go by geometry and are known to, the nearest; for all others the
    /// exact one or the maximum, so that they see the whole disk.
    var geometryToWrite: CHSGeometry {
        let nearest = geometryCHS(virtualByteCount: currentSize)
        return isByGeometry || nearest.byteCount == currentSize ? nearest : .maximum
    }

    /// Made by a program whose disks end where the geometry says.
    var isByGeometry: Bool { ["vpc ", "vs  "].contains(String(decoding: creatorApplication, as: UTF8.self)) }
}
