import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import HRL
import Testing

@Suite struct RecoveryTests {
    private static let time = DiskTimestamp(rawValue: 800_000_000)

    private func unclosed(_ file: MemoryFile) throws -> MemoryFile {
        var header = try LogHeader(from: file)
        (header.eolLocation, header.currentSize, header.totalMetadataEntries) = (0, 0, 0)
        try file.write(header.sealed(), at: 0)
        return file
    }

    private func log(_ counts: [Int], emptyFirst: Bool = true, seed: UInt64 = 1) throws -> MemoryFile {
        var generator = SplitMix(seed: seed)
        let file = MemoryFile()
        var options = LogWriter.Options()
        options.beginsWithEmptyBlock = emptyFirst
        options.created = Self.time
        let writer = try LogWriter.create(on: file, options)
        for count in counts {
            for _ in 0..<count {
                let bytes = generator.bytes(512 * Int.random(in: 1...3, using: &generator))
                try writer.append(bytes, at: UInt64.random(in: 0..<1000, using: &generator) * 512, time: Self.time)
            }
            try writer.flush()
        }
        try writer.close(at: Self.time)
        return file
    }

    @Test func workedExample() throws {
        let closed = try WorkedExample.log()
        let bytes = closed.allBytes
        let recovered = try recover(unclosed: try unclosed(closed))
        let candidate = try recovered.candidate()
        #expect(candidate.endOfLog == WorkedExample.byteCount && candidate.writeCount == 58)
        let copy = MemoryFile()
        let summary = try recovered.writeClosedCopy(of: candidate, to: copy, time: WorkedExample.closed)
        #expect(summary.writeCount == 58 && copy.allBytes == bytes)
    }

    @Test(arguments: [true, false]) func severalBlocks(emptyFirst: Bool) throws {
        var generator = SplitMix(seed: 3)
        let file = try log([127, 1, 30, 254, 5], emptyFirst: emptyFirst)
        let end = file.byteCount()
        _ = try unclosed(file)
        try file.write(generator.bytes(10_000), at: end)
        let recovered = try recover(unclosed: file)
        let candidate = try recovered.candidate()
        #expect(candidate.endOfLog == end && candidate.writeCount == 417)
        let findings = try recovered.findings(for: candidate)
        #expect(findings.map(\.detail.code) == [.hrlLostTail] && findings[0].detail.problem.contains("bytes"))
        #expect(try recovered.reader(of: candidate).validate().writeCount == 417)
    }

    @Test func damagedBlockCutsWhatFollows() throws {
        let file = try unclosed(try log([10, 10, 10]))
        var blocks: [UInt64] = []
        let recovered = try recover(unclosed: file)
        try recovered.reader(of: try recovered.candidate()).forEachWrite(verifyingData: false) {
            if blocks.last != $0.blockOffset { blocks.append($0.blockOffset) }
        }
        try file.write([0xff], at: blocks[1] + 40)
        let cut = try recover(unclosed: file)
        #expect(try cut.candidate().blockOffset == blocks[0])
    }

    @Test func staleHeaderChecksumAndSize() throws {
        let file = try unclosed(try log([10]))
        try file.write([0, 0, 0, 0], at: 56)
        let recovered = try recover(unclosed: file)
        #expect(try recovered.candidate().writeCount == 10)
        #expect(Set(recovered.findings.map(\.detail.code)) == [.hrlHeaderChecksum, .hrlMetadataSize])
        let copy = MemoryFile()
        try recovered.writeClosedCopy(of: try recovered.candidate(), to: copy, time: Self.time)
        #expect(try checkLog(copy).worst == .information)
    }

    /// A guest wrote a block into its disk that fits where its data stands in the log.
    private func forged(closing: Bool) throws -> (MemoryFile, forgery: UInt64, last: UInt64) {
        let file = MemoryFile()
        let writer = try LogWriter.create(on: file, created: Self.time)
        var entry = MetadataEntry()
        (entry.byteOffset, entry.dataLength, entry.timeStamp) = (0, 512, Self.time.rawValue)
        var head = MetadataHeader()
        (head.previousMetadataLocation, head.validMetadataEntries) = (4096 + 512, 1)
        let block = head.sealed() + entry.sealed() + .zeros(4096 - 64)
        try writer.append([UInt8](repeating: 1, count: 512), at: 0, time: Self.time)
        try writer.append(block, at: 512, time: Self.time)
        try writer.flush()
        let last = writer.byteCount - 4096
        return (file, 4096 + 4096 + 512, last)
    }

    @Test func forgedBlockIsReported() throws {
        let (file, forgery, last) = try forged(closing: false)
        let recovered = try recover(unclosed: file)
        #expect(recovered.candidates.map(\.blockOffset) == [forgery, last])
        var refusal: DiskError?
        do throws(DiskError) { _ = try recovered.candidate() } catch { refusal = error }
        #expect(refusal?.formatError?.code == .hrlRecovery)
        let text = "\(refusal.map(\.description) ?? "")"
        #expect(text.contains("0x2200 (1 writes)") && text.contains("furthest"))
        #expect(try recovered.candidate(at: last).writeCount == 2)
        #expect(try recovered.candidate(at: forgery).writeCount == 1)
        var other: DiskError?
        do throws(DiskError) { _ = try recovered.candidate(at: 4096) } catch { other = error }
        #expect(other?.formatError?.code == .hrlRecovery)
    }

    @Test func nothingToRecover() throws {
        let file = try unclosed(try log([1], emptyFirst: false))
        file.resize(to: 4096)
        let recovered = try recover(unclosed: file)
        #expect(recovered.candidates.isEmpty)
        #expect(throws: DiskError.self) { _ = try recovered.candidate() }
    }

    @Test func zerosAtTheEndAreSuspect() throws {
        let file = MemoryFile()
        let writer = try LogWriter.create(on: file, created: Self.time)
        try writer.append([UInt8](repeating: 1, count: 512), at: 0, time: Self.time)
        try writer.append(.zeros(512), at: 0, time: Self.time)
        try writer.appendZeroes(0..<1 << 30, time: Self.time)
        try writer.flush()
        let recovered = try recover(unclosed: file)
        let findings = try recovered.findings(for: try recovered.candidate())
        #expect(findings.map(\.detail.code) == [.hrlSuspectZeros] && findings[0].detail.problem.contains("last 2"))
        // Holes stay holes.
        let copy = MemoryFile()
        try recovered.writeClosedCopy(of: try recovered.candidate(), to: copy, time: Self.time)
        #expect(copy.contents.pages.pageCount < 20 && copy.byteCount() > 1 << 30)
    }

    @Test(arguments: 1...10) func randomCuts(seed: UInt64) throws {
        var generator = SplitMix(seed: seed)
        let file = try log([40, 40, 40, 40], seed: seed)
        let whole = try LogReader(file).validate()
        _ = try unclosed(file)
        file.resize(to: UInt64.random(in: 8192..<file.byteCount(), using: &generator) / 512 * 512)
        let recovered = try recover(unclosed: file)
        let candidate = try recovered.candidate()
        #expect(candidate.writeCount % 40 == 0 && candidate.writeCount < whole.writeCount, "seed \(seed)")
        #expect(try recovered.reader(of: candidate).validate().writeCount == candidate.writeCount)
    }
}
