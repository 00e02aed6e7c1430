import BlockIO
import ByteCodec
import DiskModel

enum TailMending {
    /// Whether blocks that go on past the end can get their missing tails: the footer, which then moves, is known.
    static func canLengthen(_ image: ImageParser) throws -> Bool {
        guard let layout = image.layout, HeaderMending.isTrusted(image) else { return false }
        // Saves going through the blocks.
        guard LengthMending.mayAwaken(image) else { return true }
        let place = try footerPlace(image, blocksEnd: blocksEnd(image, layout))
        return try LengthMending.isHarmless(image, footerAt: place)
    }

    /// Where the last block ends, and the blocks' region at least.
    static func blocksEnd(_ image: ImageParser, _ layout: SparseLayout) throws -> UInt64 {
        var end = layout.contentsEnd
        try BlockMending.forEachBlock(image, layout) { place, _ in
            end = max(end, place.offset + layout.strideByteCount)
        }
        return end
    }

    static func footerPlace(_ image: ImageParser, blocksEnd: UInt64) throws(IOError) -> UInt64 {
        max(blocksEnd, try image.file.byteCount()).roundedUp(to: sectorByteCount)
    }
}

enum FixedMending {
    /// Whether the disk is larger than its file.
    static func isTooShort(_ image: ImageParser) -> Bool {
        !image.footers.active.isSparse && image.footer.currentSize > image.footers.contentsEnd
    }

    /// Whether a fixed disk's file can be given the length of the disk.
    static func canMend(_ image: ImageParser) -> Bool {
        let (footers, size) = (image.footers, image.footer.currentSize)
        guard !footers.active.isSparse, footers.trailing.isValid, size > 0, size % sectorByteCount == 0,
            size <= UInt64(Int64.max) - sectorByteCount, footers.trailing.offset % sectorByteCount == 0
        else { return false }
        // A size that even the geometry contradicts is no reason to make a file larger.
        let fitsGeometry = !image.findings.all.contains { $0.detail.code == .vhdGeometry }
        return size < footers.trailing.offset || (size > footers.trailing.offset && fitsGeometry)
    }
}

extension Mender {
    mutating func mendTails(_ image: ImageParser) throws {
        guard image.footers.active.isSparse else { return try mendFixedLength(image) }
        guard let layout = image.layout, try TailMending.canLengthen(image) else { return }
        let end = try TailMending.blocksEnd(image, layout)
        guard end > layout.contentsEnd else { return }
        let footers = image.footers
        if footers.copy?.bytes != footers.active.bytes { try writeDurably(footers.active.bytes, at: 0) }
        let fileEnd = try file.byteCount()
        if footers.hasTrailing {
            try file.zero(footers.trailing.offset..<fileEnd)
            try file.sync()
        }
        let place = try TailMending.footerPlace(image, blocksEnd: end)
        try writeDurably(footers.active.bytes, at: place)
        actions.add(
            .tails, .vhdBlockPastEnd, at: layout.contentsEnd,
            "file lengthened with zeros to the end of its last block, footer written at \(hex(place))")
    }

    /// Rule 14. Only zeros are cut off.
    private mutating func mendFixedLength(_ image: ImageParser) throws {
        guard FixedMending.canMend(image) else { return }
        let (trailing, size) = (image.footers.trailing, image.footer.currentSize)
        let fileEnd = try file.byteCount()
        if size > trailing.offset {
            try writeDurably(trailing.bytes, at: size)
            try file.zero(trailing.offset..<fileEnd)
            try file.sync()
            return actions.add(
                .tails, .vhdCurrentSize, at: trailing.offset, "file lengthened with zeros to the disk's size")
        }
        // Before the cut, an earlier run may have written the footer.
        guard try file.isZero(size + sectorByteCount..<trailing.offset) else { return }
        let first = try file.bytes(at: size, count: Int(sectorByteCount))
        guard isZero(first.rawBytes) || first == trailing.bytes else { return }
        try writeDurably(trailing.bytes, at: size)
        try file.resize(to: size + sectorByteCount)
        try file.sync()
        actions.add(
            .tails, .vhdFixedLength, at: size,
            "footer moved to the end of the disk, \(fileEnd - size - 512) bytes cut off")
    }
}
