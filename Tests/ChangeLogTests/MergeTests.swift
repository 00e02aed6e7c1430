import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import HRL
import Testing

@testable import ChangeLog

/// One log in place of several.
@Suite struct MergeTests {
    typealias Write = (offset: UInt64, bytes: [UInt8]?, zeros: UInt64)

    private func merged(
        _ logs: [LogReader], capacity: Int = LatestPieces.usualCapacity, checksums: Bool = false
    ) throws -> (LogReader, MergeResult) {
        let effect = try LogEffect(of: logs, WriteLimit(), nil, capacity: capacity)
        let identity = try MergedIdentity(of: effect)
        var options = identity.writerOptions
        options.computesDataChecksums = checksums
        let file = MemoryFile(path: "merged.hrl")
        let writer = try LogWriter.create(on: file, options)
        let result = try effect.merge(into: writer, time: identity.writeTime)
        try writer.close(at: identity.lastModified)
        return (try LogReader(file), result)
    }

    private func bytes(_ log: LogReader) throws -> [UInt8] {
        try log.file.bytes(at: 0, count: Int(log.file.byteCount()))
    }

    /// Logs that follow each other, of random writes at times that go on; some of the data are zeros.
    private func chain(_ generator: inout SplitMix, logs: Int, writes: Int, _ size: Int) throws -> (
        [LogReader], [Write]
    ) {
        var (readers, all): ([LogReader], [Write]) = ([], [])
        var (previous, clock) = (GUID(9, 9, 9, 9), time.rawValue)
        for number in 0..<logs {
            var own = randomWrites(&generator, count: writes, diskByteCount: size)
            for index in own.indices where Int.random(in: 0..<4, using: &generator) == 0 {
                let count = own[index].1?.count ?? 0
                own[index].1?.replaceSubrange(count / 3..<count / 3 * 2, with: [UInt8].zeros(count / 3 * 2 - count / 3))
            }
            var options = LogWriter.Options()
            (options.uniqueID, options.previousUniqueID) = (GUID(UInt32(number) + 1, 0, 0, 0), previous)
            options.dataWriteGUID = GUID(0, 0, 0, UInt64(number))
            options.created = DiskTimestamp(rawValue: clock)
            options.computesDataChecksums = number % 2 == 0
            let file = MemoryFile(path: "\(number).hrl")
            let writer = try LogWriter.create(on: file, options)
            for write in own {
                clock += UInt32.random(in: 0..<2, using: &generator)
                let now = DiskTimestamp(rawValue: clock)
                if let bytes = write.1 {
                    try writer.append(bytes, at: write.0, time: now)
                } else {
                    try writer.appendZeroes(write.0..<write.0 + write.2, time: now)
                }
            }
            try writer.close(at: DiskTimestamp(rawValue: clock))
            previous = options.uniqueID
            readers.append(try LogReader(file))
            all += own
        }
        return (readers, all)
    }

    /// Whether there is room for all pieces or for few: the effect is that of the sequence, and the log the same.
    @Test(arguments: 1...30) func mergedIsTheSequence(seed: UInt64) throws {
        var generator = SplitMix(seed: seed)
        // Some windows, the last one not whole.
        let size = (1 << 20) + 512 * Int.random(in: 1..<16, using: &generator)
        let (logs, writes) = try chain(&generator, logs: 3, writes: 50, size)
        var expected = Array(pattern[512..<size + 512])
        let initial = expected
        applyPlainly(writes, to: &expected)
        var covered = Set<Int>()
        for write in writes {
            let count = write.bytes?.count ?? Int(write.zeros)
            covered.formUnion(Int(write.offset) / 512..<(Int(write.offset) + count) / 512)
        }
        let (whole, _) = try merged(logs)
        for capacity in [8, 9, 20, 60, 181, LatestPieces.usualCapacity] {
            let (log, result) = try merged(logs, capacity: capacity)
            #expect(try bytes(log) == bytes(whole), "seed \(seed), capacity \(capacity)")
            let disk = MemoryDisk(initial)
            let effect = try applyLogs([log], to: disk, .strict)
            #expect(disk.allBytes == expected, "seed \(seed), capacity \(capacity)")
            #expect(effect.byteCount == result.byteCount && result.byteCount == UInt64(covered.count * 512))
        }
        var end: UInt64 = 0
        try whole.forEachWrite(verifyingData: true) { write in
            #expect(write.diskOffset >= end, "seed \(seed)")
            end = write.diskRange.upperBound
        }
        #expect(try whole.validate().findings.allSatisfy { $0.finding.severity == .information }, "seed \(seed)")
    }

    /// In parts, and once more: always the same log, to the byte.
    @Test(arguments: 1...20) func mergesOfMerges(seed: UInt64) throws {
        var generator = SplitMix(seed: seed)
        let size = (2 << 20) - 4096 + 512 * Int.random(in: 0..<8, using: &generator)
        let (logs, _) = try chain(&generator, logs: 4, writes: 30, size)
        for checksums in [false, true] {
            let whole = try bytes(merged(logs, checksums: checksums).0)
            let head = try merged(Array(logs[..<2])).0
            let tail = try merged(Array(logs[2...])).0
            for parts in [[head, tail], [head] + logs[2...], Array(logs[..<2]) + [tail]] {
                #expect(try bytes(merged(parts, checksums: checksums).0) == whole, "seed \(seed)")
            }
            let again = try merged([LogReader(MemoryFile(whole))], capacity: 8, checksums: checksums).0
            #expect(try bytes(again) == whole, "seed \(seed)")
        }
    }

    /// The merged log stands in the others' place.
    @Test func idsAndTimes() throws {
        var generator = SplitMix(seed: 5)
        let (logs, _) = try chain(&generator, logs: 5, writes: 20, 1 << 20)
        let header = try merged(Array(logs[1...3])).0.header
        #expect(header.uniqueID == logs[3].header.uniqueID && header.previousUniqueID == logs[0].header.uniqueID)
        #expect(header.vhd2DataWriteGUID == logs[3].header.vhd2DataWriteGUID)
        #expect(header.created == logs[1].header.created && header.lastModified == logs[3].header.lastModified)
        let newest = try #require(try logs[3].validate().lastTime)
        let inOne = try merged(Array(logs[1...3])).0
        try inOne.forEachWrite(verifyingData: false) { #expect($0.timestamp == newest) }
        let order = try LogChainOrder([logs[4], inOne, logs[0]].map { LogLink($0) })
        #expect(order.indices == [2, 1, 0])
    }

    /// Before the newest write nothing is applied, and from it on everything.
    @Test func untilIsAllOrNothing() throws {
        var generator = SplitMix(seed: 6)
        let (logs, writes) = try chain(&generator, logs: 2, writes: 40, 1 << 20)
        let log = try merged(logs).0
        let newest = try #require(try logs[1].validate().lastTime)
        let disk = MemoryDisk(empty: 1 << 20)
        let before = WriteLimit(time: DiskTimestamp(rawValue: newest.rawValue - 1))
        try applyLogs([log], to: disk, limit: before)
        #expect(disk.writeCount == 0 && disk.zeroesCount == 0)
        try applyLogs([log], to: disk, limit: WriteLimit(time: newest))
        var expected = [UInt8].zeros(1 << 20)
        applyPlainly(writes, to: &expected)
        #expect(disk.allBytes == expected)
    }

    /// Clocks that jump break no rule about times in the merged log.
    @Test(arguments: [[5, 90, 40], [0, 1, 2], [90, 5, 5]] as [[UInt32]]) func jumpingClocks(seconds: [UInt32]) throws {
        let file = MemoryFile(path: "jump.hrl")
        let writer = try LogWriter.create(on: file, created: DiskTimestamp(rawValue: time.rawValue + 50))
        for (index, second) in seconds.enumerated() {
            try writer.append(
                [UInt8](repeating: 7, count: 512), at: UInt64(index) * 4096,
                time: DiskTimestamp(rawValue: time.rawValue + second))
        }
        try writer.close(at: DiskTimestamp(rawValue: time.rawValue + 51))
        let log = try LogReader(file)
        #expect(try log.validate().findings.contains { $0.finding.detail.code == .hrlEntryTime })
        let summary = try merged([log]).0.validate()
        #expect(summary.findings.isEmpty && summary.writeCount == 3)
        #expect(summary.lastTime?.rawValue == time.rawValue + (seconds.max() ?? 0))
    }

    @Test func nothingIsLeft() throws {
        let logs = try [1, 2].map { id in
            try LogReader(makeLog([], after: GUID(UInt32(id) - 1, 0, 0, 0), id: GUID(UInt32(id), 0, 0, 0)))
        }
        let (log, result) = try merged(logs)
        #expect(result == MergeResult() && log.header.isClosed && log.header.created == time)
        let summary = try log.validate()
        #expect(summary.writeCount == 0 && summary.findings.isEmpty)
        #expect(try bytes(merged([log]).0) == bytes(log))
    }

    /// Zeros are a hole, in whole units, whether they were written as a hole or not.
    @Test func zerosBecomeHoles() throws {
        let size = 3 << 20
        var data = [UInt8](repeating: 0xaa, count: size)
        data.replaceSubrange(4096 - 512..<(1 << 20) + 512, with: [UInt8].zeros((1 << 20) + 1024 - 4096))
        let (log, result) = try merged([try LogReader(makeLog([(0, data, 0), (2 << 20, nil, 1 << 20)]))])
        var seen: [Range<UInt64>] = []
        try log.forEachWrite(verifyingData: false) { seen.append($0.diskRange) }
        let mebibyte: UInt64 = 1 << 20
        // The zeros begin and end inside units, which stay data.
        let expected: [Range<UInt64>] = [
            0..<4096, 4096..<mebibyte, mebibyte..<2 * mebibyte, 2 * mebibyte..<3 * mebibyte,
        ]
        #expect(seen == expected)
        #expect(result.byteCount == 3 * mebibyte)
        #expect(result.zeroByteCount == 2 * mebibyte - 4096)
        // What is not a block of the file is beside the point; the megabyte is.
        var stored: UInt64 = 0
        var position: UInt64 = 0
        while let range = try log.file.data(from: position) {
            stored += range.upperBound - range.lowerBound
            position = range.upperBound
        }
        #expect(stored < (1 << 20) + (1 << 17), "\(stored)")
    }

    @Test func refusals() throws {
        let ids = (1...2).map { GUID(UInt32($0), 0, 0, 0) }
        let first = try LogReader(makeLog([(0, [1], 0)], id: ids[0]))
        let second = try LogReader(makeLog([(0, [2], 0)], after: ids[0], id: ids[1]))
        #expect(try merged([first, second]).0.header.uniqueID == ids[1])
        let backwards = try #require(throws: DiskError.self) { _ = try merged([second, first]) }
        #expect(backwards.kind == .refused && "\(backwards)".contains("PreviousUniqueId of the first"))
        #expect(throws: DiskError.self) { _ = try merged([]) }
        let damaged = try makeLog([(0, pattern, 0)], computesDataChecksums: true)
        try damaged.write([UInt8(0xff)], at: 9000)
        let error = try #require(throws: DiskError.self) { _ = try merged([LogReader(damaged)]) }
        #expect(error.formatError?.code == .hrlDataChecksum)
    }

    /// Errors of the log's file end the merging.
    @Test func failingFiles() throws {
        let log = try LogReader(makeLog([(0, pattern, 0)]))
        for count in [0, 3, 6] {
            let effect = try LogEffect(of: [log])
            let file = FailingFile(MemoryFile(), after: count)
            #expect(throws: DiskError.self, "\(count)") {
                let writer = try LogWriter.create(on: file, created: time)
                for _ in 0..<3 { _ = try effect.merge(into: writer, time: time) }
                try writer.close(at: time)
            }
        }
    }
}
