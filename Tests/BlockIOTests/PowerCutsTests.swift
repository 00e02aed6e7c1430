import BlockIO
import ByteCodec
import FaultInjection
import Glibc
import Testing

/// The tool that the crash tests trust.
@Suite struct PowerCutsTests {
    private func recording(_ initial: [UInt8], _ body: (RecordingFile) throws -> Void) rethrows
        -> RecordingFile.Recording
    {
        let file = RecordingFile(MemoryFile.Contents(initial))
        try body(file)
        return file.recording
    }

    private func images(_ recording: RecordingFile.Recording, limit: Int = 256) -> (
        all: [[UInt8]], tally: PowerCuts.Tally
    ) {
        var all: [[UInt8]] = []
        let tally = PowerCuts(recording, imageLimit: limit).forEachImage { all.append($0.contents.allBytes) }
        return (all, tally)
    }

    private func sectors(_ values: UInt8...) -> [UInt8] { values.flatMap { [UInt8](repeating: $0, count: 512) } }

    @Test func nothingDone() {
        let (all, tally) = images(recording(sectors(1)) { _ in })
        #expect(all == [sectors(1)])
        #expect(tally.imageCount == 1 && tally.momentCount == 1 && tally.exhaustiveMomentCount == 1)
    }

    /// One sector: kept or lost before the sync; kept after it.
    @Test func oneSector() throws {
        let (all, tally) = images(
            try recording(sectors(0)) {
                try $0.write(sectors(1), at: 0)
                $0.sync()
            })
        #expect(all.count == 3 && tally.momentCount == 2)
        #expect(Set(all[..<2]) == [sectors(0), sectors(1)])
        #expect(all[2] == sectors(1))
    }

    /// Two sectors in one write: kept, lost, or either one of them.
    @Test func tornWrite() throws {
        let (all, _) = images(try recording(sectors(0, 0)) { try $0.write(sectors(1, 2), at: 0) })
        #expect(Set(all) == [sectors(0, 0), sectors(1, 2), sectors(1, 0), sectors(0, 2)])
        #expect(all.count == 4)
    }

    /// A write across a sector's edge tears at the edge of the medium's sector, not at its own 512th byte.
    @Test func tornAtTheMediumsSectors() throws {
        let (all, _) = images(try recording(sectors(0, 0)) { try $0.write(sectors(1), at: 100) })
        let first = [UInt8].zeros(100) + [UInt8](repeating: 1, count: 412) + sectors(0)
        let second = sectors(0) + [UInt8](repeating: 1, count: 100) + [UInt8].zeros(412)
        #expect(Set(all).count == 4)
        #expect(all.contains(first) && all.contains(second))
    }

    /// Independent operations: the later may be kept and the earlier lost.
    @Test func reordered() throws {
        let (all, tally) = images(
            try recording(sectors(0, 0)) {
                try $0.write(sectors(1), at: 0)
                try $0.write(sectors(2), at: 512)
            })
        #expect(Set(all) == [sectors(0, 0), sectors(1, 0), sectors(0, 2), sectors(1, 2)])
        #expect(tally.exhaustiveMomentCount == 1)
    }

    @Test func resizeAndZero() throws {
        let (all, _) = images(
            recording(sectors(1)) {
                $0.resize(to: 1024)
                $0.zero(0..<512)
            })
        #expect(Set(all) == [sectors(1), sectors(1, 0), sectors(0), sectors(0, 0)])
    }

    @Test func syncedOperationsStay() throws {
        let recording = try recording(sectors(0, 0, 0)) {
            try $0.write(sectors(1), at: 0)
            $0.sync()
            $0.mark(7)
            try $0.write(sectors(2), at: 512)
            $0.sync()
            try $0.write(sectors(3), at: 1024)
        }
        var count = 0
        let tally = PowerCuts(recording).forEachImage { image in
            count += 1
            let bytes = image.contents.allBytes
            if image.marks == [7] { #expect(bytes[0] == 1, "\(image.fates)") }
            if bytes[512] == 2 { #expect(image.marks == [7]) }
            if bytes[1024] == 3 { #expect(bytes[0] == 1 && bytes[512] == 2) }
        }
        #expect(count == 6 && tally.imageCount == 6 && tally.momentCount == 3)
    }

    /// Over the limit it samples; the extremes are always there, and as many images as allowed.
    @Test func samples() throws {
        let recording = try recording([UInt8].zeros(100 * 512)) { file in
            for index in 0..<100 { try file.write(sectors(1), at: UInt64(index * 512)) }
        }
        let (all, tally) = images(recording, limit: 50)
        #expect(all.count == 50 && tally.exhaustiveMomentCount == 0)
        #expect(all.contains([UInt8].zeros(100 * 512)))
        #expect(all.contains([UInt8](repeating: 1, count: 100 * 512)))
        #expect(Set(all).count > 40)
        let (again, _) = images(recording, limit: 50)
        #expect(all == again)
    }

    /// A tiny writer: the record, then the flag that says it is there.
    private func write(_ file: any BlockFile, withSync: Bool) throws {
        try file.write([UInt8](repeating: 9, count: 1024), at: 512)
        if withSync { try file.sync() }
        try file.write([1], at: 0)
        try file.sync()
    }

    private func violations(_ recording: RecordingFile.Recording) -> Int {
        var count = 0
        PowerCuts(recording).forEachImage { image in
            let bytes = image.contents.allBytes
            if bytes[0] == 1, bytes[512...].contains(where: { $0 != 9 }) { count += 1 }
        }
        return count
    }

    @Test func rightOrderHolds() throws {
        #expect(violations(try recording([UInt8].zeros(1536)) { try write($0, withSync: true) }) == 0)
    }

    /// The broken controls: a sync left out by the writer, and a medium that ignores it.
    @Test func missingSyncIsCaught() throws {
        #expect(violations(try recording([UInt8].zeros(1536)) { try write($0, withSync: false) }) > 0)
        let deaf = RecordingFile(MemoryFile.Contents([UInt8].zeros(1536)), ignoresSync: true)
        try write(deaf, withSync: true)
        #expect(violations(deaf.recording) > 0)
    }

    @Test func failingFile() throws {
        let base = MemoryFile([UInt8].zeros(4096))
        let file = FailingFile(base, after: 2, code: ENOSPC)
        try file.write([1], at: 0)
        try file.sync()
        #expect(!file.hasFailed)
        let error = try ioError { try file.write([UInt8](repeating: 2, count: 1536), at: 1024) }
        #expect(error.reason == .errno(ENOSPC))
        #expect(error.explanation == "pwrite: No space left on device (offset 0x400)")
        #expect(file.hasFailed)
        // Half of it, in whole sectors, is there.
        #expect(try base.bytes(at: 1024, count: 1024) == sectors(2, 0))
        #expect(throws: IOError.self) { try file.sync() }
        #expect(try file.bytes(at: 0, count: 1) == [1])
        let once = FailingFile(base, after: 0, recovers: true)
        #expect(throws: IOError.self) { try once.sync() }
        try once.sync()
    }
}
