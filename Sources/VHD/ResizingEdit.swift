import BlockIO
import ByteCodec
import DiskModel

/// An image that is changed in place, by resizing, compaction or another link: what stands in its file, and the steps
/// that these have in common. At every moment at least one footer is valid, and what it says holds.
struct ImageEdit {
    enum Purpose: Sendable {
        case resizing, compaction
        /// Another parent: what is wrong with the old one's identity and places does not matter.
        case linking
        /// Another Unique ID.
        case identifying

        /// What an earlier edit of this kind left undone, which this one brings to its end.
        fileprivate var completes: UnfinishedEdit? {
            switch self {
            case .resizing: .resize
            case .compaction: nil
            case .linking: .headerMove
            case .identifying: .newIdentity
            }
        }

        /// Rules whose breach the edit mends.
        fileprivate var mends: Set<FormatError.Code> {
            self == .linking ? [.vhdParentIdentity, .vhdParentLocator] : []
        }
    }

    let file: any BlockFile
    private(set) var image: ImageParser
    /// Of the trailing footer.
    private(set) var footerOffset: UInt64
    /// Allocated blocks.
    private(set) var blockCount: UInt64 = 0
    /// Where the last one in the file ends; 0 without any.
    private(set) var blocksEnd: UInt64 = 0
    /// Where the first one behind the table begins.
    private(set) var firstBlockBehindTable: UInt64?

    /// Reads an image and refuses one that may not be changed; changes nothing.
    ///
    /// Footers that differ in nothing but what an edit changes are what one leaves that was cut off: for that edit they
    /// are accepted, and the trailing one, which is written first and read by everybody, counts.
    init(inspecting file: any BlockFile, for purpose: Purpose) throws(DiskError) {
        self.file = file
        var options = VHDReadOptions()
        options.accepted = purpose.mends
        image = try VHDLayer.parse(file, options)
        footerOffset = image.footers.contentsEnd
        let unfinished = UnfinishedEdit(image.footers)
        if let unfinished, unfinished != purpose.completes, image.footers.copiesContradict {
            throw unfinished.refusal(image.footers, path: file.path)
        }
        try Repair.refuseUnwritable(
            file, image, unfinished == nil ? [] : [.vhdFootersDiffer], mending: purpose.mends)
        guard let layout = image.layout else { return }
        try checkStructures(layout)
        var (count, end, first) = (UInt64(0), UInt64(0), UInt64?.none)
        try diskErrors(file.path, "checking the blocks") {
            try Repair.checkBlocks(file, image) { offset in
                count += 1
                end = offset + layout.strideByteCount
                if first == nil, offset > layout.tableOffset { first = offset }
            }
        }
        (blockCount, blocksEnd, firstBlockBehindTable) = (count, end, first)
    }

    /// What is written in place may lie over nothing else, and what has to change at once must begin at a sector.
    private func checkStructures(_ layout: SparseLayout) throws(DiskError) {
        func refused(_ text: String) -> DiskError {
            DiskError(.refused, path: file.path, text, hint: "copy the image into a new one")
        }
        guard image.footer.dataOffset % sectorByteCount == 0 else {
            throw refused("a dynamic header that does not begin at a sector cannot be changed safely")
        }
        // In ascending order, without the trailing footer.
        var end: UInt64 = 0
        for structure in layout.structures {
            guard structure.lowerBound >= end, structure.upperBound <= layout.contentsEnd else {
                throw refused(
                    "the structure at \(hex(structure.lowerBound))..<\(hex(structure.upperBound)) lies over another one"
                )
            }
            end = structure.upperBound
        }
    }

    /// The same for a file that may be changed: afterwards the trailing footer stands at a sector and, in a dynamic
    /// image, equals the copy at 0.
    init(preparing file: any BlockFile, for purpose: Purpose) throws(DiskError) {
        let found = try Self(inspecting: file, for: purpose)
        try diskErrors(file.path, "repairing the footer") {
            // Whatever a killed program left in the host's cache is read as if it were durable, so it has to be.
            try file.sync()
            try Repair.repairFooters(file, found.image.footers)
            let footers = found.image.footers
            if footers.usesTrailing, footers.trailing.offset % sectorByteCount != 0 {
                try file.write(footers.trailing.bytes, at: try file.byteCount().roundedUp(to: sectorByteCount))
                try file.sync()
            }
        }
        try self.init(inspecting: file, for: purpose)
    }

    /// Reads the structures again after the table was moved; the blocks stand where they stood.
    mutating func readAgain() throws { image = try ImageParser(file, accepting: []) }

    var footerBytes: [UInt8] { image.footers.active.bytes }
    var virtualByteCount: UInt64 { image.virtualByteCount }

    // MARK: Space

    /// What stands in the file apart from the table, its batmap and the blocks, in whole sectors: it never moves. The
    /// space kept for a parent's path is its owner's, also behind the path.
    var fixtures: [Range<UInt64>] {
        guard let header = image.header else { return [] }
        let offset = image.footer.dataOffset
        var result = [0..<sectorByteCount, offset..<offset + UInt64(DynamicHeader.byteCount)]
        if image.footer.diskType == DiskTypeCode.differencing {
            for entry in header.parentLocators where entry.platformCode != 0 {
                let byteCount = max(entry.spaceByteCount, UInt64(entry.platformDataLength))
                guard let range = checkedRange(entry.platformDataOffset, byteCount) else { continue }
                result.append(range.clamped(to: 0..<image.footers.contentsEnd))
            }
        }
        return result.filter { !$0.isEmpty }.map(Self.wholeSectors)
    }

    /// The batmap's header and its map; none without a usable batmap.
    var batmapRanges: [Range<UInt64>] {
        guard let (header, offset) = image.batmap else { return [] }
        let map = header.mapOffset..<header.mapOffset + UInt64(header.mapSize) * sectorByteCount
        return [offset..<offset + UInt64(BatmapHeader.byteCount), map].filter { !$0.isEmpty }.map(Self.wholeSectors)
    }

    private static func wholeSectors(_ range: Range<UInt64>) -> Range<UInt64> {
        range.lowerBound.roundedDown(to: sectorByteCount)..<range.upperBound.roundedUp(to: sectorByteCount)
    }

    // MARK: Footers

    /// Puts the footer, as it is, at a new end of the file, and flushes. A power cut before the flush leaves the file as
    /// it was, or the longer one.
    mutating func reserve(to end: UInt64) throws(IOError) {
        guard end > footerOffset else { return }
        do {
            try file.write(footerBytes, at: end)
        } catch {
            // A part of a sector may have made the file longer: the footer is to be its last sector again.
            try? file.resize(to: footerOffset + sectorByteCount)
            throw error
        }
        try file.sync()
        footerOffset = end
    }

    /// Writes a footer over the trailing one, flushes, then over the copy at 0, and flushes; each is one sector and so
    /// whole at every moment.
    func writeFooters(_ bytes: [UInt8]) throws(IOError) {
        guard bytes != footerBytes else { return }
        try file.write(bytes, at: footerOffset)
        try file.sync()
        guard image.footers.active.isSparse else { return }
        try file.write(bytes, at: 0)
        try file.sync()
    }

    /// Puts a footer at the end of what is used, flushes, cuts the file behind it, and flushes. A power cut leaves a
    /// footer as last sector, whether the file was cut or not.
    mutating func trim(to end: UInt64, footer bytes: [UInt8]) throws(IOError) {
        let end = end.roundedUp(to: sectorByteCount)
        guard end + sectorByteCount <= footerOffset else { return }
        try file.write(bytes, at: end)
        try file.sync()
        try file.resize(to: end + sectorByteCount)
        try file.sync()
        footerOffset = end
    }

    /// The footer in use with another size and its geometry; everything else, also what is reserved, stays.
    func footerBytes(virtualByteCount: UInt64) -> [UInt8] {
        var bytes = footerBytes
        guard image.footer.currentSize != virtualByteCount else { return bytes }
        let geometry = writtenGeometry(virtualByteCount: virtualByteCount)
        var raw = bytes.mutableRawBytes
        raw.store(virtualByteCount, at: Footer.currentSizeOffset, .big)
        raw.store(geometry.cylinders, at: Footer.geometryOffset, .big)
        raw.store(geometry.heads, at: Footer.geometryOffset + 2, .big)
        raw.store(geometry.sectorsPerTrack, at: Footer.geometryOffset + 3, .big)
        return sealing(bytes, checksumAt: Footer.checksumOffset)
    }
}
