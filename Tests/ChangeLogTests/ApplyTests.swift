import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import FaultInjection
import HRL
import Testing

let time = DiskTimestamp(rawValue: 800_000_000)

/// A closed log of some writes; nil bytes are zeros of the length.
func makeLog(
    _ writes: [(offset: UInt64, bytes: [UInt8]?, zeros: UInt64)], after previous: GUID = .zero, id: GUID = .random(),
    computesDataChecksums: Bool = false
) throws -> MemoryFile {
    let file = MemoryFile(path: "test.hrl")
    var options = LogWriter.Options()
    (options.uniqueID, options.previousUniqueID) = (id, previous)
    options.created = time
    options.computesDataChecksums = computesDataChecksums
    let writer = try LogWriter.create(on: file, options)
    for write in writes {
        if let bytes = write.bytes {
            try writer.append(bytes, at: write.offset, time: time)
        } else {
            try writer.appendZeroes(write.offset..<write.offset + write.zeros, time: time)
        }
    }
    try writer.close(at: time)
    return file
}

/// Sectors of which each differs from its neighbours.
let pattern: [UInt8] = (0..<8192).flatMap { [UInt8](repeating: UInt8(truncatingIfNeeded: $0 * 7), count: 512) }

/// Random writes that overlap a lot, in sectors.
func randomWrites(_ generator: inout SplitMix, count: Int, diskByteCount: Int) -> [(UInt64, [UInt8]?, UInt64)] {
    (0..<count).map { _ in
        let sectors = diskByteCount / 512
        let start = Int.random(in: 0..<sectors, using: &generator)
        // Some are long, so that holes and pieces of 1 MiB come up.
        let most = Int.random(in: 0..<20, using: &generator) == 0 ? 4096 : 40
        let length = Int.random(in: 1...min(most, sectors - start), using: &generator)
        if Int.random(in: 0..<4, using: &generator) == 0 { return (UInt64(start * 512), nil, UInt64(length * 512)) }
        let shift = Int.random(in: 0..<256, using: &generator) * 512
        return (UInt64(start * 512), Array(pattern[shift..<shift + length * 512]), 0)
    }
}

/// The plain meaning of a list of writes.
func applyPlainly(_ writes: [(UInt64, [UInt8]?, UInt64)], to bytes: inout [UInt8]) {
    for (offset, data, zeros) in writes {
        let data = data ?? .zeros(Int(zeros))
        bytes.replaceSubrange(Int(offset)..<Int(offset) + data.count, with: data)
    }
}

@Suite struct ApplyTests {
    @Test(arguments: 1...6) func combiningChangesNothing(seed: UInt64) throws {
        var generator = SplitMix(seed: seed)
        let size = 4 << 20
        var expected = Array(pattern[..<size])
        let disk = MemoryDisk(expected)
        let writes = randomWrites(&generator, count: 150, diskByteCount: size)
        applyPlainly(writes, to: &expected)
        let log = try makeLog(writes, computesDataChecksums: seed % 2 == 0)
        let result = try applyLogs([try LogReader(log)], to: disk)
        #expect(disk.allBytes == expected, "seed \(seed)")
        #expect(result.writeCount == 150 && !result.stoppedEarly && disk.flushCount == 1)
        // Again: nothing changes.
        try applyLogs([try LogReader(log)], to: disk)
        #expect(disk.allBytes == expected, "seed \(seed)")
    }

    @Test func adjoiningWritesAreOneWrite() throws {
        let disk = MemoryDisk(empty: 1 << 20)
        let writes = (0..<64).map { number -> (UInt64, [UInt8]?, UInt64) in
            (UInt64(number) * 4096, [UInt8](repeating: UInt8(number), count: 4096), 0)
        }
        try applyLogs([try LogReader(try makeLog(writes))], to: disk)
        #expect(disk.writeCount == 1)
    }

    @Test func zerosAreWrittenAsZeros() throws {
        let size: UInt64 = 8 << 30
        let disk = MemoryDisk(empty: size)
        try disk.write([UInt8](repeating: 7, count: 4096), at: 5 << 30)
        let log = try makeLog([(0, nil, size)])
        let reader = try LogReader(log)
        let result = try applyLogs([reader], to: disk)
        #expect(result.byteCount == size && result.writeCount == 4)
        #expect(disk.zeroesCount == 4 && disk.writeCount == 1)
        #expect(try disk.file.isZero(0..<size))
    }

    @Test func writePastTheDiskChangesNothing() throws {
        let disk = MemoryDisk(empty: 1 << 20)
        let good = try makeLog([(0, [UInt8](repeating: 1, count: 512), 0)])
        let bad = try makeLog([
            (0, [UInt8](repeating: 2, count: 512), 0), ((1 << 20) - 512, [UInt8](repeating: 3, count: 1024), 0),
        ])
        let error = try #require(throws: DiskError.self) {
            try applyLogs([try LogReader(good), try LogReader(bad)], to: disk)
        }
        #expect(error.formatError?.code == .hrlDiskRange && error.kind == .format)
        #expect(error.formatError?.field == "ByteOffset of write 2")
        #expect(error.hint?.contains("grow") == true)
        #expect(disk.writeCount == 0 && disk.zeroesCount == 0 && disk.flushCount == 0)
    }

    @Test func damagedDataChangesNothing() throws {
        let disk = MemoryDisk(empty: 1 << 20)
        let log = try makeLog(
            [(0, [UInt8](repeating: 1, count: 512), 0), (512, [UInt8](repeating: 2, count: 512), 0)],
            computesDataChecksums: true)
        try log.write([9], at: 8192 + 600)
        let error = try #require(throws: DiskError.self) { try applyLogs([try LogReader(log)], to: disk) }
        #expect(error.formatError?.code == .hrlDataChecksum)
        #expect(disk.writeCount == 0)
        let reader = try LogReader(log, options: HRLReadOptions(accepting: [.hrlDataChecksum]))
        try applyLogs([reader], to: disk)
        #expect(try disk.bytes(at: 600, count: 1) == [9])
    }

    @Test func limits() throws {
        let writes = (0..<10).map { (UInt64($0) * 8192, [UInt8]?.some([UInt8](repeating: 1, count: 512)), UInt64(0)) }
        let later = writes.map { ($0.0 + 512, $0.1, UInt64(0)) }
        let logs = [try LogReader(try makeLog(writes)), try LogReader(try makeLog(later))]
        let disk = MemoryDisk(empty: 1 << 20)
        let result = try applyLogs(logs, to: disk, limit: WriteLimit(count: 13), .strict)
        #expect(result.writeCount == 13 && result.stoppedEarly && disk.writeCount == 13 && result.usedLogCount == 2)
        #expect(try LogEffect(of: logs, limit: WriteLimit(count: 10)).usedLogCount == 1)
        let untouched = MemoryDisk(empty: 1 << 20)
        let early = try applyLogs(
            logs, to: untouched, limit: WriteLimit(time: DiskTimestamp(rawValue: time.rawValue - 1)))
        #expect(early.writeCount == 0 && early.stoppedEarly && untouched.writeCount == 0 && early.usedLogCount == 0)
        let all = try applyLogs(logs, to: untouched, limit: WriteLimit(time: time))
        #expect(all.writeCount == 20 && !all.stoppedEarly && untouched.writeCount == 10)
    }

    @Test func otherKindsOfLogAreRefused() throws {
        func patched(_ change: (inout LogHeader) -> Void) throws -> MemoryFile {
            let file = try makeLog([(0, [UInt8](repeating: 1, count: 512), 0)])
            var header = try LogHeader(from: file)
            change(&header)
            try file.write(header.sealed(), at: 0)
            return file
        }
        let cases: [(FormatError.Code, MemoryFile)] = [
            (.hrlVersion, try patched { $0.logFormatVersion = LogHeader.version1 }),
            (.hrlErrorCode, try patched { $0.errorCode = -5 }),
            (.hrlFileType, try patched { $0.fileType = 1 }),
        ]
        for (code, file) in cases {
            let disk = MemoryDisk(empty: 1 << 20)
            let error = try #require(throws: DiskError.self) { try applyLogs([try LogReader(file)], to: disk) }
            #expect(error.formatError?.code == code && disk.writeCount == 0)
            try applyLogs([try LogReader(file, options: .init(accepting: [code]))], to: disk)
            #expect(disk.writeCount == 1)
        }
    }

    /// After a cut anywhere the same logs, applied again from the first, give the right disk.
    @Test(arguments: 1...3) func idempotentAfterACut(seed: UInt64) throws {
        var generator = SplitMix(seed: seed)
        let size = 1 << 20
        let initial = Array(pattern[512..<size + 512])
        let writes = randomWrites(&generator, count: 30, diskByteCount: size)
        let first = UUIDs.next(&generator)
        let logs = [
            try LogReader(try makeLog(Array(writes[..<15]), id: first)),
            try LogReader(try makeLog(Array(writes[15...]), after: first)),
        ]
        var expected = initial
        applyPlainly(writes, to: &expected)
        let recorded = RecordingFile(MemoryFile.Contents(initial))
        try applyLogs(logs, to: MemoryDisk(recorded, byteCount: UInt64(size)))
        var wrongFirst = 0
        let cuts = PowerCuts(recorded.recording, imageLimit: 60, seed: seed)
        let tally = try cuts.forEachImage { image in
            let file = MemoryFile(image.contents)
            if file.allBytes != expected { wrongFirst += 1 }
            try applyLogs(logs, to: MemoryDisk(file, byteCount: UInt64(size)))
            #expect(file.allBytes == expected, "seed \(seed): \(image.fates)")
        }
        print("apply, cut and applied again: seed \(seed), \(tally.imageCount) images, \(wrongFirst) of them mixtures")
        #expect(wrongFirst > 0)
    }

    @Test func failedFlushIsAnError() throws {
        let base = MemoryFile()
        base.resize(to: 1 << 20)
        let failing = FailingFile(base, after: 1)
        let log = try makeLog([(0, [UInt8](repeating: 1, count: 512), 0)])
        #expect(throws: DiskError.self) {
            try applyLogs([try LogReader(log)], to: MemoryDisk(failing, byteCount: 1 << 20))
        }
    }
}

enum UUIDs {
    static func next(_ generator: inout SplitMix) -> GUID { .random(using: &generator) }
}

extension ApplyTests {
    /// A disk that fails at any write: the failure comes out, and nothing is written after it.
    @Test(arguments: [0, 1, 7, 20, 63], [ApplyOrder.coalesced, .strict]) func failingDisk(count: Int, order: ApplyOrder)
        throws
    {
        let writes = (0..<64).map { number -> (UInt64, [UInt8]?, UInt64) in
            (UInt64(number) << 17, Array(pattern[..<(1 << 16)]), 0)
        }
        let log = try LogReader(try makeLog(writes))
        let failing = FailingFile(MemoryFile([UInt8].zeros(8 << 20)), after: count)
        let disk = MemoryDisk(failing, byteCount: 8 << 20)
        #expect(throws: DiskError.self) { try applyLogs([log], to: disk, order) }
        #expect(failing.hasFailed && disk.writeCount == count + 1 && disk.flushCount == 0)
    }

    /// A caller who has enough ends it, with what was handed over before written.
    @Test func endedByItsCaller() throws {
        let writes = (0..<64).map { number -> (UInt64, [UInt8]?, UInt64) in
            (UInt64(number) << 17, Array(pattern[..<(1 << 16)]), 0)
        }
        let log = try LogReader(try makeLog(writes))
        let disk = MemoryDisk(empty: 8 << 20)
        let error = try #require(throws: DiskError.self) {
            try applyLogs([log], to: disk) { progress throws(DiskError) in
                if progress.doneByteCount > 3 << 20 { throw DiskError(.refused, path: "", "enough") }
            }
        }
        #expect("\(error)".contains("enough") && disk.writeCount > 0 && disk.writeCount < 64)
        // All that was handed over is on the disk by now, from its beginning.
        var expected = [UInt8].zeros(8 << 20)
        applyPlainly(Array(writes.prefix(disk.writeCount)), to: &expected)
        #expect(disk.allBytes == expected)
    }
}
