import BlockIO
import ByteCodec
import DiskModel
import VHD

/// Rules 1 to 14.
extension Planted {
    private static let good = Good.dynamic().bytes
    /// Where the trailing footers stand.
    private static let end = good.count - 512
    private static let endOffset = UInt64(end)
    private static let fixedEnd = UInt64(Good.fixedDisk.count)

    /// Rules 1 to 5.
    static let copies: [Planted] = [
        sparse(
            .vhdTrailingFooter, "cookie", .error, at: endOffset, [.footer],
            good.withTrailing { $0.with([0x43], at: 0).withSum(at: 64) }),
        sparse(
            .vhdTrailingFooter, "overwritten by XenServer", .error, at: endOffset, [.footer],
            good.withTrailing { _ in [UInt8](repeating: 0xc7, count: 512) }),
        sparse(.vhdTrailingFooter, "zeros", .error, at: endOffset, [.footer], good.withTrailing { _ in .zeros(512) }),
        sparse(.vhdTrailingFooter, "cut off", .error, at: endOffset - 512, [.footer], Array(good.dropLast(512))),
        sparse(.vhdTrailingFooter, "cut within", .error, at: endOffset - 100, [.footer], Array(good.dropLast(100))),
        fixed(
            .vhdTrailingFooter, "of a fixed disk", .error, at: fixedEnd, [],
            Good.fixed { $0.cookie = Array("Conectix".utf8) }, unreadable),
        sparse(.vhdFooterCopy, "cookie", .error, at: 0, [.footer], good.with([0x43], at: 0)),
        sparse(.vhdFooterCopy, "zeros", .error, at: 0, [.footer], good.with(.zeros(512), at: 0)),
        sparse(.vhdFooterCopy, "checksum", .error, at: 64, [.footer, .checksums], good.flipped(67)),
        sparse(.vhdFooterCopy, "a field under a checksum", .error, at: 64, [.footer], good.flipped(27)),
        sparse(.vhdFooterCopy, "type of a fixed disk", .error, at: 64, [.footer], good.with([2], at: 63)),
        sparse(
            .vhdFootersDiffer, "in the time", .warning, at: endOffset + 24, [.footer],
            good.withTrailing { $0.with([1], at: 24).withSum(at: 64) }),
        sparse(
            .vhdFootersDiffer, "in the size", .error, at: endOffset + 54, [.footer],
            good.with(Array(good[..<512]).with([0x3e], at: 54).withSum(at: 64), at: 0)),
        sparse(
            .vhdFootersDiffer, "in the Unique ID", .error, at: endOffset + 67, [.footer],
            good.with(Array(good[..<512]).with([7], at: 68).withSum(at: 64), at: 0)),
        sparse(.vhdShortFooter, "dynamic", .warning, at: endOffset, [.footer], Array(good.dropLast())),
        fixed(.vhdShortFooter, "fixed", .warning, at: fixedEnd, [.footer], Array(Good.fixed().dropLast())),
        sparse(
            .vhdChecksum, "of both footers", .error, at: endOffset + 64, [.checksums],
            good.flipped(67).flipped(end + 67), unreadable),
        sparse(
            .vhdChecksum, "of the trailing footer", .error, at: endOffset + 64, [.checksums, .footer],
            good.flipped(end + 67)),
        sparse(
            .vhdChecksum, "of a trailing footer with another time", .error, at: endOffset + 64, [.footer],
            good.flipped(end + 27)),
        sparse(
            .vhdChecksum, "of a trailing footer that calls itself a fixed disk's", .error, at: endOffset + 64,
            [.footer],
            good.with([2], at: end + 63)
        ) {
            $0.isReadable = false
            // As a fixed disk's its file is too short.
            $0.otherErrors = [.vhdCurrentSize]
        },
        sparse(
            .vhdChecksum, "of both footers, which differ", .error, at: endOffset + 64, [],
            good.flipped(67).flipped(end + 27), unreadable),
        sparse(
            .vhdChecksum, "of the copy at 0, the other being gone", .error, at: 64, [.checksums],
            Array(good.flipped(67).dropLast(512))
        ) {
            $0.isReadable = false
            // No footer at the end.
            $0.otherErrors = [.vhdTrailingFooter]
        },
        sparse(.vhdChecksum, "of the header", .error, at: 548, [.checksums], good.flipped(512 + 39), unreadable),
        sparse(
            .vhdChecksum, "of a header with another next pointer", .error, at: 548, [], good.flipped(512 + 15),
            unreadable),
        fixed(
            .vhdChecksum, "of a fixed disk", .error, at: fixedEnd + 64, [.checksums],
            Good.fixed().flipped(Int(fixedEnd) + 67), unreadable),
        fixed(
            .vhdChecksum, "of a fixed disk of another size", .error, at: fixedEnd + 64, [],
            Good.fixed().with([0x1e], at: Int(fixedEnd) + 54), unreadable),
    ]

    /// Rules 6 to 14.
    static let footerFields: [Planted] = [
        sparse(
            .vhdFeatures, "none", .warning, at: endOffset + 8, [.fields], good.withFooters { $0.with([0], at: 11) }),
        sparse(
            .vhdFeatures, "unknown", .warning, at: endOffset + 8, [.fields],
            good.withFooters { $0.with([0x80, 0, 0, 3], at: 8) }),
        fixed(.vhdFeatures, "fixed", .warning, at: fixedEnd + 8, [.fields], Good.fixed { $0.features = 6 }),
        sparse(
            .vhdFormatVersion, "2.0", .error, at: endOffset + 12, [], good.withFooters { $0.with([0, 2], at: 12) }
        ) {
            $0.isReadable = false
        },
        sparse(
            .vhdFormatVersion, "2.0 at the end only", .error, at: endOffset + 12, [.footer],
            good.withTrailing { $0.with([0, 2], at: 12).withSum(at: 64) }),
        fixed(
            .vhdDataOffset, "32 bits of ones", .warning, at: fixedEnd + 16, [.fields],
            Good.fixed { $0.dataOffset = 0xffff_ffff }),
        sparse(
            .vhdDataOffset, "into a block", .error, at: 4096, [.footer],
            good.withFooters { $0.with([0x10, 0], at: 22) }, unreadable),
        sparse(
            .vhdDataOffset, "past the end", .error, at: endOffset + 16, [.footer],
            good.withFooters { $0.with([1], at: 18) }, unreadable),
        sparse(
            .vhdDataOffset, "no header anywhere", .error, at: 512, [], good.with([0x58], at: 512), unreadable),
        sparse(
            .vhdDataOffset, "unaligned", .warning, at: endOffset + 16, [],
            Good.dynamic { image in
                image.body += .zeros(4) + (image.header?.sealed() ?? []) + .zeros(508)
                image.footer.dataOffset = image.footerOffset - 1024 - 508
            }.bytes
        ) { $0.offset = UInt64($0.bytes.count - 512 + 16) },
        sparse(
            .vhdUniqueID, "zero", .warning, at: endOffset + 68, [.id], good.withFooters { $0.with(.zeros(16), at: 68) }),
        fixed(.vhdUniqueID, "zero, fixed", .warning, at: fixedEnd + 68, [.id], Good.fixed { $0.uniqueID = .zero }),
        sparse(
            .vhdReserved, "last byte", .warning, at: endOffset + 85, [.fields],
            good.withFooters { $0.with([1], at: 511) }),
        sparse(
            .vhdReserved, "hidden", .warning, at: endOffset + 85, [.fields], good.withFooters { $0.with([1], at: 85) }),
        sparse(
            .vhdGeometry, "tiny", .warning, at: endOffset + 56, [.geometry],
            good.withFooters { $0.with([0, 1, 1, 1], at: 56) }),
        fixed(.vhdGeometry, "fixed", .warning, at: fixedEnd + 56, [.geometry], Good.fixed { $0.heads = 9 }),
        sparse(
            .vhdTimestamp, "a day ahead", .information, at: endOffset + 24, [],
            good.withFooters { $0.with([0x30, 0, 0, 0], at: 24) }
        ) { $0.options.now = DiskTimestamp(rawValue: 0x3000_0000 - 86400).unixSeconds },
        sparse(
            .vhdSavedState, "saved", .warning, at: endOffset + 84, [.savedState],
            good.withFooters { $0.with([1], at: 84) }),
        sparse(
            .vhdSavedState, "no known value", .warning, at: endOffset + 84, [.savedState],
            good.withFooters { $0.with([2], at: 84) }),
        fixed(.vhdSavedState, "fixed", .warning, at: fixedEnd + 84, [.savedState], Good.fixed { $0.savedState = 1 }),
        fixed(
            .vhdFixedLength, "longer by zeros", .warning, at: fixedEnd + 1024 + 48, [.tails],
            Good.fixedDisk + .zeros(1024) + Good.fixed().suffix(512)),
        fixed(
            .vhdFixedLength, "longer by one sector", .warning, at: fixedEnd + 512 + 48, [.tails],
            Good.fixedDisk + .zeros(512) + Good.fixed().suffix(512)),
        fixed(.vhdFixedLength, "no whole MiB", .information, at: fixedEnd, [], Good.fixed()),
        fixed(
            .vhdCurrentSize, "more than the file", .error, at: fixedEnd + 48, [.tails],
            Good.fixed { ($0.currentSize, $0.geometry) = (0x2800, geometryCHS(virtualByteCount: 0x2800)) }
        ) {
            $0.isReadable = false
            $0.disk = Good.fixedDisk + .zeros(0x800)
            $0.isLostOnTheWay = true
        },
    ]
}

extension [UInt8] {
    /// The bytes with the footer at the end changed, whatever its checksum.
    func withTrailing(_ change: ([UInt8]) -> [UInt8]) -> [UInt8] {
        with(change(Array(suffix(512))), at: count - 512)
    }

    /// The bytes with one bit of one changed.
    func flipped(_ offset: Int) -> [UInt8] { with([self[offset] ^ 0x10], at: offset) }
}
