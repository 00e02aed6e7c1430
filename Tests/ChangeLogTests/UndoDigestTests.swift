import BlockIO
import ByteCodec
import Digest
import DiskModel
import FaultInjection
import HRL
import Testing

@testable import ChangeLog

/// The digest of what an undo log holds depends on bytes and places, and on nothing else.
@Suite struct UndoDigestTests {
    /// Ranges of a disk and their bytes.
    typealias Saved = [(offset: UInt64, bytes: [UInt8])]

    private func saved(_ random: inout SplitMix) -> Saved {
        var position: UInt64 = 0
        return (0..<6).map { _ in
            position += UInt64(Int.random(in: 1...9, using: &random)) * 512
            // The last sector of a disk may be a part of one.
            var bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 1...12, using: &random) {
                bytes += [UInt8](repeating: UInt8(Int.random(in: 0...2, using: &random)), count: 512)
            }
            defer { position += UInt64(bytes.count) }
            return (position, bytes)
        }
    }

    /// The message as docs/formats/hrl.md has it.
    private func plainly(_ saved: Saved) -> [UInt8] {
        var message: [UInt8] = []
        for (offset, bytes) in saved {
            var start = 0
            while start < bytes.count {
                let isZeros = isZero(bytes[start..<min(bytes.count, start + 512)])
                var end = start
                while end < bytes.count, isZero(bytes[end..<min(bytes.count, end + 512)]) == isZeros {
                    end = min(bytes.count, end + 512)
                }
                if !isZeros { message += bytes[start..<end] }
                message += little(offset + UInt64(start)) + little(UInt64(end - start)) + [isZeros ? 0 : 1]
                start = end
            }
        }
        return Digest.hash(.sha256, message.rawBytes)
    }

    private func isZero(_ bytes: ArraySlice<UInt8>) -> Bool { bytes.allSatisfy { $0 == 0 } }
    private func little(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }

    /// In random pieces, zeros as such or as bytes.
    private func digest(_ saved: Saved, _ random: inout SplitMix, most: Int) -> [UInt8] {
        var digest = UndoDigest()
        for (offset, bytes) in saved {
            var start = 0
            while start < bytes.count {
                let end = min(bytes.count, start + Int.random(in: 1...most, using: &random))
                let piece = Array(bytes[start..<end])
                if isZero(piece[...]), Bool.random(using: &random) {
                    digest.append(zeros: offset + UInt64(start)..<offset + UInt64(end))
                } else {
                    digest.append(piece.rawBytes, at: offset + UInt64(start))
                }
                start = end
            }
        }
        return digest.finish()
    }

    @Test(arguments: 1...60) func piecesDoNotMatter(seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        var saved = saved(&random)
        saved[5].bytes.removeLast(seed % 2 == 0 ? 0 : 200)
        let expected = plainly(saved)
        for most in [100, 700, 5000, 10_000] { #expect(digest(saved, &random, most: most) == expected, "seed \(seed)") }
        var other = saved
        other[3].bytes[Int.random(in: 0..<other[3].bytes.count, using: &random)] ^= 1
        #expect(digest(other, &random, most: 5000) != expected)
        other = saved
        other[2].offset -= 512
        #expect(digest(other, &random, most: 5000) != expected)
        other = saved
        other.swapAt(1, 2)
        (other[1].offset, other[2].offset) = (saved[1].offset, saved[2].offset)
        #expect(other[1].bytes == other[2].bytes || digest(other, &random, most: 5000) != expected)
    }

    /// A log, and a copy of it without holes.
    @Test func holesDoNotMatter() throws {
        let bytes = Array(pattern[..<(3 << 20)])
        let file = try makeLog([(512, bytes, 0), (4 << 20, nil, 1 << 20), (6 << 20, [UInt8](bytes[..<700]), 0)])
        let full = MemoryFile(path: "full")
        try full.write(file.allBytes, at: 0)
        let expected = plainly([
            (512, bytes), (4 << 20, .init(repeating: 0, count: 1 << 20)), (6 << 20, [UInt8](bytes[..<700])),
        ])
        #expect(try UndoDigest.of(try LogReader(file)) == expected)
        #expect(try UndoDigest.of(try LogReader(full)) == expected)
    }

    @Test func hugeZeros() throws {
        let file = try makeLog([(0, nil, 1 << 40)])
        var digest = UndoDigest()
        digest.append(zeros: 0..<1 << 40)
        #expect(try UndoDigest.of(try LogReader(file)) == digest.finish())
    }
}

/// Which sectors of a disk are sampled.
@Suite struct DiskSampleTests {
    private func places(
        _ writes: [(UInt64, [UInt8]?, UInt64)], on disk: MemoryDisk
    ) throws -> (offsets: [UInt64], undoByteCount: UInt64) {
        try SamplePlaces.outside(try LogEffect(of: [try LogReader(try makeLog(writes))]), on: disk)
    }

    @Test(arguments: 1...20) func outsideOfWhatIsWritten(seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        let size = 300_000 + Int.random(in: 0..<600, using: &random)
        let disk = MemoryDisk(Array(pattern[..<size]))
        let writes = undoWrites(&random, count: 12, diskByteCount: size)
        let (offsets, undoByteCount) = try places(writes, on: disk)
        let effect = try LogEffect(of: [try LogReader(try makeLog(writes))])
        #expect(try undoByteCount == UndoLog.byteCount(of: effect, diskByteCount: UInt64(size)))
        #expect(offsets == Set(offsets).sorted() && offsets.count <= DiskSample.capacity)
        for offset in offsets {
            #expect(offset % 512 == 0 && offset + 512 <= UInt64(size))
            for (start, bytes, zeros) in writes {
                let sectors = start / 512...(start + UInt64(bytes?.count ?? 0) + zeros - 1) / 512
                #expect(!sectors.contains(offset / 512), "seed \(seed), \(offset)")
            }
        }
        let free = UInt64(size) / 512 - undoByteCount / 512
        #expect(UInt64(offsets.count) >= min(free, 120), "seed \(seed): \(offsets.count) of \(free)")
    }

    /// Allocated data anywhere on a huge disk is found; of much data sectors from its start to its end.
    @Test func spread() throws {
        let disk = MemoryDisk(empty: 1 << 40)
        try disk.write(Array(pattern[..<65536]), at: 1 << 39)
        try disk.write(Array(pattern[..<65536]), at: (1 << 40) - 65536)
        let offsets = try places([(0, [1], 0)], on: disk).offsets
        // Sector 0 is written.
        let heads: [UInt64] = [1, 2, 3, 2048, 2049, 2050, 2051]
        #expect(Array(offsets.prefix(7)) == heads.map { $0 * 512 })
        let (middle, last): (UInt64, UInt64) = (1 << 39, (1 << 40) - 65536)
        #expect(offsets.count > 127 && offsets.dropFirst(7).allSatisfy { $0 >= middle })
        #expect(offsets.contains { $0 >= last })
        #expect(offsets.contains { $0 >= middle && $0 < middle + 65536 })
        let full = MemoryDisk(Array(pattern[..<(4 << 20)]))
        let even = try places([(0, [1], 0)], on: full).offsets
        #expect(even.count > 120 && even.count <= DiskSample.capacity)
        for (a, b) in zip(even, even.dropFirst()) { #expect(b - a <= 34_952) }
    }

    @Test func allIsWritten() throws {
        let disk = MemoryDisk(Array(pattern[..<8192]))
        let (offsets, undoByteCount) = try places([(0, nil, 8192)], on: disk)
        #expect(offsets.isEmpty && undoByteCount == 8192)
        let sample = try #require(try DiskSample(of: disk, at: offsets))
        #expect(try sample.isShown(by: disk))
    }
}
