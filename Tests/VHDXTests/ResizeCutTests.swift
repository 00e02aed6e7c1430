import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing

@testable import VHDX

/// Power cuts at every moment of resizing.
@Suite struct ResizeCutTests {
    /// Blocks that each hold some sectors, garbage behind the disk's end and in the padding.
    private static func image(_ size: UInt64, type: ImageType = .dynamic) throws -> TinyImage {
        var image = try TinyImage(type: type, byteCount: size)
        let count = size.dividedRoundingUp(by: 1 << 20)
        if type == .dynamic {
            for block in [count - 1, 0, 2] {
                image.putBlock(block + block / 4096, UInt8(block % 100) + 1, used: 1024)
            }
        }
        let last = image.integer(TinyImage.table + 8 * (count - 1 + (count - 1) / 4096), as: UInt64.self) & ~7
        // The last sector of the disk, and behind it.
        image.put([UInt8](repeating: 8, count: 2048), at: last + (size - 1) % (1 << 20) - 511)
        let entries = count + (count - 1) / 4096
        for index in [entries, entries + 2, entries + 5000] where index < 131_072 {
            image.setEntry(index, 0x1_0000_0006)
        }
        return image
    }

    private static func cuts(
        _ image: TinyImage, to size: UInt64, imageLimit: Int = 64, rerunEvery: Int = 4,
        breaking: ((inout EditCuts.Operations) -> Void)? = nil
    ) throws -> EditCuts {
        let before = try image.view
        let isDifferencing = try VHDXLayer(reading: image.file).type == .differencing
        return try EditCuts(
            image.contents, .resize(to: size),
            allowed: [before, before.resized(to: size, isDifferencing: isDifferencing)], imageLimit: imageLimit,
            rerunEvery: rerunEvery,
            breaking: breaking)
    }

    private static let odd: UInt64 = (5 << 20) - 1024
    private static let full = ResizeTests.full

    @Test func growInPlace() throws {
        try Self.cuts(Self.image(Self.odd), to: (5 << 20) - 512).expectSound("growing within a block")
        try Self.cuts(Self.image(Self.odd), to: 20 << 20).expectSound("growing in place")
        try Self.cuts(Self.image(Self.odd), to: 6000 << 20).expectSound("growing in place over a chunk")
    }

    @Test func growWithMovedTable() throws {
        try Self.cuts(Self.image(Self.full - 1024), to: Self.full + 4096).expectSound("growing with a moved table")
    }

    @Test func growFixed() throws {
        try Self.cuts(Self.image(Self.odd, type: .fixed), to: 9 << 20).expectSound("growing a fixed image")
        // A table this long takes its time.
        try Self.cuts(Self.image(Self.odd, type: .fixed), to: Self.full + 512, imageLimit: 4, rerunEvery: 16)
            .expectSound("growing a fixed image with a moved table")
    }

    @Test func shrink() throws {
        try Self.cuts(Self.image(Self.odd), to: 2 << 20).expectSound("shrinking")
        try Self.cuts(Self.image(6000 << 20), to: (2 << 20) + 512).expectSound("shrinking over a chunk")
        try Self.cuts(Self.image(Self.odd, type: .fixed), to: 2 << 20).expectSound("shrinking a fixed image")
    }

    @Test func differencing() throws {
        let size: UInt64 = (4 << 30) + (3 << 20)
        try Self.cuts(ResizeTests.child(used: 1024), to: size + (5 << 30)).expectSound("growing a differencing image")
        try Self.cuts(ResizeTests.child(used: 1024), to: 3 << 20).expectSound("shrinking a differencing image")
    }

    @Test func afterADirtyLog() throws {
        let file = try Self.image(Self.odd).file
        let former = try VHDXLayer(writing: file)
        try former.write([UInt8](repeating: 3, count: 512).rawBytes, at: 1 << 20)
        try former.flush()
        let before = try DiskView(VHDXLayer(reading: file))
        for size: UInt64 in [9 << 20, 1 << 20] {
            try EditCuts(file.contents, .resize(to: size), allowed: [before, before.resized(to: size)], imageLimit: 32)
                .expectSound("resizing after a dirty log")
        }
    }

    // MARK: Broken orders, which have to be found out

    @Test func sizeOutsideTheLog() throws {
        try Self.cuts(Self.image(Self.full - 1024), to: Self.full + 4096) {
            EditCuts.writeBeforeTheLog(&$0, TinyImage.metadata..<TinyImage.metadata + mebibyte)
        }.expectCaught("size outside the log")
    }

    @Test func newTableNotFlushed() throws {
        try Self.cuts(Self.image(Self.full - 1024), to: Self.full + 4096) { EditCuts.dropFlushesBeforeTheLog(&$0) }
            .expectCaught("new table not flushed")
    }

    @Test func tailZeroedTooLate() throws {
        try Self.cuts(Self.image(Self.odd), to: 20 << 20) { operations in
            let zero = operations.firstIndex { if case .zero = $0 { true } else { false } }!
            operations.append(operations.remove(at: zero))
        }.expectCaught("rest of the last block zeroed too late")
    }

    @Test func fileCutBeforeTheLogSaysSo() throws {
        try Self.cuts(Self.image(Self.odd), to: 2 << 20) { operations in
            let cut = operations.lastIndex { if case .resize = $0 { true } else { false } }!
            let entry = operations.lastIndex { EditCuts.isWrite($0, EditCuts.log) }!
            operations.insert(operations.remove(at: cut), at: entry - 1)
        }.expectCaught("file cut before the log says so")
    }
}
