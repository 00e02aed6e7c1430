import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import FaultInjection
import HRL
import Testing

@Suite struct DiffTests {
    private func diff(_ old: any VirtualDisk, _ new: any VirtualDisk) throws -> (LogReader, DiffResult) {
        let file = MemoryFile(path: "diff.hrl")
        let writer = try LogWriter.create(on: file, created: time)
        let result = try diffDisks(old: old, new: new, into: writer, time: time)
        try writer.close(at: time)
        return (try LogReader(file), result)
    }

    /// A sparse disk with runs of data and zeros at random places.
    private func randomDisk(_ generator: inout SplitMix, _ byteCount: Int) throws -> MemoryDisk {
        let disk = MemoryDisk(empty: UInt64(byteCount))
        for (offset, bytes, zeros) in randomWrites(&generator, count: 25, diskByteCount: byteCount) {
            if let bytes { try disk.write(bytes, at: offset) } else { try disk.writeZeroes(offset..<offset + zeros) }
        }
        return disk
    }

    @Test(arguments: 1...20) func appliedDiffGivesNew(seed: UInt64) throws {
        var generator = SplitMix(seed: seed)
        // Not always a multiple of the unit.
        let size = (3 << 20) + 512 * Int.random(in: 0..<16, using: &generator)
        let old = try randomDisk(&generator, size)
        let new = seed % 2 == 0 ? try randomDisk(&generator, size) : MemoryDisk(old.allBytes)
        for (offset, bytes, zeros) in randomWrites(&generator, count: 5, diskByteCount: size) where seed % 2 == 1 {
            if let bytes { try new.write(bytes, at: offset) } else { try new.writeZeroes(offset..<offset + zeros) }
        }
        let (log, result) = try diff(old, new)
        let summary = try log.validate(virtualByteCount: UInt64(size))
        #expect(summary.byteCount == result.differingByteCount, "seed \(seed)")
        _ = try applyLogs([log], to: old)
        #expect(old.allBytes == new.allBytes, "seed \(seed)")
        let (again, nothing) = try diff(old, new)
        #expect(nothing == DiffResult())
        #expect(try again.validate().writeCount == 0)
    }

    @Test func equalDisks() throws {
        let bytes = [UInt8](repeating: 5, count: 1 << 20)
        let (log, result) = try diff(MemoryDisk(bytes), MemoryDisk(bytes))
        #expect(result == DiffResult())
        #expect(try log.validate().writeCount == 0)
    }

    @Test func runsAreMergedAndCapped() throws {
        let size = 20 << 20
        let (log, result) = try diff(
            MemoryDisk(empty: UInt64(size)), MemoryDisk([UInt8](repeating: 1, count: size)))
        var lengths: [UInt64] = []
        try log.forEachWrite(verifyingData: false) { lengths.append($0.byteCount) }
        #expect(lengths == [8 << 20, 8 << 20, 4 << 20])
        #expect(result.differingByteCount == UInt64(size) && result.zeroedByteCount == 0)
    }

    @Test func hugeSparseDisksAndZeroRuns() throws {
        let size: UInt64 = 1 << 40
        let old = MemoryDisk(empty: size)
        let new = MemoryDisk(empty: size)
        try old.write([UInt8](repeating: 1, count: 3 << 20), at: 1 << 39)
        try new.write([UInt8](repeating: 2, count: 512), at: 1 << 30)
        let (log, result) = try diff(old, new)
        var seen: [LogWrite] = []
        try log.forEachWrite(verifyingData: false) { seen.append($0) }
        #expect(seen.map(\.diskOffset) == [1 << 30, 1 << 39])
        #expect(seen.map(\.byteCount) == [4096, 3 << 20])
        #expect(result.zeroedByteCount == 3 << 20)
        // The zeros are a hole in the log.
        #expect(try log.file.isZero(seen[1].dataRange))
        _ = try applyLogs([log], to: old)
        #expect(try old.bytes(at: 1 << 30, count: 512) == [UInt8](repeating: 2, count: 512))
        #expect(try old.file.isZero(1 << 39..<1 << 40))
    }

    @Test func sizesMustBeEqual() throws {
        let error = try #require(throws: DiskError.self) {
            _ = try diff(MemoryDisk(empty: 4096), MemoryDisk(empty: 8192))
        }
        #expect(error.kind == .refused)
    }

    @Test func sameBytesOfSameFileAreNotRead() throws {
        let failing = FailingFile(MemoryFile([UInt8](repeating: 1, count: 1 << 20)), after: 0, failsReads: true)
        let (_, result) = try diff(
            MemoryDisk(failing, byteCount: 1 << 20), MemoryDisk(failing, byteCount: 1 << 20))
        #expect(result == DiffResult())
    }
}
