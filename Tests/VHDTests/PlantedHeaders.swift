import BlockIO
import ByteCodec
import DiskModel
import VHD

/// Rules 15 to 19 and 26 to 28.
extension Planted {
    private static let good = Good.dynamic().bytes
    private static let endOffset = UInt64(good.count - 512)

    /// Rules 15 and 16.
    static let headerFields: [Planted] = [
        sparse(
            .vhdHeader, "next pointer", .warning, at: 520, [.fields], good.withHeader { $0.with(.zeros(8), at: 8) }),
        sparse(.vhdHeader, "reserved, first", .warning, at: 572, [.fields], good.withHeader { $0.with([1], at: 60) }),
        sparse(
            .vhdHeader, "reserved, second", .warning, at: 1280, [.fields], good.withHeader { $0.with([1], at: 768) }),
        sparse(
            .vhdHeader, "reserved, both, differencing", .warning, at: 572, [.fields],
            Good.differencing().bytes.withHeader { $0.with([1], at: 1023).with([9, 9], at: 62) }),
        sparse(
            .vhdHeader, "reserved, second, and no copy of the footer to lean on", .warning, at: 1280, [],
            good.withHeader { $0.with([1], at: 768) }.with(.zeros(512), at: 0)
        ) {
            $0.otherErrors = [.vhdFooterCopy]
            // With a copy of the footer, the fields can be mended.
            $0.otherRepairs = [.footer, .fields]
        },
        sparse(
            .vhdHeader, "version", .error, at: 536, [], good.withHeader { $0.with([0, 2], at: 24) }, unreadable),
        sparse(.vhdUnusualBlockSize, "4096", .warning, at: 544, [], good),
    ]

    /// Rules 17 to 19.
    static let tables: [Planted] = [
        sparse(
            .vhdMaxTableEntries, "one more", .information, at: 540, [.bat], good.withHeader { $0.with([5], at: 31) }),
        sparse(
            .vhdMaxTableEntries, "more, with a block", .information, at: 540, [],
            good.withHeader { $0.with([5], at: 31) }.with([0, 0, 0, 50], at: 1536 + 16)),
        sparse(
            .vhdMaxTableEntries, "more, before a batmap", .information, at: 540, [],
            Good.xen { image, _ in image.header?.maxTableEntries = 200 }.bytes),
        sparse(
            .vhdMaxTableEntries, "more than there is room for", .warning, at: 540, [],
            good.withHeader { $0.with([0, 1, 0, 0], at: 28) }),
        sparse(
            .vhdMaxTableEntries, "too few", .error, at: 540, [], good.withHeader { $0.with([3], at: 31) }, unreadable),
        sparse(.vhdTableOffset, "at 0", .error, at: 528, [], good.withHeader { $0.with([0, 0], at: 22) }, unreadable),
        sparse(
            .vhdTableOffset, "over the header", .error, at: 528, [], good.withHeader { $0.with([4, 0], at: 22) },
            unreadable),
        sparse(
            .vhdTableOffset, "over the footer", .error, at: 528, [],
            good.withHeader { $0.with([0x2b, 0xf4], at: 22) }, unreadable),
        sparse(
            .vhdTableOffset, "past the end", .error, at: 528, [], good.withHeader { $0.with([1], at: 16) }, unreadable),
        sparse(
            .vhdTableOffset, "unaligned", .warning, at: 528, [],
            good.withHeader { $0.with([4], at: 23) }.with(Array(good[1536..<1552]), at: 1540)
        ) { $0.bytes = $0.bytes.with([0xff, 0xff, 0xff, 0xff], at: 1536) },
        sparse(.vhdTablePadding, "a pattern", .information, at: 1552, [], good.with([1, 2, 3], at: 1560)),
    ]

    private static let child = Good.differencing().bytes
    private static let locatorsOffset: UInt64 = 512 + 576

    /// Rules 26 to 28.
    static let parents: [Planted] = [
        sparse(
            .vhdStrayParent, "identity", .warning, at: 552, [.fields], good.withHeader { $0.with([1], at: 40) }),
        sparse(.vhdStrayParent, "time", .warning, at: 552, [.fields], good.withHeader { $0.with([1], at: 56) }),
        sparse(
            .vhdStrayParent, "name", .warning, at: 552, [.fields],
            good.withHeader { $0.with([UInt8](repeating: 0x41, count: 512), at: 64) }),
        sparse(.vhdStrayParent, "a locator", .warning, at: 552, [.fields], good.withHeader { $0.with([7], at: 600) }),
        sparse(
            .vhdStrayParent, "everything a child has", .warning, at: 552, [],
            child.withFooters { $0.with([3], at: 63) }),
        sparse(
            .vhdParentIdentity, "no identity", .error, at: 552, [], child.withHeader { $0.with(.zeros(16), at: 40) },
            unreadable),
        sparse(
            .vhdParentIdentity, "no place", .error, at: locatorsOffset, [],
            child.withHeader { $0.with(.zeros(704), at: 64) }),
        sparse(
            .vhdParentIdentity, "half a surrogate pair", .warning, at: 576, [],
            child.withHeader { $0.with([0xd8, 0x00, 0, 0x41], at: 64) }),
        sparse(
            .vhdParentLocator, "past the end", .error, at: locatorsOffset + 16, [],
            child.withHeader { $0.with([1], at: 576 + 16) }, unreadable),
        sparse(
            .vhdParentLocator, "odd length", .error, at: 2048, [], child.withHeader { $0.with([31], at: 576 + 11) },
            unreadable),
        sparse(
            .vhdParentLocator, "no unit of space", .warning, at: locatorsOffset + 4, [],
            child.withHeader { $0.with([0, 0, 2, 1], at: 576 + 4) }),
        locator("over the header", at: 1024),
        locator("over the table", at: 1500),
        locator("over another", at: 2560),
        locator("over the footer", at: UInt64(child.count - 256)),
    ]

    /// A third locator, whose kind nobody here reads.
    private static func locator(_ name: String, at offset: UInt64) -> Planted {
        let image = Good.differencing {
            $0.header?.parentLocators[2].platformCode = 0x4d61_6320
            $0.header?.parentLocators[2].platformDataSpace = 512
            $0.header?.parentLocators[2].platformDataLength = 100
            $0.header?.parentLocators[2].platformDataOffset = offset
        }
        return sparse(.vhdParentLocator, name, .error, at: offset, [], image.bytes)
    }
}
