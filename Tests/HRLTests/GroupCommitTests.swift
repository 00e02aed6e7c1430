import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import HRL
import Synchronization
import Testing

private let time = DiskTimestamp(rawValue: 800_000_000)

/// Runs `body` in threads of its own.
private func inThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let group = DispatchGroup()
    for index in 0..<count {
        group.enter()
        Thread.detachNewThread {
            body(index)
            group.leave()
        }
    }
    group.wait()
}

/// Counts calls; a sync takes a while, as on a medium.
private final class SlowFile: BlockFile {
    let base = MemoryFile()
    let writes = Counter()
    let syncs = Counter()
    let syncMicroseconds: UInt32
    init(syncMicroseconds: UInt32 = 0) { self.syncMicroseconds = syncMicroseconds }

    var path: String { base.path }
    func byteCount() -> UInt64 { base.byteCount() }
    func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        try base.read(into: &buffer, at: offset)
    }
    func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) {
        _ = writes.next()
        try base.write(bytes, at: offset)
    }
    func resize(to byteCount: UInt64) { base.resize(to: byteCount) }
    func zero(_ range: Range<UInt64>) { base.zero(range) }
    func data(from offset: UInt64) -> Range<UInt64>? { base.data(from: offset) }
    func sync() {
        _ = syncs.next()
        if syncMicroseconds > 0 { usleep(syncMicroseconds) }
    }
}

@Suite struct GroupCommitTests {
    /// A write that says which thread it is of, and which of its writes.
    private static func bytes(_ thread: Int, _ number: Int) -> [UInt8] {
        let count = number % 50 == 7 ? 300 << 10 : 512 * (1 + number % 5)
        return [UInt8](repeating: UInt8(1 + (thread * 31 + number) % 255), count: count)
    }

    private static func offset(_ thread: Int, _ number: Int) -> UInt64 { UInt64(thread) << 40 | UInt64(number) << 20 }

    /// Of each thread the writes in its order, and with the right bytes; how many there are.
    private static func check(_ reader: LogReader, threads: Int) throws -> [Int] {
        var counts = [Int](repeating: 0, count: threads)
        try reader.forEachWrite(verifyingData: true) { (write) throws(DiskError) in
            let thread = Int(write.diskOffset >> 40)
            let number = Int(write.diskOffset & (1 << 40 - 1)) >> 20
            #expect(number == counts[thread])
            counts[thread] += 1
            let found = try diskErrors("") { try reader.file.bytes(at: write.dataOffset, count: Int(write.byteCount)) }
            #expect(found == bytes(thread, number))
        }
        return counts
    }

    @Test(arguments: [false, true]) func manyThreads(withZeros: Bool) throws {
        let file = SlowFile()
        var options = LogWriter.Options()
        options.computesDataChecksums = true
        options.created = time
        let writer = try LogWriter.create(on: file, options)
        let failures = Mutex<[String]>([])
        inThreads(6) { thread in
            do {
                for number in 0..<300 {
                    try writer.append(Self.bytes(thread, number), at: Self.offset(thread, number), time: time)
                    if number % 40 == 39 { try writer.flush() }
                }
            } catch { failures.withLock { $0.append("\(error)") } }
        }
        if withZeros { try writer.appendZeroes(0..<1 << 33, time: time) }
        #expect(failures.withLock { $0 } == [])
        try writer.close(at: time)
        let reader = try LogReader(file)
        if !withZeros {
            #expect(try Self.check(reader, threads: 6) == Array(repeating: 300, count: 6))
            // Small writes were gathered: 1800 of them, some hundreds of file writes, blocks included.
            #expect(file.writes.count < 500)
        }
        #expect(try reader.validate().writeCount == (withZeros ? 1804 : 1800))
        #expect(try reader.validate().findings.isEmpty)
    }

    /// Whatever was flushed is described when the flush returns, while others go on.
    @Test func flushedWritesCanBeRecovered() throws {
        let file = SlowFile(syncMicroseconds: 100)
        let writer = try LogWriter.create(on: file, created: time)
        let failures = Mutex<[String]>([])
        inThreads(4) { thread in
            do {
                for number in 0..<60 {
                    try writer.append(Self.bytes(thread, number), at: Self.offset(thread, number), time: time)
                    guard number % 15 == 14 else { continue }
                    try writer.flush()
                    // The file as it is now, cut anywhere behind: what a crash could leave at best.
                    let recovered = try recover(unclosed: MemoryFile(file.base.contents))
                    let counts = try Self.check(recovered.reader(of: try recovered.candidate()), threads: 4)
                    if counts[thread] <= number { failures.withLock { $0.append("\(thread): \(counts) \(number)") } }
                }
            } catch { failures.withLock { $0.append("\(error)") } }
        }
        #expect(failures.withLock { $0 } == [])
        try writer.close(at: time)
        #expect(try Self.check(LogReader(file), threads: 4) == [60, 60, 60, 60])
    }

    @Test func flushesAreShared() throws {
        let file = SlowFile(syncMicroseconds: 2000)
        let writer = try LogWriter.create(on: file, created: time)
        let before = file.syncs.count
        inThreads(8) { thread in
            for number in 0..<20 {
                do {
                    try writer.append(Self.bytes(thread, 1), at: Self.offset(thread, number), time: time)
                    try writer.flush()
                } catch { Issue.record("\(error)") }
            }
        }
        // 160 flushes of two syncs each, if each had its own.
        let count = file.syncs.count - before
        print("HRL writer: 160 flushes of 8 threads took \(count) syncs")
        #expect(count < 200)
        try writer.close(at: time)
    }

    @Test func flushesBySizeAndTime() throws {
        let file = MemoryFile()
        var options = LogWriter.Options()
        options.flushPolicy.flushesAfterByteCount = 10_000
        options.flushPolicy.flushesAfter = .seconds(5)
        let writer = try LogWriter.create(on: file, options)
        func recoverable() throws -> UInt64 { try recover(unclosed: file).candidate().writeCount }
        for number in 0..<9 {
            try writer.append([UInt8](repeating: 1, count: 1024), at: UInt64(number) << 10, time: time)
        }
        #expect(try recoverable() == 0)
        try writer.append([UInt8](repeating: 1, count: 1024), at: 1 << 20, time: time)
        #expect(try recoverable() == 10)
        #expect(try !writer.flushIfDue(now: .now + .seconds(60)))
        try writer.append([UInt8](repeating: 2, count: 512), at: 0, time: time)
        #expect(try !writer.flushIfDue(now: .now + .seconds(2)))
        #expect(try recoverable() == 10)
        #expect(try writer.flushIfDue(now: .now + .seconds(6)))
        #expect(try recoverable() == 11)
        try writer.close(at: time)
        // Nothing is left to flush, and nothing is refused.
        try writer.flush()
    }

    @Test func aFullLogTakesNothingMore() throws {
        let file = MemoryFile()
        var options = LogWriter.Options()
        options.occupiedByteLimit = 64 << 10
        let writer = try LogWriter.create(on: file, options)
        try writer.appendZeroes(0..<1 << 40, time: time)
        var count: UInt64 = 0
        while !writer.isFull, count < 1000 {
            do { try writer.append([UInt8](repeating: 1, count: 4096), at: 0, time: time) } catch { break }
            count += 1
        }
        #expect(writer.isFull && count > 5)
        // Neither does it take what would fit.
        #expect(throws: DiskError.self) { try writer.append([1], at: 0, time: time) }
        #expect(throws: DiskError.self) { try writer.close(at: time) }
        try writer.flush()
        #expect(try recover(unclosed: file).candidate().writeCount == 512 + count)
        #expect(file.contents.pages.pageCount * 4096 <= 64 << 10)
    }

    /// One write of so many entries that their blocks do not all fit into memory.
    @Test func manyEntriesOfOneWrite() throws {
        let file = MemoryFile()
        var options = LogWriter.Options()
        options.metadataSize = 512
        options.maximumEntryByteCount = 512
        let writer = try LogWriter.create(on: file, options)
        try writer.append([UInt8](repeating: 7, count: 64 << 20), at: 0, time: options.created)
        try writer.appendZeroes(0..<64 << 40, time: options.created)
        try writer.close(at: options.created)
        let summary = try LogReader(file).validate()
        #expect(summary.writeCount == 160 << 10 && summary.findings.isEmpty)
    }

    @Test func timesAscendWhereAsked() throws {
        let file = MemoryFile()
        var options = LogWriter.Options()
        options.keepsTimesAscending = true
        options.created = DiskTimestamp(rawValue: 100)
        let writer = try LogWriter.create(on: file, options)
        for value: UInt32 in [90, 105, 103, 107] {
            try writer.append([1], at: 0, time: DiskTimestamp(rawValue: value))
        }
        try writer.close(at: DiskTimestamp(rawValue: 50))
        var times: [UInt32] = []
        let summary = try LogReader(file).forEachWrite(verifyingData: false) { times.append($0.timestamp.rawValue) }
        #expect(times == [100, 105, 105, 107])
        #expect(summary.findings.allSatisfy { $0.detail.code == .hrlAlignment })
    }

    // MARK: Power cuts

    /// Data that fills buffers before a flush, so that they are written by others and in any order.
    @Test func powerCutsOfFullBuffers() throws {
        let recording = RecordingFile(MemoryFile.Contents())
        let writer = try LogWriter.create(on: recording, created: time)
        recording.mark(0)
        var number = 0
        for round in 0..<3 {
            for _ in 0..<(round == 1 ? 3 : 160) {
                try writer.append(Self.long(number), at: UInt64(number) << 20, time: time)
                number += 1
            }
            try writer.flush()
            recording.mark(number)
        }
        var (lost, wrong, closed, total) = (0, 0, 0, 0)
        let tried = try PowerCuts(recording.recording, imageLimit: 12, seed: 3).forEachImage { image in
            let file = MemoryFile(image.contents)
            guard let promised = image.marks.last else { return }
            if (try? LogReader(file)) != nil { closed += 1 }
            let recovered = try recover(unclosed: file)
            var count = 0
            try recovered.reader(of: try recovered.candidate()).forEachWrite(verifyingData: true) { write in
                let found = (try? file.bytes(at: write.dataOffset, count: Int(write.byteCount))) ?? []
                if write.diskOffset != UInt64(count) << 20 || found != Self.long(count) { wrong += 1 }
                count += 1
            }
            total += 1
            if count < promised { lost += 1 }
        }
        print("HRL writer, full buffers: \(tried.imageCount) images, lost \(lost), wrong \(wrong), closed \(closed)")
        #expect(lost == 0 && wrong == 0 && closed == 0 && total > 20)
    }

    private static func long(_ number: Int) -> [UInt8] {
        [UInt8](repeating: UInt8(1 + number % 255), count: 16 << 10)
    }
}
