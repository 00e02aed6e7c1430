import BlockIO
import ByteCodec
import DiskModel
import VHD

/// Rules 20 to 25 and 32.
extension Planted {
    /// Where the entries of blocks stand.
    private static func entry(_ block: UInt64) -> UInt64 { 1536 + 4 * block }

    /// A dynamic image with another entry.
    private static func entry(
        _ code: FormatError.Code, _ name: String, block: Int, _ number: UInt32, _ image: TinyImage = Good.dynamic()
    ) -> Planted {
        var image = image
        image.table[block] = number
        return sparse(code, name, .error, at: entry(UInt64(block)), [.dropBlocks], image.bytes, unreadable)
    }

    /// A file cut behind `kept` sectors of its last block, which is block 1 and full, with a footer behind or without.
    private static func cut(
        _ name: String, _ image: TinyImage, kept: Int, hasFooter: Bool, _ more: (inout Planted) -> Void = { _ in }
    ) -> Planted {
        var image = image
        image.addBlock(1, bits: 0xff, fill: 0x70)
        image.body.removeLast((8 - kept) * 512)
        var planted = sparse(
            .vhdBlockPastEnd, name, .error, at: entry(1), [.tails],
            hasFooter ? image.bytes : Array(image.bytes.dropLast(512)))
        (planted.lacksData, planted.isReadable) = (true, false)
        for sector in 0..<kept { Good.fill(&planted.disk, 8 + sector, 0x70 + UInt8(sector)) }
        if !hasFooter { (planted.otherErrors, planted.otherRepairs) = ([.vhdTrailingFooter], [.footer]) }
        more(&planted)
        return planted
    }

    static let blocks: [Planted] = [
        entry(.vhdBlockPastEnd, "begins past the end", block: 1, 1000),
        entry(.vhdBlockPastEnd, "begins at the footer", block: 3, UInt32(Good.dynamic().footerOffset / 512)),
        entry(.vhdBlockPastEnd, "as far as can be", block: 1, 0xffff_fffe),
        cut("cut, no footer", Good.dynamic(), kept: 6, hasFooter: false),
        cut("cut to its bitmap", Good.dynamic(), kept: 0, hasFooter: false),
        cut("cut, differencing", Good.differencing(), kept: 3, hasFooter: false),
        cut("footer over its last sector", Good.dynamic(), kept: 7, hasFooter: true),
        cut("footer within", Good.dynamic(), kept: 2, hasFooter: true),
        cut("footer within, of 511 bytes", Good.dynamic(), kept: 2, hasFooter: true) {
            $0.bytes.removeLast()
            $0.otherRepairs = [.footer]
        },
        cut("footer within, no copy at 0", Good.dynamic(), kept: 2, hasFooter: true) {
            $0.bytes = $0.bytes.with(.zeros(512), at: 0)
            ($0.otherErrors, $0.otherRepairs) = ([.vhdFooterCopy], [.footer])
        },
        cut("cut within a sector", Good.dynamic(), kept: 4, hasFooter: false) {
            $0.bytes.removeLast(100)
            let start = 12 * 512 - 512
            $0.disk.replaceSubrange(start + 412..<start + 512, with: [UInt8].zeros(100))
        },
        // Bits of the last three sectors of block 0 are clear.
        sparse(
            .vhdBlockPastEnd, "nothing missing", .warning, at: entry(0), [.tails],
            Good.dynamic { $0.body.removeLast(1024) }.bytes),
        entry(.vhdBlockOverMetadata, "over the copy at 0", block: 1, 0),
        entry(.vhdBlockOverMetadata, "over the header", block: 3, 2),
        entry(.vhdBlockOverMetadata, "over the table", block: 1, 3),
        entry(.vhdBlockOverMetadata, "over a parent's path", block: 1, 5, Good.differencing()),
        entry(.vhdBlockOverMetadata, "over the batmap", block: 3, 5, Good.xen()),
        twice, thrice, inside,
        stray([5]), stray([5, 7]), stray([6], Good.xen()), bitsPastEnd,
        sparse(
            .vhdOrphanedSpace, "behind the last block", .information, at: 11264, [],
            Good.dynamic { $0.body += .zeros(8 * 512) }.bytes),
        sparse(
            .vhdOrphanedSpace, "between blocks", .information, at: 11264, [],
            Good.dynamic {
                $0.body += .zeros(9 * 512)
                $0.addBlock(1, bits: 0, fill: 0)
                $0.body.replaceSubrange(($0.body.count - 4096)..., with: [UInt8].zeros(4096))
            }.bytes),
    ]

    /// Blocks 2 and 3 in one place: 3 goes.
    private static let twice: Planted = {
        var image = Good.dynamic()
        image.table[3] = image.table[2]
        return sparse(.vhdBlocksOverlap, "in one place", .error, at: entry(3), [.dropBlocks], image.bytes, unreadable)
    }()

    /// Blocks 1, 2 and 3 in one place: 1 stays.
    private static let thrice: Planted = {
        var image = Good.dynamic()
        (image.table[1], image.table[3]) = (image.table[2], image.table[2])
        return sparse(.vhdBlocksOverlap, "three in one place", .error, at: entry(3), [.dropBlocks], image.bytes) {
            $0.isReadable = false
            let block = Array($0.disk[8192..<12288])
            $0.disk = $0.disk.with(block, at: 4096).with(.zeros(4096), at: 8192)
        }
    }()

    /// Block 3 over the end of block 2 and the beginning of block 0.
    private static let inside: Planted = {
        var image = Good.dynamic()
        image.table[3] = image.table[2] + 3
        return sparse(
            .vhdBlocksOverlap, "over two others", .error, at: entry(3), [.dropBlocks], image.bytes, unreadable)
    }()

    /// Data in sectors of block 0 whose bits are clear.
    private static func stray(_ sectors: [Int], _ image: TinyImage = Good.dynamic()) -> Planted {
        let data = image.blockOffset(0) + 512
        var (bytes, changed) = (image.bytes, Good.disk)
        for sector in sectors {
            bytes = bytes.with([UInt8](repeating: 0x99, count: 512), at: data + sector * 512)
            Good.fill(&changed, sector, 0x99)
        }
        return sparse(
            .vhdDataUnderClearBits, "sectors \(sectors)", .error, at: UInt64(data + sectors[0] * 512),
            [.setBits, .zeroSectors], bytes
        ) {
            $0.options.isDeep = true
            $0.changed = [.setBits: changed]
        }
    }

    private static let bitsPastEnd: Planted = {
        var image = Good.dynamic()
        image.footer.currentSize = 16384 - 512
        image.footer.geometry = geometryCHS(virtualByteCount: 16384 - 512)
        image.addBlock(3, bits: 0xff, fill: 0x80)
        return sparse(
            .vhdBitsPastEnd, "the last block", .information, at: UInt64(image.blockOffset(3)), [], image.bytes
        ) {
            $0.options.isDeep = true
            for sector in 0..<8 { Good.fill(&$0.disk, 24 + sector, 0x80 + UInt8(sector)) }
            $0.disk.removeLast(512)
        }
    }()

    /// Rule 32.
    static let batmaps: [Planted] = [
        sparse(
            .vhdBatmap, "checksum", .warning, at: Good.batmapOffset + 24, [.batmap],
            Good.xen { $1.checksum = 1 }.bytes),
        sparse(
            .vhdBatmap, "checksum of version 1.1", .warning, at: Good.batmapOffset + 24, [.batmap],
            Good.xen(map: 0b1000_0000) { image, batmap in
                image.body[1024 + 4608] = 0xff
                (batmap.version, batmap.checksum) = (0x0001_0001, ~0x80)
            }.bytes),
        sparse(.vhdBatmap, "no size", .warning, at: Good.batmapOffset, [], Good.xen { $1.mapSize = 0 }.bytes),
        sparse(.vhdBatmap, "version", .warning, at: Good.batmapOffset, [], Good.xen { $1.version = 0x20000 }.bytes),
        sparse(
            .vhdBatmap, "over the table", .warning, at: Good.batmapOffset + 24, [],
            Good.xen { ($1.mapOffset, $1.checksum) = (1536, 1) }.bytes),
        sparse(
            .vhdBatmap, "calls block 0 full", .error, at: UInt64(Good.xen().blockOffset(0)), [.batmap],
            Good.xen(map: 0b1010_0000).bytes, deep),
        sparse(
            .vhdBatmap, "calls a block full that is not there", .warning, at: entry(1), [.batmap],
            Good.xen(map: 0b0110_0000).bytes, deep),
    ]
}
