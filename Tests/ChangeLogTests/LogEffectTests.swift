import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import HRL
import Testing

@testable import ChangeLog

/// What a run of logs leaves on a disk, against the same writes done one after the other.
@Suite struct LogEffectTests {
    private func effect(_ logs: [LogReader], _ limit: WriteLimit = .init(), capacity: Int) throws -> LogEffect {
        try LogEffect(of: logs, limit, nil, capacity: capacity)
    }

    private func chain(_ generator: inout SplitMix, logs: Int, writes: Int, _ size: Int) throws -> (
        [LogReader], [(UInt64, [UInt8]?, UInt64)]
    ) {
        var readers: [LogReader] = []
        var all: [(UInt64, [UInt8]?, UInt64)] = []
        for _ in 0..<logs {
            let own = randomWrites(&generator, count: writes, diskByteCount: size)
            readers.append(try LogReader(try makeLog(own)))
            all += own
        }
        return (readers, all)
    }

    /// Whether there is room for all pieces or for few, which takes many passes.
    @Test(arguments: 1...30) func coalescedIsStrictIsPlain(seed: UInt64) throws {
        var generator = SplitMix(seed: seed)
        let size = 1 << 20
        let (logs, writes) = try chain(&generator, logs: 3, writes: 60, size)
        let initial = Array(pattern[512..<size + 512])
        var expected = initial
        applyPlainly(writes, to: &expected)
        let strict = MemoryDisk(initial)
        try applyLogs(logs, to: strict, .strict)
        #expect(strict.allBytes == expected, "seed \(seed)")
        for capacity in [8, 9, 20, 60, 181, LatestPieces.usualCapacity] {
            let effect = try effect(logs, capacity: capacity)
            let disk = MemoryDisk(initial)
            let result = try effect.apply(to: disk)
            #expect(disk.allBytes == expected, "seed \(seed), capacity \(capacity)")
            var end: UInt64 = 0
            var byteCount: UInt64 = 0
            try effect.forEachPiece { piece in
                #expect(piece.diskOffset >= end && piece.byteCount > 0, "seed \(seed), capacity \(capacity)")
                end = piece.diskEnd
                byteCount += piece.byteCount
            }
            #expect(byteCount == result.writtenByteCount && byteCount <= effect.byteCount)
            #expect(effect.isWhole || capacity < LatestPieces.usualCapacity)
            if capacity == 8 { #expect(!effect.isWhole) }
            #expect(!effect.isWhole || effect.firstByteCount == byteCount)
        }
    }

    /// Small writes all over a disk of which hardly any is overwritten are copied along the logs, and otherwise along the
    /// disk: the same pieces in both orders.
    @Test(arguments: [true, false]) func piecesAreCopiedInTheOrderOfFewerReads(isMostlyFinal: Bool) throws {
        var generator = SplitMix(seed: 4)
        let size = 4 << 20
        let places = isMostlyFinal ? (0..<1024).map { $0 }.shuffled(using: &generator) : (0..<1024).map { $0 % 8 }
        let writes = places.prefix(300).map { place -> (UInt64, [UInt8]?, UInt64) in
            (UInt64(place) * 4096, Array(pattern[place..<place + 4096]), 0)
        }
        let logs = try [writes[..<200], writes[200...]].map { try LogReader(try makeLog(Array($0))) }
        let effect = try effect(logs, capacity: LatestPieces.usualCapacity)
        var (alongDisk, copied): ([LogPiece], [LogPiece]) = ([], [])
        try effect.forEachPiece { alongDisk.append($0) }
        try effect.forEachPieceToCopy { copied.append($0) }
        if isMostlyFinal {
            #expect(copied != alongDisk && copied.count > 250)
            #expect(zip(copied, copied.dropFirst()).allSatisfy { $1.isNewer(than: $0) })
            #expect(copied.sorted { $0.diskOffset < $1.diskOffset } == alongDisk)
        } else {
            #expect(copied == alongDisk)
        }
        var expected = [UInt8].zeros(size)
        applyPlainly(Array(writes), to: &expected)
        let disk = MemoryDisk(empty: UInt64(size))
        _ = try effect.apply(to: disk)
        #expect(disk.allBytes == expected)
    }

    /// Orders by numbers are those of comparing, whatever bits the numbers differ in, and equal ones stay as they were.
    @Test(arguments: [0, 1, 7, 46, 63]) func ordersByKey(bits: UInt64) {
        var generator = SplitMix(seed: bits + 1)
        let keys = (0..<3000).map { _ in UInt64.random(in: 0...UInt64.max >> (63 - bits), using: &generator) & ~0x6 }
        var order = KeyOrder(count: keys.count)
        order.sort { keys[$0] }
        let expected = keys.indices.sorted { (keys[$0], $0) < (keys[$1], $1) }
        #expect(order.indices.map { Int($0) } == expected)
        var empty = KeyOrder(count: 0)
        empty.sort { keys[$0] }
        #expect(empty.indices.isEmpty)
    }

    /// A limit counts in every pass, also where that needs several.
    @Test(arguments: 1...10) func limitsInEveryPass(seed: UInt64) throws {
        var generator = SplitMix(seed: seed)
        let size = 1 << 20
        let (logs, writes) = try chain(&generator, logs: 3, writes: 20, size)
        // Writes of zeros over 2 GiB would be several; these are not.
        for count in [0, 1, 19, 20, 21, 45, 60] {
            var expected = [UInt8].zeros(size)
            applyPlainly(Array(writes.prefix(count)), to: &expected)
            let disk = MemoryDisk(empty: UInt64(size))
            let effect = try effect(logs, WriteLimit(count: UInt64(count)), capacity: 8)
            _ = try effect.apply(to: disk)
            #expect(disk.allBytes == expected, "seed \(seed), \(count) writes")
            #expect(effect.writeCount == UInt64(count) && effect.stoppedEarly == (count < 60))
            #expect(effect.usedLogCount == (count == 60 ? 3 : (count + 19) / 20))
        }
    }

    /// Ranges adjoin nothing, and are what the writes cover.
    @Test(arguments: 1...10) func ranges(seed: UInt64) throws {
        var generator = SplitMix(seed: seed)
        let size = 1 << 20
        let (logs, writes) = try chain(&generator, logs: 2, writes: 40, size)
        var covered = [Bool](repeating: false, count: size)
        for (offset, bytes, zeros) in writes {
            let end = Int(offset) + (bytes?.count ?? Int(zeros))
            for index in Int(offset) / 512 * 512..<(end + 511) / 512 * 512 { covered[index] = true }
        }
        for capacity in [8, 30, LatestPieces.usualCapacity] {
            var found = [Bool](repeating: false, count: size)
            var end = -1
            try effect(logs, capacity: capacity).forEachUndoRange(diskByteCount: UInt64(size)) { range in
                #expect(Int(range.lowerBound) > end, "seed \(seed), capacity \(capacity)")
                end = Int(range.upperBound)
                for index in Int(range.lowerBound)..<end { found[index] = true }
            }
            #expect(found == covered, "seed \(seed), capacity \(capacity)")
        }
    }

    /// The same place a million times takes one pass, and leaves one write.
    @Test func overwrittenBytesAreDropped() throws {
        var writes: [(UInt64, [UInt8]?, UInt64)] = []
        for number in 0..<20_000 {
            writes.append((UInt64(number % 3) * 512, [UInt8](repeating: UInt8(number % 251), count: 512), 0))
        }
        let effect = try effect([try LogReader(try makeLog(writes))], capacity: 9)
        let disk = MemoryDisk(empty: 1 << 20)
        let result = try effect.apply(to: disk)
        #expect(effect.isWhole && result.writtenByteCount == 1536 && disk.writeCount == 1)
        #expect(try disk.bytes(at: 512, count: 1) == [UInt8(19_999 % 251)])
    }
}
