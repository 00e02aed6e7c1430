import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import HRL
import Testing

/// Passes everything on but every second sync, the one that a writer does before its blocks: a broken control.
private final class HalfSyncingFile: BlockFile {
    private let base: RecordingFile
    private let syncs = Counter()
    init(_ base: RecordingFile) { self.base = base }

    var path: String { base.path }
    func byteCount() -> UInt64 { base.byteCount() }
    func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        try base.read(into: &buffer, at: offset)
    }
    func write(_ bytes: RawSpan, at offset: UInt64) { base.write(bytes, at: offset) }
    func resize(to byteCount: UInt64) { base.resize(to: byteCount) }
    func zero(_ range: Range<UInt64>) { base.zero(range) }
    func data(from offset: UInt64) -> Range<UInt64>? { base.data(from: offset) }
    func sync() { if syncs.next() % 2 == 0 { base.sync() } }
}

@Suite struct WriterTests {
    private static let time = DiskTimestamp(rawValue: 800_000_000)
    private static let counts = [20, 1, 15]

    private static func bytes(_ number: Int) -> [UInt8] {
        [UInt8](repeating: UInt8(number + 1), count: 512 * (1 + number % 3))
    }

    /// Three rounds, each flushed and marked with the number of writes promised, then closed.
    private static func record(_ file: any BlockFile, _ recording: RecordingFile) throws {
        var options = LogWriter.Options()
        options.metadataSize = 512
        options.created = time
        let writer = try LogWriter.create(on: file, options)
        recording.mark(0)
        var number = 0
        for count in counts {
            for _ in 0..<count {
                try writer.append(bytes(number), at: UInt64(number) << 16, time: time)
                number += 1
            }
            try writer.flush()
            recording.mark(number)
        }
        try writer.append(bytes(number), at: UInt64(number) << 16, time: time)
        try writer.close(at: time)
        recording.mark(number + 1)
    }

    private struct Tally {
        var unreadable = 0
        var lost = 0
        var wrong = 0
    }

    /// What a cut image gives, against what was promised.
    private static func judge(_ image: PowerCuts.Image, _ tally: inout Tally) {
        let file = MemoryFile(image.contents)
        var numbers: [Int] = []
        var isWrong = false
        do {
            let reader: LogReader
            do { reader = try LogReader(file) } catch  where error.isUnclosedLog {
                let recovered = try recover(unclosed: file)
                reader = recovered.reader(of: try recovered.candidate())
            }
            try reader.forEachWrite(verifyingData: true) { write in
                let number = numbers.count
                numbers.append(number)
                let found = (try? file.bytes(at: write.dataOffset, count: Int(write.byteCount))) ?? []
                if write.diskOffset != UInt64(number) << 16 || found != bytes(number) { isWrong = true }
            }
        } catch {
            // Before anything was promised there may be no log.
            if !image.marks.isEmpty { tally.unreadable += 1 }
            return
        }
        if numbers.count < image.marks.last ?? 0 { tally.lost += 1 }
        if isWrong { tally.wrong += 1 }
    }

    @Test func powerCuts() throws {
        let recording = RecordingFile(MemoryFile.Contents())
        try Self.record(recording, recording)
        var tally = Tally()
        let tried = PowerCuts(recording.recording, imageLimit: 200, seed: 7).forEachImage { Self.judge($0, &tally) }
        print(
            "HRL writer, power cuts: \(tried.imageCount) images of \(tried.momentCount) moments, unreadable "
                + "\(tally.unreadable), lost \(tally.lost), wrong \(tally.wrong)")
        #expect(tally.unreadable == 0 && tally.lost == 0 && tally.wrong == 0)
    }

    @Test func powerCutsCatchBlocksBeforeData() throws {
        let recording = RecordingFile(MemoryFile.Contents())
        try Self.record(HalfSyncingFile(recording), recording)
        var tally = Tally()
        let tried = PowerCuts(recording.recording, imageLimit: 200, seed: 7).forEachImage { Self.judge($0, &tally) }
        print("HRL writer, broken control: \(tried.imageCount) images, wrong \(tally.wrong), lost \(tally.lost)")
        #expect(tally.wrong > 0)
    }

    @Test func emptyLogIsWhole() throws {
        for beginsWithEmptyBlock in [true, false] {
            let file = MemoryFile()
            var options = LogWriter.Options()
            options.beginsWithEmptyBlock = beginsWithEmptyBlock
            let writer = try LogWriter.create(on: file, options)
            try writer.close(at: Self.time)
            let summary = try LogReader(file).validate()
            #expect(summary.writeCount == 0 && summary.blockCount == 1 && summary.findings.isEmpty)
            #expect(file.byteCount() == 8192)
        }
    }

    @Test func dataBeforeTheFirstBlock() throws {
        let file = MemoryFile()
        var options = LogWriter.Options()
        options.beginsWithEmptyBlock = false
        options.created = Self.time
        let writer = try LogWriter.create(on: file, options)
        try writer.append(Self.bytes(1), at: 512, time: Self.time)
        #expect(writer.byteCount == 4096 + 1024 + 4096)
        try writer.close(at: Self.time)
        #expect(file.byteCount() == 4096 + 1024 + 4096)
        var seen: [UInt64] = []
        try LogReader(file).forEachWrite(verifyingData: true) { seen.append($0.dataOffset) }
        #expect(seen == [4096])
    }

    @Test func longWritesAreSplitAndZerosAreHoles() throws {
        let file = MemoryFile()
        var options = LogWriter.Options()
        options.maximumEntryByteCount = 1 << 20
        options.computesDataChecksums = true
        let writer = try LogWriter.create(on: file, options)
        try writer.append([UInt8](repeating: 3, count: 5 << 19), at: 0, time: Self.time)
        try writer.appendZeroes(0..<5 << 30, time: Self.time)
        try writer.close(at: Self.time)
        var lengths: [UInt64] = []
        var states: Set<LogWrite.DataChecksum> = []
        let summary = try LogReader(file).forEachWrite(verifyingData: true) {
            lengths.append($0.byteCount)
            states.insert($0.dataChecksum)
        }
        let expected: [UInt64] = [1 << 20, 1 << 20, 1 << 19, 2 << 30, 2 << 30, 1 << 30]
        #expect(lengths == expected)
        #expect(states == [.ok] && summary.maximumEnd == 5 << 30)
        #expect(file.contents.pages.pageCount < 700)
    }

    @Test func joining() throws {
        let file = MemoryFile()
        var options = LogWriter.Options()
        options.computesDataChecksums = true
        options.created = Self.time
        let writer = try LogWriter.create(on: file, options)
        let bytes = Self.bytes(3)
        for index in 0..<10 {
            try writer.append(bytes.rawBytes, at: UInt64(index * bytes.count), time: Self.time, joining: true)
        }
        try writer.append(bytes.rawBytes, at: UInt64(10 * bytes.count), time: Self.time)
        try writer.close(at: Self.time)
        var lengths: [UInt64] = []
        try LogReader(file).forEachWrite(verifyingData: true) { lengths.append($0.byteCount) }
        #expect(lengths == [UInt64(10 * bytes.count), UInt64(bytes.count)])
    }

    @Test func reopened() throws {
        let file = MemoryFile()
        let id = GUID.random()
        let writer = try LogWriter.create(on: file, uniqueID: id, created: Self.time)
        for number in 0..<200 { try writer.append(Self.bytes(number), at: UInt64(number) << 16, time: Self.time) }
        try writer.close(at: Self.time)
        try file.write([1, 2, 3], at: file.byteCount() + 777)
        let again = try LogWriter.reopen(file)
        #expect(again.writeCount == 200)
        // Open, it is not closed; its header's checksum holds.
        let check = try checkLog(file)
        #expect(check.findings.map(\.detail.code) == [.hrlNotClosed])
        for number in 200..<250 { try again.append(Self.bytes(number), at: UInt64(number) << 16, time: Self.time) }
        try again.close(at: Self.time)
        var count = 0
        let reader = try LogReader(file)
        let summary = try reader.forEachWrite(verifyingData: true) { write in
            #expect((try? file.bytes(at: write.dataOffset, count: 1)) == [UInt8(count + 1)])
            count += 1
        }
        #expect(count == 250 && summary.findings.isEmpty && reader.header.uniqueID == id)
    }

    /// A reader takes blocks of odd sizes, but nothing is appended to them.
    @Test func oddBlocksAreNotReopened() throws {
        let file = MemoryFile()
        let writer = try LogWriter.create(on: file, created: Self.time)
        try writer.close(at: Self.time)
        var header = try LogHeader(from: file)
        header.metadataSize = 4128
        header.eolLocation = 4096 + 4128
        try file.write(header.sealed(), at: 0)
        file.resize(to: header.eolLocation)
        #expect(try LogReader(file).validate().blockCount == 1)
        var kind: DiskError.Kind?
        do throws(DiskError) { _ = try LogWriter.reopen(file) } catch { kind = error.kind }
        #expect(kind == .refused)
    }

    @Test func failureStopsTheLog() throws {
        for after in 0..<12 {
            let memory = MemoryFile()
            let failing = FailingFile(memory, after: after, recovers: true)
            var failures = 0
            do {
                let writer = try LogWriter.create(on: failing, created: Self.time)
                func attempt(_ body: () throws -> Void) { do { try body() } catch { failures += 1 } }
                attempt { try writer.append(Self.bytes(1), at: 0, time: Self.time) }
                attempt { try writer.flush() }
                attempt { try writer.append(Self.bytes(2), at: 0, time: Self.time) }
                attempt { try writer.close(at: Self.time) }
                guard failing.hasFailed else { continue }
                #expect(failures > 0)
                // After one failure everything fails, and the log stays open, unless it was the very last step.
                attempt { try writer.append(Self.bytes(2), at: 0, time: Self.time) }
                attempt { try writer.close(at: Self.time) }
                #expect(failures >= 3)
            } catch { #expect(after < 4) }
        }
    }

    @Test func rangesAreChecked() throws {
        let writer = try LogWriter.create(on: MemoryFile(), created: Self.time)
        #expect(throws: DiskError.self) { try writer.append([1], at: .max, time: Self.time) }
        #expect(throws: DiskError.self) { try writer.append([1], at: 64 << 40, time: Self.time) }
        #expect(throws: DiskError.self) { try writer.appendZeroes(0..<(64 << 40) + 1, time: Self.time) }
        try writer.close(at: Self.time)
        #expect(throws: DiskError.self) { try writer.append([1], at: 0, time: Self.time) }
    }
}
