import BlockIO
import ByteCodec
import DiskModel

/// Another parent for a differencing image; `VHDLinkEditor.relink` tells the order of writes.
struct LinkChange {
    private var edit: ImageEdit
    private let fields: ParentFields
    private let old: [UInt8]
    private let new: [UInt8]
    /// Where the header belongs.
    private let home: UInt64
    /// Where the paths are to be written; nil where they stay.
    private let pathOffset: UInt64?

    /// Decides everything, and changes nothing.
    init(_ edit: ImageEdit, _ header: DynamicHeader, _ layout: SparseLayout, _ fields: ParentFields) throws {
        (self.edit, self.fields) = (edit, fields)
        let space = try LinkSpace(edit, layout, pathByteCount: fields.dataByteCount)
        home = space.isHomeFree ? LinkSpace.home.lowerBound : edit.image.footer.dataOffset
        let keepsPaths = try Self.holdsPaths(edit.file, header, fields)
        pathOffset = keepsPaths ? nil : space.pathOffset
        var changed = header
        changed.setParent(fields, keepsPaths ? header.parentLocators : fields.entries(at: space.pathOffset))
        old = try edit.headerBytes()
        new = Self.merging(changed.serialized(), into: old)
    }

    /// Whether the header's slots hold these paths and no others.
    private static func holdsPaths(
        _ file: any BlockFile, _ header: DynamicHeader, _ fields: ParentFields
    ) throws(IOError) -> Bool {
        let byteCount = try file.byteCount()
        for (slot, entry) in header.parentLocators.enumerated() {
            guard let wanted = fields.locators.first(where: { $0.slot == slot }) else {
                if entry != ParentLocatorEntry() { return false }
                continue
            }
            guard entry.platformCode == wanted.platformCode, Int(entry.platformDataLength) == wanted.bytes.count,
                entry.spaceByteCount >= UInt64(wanted.bytes.count),
                let range = checkedRange(entry.platformDataOffset, UInt64(wanted.bytes.count)),
                range.upperBound <= byteCount,
                try file.bytes(at: range.lowerBound, count: wanted.bytes.count) == wanted.bytes
            else { return false }
        }
        return true
    }

    /// The old bytes with what is about the parent from the new ones; what is reserved stays.
    private static func merging(_ new: [UInt8], into old: [UInt8]) -> [UInt8] {
        var bytes = old
        for range in [DynamicHeader.parentIdentityRange, DynamicHeader.parentPlacesRange] {
            bytes.replaceSubrange(range, with: new[range])
        }
        return sealing(bytes, checksumAt: DynamicHeader.checksumOffset)
    }

    // MARK: Steps

    mutating func run() throws {
        let sector = Int(sectorByteCount)
        if edit.image.footer.dataOffset == home, new[sector...] == old[sector...] {
            try edit.writeFirstSector(ofHeader: new, over: old)
        } else {
            try replaceHeader()
        }
        try edit.trim(to: usedEnd, footer: edit.footerBytes)
    }

    private mutating func replaceHeader() throws {
        let pathEnd = pathOffset.map { $0 + fields.dataByteCount } ?? 0
        let isHome = edit.image.footer.dataOffset == home
        let temporary = max(edit.footerOffset, pathEnd)
        let end = isHome ? temporary + UInt64(DynamicHeader.byteCount) : max(edit.footerOffset, pathEnd)
        guard end + sectorByteCount <= BlockPlace.fileLimit else {
            throw DiskError(
                .refused, path: edit.file.path, "no room for the parent's paths: the file of a dynamic VHD ends at 2 TiB"
            )
        }
        try edit.reserve(to: end)
        if let pathOffset { try edit.file.write(fields.data, at: pathOffset) }
        if isHome { try move(to: temporary) }
        try move(to: home)
    }

    /// Writes the new header where nobody looks, and leads both footers to it.
    private mutating func move(to offset: UInt64) throws {
        try edit.file.write(new, at: offset)
        try edit.file.sync()
        let footer = patched(edit.footerBytes, at: Footer.dataOffsetOffset, bigEndianBytes(offset))
        try edit.writeFooters(sealing(footer, checksumAt: Footer.checksumOffset))
        try edit.readAgain()
    }

    private var usedEnd: UInt64 {
        let ends = (edit.fixtures + edit.batmapRanges).map(\.upperBound)
        return max(ends.max() ?? 0, edit.blocksEnd, edit.table.tableRange.upperBound)
    }
}

/// Where in an image the dynamic header and a parent's paths can go.
struct LinkSpace {
    /// Where every program expects the dynamic header.
    static let home = sectorByteCount..<sectorByteCount + UInt64(DynamicHeader.byteCount)

    /// Whether nothing but the header itself stands where it belongs.
    private(set) var isHomeFree: Bool
    /// The first place that nothing claims and that holds the paths, `home` left out: in a hole, or behind everything. A
    /// sector's beginning.
    private(set) var pathOffset: UInt64

    /// Goes through the blocks in the order of the file.
    init(_ edit: ImageEdit, _ layout: SparseLayout, pathByteCount: UInt64) throws {
        var isHomeFree = edit.image.footer.dataOffset == Self.home.lowerBound
        var place: UInt64?
        func look(_ gap: Range<UInt64>) {
            if gap.lowerBound <= Self.home.lowerBound, gap.upperBound >= Self.home.upperBound { isHomeFree = true }
            let start = max(gap.lowerBound, Self.home.upperBound).roundedUp(to: sectorByteCount)
            if place == nil, start < gap.upperBound, gap.upperBound - start >= pathByteCount { place = start }
        }
        let table = edit.table.tableRange.clamped(to: 0..<edit.footerOffset)
        let structures = (edit.fixtures + edit.batmapRanges + [table]).filter { !$0.isEmpty }
        var space = UsedSpace(structures.sorted { $0.lowerBound < $1.lowerBound })
        try Repair.checkBlocks(edit.file, edit.image) { space.claim($0..<$0 + layout.strideByteCount, look) }
        space.finish(.max, look)
        self.isHomeFree = isHomeFree
        pathOffset = place ?? edit.footerOffset
    }
}

extension ImageEdit {
    /// The dynamic header as it stands in the file.
    func headerBytes() throws(IOError) -> [UInt8] {
        try file.bytes(at: image.footer.dataOffset, count: DynamicHeader.byteCount)
    }

    /// Writes the first sector of a header that differs from the one in the file nowhere else, and flushes.
    func writeFirstSector(ofHeader new: [UInt8], over old: [UInt8]) throws(IOError) {
        guard new != old else { return }
        try file.write(Array(new[..<Int(sectorByteCount)]), at: image.footer.dataOffset)
        try file.sync()
    }
}
