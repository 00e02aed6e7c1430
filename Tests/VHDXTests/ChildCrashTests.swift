import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Synchronization
import Testing

@testable import VHDX

private let parentValue: Int16 = 250
private let diskByteCount: UInt64 = 7 << 20

/// What each sector of a child may show after a power cut: every value written since the state that the last flush
/// acknowledged, or that state; of sectors never written, what they showed at the start.
private struct SectorHistory {
    private var start: [Int16]
    private var writes: [Int: [(value: Int16, flushes: Int)]] = [:]
    private(set) var flushes = 0

    init(_ start: [Int16]) { self.start = start }

    mutating func write(_ range: Range<UInt64>, _ value: UInt8) {
        for sector in range.lowerBound / 512..<range.upperBound / 512 {
            writes[Int(sector), default: []].append((Int16(value), flushes))
        }
    }
    mutating func flush() { flushes += 1 }

    /// The first sector that shows what it may not.
    func problem(_ found: [Int16], afterFlushes count: Int) -> String? {
        var expected = start
        for (sector, values) in writes {
            let value = found[sector]
            let kept = values.last { $0.flushes < count }?.value ?? start[sector]
            guard value == kept || values.contains(where: { $0.flushes >= count && $0.value == value }) else {
                return "sector \(sector) shows \(value) after \(count) flushes, \(kept) being flushed"
            }
            expected[sector] = value
        }
        if expected == found { return nil }
        let sector = found.indices.first { found[$0] != expected[$0] } ?? 0
        return "sector \(sector), never written, shows \(found[sector]), not \(expected[sector])"
    }
}

/// Power cuts while a differencing image is written.
@Suite struct ChildCrashTests {
    /// By sector: the byte that fills it, -1 for a mixed one.
    private static func sectors(of layer: VHDXLayer) throws -> [Int16] {
        var result = [Int16](repeating: 0, count: Int(diskByteCount / 512))
        for extent in try layer.extents(in: 0..<diskByteCount, limit: 10_000) {
            let first = Int(extent.offset / 512)
            switch extent.source {
            case .zero, .hole: break
            case .parent: for sector in first..<Int(extent.end / 512) { result[sector] = parentValue }
            case .file(let start):
                var position = start
                let end = start + extent.byteCount
                while position < end, let data = try layer.file.data(from: position), data.lowerBound < end {
                    position = max(position, data.lowerBound.roundedDown(to: 512))
                    let count = min(end, data.upperBound.roundedUp(to: 512), position + 65536) - position
                    let bytes = try layer.file.bytes(at: position, count: Int(count))
                    for at in stride(from: 0, to: bytes.count, by: 512) {
                        let sector = bytes.rawBytes.extracting(at..<at + 512)
                        let isUniform = bytesEqual(sector.extracting(0..<511), sector.extracting(1..<512))
                        result[first + (Int(position - start) + at) / 512] = isUniform ? Int16(bytes[at]) : -1
                    }
                    position += count
                }
            }
        }
        return result
    }

    // MARK: Scenarios

    private struct Scenario {
        let file: RecordingFile
        var history: SectorHistory
        /// The space of the sector bitmap block, at the end.
        var bitmap: Range<UInt64> = 0..<0

        init(_ initial: MemoryFile.Contents) throws {
            file = RecordingFile(initial)
            history = SectorHistory(try sectors(of: VHDXLayer(reading: MemoryFile(initial))))
        }
        mutating func write(_ layer: VHDXLayer, _ range: Range<UInt64>, _ value: UInt8) throws {
            history.write(range, value)
            try layer.write([UInt8](repeating: value, count: range.count).rawBytes, at: range.lowerBound)
        }
        mutating func zero(_ layer: VHDXLayer, _ range: Range<UInt64>) throws {
            history.write(range, 0)
            try layer.writeZeroes(range)
        }
        mutating func flush(_ layer: VHDXLayer) throws {
            try layer.flush()
            acknowledge()
        }
        mutating func close(_ layer: VHDXLayer) throws {
            try layer.close()
            acknowledge()
        }
        private mutating func acknowledge() {
            history.flush()
            file.mark(history.flushes)
        }
        mutating func findBitmap() throws {
            let layer = try VHDXLayer(reading: MemoryFile(file.contents))
            let offset = try layer.state.withLock { try $0.map.bitsIfAny(ofBlock: 0, in: layer.file)?.fileOffset } ?? 0
            bitmap = offset..<offset + (1 << 20)
        }
    }

    /// A child without a sector bitmap: the first partial write makes it.
    private static func newBitmap() throws -> Scenario {
        let child = try ChildImage(byteCount: diskByteCount, parent: MemoryFile.Contents())
        var scenario = try Scenario(child.contents)
        var layer = try VHDXLayer(writing: scenario.file)
        try scenario.write(layer, 1024..<2560, 1)
        try scenario.write(layer, 3 << 20..<(3 << 20) + 512, 2)
        try scenario.flush(layer)
        try scenario.write(layer, 2048..<3072, 3)
        try scenario.zero(layer, 2 << 20..<3 << 20)
        try scenario.flush(layer)
        try scenario.write(layer, 512..<1536, 4)
        try scenario.close(layer)
        layer = try VHDXLayer(writing: scenario.file)
        try scenario.write(layer, 0..<512, 5)
        try scenario.write(layer, 6 << 20..<(6 << 20) + 512, 6)
        try scenario.close(layer)
        try scenario.findBitmap()
        return scenario
    }

    /// A child with blocks in all states, stale bits among them, one of which gets all its sectors.
    private static func allStates() throws -> Scenario {
        var child = try ChildImage(byteCount: diskByteCount, parent: MemoryFile.Contents())
        child.addBitmap(0)
        child.setBits(0, 0..<2048)
        child.addPartial(1, 11, [3..<9, 64..<65])
        child.addPartial(2, 12, [0..<1022, 1024..<2048])
        child.setState(3, 2)
        child.addFull(4, 13, sectors: 6)
        var scenario = try Scenario(child.contents)
        var layer = try VHDXLayer(writing: scenario.file)
        // Entering 7 over stale bits; a partial block, over sectors it has and sectors it has not.
        try scenario.write(layer, 1024..<2048, 1)
        try scenario.write(layer, (1 << 20) + 512..<(1 << 20) + 2560, 2)
        try scenario.flush(layer)
        // 7 becomes 6, with a write to the block before.
        try scenario.write(layer, (2 << 20) + 1022 * 512..<(2 << 20) + 1023 * 512, 3)
        try scenario.write(layer, (2 << 20) + 1023 * 512..<(2 << 20) + 1025 * 512, 4)
        try scenario.flush(layer)
        try scenario.write(layer, (2 << 20) + 1021 * 512..<(2 << 20) + 1023 * 512, 5)
        try scenario.write(layer, (3 << 20) + 512..<(3 << 20) + 1024, 6)
        try scenario.zero(layer, (1 << 20) + 2048..<(1 << 20) + 4096)
        try scenario.flush(layer)
        // Zeros over a whole block in 7, over one in 0, and in part of another.
        try scenario.zero(layer, 1 << 20..<2 << 20)
        try scenario.zero(layer, 5 << 20..<6 << 20)
        try scenario.zero(layer, (6 << 20) + 512..<(6 << 20) + 1024)
        try scenario.close(layer)
        layer = try VHDXLayer(writing: scenario.file)
        try scenario.write(layer, 0..<512, 7)
        try scenario.write(layer, 5 << 20..<(5 << 20) + 512, 8)
        try scenario.close(layer)
        try scenario.findBitmap()
        return scenario
    }

    // MARK: Judging

    private struct Verdict {
        var tally = PowerCuts.Tally()
        var unreadable = 0
        var wrong = 0
        var example = ""
        var failures: Int { unreadable + wrong }
    }

    private static func judge(
        _ recording: RecordingFile.Recording, _ history: SectorHistory, imageLimit: Int = 64, goesOn: Bool = true
    ) throws -> Verdict {
        var verdict = Verdict()
        let first = try VHDXLayer(reading: MemoryFile(recording.initial)).dataWriteGUID
        let start = try sectors(of: VHDXLayer(reading: MemoryFile(recording.initial)))
        var count = 0
        verdict.tally = PowerCuts(recording, imageLimit: imageLimit).forEachImage { image in
            count += 1
            do {
                let file = MemoryFile(image.contents)
                let layer = try VHDXLayer(reading: file)
                _ = try layer.census()
                let found = try sectors(of: layer)
                var problem = history.problem(found, afterFlushes: image.marks.last ?? 0)
                if problem == nil, found != start, layer.dataWriteGUID == first {
                    problem = "contents changed under the same DataWriteGuid"
                }
                if problem == nil, goesOn, count % 8 == 0 { problem = try goOn(file, found) }
                guard let problem else { return }
                verdict.wrong += 1
                verdict.example = "\(problem); \(image.fates)"
            } catch {
                verdict.unreadable += 1
                verdict.example = "\(error); \(image.fates)"
            }
        }
        return verdict
    }

    /// The next writer replays into the file and goes on; then the checker finds nothing but stale bits, a bitmap of no
    /// use, and the space of what the cut undid.
    private static func goOn(_ file: MemoryFile, _ found: [Int16]) throws -> String? {
        let writer = try VHDXLayer(writing: file)
        try writer.write([UInt8](repeating: 99, count: 512).rawBytes, at: (6 << 20) + 8192)
        try writer.close()
        var after = found
        after[6 * 2048 + 16] = 99
        if try sectors(of: VHDXLayer(reading: file)) != after { return "the next session shows other bytes" }
        var options = CheckOptions()
        options.isDeep = true
        let report = try VHDXChecker.check(file, options, progress: quiet)
        let expected: Set<FormatError.Code> = [.vhdxIdleBits, .vhdxUnusedSectorBitmap, .vhdxOrphanedSpace]
        let codes = Set(report.findings.map(\.finding.detail.code)).subtracting(expected)
        return codes.isEmpty ? nil : "the checker finds \(codes)"
    }

    private static func report(_ name: String, _ verdict: Verdict) {
        print(
            "VHDX child power cuts, \(name): \(verdict.tally.imageCount) images of \(verdict.tally.momentCount) moments "
                + "(\(verdict.tally.exhaustiveMomentCount) exhaustive), \(verdict.unreadable) unreadable, \(verdict.wrong) wrong"
        )
    }

    private func expectSound(_ name: String, _ scenario: Scenario) throws {
        let verdict = try Self.judge(scenario.file.recording, scenario.history)
        Self.report(name, verdict)
        #expect(verdict.failures == 0, "\(name): \(verdict.example)")
        #expect(verdict.tally.imageCount > 300)
    }

    @Test func childThatGetsItsBitmap() throws { try expectSound("new bitmap", Self.newBitmap()) }
    @Test func childInAllStates() throws { try expectSound("all states", Self.allStates()) }

    // MARK: Broken writers, which have to be found out

    private typealias Operations = [RecordingFile.Operation]
    private static let log = mebibyte..<2 * mebibyte

    private static func isWrite(_ operation: RecordingFile.Operation, _ range: Range<UInt64>) -> Bool {
        if case .write(let offset, _) = operation { range.contains(offset) } else { false }
    }

    private func expectCaught(
        _ name: String, _ scenario: Scenario, _ change: (inout Operations, _ bitmap: Range<UInt64>) -> Void
    ) throws {
        var recording = scenario.file.recording
        change(&recording.operations, scenario.bitmap)
        let verdict = try Self.judge(recording, scenario.history, goesOn: false)
        Self.report("broken control, \(name)", verdict)
        #expect(verdict.failures > 0, "\(name) was not found out")
    }

    /// Pages of a range are left out of the log: their descriptors name a page that nobody uses.
    private static func leaveOutOfTheLog(_ range: Range<UInt64>, _ operations: inout Operations) -> Int {
        var count = 0
        for (index, operation) in operations.enumerated() {
            guard case .write(let offset, var bytes) = operation, log.contains(offset) else { continue }
            for at in stride(from: 64, to: 4096, by: 32) {
                let target = bytes.rawBytes.integer(at: at + 16, as: UInt64.self, .little)
                guard bytes[at..<at + 4].elementsEqual("desc".utf8), range.contains(target) else { continue }
                bytes.replaceSubrange(at + 16..<at + 24, with: little(UInt64(512 << 10)))
                count += 1
            }
            bytes.replaceSubrange(4..<8, with: little(crc32c(bytes.rawBytes, skippingField: 4)))
            operations[index] = .write(offset: offset, bytes)
        }
        return count
    }

    @Test func payloadNotFlushedBeforeItsBits() throws {
        try expectCaught("payload not flushed", Self.allStates()) { operations, _ in
            for index in operations.indices.reversed() where index > 0 {
                guard Self.isWrite(operations[index], Self.log), case .sync = operations[index - 1] else { continue }
                operations.remove(at: index - 1)
            }
        }
    }

    @Test func bitsInPlaceBeforeThePayloadsFlush() throws {
        try expectCaught("bits before the payload", Self.allStates()) { operations, bitmap in
            for index in operations.indices where Self.isWrite(operations[index], bitmap) {
                let entry = operations[..<index].lastIndex { Self.isWrite($0, Self.log) }!
                let sync = operations[..<entry].lastIndex { if case .sync = $0 { true } else { false } }!
                operations.insert(operations.remove(at: index), at: sync)
            }
        }
    }

    @Test func bitsNotInTheLog() throws {
        try expectCaught("bits not in the log", Self.allStates()) { operations, bitmap in
            #expect(Self.leaveOutOfTheLog(bitmap, &operations) > 3)
        }
    }

    /// Bits that are cleared when a block becomes 6, without the 6.
    @Test func entriesNotInTheLog() throws {
        let page = TinyImage.table..<TinyImage.table + 4096
        try expectCaught("entries not in the log", Self.allStates()) { operations, _ in
            #expect(Self.leaveOutOfTheLog(page, &operations) > 3)
        }
    }

    @Test func bitmapsEntryNotInTheLog() throws {
        // The bitmap's entry, the 4097th, stands on another page than those of the blocks.
        let page = TinyImage.table + 8 * 4096
        try expectCaught("the sector bitmap's entry not in the log", Self.newBitmap()) { operations, _ in
            #expect(Self.leaveOutOfTheLog(page..<page + 4096, &operations) > 0)
        }
    }

    @Test func flushThatDoesNotFlush() throws {
        try expectCaught("no flush at all", Self.allStates()) { operations, _ in
            operations.removeAll { if case .sync = $0 { true } else { false } }
        }
    }
}
