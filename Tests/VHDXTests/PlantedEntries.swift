import BlockIO
import ByteCodec
import DiskModel

@testable import VHDX

private let table = TinyImage.table
private let bitmapEntry = table + 4096 * 8
private func entry(_ index: UInt64) -> UInt64 { table + 8 * index }
private func block(_ number: UInt64) -> Range<UInt64> { number << 20..<(number + 1) << 20 }

/// Corruptions of the block allocation table, of sector bitmaps and of the file's length.
extension Planted {
    static let entries = states + places + sharing + bitmaps + lengths

    private static let states = [
        Planted(.vhdxBlockState, .error, "4", at: entry(2), [.without(.dropBlocks, block(2))]) { image in
            image.setEntry(2, image.integer(entry(2), as: UInt64.self) & ~7 | 4)
        },
        Planted(.vhdxBlockState, .error, "5", at: entry(1), [.good(.dropBlocks)]) { $0.setEntry(1, 5) },
        Planted(
            .vhdxBlockState, .error, "4 in a child", at: entry(0), in: .differencing, [.without(.dropBlocks, block(0))]
        ) {
            $0.setEntry(0, 4)
        },
        Planted(.vhdxBlockState, .warning, "7 without parent", at: entry(2), [.same(.bat)]) {
            $0.setEntry(2, $0.integer(entry(2), as: UInt64.self) | 7)
        },
        Planted(.vhdxBlockState, .warning, "7, and a locator", at: entry(1), in: .differencing) {
            $0.put(UInt32(0), at: TinyImage.metadata + 65536 + 4)
        },
        Planted(.vhdxEntryReserved, .error, "bit 19", at: entry(2), [.good(.bat)]) {
            $0.setEntry(2, $0.integer(entry(2), as: UInt64.self) | 1 << 19)
        },
        Planted(.vhdxEntryReserved, .error, "bit 3 of a bitmap", at: bitmapEntry, in: .differencing, [.good(.bat)]) {
            $0.setEntry(4096, $0.integer(bitmapEntry, as: UInt64.self) | 8)
        },
        Planted(.vhdxEntryReserved, .error, "and an offset in state 1", at: entry(2)) {
            // All of the first byte of a present block flipped: cleared, it would read as zeros.
            $0.put([0xf9], at: entry(2))
        },
        Planted(.vhdxEntryReserved, .warning, "offset in state 2", at: entry(3), [.same(.bat)]) {
            $0.setEntry(3, 99 << 20 | 2)
        },
        Planted(.vhdxEntryReserved, .warning, "offset in state 0", at: entry(1), [.same(.bat)]) {
            $0.setEntry(1, 5 << 20)
        },
        Planted(.vhdxTablePadding, .information, "two entries", at: entry(8), [.same(.bat)]) {
            $0.setEntry(8, 5)
            $0.setEntry(131071, 6)
        },
        Planted(.vhdxTablePadding, .information, "of a larger disk", at: entry(4)) {
            // The disk was cut to half by a wrong size: the last block is still there.
            $0.put(UInt64(4 << 20), at: TinyImage.metadata + 65536 + 8)
        },
        Planted(.vhdxFixedNotAllocated, .warning, "and a block past the end", at: table, in: .fixed, isReadable: false)
        {
            $0.setEntry(3, 0)
            $0.setEntry(4, 13 << 20 | 6)
        }.but(.vhdxBlockPastEnd, "it is planted as well"),
        Planted(.vhdxFixedNotAllocated, .warning, "with its former place", at: table, in: .fixed) {
            $0.setEntry(5, $0.integer(entry(5), as: UInt64.self) & ~7 | 1)
        },
        Planted(.vhdxFixedNotAllocated, .warning, "two blocks", at: table, in: .fixed, [.same(.allocate)]) {
            $0.setEntry(3, 0)
            $0.setEntry(6, 2)
        },
    ]

    private static let places = [
        Planted(.vhdxOverlap, .error, "block over the log", at: entry(1)) { $0.setEntry(1, 1 << 20 | 6) },
        Planted(.vhdxOverlap, .error, "block over the table", at: entry(1)) { $0.setEntry(1, 3 << 20 | 6) },
        Planted(.vhdxPresentWithoutOffset, .error, "block", at: entry(1), [.good(.dropBlocks)]) { $0.setEntry(1, 6) },
        Planted(.vhdxOffsetTooLarge, .error, "block", at: entry(1), [.good(.dropBlocks)]) {
            $0.setEntry(1, ~0xf_ffff | 6)
        },
        Planted(.vhdxBlockPastEnd, .error, "behind the file", at: entry(2), [.without(.dropBlocks, block(2))]) {
            $0.setEntry(2, 50 << 20 | 6)
        },
        Planted(
            .vhdxBlockPastEnd, .error, "last block cut", at: entry(7),
            [
                .without(.tails, (8 << 20) - 2048..<8 << 20), .without(.dropBlocks, block(7)),
            ]
        ) { $0.contents.resize(to: $0.contents.byteCount - 2048) },
        Planted(.vhdxSoftAnchor, .error, "in use", at: entry(5), isReadable: true, [.same(.bat)]) {
            $0.setEntry(5, 4 << 20 | 3)
        },
        Planted(.vhdxSoftAnchor, .error, "past the end", at: entry(5), isReadable: true, [.same(.bat)]) {
            $0.setEntry(5, 99 << 20 | 1)
        },
        Planted(.vhdxSoftAnchor, .error, "twice", at: entry(6), isReadable: true, [.same(.bat)]) {
            let offset = $0.append([1], count: mebibyte)
            $0.setEntry(5, offset | 3)
            $0.setEntry(6, offset | 1)
        },
    ]

    private static let sharing = [
        Planted(.vhdxDuplicateBlock, .error, "two blocks", at: entry(6)) {
            $0.setEntry(6, $0.integer(entry(2), as: UInt64.self))
        },
        Planted(.vhdxDuplicateBlock, .error, "block and bitmap", at: bitmapEntry, in: .differencing) {
            $0.setEntry(4096, 4 << 20 | 6)
        },
    ]

    private static let bitmaps = [
        Planted(.vhdxNoSectorBitmap, .error, "none", at: entry(1), in: .differencing) { $0.setEntry(4096, 0) },
        Planted(.vhdxSectorBitmapState, .error, "in use", at: bitmapEntry, in: .differencing) {
            $0.setEntry(4096, 6 << 20 | 3)
        },
        Planted(
            .vhdxSectorBitmapState, .error, "not in use", at: bitmapEntry, in: .differencing,
            [.without(.bitmaps, block(1))]
        ) {
            $0.setEntry(1, 0)
            $0.setEntry(4096, 6 << 20 | 3)
        },
        Planted(
            .vhdxUnusedSectorBitmap, .information, "in a child", at: bitmapEntry, in: .differencing, [.same(.bitmaps)]
        ) {
            $0.setEntry(1, 0)
        },
        Planted(.vhdxUnusedSectorBitmap, .warning, "in a fixed image", at: bitmapEntry, [.same(.bitmaps)]) { image in
            // A disk of two chunks, whose table has the first one's bitmap entry.
            image.put(UInt64(4097) << 20, at: TinyImage.metadata + 65536 + 8)
            image.setEntry(4096, image.append([1], count: mebibyte) | 6)
        },
        Planted(
            .vhdxBitsPastEnd, .information, "one", at: GoodImage.bitmap + 2048, in: .differencing, isDeep: true
        ) { $0.put([1], at: GoodImage.bitmap + 2048) },
        Planted(
            .vhdxIdleBits, .information, "of block 3", at: GoodImage.bitmap + 3 * 256, in: .differencing, isDeep: true
        ) { $0.put([1], at: GoodImage.bitmap + 3 * 256 + 9) },
    ]

    private static let lengths = [
        Planted(.vhdxFixedTooShort, .warning, "last block", at: entry(7), in: .fixedOdd, [.same(.tails)]) {
            $0.contents.resize(to: (4 << 20) + GoodImage.oddByteCount)
        },
        Planted(.vhdxOrphanedSpace, .information, "at the end", at: 7 << 20) { _ = $0.append([1], count: 3 << 20) },
    ]
}
