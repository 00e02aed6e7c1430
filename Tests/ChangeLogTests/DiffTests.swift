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
        #expect(seen.map(\.byteCount) == [512, 3 << 20])
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

    /// The sectors that differ, counted without any unit; the log holds these and no other.
    @Test(arguments: 1...20) func theLogHoldsTheSectorsThatDifferOnly(seed: UInt64) throws {
        var generator = SplitMix(seed: seed)
        // More jobs than one, and a last unit that is not whole.
        let size = (5 << 20) + 512 * Int.random(in: 0..<16, using: &generator)
        let old = try randomDisk(&generator, size)
        let new = MemoryDisk(old.allBytes)
        for _ in 0..<200 {
            let sector = UInt64.random(in: 0..<UInt64(size / 512), using: &generator)
            let place = sector * 512 + UInt64.random(in: 0..<512, using: &generator)
            try new.write([UInt8.random(in: 0...3, using: &generator)], at: place)
        }
        for (offset, bytes, zeros) in randomWrites(&generator, count: 4, diskByteCount: size) {
            if let bytes { try new.write(bytes, at: offset) } else { try new.writeZeroes(offset..<offset + zeros) }
        }
        let (before, after) = (old.allBytes, new.allBytes)
        var expected = Set<Int>()
        for sector in 0..<size / 512 {
            let range = sector * 512..<sector * 512 + 512
            if before[range] != after[range] { expected.insert(sector) }
        }
        let (log, result) = try diff(old, new)
        var written: [Int] = []
        try log.forEachWrite(verifyingData: true) { write in
            #expect(write.diskOffset % 512 == 0 && write.byteCount % 512 == 0)
            written += Int(write.diskOffset) / 512..<Int(write.diskRange.upperBound) / 512
        }
        #expect(written == expected.sorted(), "seed \(seed)")
        #expect(try log.validate().byteCount == UInt64(expected.count * 512))
        #expect(result.differingByteCount == UInt64(expected.count * 512), "seed \(seed)")
        try applyLogs([log], to: old)
        #expect(old.allBytes == after, "seed \(seed)")
    }

    /// Whichever thread is faster: the same log.
    @Test func theLogIsRepeatable() throws {
        var generator = SplitMix(seed: 77)
        let size = 48 << 20
        let old = MemoryDisk([UInt8](repeating: 9, count: size))
        let new = MemoryDisk([UInt8](repeating: 9, count: size))
        for _ in 0..<300 {
            let offset = UInt64.random(in: 0..<UInt64(size / 512 - 200), using: &generator) * 512
            try new.write(Array(pattern[..<(Int.random(in: 1..<200, using: &generator) * 512)]), at: offset)
        }
        try new.write(Array(pattern[..<(4 << 20)]), at: 20 << 20)
        func log() throws -> [UInt8] {
            let file = MemoryFile(path: "diff.hrl")
            let writer = try LogWriter.create(on: file, uniqueID: GUID(1, 2, 3, 4), created: time)
            _ = try diffDisks(old: old, new: new, into: writer, time: time)
            try writer.close(at: time)
            return file.allBytes
        }
        let first = try log()
        for _ in 0..<10 { #expect(try log() == first) }
        try applyLogs([try LogReader(MemoryFile(first))], to: old)
        #expect(old.allBytes == new.allBytes)
    }

    /// Failures of a disk and of the log, and a caller who has enough, end both threads.
    @Test(arguments: 0..<12) func failures(count: Int) throws {
        let size = 16 << 20
        let bytes = [UInt8](repeating: 1, count: size)
        let disk = MemoryDisk(FailingFile(MemoryFile(bytes), after: count, failsReads: true), byteCount: UInt64(size))
        let other = MemoryDisk([UInt8](repeating: 2, count: size))
        #expect(throws: DiskError.self) { _ = try diff(disk, other) }
        #expect(throws: DiskError.self) { _ = try diff(other, disk) }
        let writer = try LogWriter.create(on: FailingFile(MemoryFile(), after: 4 + count), created: time)
        #expect(throws: DiskError.self) {
            _ = try diffDisks(old: MemoryDisk(bytes), new: other, into: writer, time: time)
        }
        let enough = try LogWriter.create(on: MemoryFile(), created: time)
        let error = try #require(throws: DiskError.self) {
            _ = try diffDisks(old: MemoryDisk(bytes), new: other, into: enough, time: time) {
                done, _ throws(DiskError) in
                if done >= UInt64(count) << 20 { throw DiskError(.refused, path: "", "enough") }
            }
        }
        #expect("\(error)".contains("enough"))
    }
}
