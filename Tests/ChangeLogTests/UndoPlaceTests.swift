import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import HRL
import Testing

@testable import ChangeLog

/// What a rerun takes for the undo log that an earlier run saved.
@Suite struct UndoPlaceTests {
    private let disk = MemoryDisk(Array(pattern[..<(1 << 20)]))
    private let first: LogReader
    private let second: LogReader
    private let undo = MemoryFile(path: "undo")

    init() throws {
        let writes: [(UInt64, [UInt8]?, UInt64)] = [(512, .init(repeating: 1, count: 512), 0), (9999, nil, 30_000)]
        first = try LogReader(try makeLog(writes, after: GUID(7), id: GUID(1)))
        second = try LogReader(try makeLog([(1 << 19, [5], 0), (512, [6], 0)], after: GUID(1), id: GUID(2)))
        _ = try UndoLog.save(try both(), of: disk, into: undo, time: time)
    }

    private func both(_ limit: WriteLimit = .init()) throws -> LogEffect {
        try LogEffect(of: [first, second], limit: limit)
    }

    private func place(_ file: any BlockFile, _ effect: LogEffect) throws -> UndoLogPlace {
        try UndoLogPlace(of: file, for: effect, on: disk)
    }

    private func reason(_ file: any BlockFile, _ effect: LogEffect) throws -> String {
        guard case .other(let error) = try place(file, effect) else { return "taken" }
        return error.description
    }

    private func changed(_ change: (inout LogHeader) -> Void) throws -> MemoryFile {
        let file = MemoryFile(undo.contents, path: "undo")
        var header = try LogHeader(from: file)
        change(&header)
        try file.write(header.sealed(), at: 0)
        return file
    }

    @Test func theSameLogs() throws {
        guard case .reusable(let log) = try place(undo, both()) else {
            Issue.record("not taken: \(try reason(undo, both()))")
            return
        }
        #expect(log.uniqueID == GUID(7) && log.previousUniqueID == GUID(2) && log.byteCount == 31_744)
        // Fewer writes of the same logs are covered, too.
        #expect(try reason(undo, both(WriteLimit(count: 3))) == "taken")
    }

    @Test func otherFiles() throws {
        let one = try LogEffect(of: [first])
        #expect(try reason(undo, one).contains("of other logs: they end with \(GUID(2)), these with \(GUID(1))"))
        let last = try LogEffect(of: [second])
        #expect(try reason(undo, last).contains("of other logs: they begin after \(GUID(7)), these after \(GUID(1))"))
        #expect(try reason(first.file, one).contains("is no undo log"))
        #expect(try reason(MemoryFile(path: "x"), one).contains("HRL040"))
        #expect(try reason(MemoryFile([UInt8](repeating: 9, count: 5000), path: "x"), one).contains("HRL001"))
        let none = try both(WriteLimit(count: 0))
        #expect(try reason(undo, none).contains("nothing is to be undone"))
        #expect(try reason(changed { $0.creatorApplication = Array("ct  ".utf8) }, both()).contains("no undo log"))
        #expect(try reason(changed { $0.errorCode = 1 }, both()).contains("HRL008"))
        let small = MemoryDisk(empty: 1 << 18)
        guard case .other(let error) = try UndoLogPlace(of: undo, for: both(), on: small) else {
            Issue.record("taken for a smaller disk")
            return
        }
        #expect(error.formatError?.code == .hrlDiskRange)
    }

    /// Damaged when it was whole, or cut off before its last block.
    @Test func notClosed() throws {
        let open = try changed { $0.eolLocation = 0 }
        #expect(try reason(open, both()).contains("is not closed, and holds all"))
        let cut = MemoryFile(Array(open.allBytes.dropLast(UndoRecord.byteCount + 4096)), path: "undo")
        guard case .unclosed = try place(cut, both()) else {
            Issue.record("\(try reason(cut, both()))")
            return
        }
        #expect(try reason(cut, LogEffect(of: [first])).contains("of other logs"))
    }

    /// A part takes no more memory than the others were counted with.
    @Test func partsAreSmall() { #expect(MemoryLayout<UndoPart>.stride == 32) }

    /// What the sectors hold beside the written bytes was saved, and must stand there still.
    @Test func restOfASector() throws {
        let effect = try LogEffect(of: [
            try LogReader(try makeLog([(1000, [1, 2, 3], 0)], after: GUID(7), id: GUID(1)))
        ])
        let saved = MemoryFile(path: "undo")
        _ = try UndoLog.save(effect, of: disk, into: saved, time: time)
        #expect(try LogReader(saved).validate().byteCount == 512)
        for (offset, problem) in [
            (512, "byte 512"), (999, "byte 999"), (1003, "byte 1003"), (1023, "byte 1023"), (2560, "taken"),
        ] {
            let other = MemoryDisk(disk.allBytes)
            try other.write([0xfe], at: UInt64(offset))
            let place = try UndoLogPlace(of: saved, for: effect, on: other)
            if case .other(let error) = place {
                #expect(error.description.contains("of another time: \(problem) of the disk"), "\(error)")
            } else {
                #expect(problem == "taken", "\(offset)")
            }
        }
    }

    @Test func rotten() throws {
        let file = MemoryFile(undo.contents, path: "undo")
        try file.write([0xaa], at: 8192 + 100)
        #expect(try reason(file, both()).contains("HRL016"))
        let header = MemoryFile(undo.contents, path: "undo")
        try header.write([0xaa], at: 3000)
        #expect(try reason(header, both()).contains("HRL003"))
    }

    /// Made with a limit, then used without one.
    @Test func notCovering() throws {
        for count in 1...3 {
            let short = MemoryFile(path: "undo")
            let limited = try both(WriteLimit(count: UInt64(count)))
            _ = try UndoLog.save(limited, of: disk, into: short, time: time)
            let what = try reason(short, both())
            #expect(what.contains(count < 3 ? "of other logs" : "taken"), "\(count): \(what)")
        }
        let inside = try LogEffect(of: [second], limit: WriteLimit(count: 1))
        let short = MemoryFile(path: "undo")
        _ = try UndoLog.save(inside, of: disk, into: short, time: time)
        let what = try reason(short, LogEffect(of: [second]))
        #expect(
            what.contains("does not cover all sectors that will be written: byte 512 of the disk is missing"), "\(what)"
        )
    }

    /// Against a plain picture of the bytes, whatever room there is.
    @Test(arguments: 1...40) func coverAgainstModel(seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        let size = 20_100
        func ranges(_ count: Int, _ most: Int) -> [(UInt64, [UInt8]?, UInt64)] {
            (0..<count).map { _ in
                let start = Int.random(in: 0..<size, using: &random)
                return (UInt64(start), nil, UInt64(Int.random(in: 1...min(most, size - start), using: &random)))
            }
        }
        let effect = try LogEffect(of: [try LogReader(try makeLog(ranges(12, 80)))])
        // Ascending, adjoining often, with a gap now and then.
        var covered = [Bool](repeating: false, count: size)
        var saved: [(UInt64, [UInt8]?, UInt64)] = []
        var position = 0
        while position < size {
            let count = min(size - position, Int.random(in: 1...2000, using: &random))
            if Int.random(in: 0..<12, using: &random) > 0 {
                saved.append((UInt64(position), nil, UInt64(count)))
                for index in position..<position + count { covered[index] = true }
            }
            position += count
        }
        var missing: Int?
        try effect.forEachPiece { piece in
            let sectors = Int(piece.diskOffset) / 512 * 512..<min(size, (Int(piece.diskEnd) + 511) / 512 * 512)
            for index in sectors where !covered[index] { missing = min(missing ?? .max, index) }
        }
        let undo = try LogReader(try makeLog(saved))
        for capacity in [1, 2, 5, 1000] {
            do throws(DiskError) {
                try UndoCover.check(undo, effect, MemoryDisk(empty: UInt64(size)), capacity: capacity)
                #expect(missing == nil, "seed \(seed)")
            } catch {
                let text = missing.map { "byte \($0) of the disk" } ?? "nothing is missing"
                #expect(error.description.contains(text), "seed \(seed): \(error)")
            }
        }
    }

    /// A disk on which any of the writes were made in any order may be the one; another byte anywhere, and it is not.
    @Test(arguments: 1...30) func diskAgainstModel(seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        let size = 200_000
        let old = MemoryDisk(Array(pattern[..<size]))
        let writes = undoWrites(&random, count: 12, diskByteCount: size)
        let effect = try LogEffect(of: [try LogReader(try makeLog(writes, after: GUID(7), id: GUID(1)))])
        let saved = MemoryFile(path: "undo")
        _ = try UndoLog.save(effect, of: old, into: saved, time: time)
        var bytes = old.allBytes
        for _ in 0..<Int.random(in: 0...20, using: &random) {
            guard let write = writes.randomElement(using: &random) else { continue }
            applyPlainly([write], to: &bytes)
        }
        let undo = try LogReader(saved)
        for capacity in [2, 1000] { try UndoCover.check(undo, effect, MemoryDisk(bytes), capacity: capacity) }
        for _ in 0..<20 {
            let index = Int.random(in: 0..<size, using: &random)
            var changed = bytes
            changed[index] = UInt8.random(in: 0...255, using: &random)
            // What may stand there; all, where nothing is written in the sector.
            var allowed: Set<UInt8> = [old.allBytes[index]]
            var isWritten = false
            for (offset, data, zeros) in writes {
                let (place, count) = (index - Int(offset), data?.count ?? Int(zeros))
                if index / 512 >= Int(offset) / 512, index / 512 <= (Int(offset) + count - 1) / 512 { isWritten = true }
                guard place >= 0, place < count else { continue }
                allowed.insert(data?[place] ?? 0)
            }
            do throws(DiskError) {
                try UndoCover.check(undo, effect, MemoryDisk(changed))
                #expect(!isWritten || allowed.contains(changed[index]), "seed \(seed), byte \(index)")
            } catch {
                #expect(isWritten && !allowed.contains(changed[index]), "seed \(seed), byte \(index)")
                #expect(error.description.contains("of another time: byte \(index) of the disk"), "\(error)")
            }
        }
    }

    /// Zeros that are huge are not read.
    @Test func hugeZeros() throws {
        let size: UInt64 = 1 << 40
        let empty = MemoryDisk(empty: size)
        let effect = try LogEffect(of: [try LogReader(try makeLog([(0, nil, size)]))])
        let saved = MemoryFile(path: "undo")
        _ = try UndoLog.save(effect, of: empty, into: saved, time: time)
        try UndoCover.check(try LogReader(saved), effect, empty)
        try empty.write([1], at: 1 << 39)
        let error = try #require(throws: DiskError.self) {
            try UndoCover.check(try LogReader(saved), effect, empty)
        }
        #expect(error.description.contains("byte \(1 << 39) of the disk is neither"))
    }

    @Test func writesThatGoBack() throws {
        let effect = try LogEffect(of: [first])
        let undo = try LogReader(try makeLog([(9999, nil, 30_000), (512, nil, 512)]))
        let error = try #require(throws: DiskError.self) { try UndoCover.check(undo, effect, disk) }
        #expect(error.description.contains("not in the order of the disk"))
    }

    @Test func failingReadIsThrown() throws {
        let failing = FailingFile(undo, after: 3, failsReads: true)
        let error = try #require(throws: DiskError.self) { _ = try place(failing, both()) }
        #expect(error.kind == .io)
    }
}
