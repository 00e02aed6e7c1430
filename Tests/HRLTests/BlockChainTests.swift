import BlockIO
import ByteCodec
import FaultInjection
import Testing

@testable import HRL

/// Logs of more blocks than are held at a time.
@Suite struct BlockChainTests {
    /// A log of small blocks, each with one write of 512 bytes, or without one.
    private func log(blockCount: Int) throws -> MemoryFile {
        let file = MemoryFile(path: "many.hrl")
        var position = UInt64(LogHeader.byteCount)
        var previous: UInt64 = 0
        var writes: UInt64 = 0
        for number in 0..<blockCount {
            var block = MetadataHeader()
            let hasWrite = number % 3 != 0
            let offset = position + (hasWrite ? 512 : 0)
            block.previousMetadataLocation = number == 0 ? 0 : offset - previous
            block.validMetadataEntries = hasWrite ? 1 : 0
            var bytes = block.sealed()
            if hasWrite {
                var entry = MetadataEntry()
                (entry.byteOffset, entry.dataLength) = (UInt64(number) * 512, 512)
                bytes += entry.sealed()
                writes += 1
            }
            try file.write(bytes, at: offset)
            (previous, position) = (offset, offset + 512)
        }
        file.resize(to: position)
        var header = LogHeader()
        (header.uniqueID, header.metadataSize) = (GUID(1, 2, 3, 4), 512)
        (header.eolLocation, header.currentSize) = (position, position)
        header.totalMetadataEntries = writes
        try file.write(header.sealed(), at: 0)
        return file
    }

    @Test(arguments: [0, 1]) func everyBlockIsVisitedOnceInOrder(extra: Int) throws {
        let blockCount = 2 * BlockChain.segmentBlockCount + extra
        let file = try log(blockCount: blockCount)
        var expected = 0
        let summary = try LogReader(file).forEachWrite(verifyingData: false) { write in
            while expected % 3 == 0 { expected += 1 }
            if write.diskOffset != UInt64(expected) * 512 { Issue.record("\(write) where \(expected) was due") }
            expected += 1
        }
        #expect(
            summary.blockCount == UInt64(blockCount) && summary.writeCount == UInt64(blockCount - (blockCount + 2) / 3))
        #expect(summary.findings.allSatisfy { $0.detail.code == .hrlEmptyBlock })
    }

    /// Sums of ranges in any order, over holes, against the plain sum.
    @Test(arguments: 1...8) func sumsOfData(seed: UInt64) throws {
        var generator = SplitMix(seed: seed)
        let file = MemoryFile(path: "data")
        file.resize(to: 4 << 20)
        for _ in 0..<6 {
            let offset = UInt64.random(in: 0..<3 << 20, using: &generator)
            try file.write(generator.bytes(Int.random(in: 1...700_000, using: &generator)), at: offset)
        }
        let plain = file.allBytes
        var sums = DataSum(file)
        var end: UInt64 = 0
        for _ in 0..<200 {
            // Most follow on the one before.
            let start =
                Int.random(in: 0..<5, using: &generator) == 0 || end >= 4 << 20
                ? UInt64.random(in: 0..<4 << 20, using: &generator) : end
            let most = [600, 20_000, 900_000][Int.random(in: 0..<3, using: &generator)]
            end = min(4 << 20, start + UInt64.random(in: 1...UInt64(most), using: &generator))
            let expected = plain[Int(start)..<Int(end)].reduce(UInt32(0)) { $0 &+ UInt32($1) }
            #expect(try sums.complementedSum(of: start..<end) == ~expected, "\(start)..<\(end)")
        }
    }
}
