import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing

@testable import VHDX

/// Power cuts at every moment of compacting.
@Suite struct CompactionCutTests {
    private static func cuts(
        _ image: MemoryFile.Contents, breaking: ((inout EditCuts.Operations) -> Void)? = nil
    ) throws -> EditCuts {
        let view = try DiskView(VHDXLayer(reading: MemoryFile(image)))
        return try EditCuts(image, .compact, allowed: [view], imageLimit: 48, breaking: breaking)
    }

    /// Two empty blocks before two that are not.
    private static func drops() throws -> TinyImage {
        var image = try TinyImage(byteCount: 16 << 20)
        for (block, value) in [(3, 0), (1, 0), (9, 2), (0, 3)] as [(UInt64, UInt8)] {
            image.putBlock(block, value, used: 1536)
        }
        return image
    }

    /// A table, metadata and an unknown region behind gaps.
    private static func regions() throws -> TinyImage {
        var image = try ScatteredImage(seed: 1, count: 0).image
        image.contents.resize(to: image.contents.byteCount + (3 << 20))
        return image
    }

    @Test func drop() throws { try Self.cuts(Self.drops().contents).expectSound("dropping and moving blocks") }

    @Test func moveRegions() throws { try Self.cuts(Self.regions().contents).expectSound("moving regions") }

    @Test(arguments: 0..<3 as Range<UInt64>) func scattered(_ seed: UInt64) throws {
        let kinds: [ScatteredImage.Kind] = [.data, .zeros, .partial, .empty, .data]
        let image = try ScatteredImage(
            seed: seed, count: 6, isDifferencing: seed != 1, movesLog: seed == 2, kinds: kinds)
        try Self.cuts(image.contents).expectSound("compacting a scattered image, seed \(seed)")
    }

    @Test func cutOnly() throws {
        var image = try TinyImage()
        _ = image.append([UInt8](repeating: 1, count: 5000), count: 3 << 20)
        try Self.cuts(image.contents).expectSound("cutting the file")
    }

    @Test func afterADirtyLog() throws {
        let file = try Self.drops().file
        let former = try VHDXLayer(writing: file)
        try former.write([UInt8](repeating: 3, count: 512).rawBytes, at: 5 << 20)
        try former.flush()
        try Self.cuts(file.contents).expectSound("compacting after a dirty log")
    }

    // MARK: Broken orders, which have to be found out

    @Test func payloadNotFlushed() throws {
        try Self.cuts(Self.drops().contents) { EditCuts.dropFlushesBeforeTheLog(&$0) }
            .expectCaught("moved payload not flushed")
    }

    @Test func freedSpaceUsedTooEarly() throws {
        try Self.cuts(Self.drops().contents) { operations in
            // Log entries are not flushed before what follows.
            for index in operations.indices.reversed() where index > 0 && EditCuts.isSync(operations[index]) {
                if EditCuts.isWrite(operations[index - 1], EditCuts.log) { operations.remove(at: index) }
            }
        }.expectCaught("space used before its entry is durable")
    }

    @Test func regionTablesOutsideTheLog() throws {
        try Self.cuts(Self.regions().contents) { EditCuts.writeBeforeTheLog(&$0, 192 << 10..<320 << 10) }
            .expectCaught("region tables outside the log")
    }
}
