import BlockIO
import ByteCodec
import DiskModel

/// What happens to an image before it is written: it is refused, or both copies of its footer are made whole.
enum Repair {
    private static let copyHint = "copy the image into a new one and write that"

    /// Leaves a file whose trailing footer is valid and 512 bytes long and, in a dynamic image, equals the copy at 0.
    /// At most one footer is touched between two flushes, and the other one is valid then.
    static func prepare(
        _ file: any BlockFile, _ image: ImageParser, accepting accepted: Set<FormatError.Code>
    ) throws(DiskError) {
        try refuseUnwritable(file, image, accepted)
        try refuseSharedStructures(file, image)
        try diskErrors(file.path, "checking the blocks before writing") {
            try checkBlocks(file, image)
            try refuseStaleBatmap(file, image)
        }
        try diskErrors(file.path, "repairing the footer") { try repairFooters(file, image.footers) }
    }

    /// Refuses what may not be changed, whatever the change.
    /// - Parameter mended: rules whose breach the change puts right.
    static func refuseUnwritable(
        _ file: any BlockFile, _ image: ImageParser, _ accepted: Set<FormatError.Code>,
        mending mended: Set<FormatError.Code> = []
    ) throws(DiskError) {
        func refused(_ text: String, _ hint: String? = nil) -> DiskError {
            DiskError(.refused, path: file.path, text, hint: hint)
        }
        guard image.footer.savedState == 0 else {
            throw refused(
                "a virtual machine was saved with this disk, and would find it changed",
                "start the machine and shut it down, or discard its saved state")
        }
        for finding in image.findings.all where finding.severity == .error && !mended.contains(finding.detail.code) {
            if finding.detail.code == .vhdFootersDiffer {
                if accepted.contains(.vhdFootersDiffer) { continue }
                if let unfinished = UnfinishedEdit(image.footers) {
                    throw unfinished.refusal(image.footers, path: file.path)
                }
            }
            let isLink = [.vhdParentIdentity, .vhdParentLocator].contains(finding.detail.code)
            throw DiskError(
                .refused, path: file.path, doing: "opening for writing", cause: .format(finding.detail),
                hint: isLink ? "mend its link to the parent first" : copyHint)
        }
        // A batmap that cannot be used here might be used by others, and might begin to be when the file has grown.
        if let finding = image.findings.all.first(where: { $0.detail.code == .vhdBatmap }) {
            throw DiskError(
                .refused, path: file.path, doing: "opening for writing", cause: .format(finding.detail), hint: copyHint)
        }
        if let header = image.header, header.tableOffset % sectorByteCount != 0 {
            throw refused("a block table that does not begin at a sector cannot be written safely")
        }
    }

    /// The table is written in place and blocks are laid where the trailing footer stands: nothing else may stand there.
    private static func refuseSharedStructures(_ file: any BlockFile, _ image: ImageParser) throws(DiskError) {
        guard let layout = image.layout else { return }
        let others = layout.structures.filter { $0.overlaps(layout.tableRange) || $0.upperBound > layout.contentsEnd }
        guard let other = others.first(where: { $0 != layout.tableRange }) ?? others.dropFirst().first else { return }
        throw DiskError(
            .refused, path: file.path,
            "the structure at \(hex(other.lowerBound))..<\(hex(other.upperBound)) lies over the block table or the "
                + "footer, and cannot be kept when they are written", hint: copyHint)
    }

    /// XenServer takes every sector of a block that its batmap calls full from this file. Of a block that is not there
    /// such a bit becomes wrong as soon as the block is entered with some of its sectors.
    private static func refuseStaleBatmap(_ file: any BlockFile, _ image: ImageParser) throws {
        guard image.footer.diskType == DiskTypeCode.differencing, let (header, _) = image.batmap,
            let layout = image.layout
        else { return }
        try Batmap.forEachUnallocatedBit(file, header, layout) { block in
            throw DiskError(
                .refused, path: file.path,
                "XenServer's batmap calls block \(block) full, which is not there, and would hide the parent's bytes",
                hint: "clear the batmap: vhdcheck --repair batmap")
        }
    }

    /// Every block must be whole: space for new ones is taken behind the last. `visit` gets the blocks' offsets in
    /// ascending order.
    static func checkBlocks(
        _ file: any BlockFile, _ image: ImageParser, _ visit: (UInt64) -> Void = { _ in }
    ) throws {
        guard let layout = image.layout else { return }
        var order = BlockOrder()
        var table = BlockAllocationTable(file, layout)
        try order.visit(&table, layout) { offset in
            guard offset + layout.strideByteCount <= layout.contentsEnd else {
                throw FormatError(
                    .vhdBlockPastEnd, field: "BAT", offset: layout.tableOffset,
                    "has a block at \(hex(offset)) that goes on past the end of the blocks at "
                        + "\(hex(layout.contentsEnd))", section: "16")
            }
            visit(offset)
        }
    }

    static func repairFooters(_ file: any BlockFile, _ footers: FooterCopies) throws(IOError) {
        let bytes = footers.active.bytes
        if !footers.usesTrailing {
            try file.write(bytes, at: try file.byteCount().roundedUp(to: sectorByteCount))
            try file.sync()
        } else if footers.trailing.storedByteCount < UInt64(bytes.count) {
            try file.write([0], at: footers.trailing.offset + footers.trailing.storedByteCount)
            try file.sync()
        }
        if footers.active.isSparse, footers.copy?.bytes != bytes {
            try file.write(bytes, at: 0)
            try file.sync()
        }
    }
}
