import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import HRL
import ImageChain
import Testing

@testable import ChangeLog

/// Applying logs and then their undo log changes nothing.
@Suite struct UndoLogTests {
    /// Some logs in a chain, with their writes.
    private struct Generation {
        var logs: [LogReader] = []
        var writes: [(UInt64, [UInt8]?, UInt64)] = []
    }

    private func generation(
        after previous: GUID, _ random: inout SplitMix, diskByteCount: Int
    ) throws -> Generation {
        var result = Generation()
        var previous = previous
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let count = Int.random(in: 0...12, using: &random)
            let writes = undoWrites(&random, count: count, diskByteCount: diskByteCount)
            let id = UUIDs.next(&random)
            result.logs.append(try LogReader(try makeLog(writes, after: previous, id: id)))
            result.writes += writes
            previous = id
        }
        return result
    }

    /// Where chains end that never took a write away: what is left out is known.
    private func limit(_ generation: Generation, _ random: inout SplitMix) -> WriteLimit {
        guard Bool.random(using: &random) else { return WriteLimit() }
        return WriteLimit(count: UInt64.random(in: 0...UInt64(generation.writes.count), using: &random))
    }

    /// Several generations; back one by one, and all at once in the order of their ids.
    @Test(arguments: UndoDisk.Kind.allCases, 1...3) func thereAndBack(kind: UndoDisk.Kind, seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        let size: UInt64 = kind.isVHD || kind == .raw ? 300 << 10 : 3 << 20
        var disk = try UndoDisk(kind, byteCount: size, &random)
        var states = [try disk.bytes()]
        var undos: [MemoryFile] = []
        var position = UUIDs.next(&random)
        for _ in 0..<4 {
            let generation = try generation(after: position, &random, diskByteCount: Int(size))
            let effect = try LogEffect(
                of: generation.logs, limit(generation, &random), size,
                capacity: Bool.random(using: &random) ? 8 : LatestPieces.usualCapacity)
            guard UndoLog.Identity(of: effect) != nil else { continue }
            let file = MemoryFile(path: "undo")
            let saved = try UndoLog.save(effect, of: disk.open(), into: file, time: time)
            #expect(saved.uniqueID == position, "seed \(seed)")
            position = saved.previousUniqueID
            #expect(position == effect.logs[effect.usedLogCount - 1].header.uniqueID)
            var expected = states[states.count - 1]
            applyPlainly(Array(generation.writes.prefix(Int(effect.writeCount))), to: &expected)
            try apply(effect, to: &disk, Bool.random(using: &random) ? .strict : .coalesced)
            #expect(try disk.bytes() == expected, "seed \(seed)")
            try check(file, saved, effect)
            states.append(expected)
            undos.append(file)
        }
        try #require(undos.count > 1)
        let newest = disk
        for (undo, state) in zip(undos, states).reversed() {
            try apply(try LogEffect(of: [try LogReader(undo)], virtualByteCount: size), to: &disk)
            #expect(try disk.bytes() == state, "seed \(seed)")
        }
        disk = newest
        let readers = try undos.shuffled(using: &random).map { try LogReader($0) }
        let order = try LogChainOrder(readers.map { LogLink($0) })
        let ids = try undos.map { try LogReader($0).header.uniqueID }
        #expect(order.indices.map { readers[$0].header.uniqueID } == ids.reversed())
        try apply(try LogEffect(of: order.indices.map { readers[$0] }, virtualByteCount: size), to: &disk)
        #expect(try disk.bytes() == states[0], "seed \(seed)")
    }

    private func apply(_ effect: LogEffect, to disk: inout UndoDisk, _ order: ApplyOrder = .coalesced) throws {
        let file = MemoryFile(disk.leaf, path: "disk")
        let chain = try disk.open(writing: file)
        _ = try effect.apply(to: chain, order)
        try chain.close()
        disk.leaf = file.contents
    }

    /// An undo log is a log like any other.
    private func check(_ file: MemoryFile, _ saved: UndoLog, _ effect: LogEffect) throws {
        let check = try checkLog(file)
        #expect(check.worst ?? .information == .information, "\(check.findings)")
        let header = try #require(check.header)
        #expect(header.isClosed && header.creatorApplication == Array("vtu ".utf8))
        #expect(header.created == time && header.lastModified == time)
        #expect((header.uniqueID, header.previousUniqueID) == (saved.uniqueID, saved.previousUniqueID))
        var sectors: Set<UInt64> = []
        try effect.forEachPiece { sectors.formUnion($0.diskOffset / 512...($0.diskEnd - 1) / 512) }
        let byteCount = UInt64(sectors.count) * 512
        #expect(saved.byteCount == byteCount && check.summary?.byteCount == byteCount)
    }

    /// Of writes at odd places and of odd lengths: without its end the undo log still brings back what its blocks hold.
    @Test func endLost() throws {
        let size = 2 << 20
        let old = Array(pattern[..<size])
        let writes = (0..<400).map { number -> (UInt64, [UInt8]?, UInt64) in
            (UInt64(number * 4500 + number % 700), [UInt8](repeating: 0xab, count: 1 + number % 1300), 0)
        }
        var new = old
        applyPlainly(writes, to: &new)
        let effect = try LogEffect(of: [try LogReader(try makeLog(writes))])
        let file = MemoryFile(path: "undo")
        _ = try UndoLog.save(effect, of: MemoryDisk(old), into: file, time: time)
        var header = try LogHeader(from: file)
        header.eolLocation = 0
        try file.write(header.sealed(), at: 0)
        for lostByteCount in [0, 1, 4096, 4097, 20_000, 200_000] {
            let cut = MemoryFile(Array(file.allBytes.dropLast(lostByteCount)), path: "undo")
            let found = try recover(unclosed: cut)
            let candidate = try found.candidate()
            let copy = MemoryFile(path: "copy")
            try found.writeClosedCopy(of: candidate, to: copy, time: time)
            let disk = MemoryDisk(new)
            try applyLogs([try LogReader(copy)], to: disk)
            // It goes along the disk: all up to its last write is back, and behind that nothing.
            let end = Int(try LogReader(copy).validate().maximumEnd)
            let (shown, expected) = (disk.allBytes, Array(old[..<end] + new[end...]))
            let isExpected = shown == expected
            #expect(isExpected, "\(lostByteCount) bytes lost")
            let isOld = shown == old
            #expect(isOld == (lostByteCount <= UndoRecord.byteCount) && end > 500_000, "\(end)")
        }
    }

    @Test func zerosTakeNoRoom() throws {
        let disk = MemoryDisk(empty: 4 << 30)
        try disk.write([UInt8](repeating: 7, count: 4096), at: 3 << 30)
        // Zeros that are stored: they are saved as zeros all the same.
        try disk.write([UInt8](repeating: 0, count: 1 << 20), at: 1 << 30)
        let log = try LogReader(try makeLog([(0, nil, 4 << 30)]))
        let effect = try LogEffect(of: [log])
        let file = MemoryFile()
        let saved = try UndoLog.save(effect, of: disk, into: file, time: time)
        #expect(saved.byteCount == 4 << 30)
        var data: UInt64 = 0
        var position: UInt64 = 0
        while let run = file.data(from: position) {
            data += run.upperBound - run.lowerBound
            position = run.upperBound
        }
        #expect(data < 256 << 10)
        _ = try effect.apply(to: disk)
        #expect(try disk.file.isZero(0..<4 << 30))
        try applyLogs([try LogReader(file)], to: disk)
        #expect(try disk.bytes(at: 3 << 30, count: 4096) == [UInt8](repeating: 7, count: 4096))
    }

    /// P is zero, or P is U: the id is a new one, and never that of the log before.
    @Test func idsWhereTheFirstLogHasNone() throws {
        let disk = MemoryDisk(empty: 1 << 20)
        let (one, two) = (GUID(1), GUID(2))
        for logs in [
            [try makeLog([(0, [1], 0)], id: one)],
            [try makeLog([(0, [1], 0)], after: two, id: one), try makeLog([(0, [2], 0)], after: one, id: two)],
        ] {
            let effect = try LogEffect(of: try logs.map { try LogReader($0) })
            let ids = try (0..<2).map { _ in
                try UndoLog.save(effect, of: disk, into: MemoryFile(), time: time).uniqueID
            }
            #expect(ids[0] != ids[1] && !ids.contains(.zero) && !ids.contains(one) && !ids.contains(two))
        }
    }

    @Test func nothingCounts() throws {
        let log = try LogReader(try makeLog([(0, [1], 0)]))
        let effect = try LogEffect(of: [log], limit: WriteLimit(count: 0))
        let file = MemoryFile()
        #expect(UndoLog.Identity(of: effect) == nil)
        let error = try #require(throws: DiskError.self) {
            _ = try UndoLog.save(effect, of: MemoryDisk(empty: 1 << 20), into: file, time: time)
        }
        #expect(error.kind == .refused && file.byteCount() == 0)
    }

    /// Whatever call fails, the log is not closed and the disk was not touched.
    @Test func failingFile() throws {
        var random = SplitMix(seed: 1)
        let disk = MemoryDisk(Array(pattern[..<(1 << 20)]))
        let writes = undoWrites(&random, count: 300, diskByteCount: 1 << 20)
        let effect = try LogEffect(of: [try LogReader(try makeLog(writes))])
        var calls = 0
        var closedAt: [Int] = []
        while true {
            let file = MemoryFile(path: "undo")
            let failing = FailingFile(file, after: calls)
            do {
                _ = try UndoLog.save(effect, of: disk, into: failing, time: time)
                break
            } catch { #expect(error.kind == .io) }
            if file.byteCount() >= 4096 {
                // The very last flush may fail behind a closed header; the name is given after it alone.
                if try LogHeader(from: file).isClosed { closedAt.append(calls) }
            }
            calls += 1
            try #require(calls < 10_000)
        }
        #expect(calls > 4 && disk.writeCount == 0)
        // The write that closes it may fail with its bytes in the file.
        #expect(closedAt.allSatisfy { $0 >= calls - 2 }, "closed before the call \(calls - 2): \(closedAt)")
    }
}
