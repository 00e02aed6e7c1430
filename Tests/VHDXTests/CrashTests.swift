import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing

@testable import VHDX

/// What sectors may hold after a power cut: every value written since the state that the last flush acknowledged, or
/// that state.
private struct SectorModel {
    /// By sector: values in the order written, with the number of flushes acknowledged before.
    private var history: [UInt64: [(value: UInt8, flushes: Int)]] = [:]
    private(set) var flushes = 0

    mutating func write(_ range: Range<UInt64>, _ value: UInt8) {
        for sector in range.lowerBound / 512..<range.upperBound / 512 {
            history[sector, default: []].append((value, flushes))
        }
    }
    mutating func flush() { flushes += 1 }
    /// Sectors ever written, in order.
    var sectors: [UInt64] { history.keys.sorted() }

    func allows(_ value: UInt8, sector: UInt64, afterFlushes count: Int) -> Bool {
        guard let values = history[sector] else { return value == 0 }
        let kept = values.last { $0.flushes < count }?.value ?? 0
        return value == kept || values.contains { $0.flushes >= count && $0.value == value }
    }
}

/// A run of operations over a recorded file.
private struct Scenario {
    let file: RecordingFile
    var model = SectorModel()

    init(_ initial: MemoryFile.Contents) { file = RecordingFile(initial) }

    mutating func write(_ layer: VHDXLayer, _ range: Range<UInt64>, _ value: UInt8) throws {
        model.write(range, value)
        try layer.write([UInt8](repeating: value, count: range.count).rawBytes, at: range.lowerBound)
    }
    mutating func zero(_ layer: VHDXLayer, _ range: Range<UInt64>) throws {
        model.write(range, 0)
        try layer.writeZeroes(range)
    }
    mutating func flush(_ layer: VHDXLayer) throws {
        try layer.flush()
        model.flush()
        file.mark(model.flushes)
    }
    mutating func close(_ layer: VHDXLayer) throws {
        try layer.close()
        model.flush()
        file.mark(model.flushes)
    }
}

private struct Verdict {
    var tally = PowerCuts.Tally()
    var unreadable = 0
    var lost = 0
    var example = ""
    var failures: Int { unreadable + lost }
}

private let diskByteCount: UInt64 = 4 << 20

@Suite struct CrashTests {
    /// Two sessions over all kinds of writes.
    private static func twoSessions(_ initial: MemoryFile.Contents) throws -> Scenario {
        var scenario = Scenario(initial)
        var layer = try VHDXLayer(writing: scenario.file)
        try scenario.write(layer, 1024..<2560, 1)
        try scenario.write(layer, (2 << 20) - 512..<(2 << 20) + 512, 2)
        try scenario.flush(layer)
        try scenario.write(layer, 1024..<2048, 3)
        try scenario.write(layer, 3 << 20..<(3 << 20) + 512, 4)
        try scenario.flush(layer)
        try scenario.zero(layer, 1536..<2048)
        try scenario.flush(layer)
        try scenario.write(layer, 512..<1536, 5)
        try scenario.close(layer)
        layer = try VHDXLayer(writing: scenario.file)
        try scenario.write(layer, 0..<1024, 6)
        try scenario.close(layer)
        return scenario
    }

    private static func judge(
        _ recording: RecordingFile.Recording, _ model: SectorModel, imageLimit: Int = 96, alsoWrites: Bool = true
    ) -> Verdict {
        var verdict = Verdict()
        let first = try? VHDXLayer(reading: MemoryFile(recording.initial)).dataWriteGUID
        let start = (try? VHDXLayer(reading: MemoryFile(recording.initial))).flatMap { try? sectors(of: $0) } ?? [:]
        verdict.tally = PowerCuts(recording, imageLimit: imageLimit).forEachImage { image in
            do {
                let file = MemoryFile(image.contents)
                let layer = try VHDXLayer(reading: file)
                _ = try layer.census()
                let found = try sectors(of: layer)
                if let problem = check(found, model, image.marks.last ?? 0) {
                    verdict.lost += 1
                    verdict.example = "\(problem); \(image.fates)"
                } else if found != start, layer.dataWriteGUID == first {
                    verdict.lost += 1
                    verdict.example = "contents changed under the same DataWriteGuid; \(image.fates)"
                } else if alsoWrites, verdict.tally.imageCount % 8 == 0 {
                    // The next writer replays into the file, and goes on.
                    let writer = try VHDXLayer(writing: file)
                    try writer.write([UInt8](repeating: 99, count: 512).rawBytes, at: (1 << 20) + 4096)
                    try writer.close()
                    let again = try sectors(of: try VHDXLayer(reading: file))
                    var expected = found
                    expected[2056] = .some(99)
                    if again != expected {
                        verdict.lost += 1
                        verdict.example = "the next session shows other bytes; \(image.fates)"
                    }
                }
            } catch {
                verdict.unreadable += 1
                verdict.example = "\(error); \(image.fates)"
            }
            verdict.tally.imageCount += 1
        }
        return verdict
    }

    /// The first sector whose bytes nobody wrote there, or that lost flushed bytes.
    private static func check(_ found: [UInt64: UInt8?], _ model: SectorModel, _ flushes: Int) -> String? {
        for sector in Set(found.keys).union(model.sectors) {
            guard let value = found[sector, default: 0] else { return "sector \(sector) holds mixed bytes" }
            if !model.allows(value, sector: sector, afterFlushes: flushes) {
                return "sector \(sector) holds \(value) after \(flushes) flushes"
            }
        }
        return nil
    }

    /// The sectors that are not all zeros, with the value of their bytes; nil for mixed ones.
    private static func sectors(of layer: VHDXLayer) throws -> [UInt64: UInt8?] {
        var result: [UInt64: UInt8?] = [:]
        for extent in try layer.extents(in: 0..<diskByteCount, limit: 1000) {
            guard case .file(let start) = extent.source else { continue }
            var position = start
            let end = start + extent.byteCount
            while position < end, let data = try layer.file.data(from: position), data.lowerBound < end {
                position = max(position, data.lowerBound.roundedDown(to: 512))
                let piece = min(end, data.upperBound.roundedUp(to: 512), position + 16384) - position
                let bytes = try layer.file.bytes(at: position, count: Int(piece))
                if !isZero(bytes.rawBytes) {
                    for at in stride(from: 0, to: bytes.count, by: 512)
                    where !isZero(bytes.rawBytes.extracting(at..<at + 512)) {
                        let sector = (extent.offset + (position - start) + UInt64(at)) / 512
                        let isUniform = !bytes[at..<at + 512].contains { $0 != bytes[at] }
                        result[sector] = .some(isUniform ? bytes[at] : nil)
                    }
                }
                position += piece
            }
        }
        return result
    }

    private static func report(_ name: String, _ verdict: Verdict) {
        print(
            "VHDX power cuts, \(name): \(verdict.tally.imageCount) images of \(verdict.tally.momentCount) moments "
                + "(\(verdict.tally.exhaustiveMomentCount) exhaustive), \(verdict.unreadable) unreadable, \(verdict.lost) lost"
        )
    }

    private static func expectSound(_ name: String, _ verdict: Verdict) {
        report(name, verdict)
        #expect(verdict.failures == 0, "\(name): \(verdict.example)")
        #expect(verdict.tally.imageCount > 50)
    }

    @Test(arguments: [ImageType.dynamic, .fixed])
    func freshImage(_ type: ImageType) throws {
        let scenario = try Self.twoSessions(try TinyImage(type: type, byteCount: diskByteCount).contents)
        Self.expectSound("\(type)", Self.judge(scenario.file.recording, scenario.model))
    }

    @Test func imageWithADirtyLog() throws {
        // A session that ended without `close`.
        let file = try TinyImage(byteCount: diskByteCount).file
        let former = try VHDXLayer(writing: file)
        try former.write([UInt8](repeating: 0, count: 512).rawBytes, at: 0)
        try former.flush()
        let scenario = try Self.twoSessions(file.contents)
        Self.expectSound("after a dirty log", Self.judge(scenario.file.recording, scenario.model))
    }

    @Test func imageWithABadRegionTable() throws {
        var image = try TinyImage(byteCount: diskByteCount)
        image.put([0], at: 196608)
        let scenario = try Self.twoSessions(image.contents)
        Self.expectSound("region table repair", Self.judge(scenario.file.recording, scenario.model, imageLimit: 48))
    }

    /// Entries around the end of the ring: the beginning of the recording is taken as durable.
    @Test func ringGoesRound() throws {
        let file = MemoryFile()
        try VHDXCreator.create(on: file, type: .dynamic, virtualByteCount: 256 << 20, blockByteCount: 1 << 20)
        var scenario = Scenario(file.contents)
        let layer = try VHDXLayer(writing: scenario.file)
        var start = 0
        for block in 4..<UInt64(136) {
            if block == 126 { start = scenario.file.recording.operations.count }
            try scenario.write(layer, block << 20..<(block << 20) + 512, 7)
            try scenario.flush(layer)
        }
        var recording = scenario.file.recording
        let durable = MemoryFile(recording.initial)
        for operation in recording.operations[..<start] {
            switch operation {
            case .write(let offset, let bytes): try durable.write(bytes, at: offset)
            case .zero(let range): durable.zero(range)
            case .resize(let count): durable.resize(to: count)
            case .sync, .mark: break
            }
        }
        recording.initial = durable.contents
        recording.operations.removeFirst(start)
        var verdict = Verdict()
        verdict.tally = PowerCuts(recording, imageLimit: 64).forEachImage { image in
            do {
                let reader = try VHDXLayer(reading: MemoryFile(image.contents))
                // Mark n stands for the first n blocks.
                for block in 4..<UInt64(4 + max(122, image.marks.last ?? 0)) {
                    let bytes = try contents(of: reader, block << 20..<(block << 20) + 512)
                    if bytes != [UInt8](repeating: 7, count: 512) {
                        verdict.lost += 1
                        verdict.example = "block \(block); \(image.fates)"
                    }
                }
            } catch {
                verdict.unreadable += 1
                verdict.example = "\(error); \(image.fates)"
            }
        }
        Self.expectSound("round the ring", verdict)
    }

    // MARK: Broken writers, which have to be found out

    private typealias Operations = [RecordingFile.Operation]

    private static func isWrite(_ operation: RecordingFile.Operation, _ range: Range<UInt64>) -> Bool {
        if case .write(let offset, _) = operation { range.contains(offset) } else { false }
    }
    private static let log = mebibyte..<2 * mebibyte
    private static let tables = TinyImage.table..<TinyImage.table + mebibyte
    private static let headers: Range<UInt64> = 65536..<196608

    private func expectCaught(_ name: String, _ change: (inout Operations) -> Void) throws {
        let scenario = try Self.twoSessions(try TinyImage(byteCount: diskByteCount).contents)
        var recording = scenario.file.recording
        change(&recording.operations)
        let verdict = Self.judge(recording, scenario.model, alsoWrites: false)
        Self.report("broken control, \(name)", verdict)
        #expect(verdict.failures > 0, "\(name) was not found out")
    }

    @Test func tableInPlaceBeforeTheLogEntry() throws {
        try expectCaught("table before log entry") { operations in
            // Each write of a table page goes before the flush that precedes its log entry.
            for index in operations.indices where Self.isWrite(operations[index], Self.tables) {
                let entry = operations[..<index].lastIndex { Self.isWrite($0, Self.log) }!
                let sync = operations[..<entry].lastIndex { if case .sync = $0 { true } else { false } }!
                operations.insert(operations.remove(at: index), at: sync)
            }
        }
    }

    @Test func headersBeforeTheFirstEntry() throws {
        try expectCaught("headers before entry") { operations in
            // The first entry of the session goes behind the first header's flush.
            let entry = operations.firstIndex { Self.isWrite($0, Self.log) }!
            let header = operations.firstIndex { Self.isWrite($0, Self.headers) }!
            operations.insert(operations.remove(at: entry), at: header + 1)
        }
    }

    @Test func payloadNotFlushed() throws {
        try expectCaught("payload not flushed") { operations in
            for index in operations.indices.reversed() where index > 0 {
                guard Self.isWrite(operations[index], Self.log), case .sync = operations[index - 1] else { continue }
                operations.remove(at: index - 1)
            }
        }
    }

    @Test func flushThatDoesNotFlush() throws {
        try expectCaught("no flush at all") { operations in
            operations.removeAll { if case .sync = $0 { true } else { false } }
        }
    }
}
