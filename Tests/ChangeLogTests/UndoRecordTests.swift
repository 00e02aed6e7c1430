import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import HRL
import Testing

@testable import ChangeLog

/// An undo log knows its disk, and what it holds.
@Suite struct UndoRecordTests {
    private let disk = MemoryDisk(Array(pattern[..<(1 << 20)]))
    private let effect: LogEffect
    private let undo = MemoryFile(path: "undo")
    private let id = GUID(9, 9, 9, 9)

    init() throws {
        let writes: [(UInt64, [UInt8]?, UInt64)] = [
            (64 << 10, .init(repeating: 1, count: 8192), 0), (99_999, nil, 30_000), (1 << 19, [5], 0),
        ]
        effect = try LogEffect(of: [try LogReader(try makeLog(writes, after: GUID(7), id: GUID(1)))])
        _ = try UndoLog.save(effect, of: disk, into: undo, diskID: id, time: time)
    }

    private func reason(_ file: any BlockFile, on disk: MemoryDisk, id: GUID) throws -> String {
        guard case .other(let error) = try UndoLogPlace(of: file, for: effect, on: disk, diskID: id) else {
            return "taken"
        }
        return error.description
    }

    private func findings(
        _ file: any BlockFile, _ id: GUID, accepting accepted: Set<FormatError.Code> = []
    ) throws -> [FormatError.Code] {
        let reader = try LogReader(file)
        var check = UndoCheck(reader, diskID: id, accepting: accepted)
        return try check.run(try reader.validate()).map(\.detail.code)
    }

    private func code(_ file: any BlockFile, _ id: GUID) throws -> FormatError.Code? {
        let error = try #require(throws: DiskError.self) { try findings(file, id) }
        #expect(error.hint?.contains("--accept \(error.formatError?.code.rawValue ?? "?")") == true, "\(error)")
        return error.formatError?.code
    }

    @Test func ids() throws {
        let other = GUID(8, 8, 8, 8)
        #expect(try reason(undo, on: disk, id: id) == "taken")
        let what = try reason(undo, on: disk, id: other)
        #expect(what.contains("is the undo log of another disk, \(id); this one is \(other)"), "\(what)")
        #expect(try findings(undo, id).isEmpty)
        #expect(try code(undo, other) == .hrlUndoDisk)
        #expect(try findings(undo, other, accepting: [.hrlUndoDisk]) == [.hrlUndoDisk])
        // A raw disk has no id, on either side.
        #expect(try reason(undo, on: disk, id: .zero) == "taken" && findings(undo, .zero).isEmpty)
        let raw = MemoryFile(path: "undo")
        _ = try UndoLog.save(effect, of: disk, into: raw, time: time)
        #expect(try reason(raw, on: disk, id: id) == "taken" && findings(raw, id).isEmpty)
    }

    /// A disk that shows the logs' bytes already, and is another one elsewhere.
    @Test func otherContents() throws {
        let shown = MemoryDisk(disk.allBytes)
        _ = try effect.apply(to: shown)
        #expect(try reason(undo, on: shown, id: .zero) == "taken")
        let record = try #require(try UndoRecord.read(behind: try LogReader(undo)))
        #expect(record.sampleCount > 200 && record.diskID == id)
        for offset in record.sample.offsets.enumerated().filter({ $0.offset % 20 == 0 }).map(\.element) {
            let other = MemoryDisk(shown.allBytes)
            let byte = try other.bytes(at: offset + 511, count: 1)[0]
            try other.write([byte ^ 1], at: offset + 511)
            let what = try reason(undo, on: other, id: .zero)
            #expect(what.contains("of another disk, or of another time: of \(record.sampleCount) sectors"), "\(what)")
        }
        let small = MemoryDisk(Array(disk.allBytes.dropLast(4096)))
        #expect(try reason(undo, on: small, id: .zero).contains("of another disk, or of another time"))
    }

    /// As earlier versions made them.
    @Test func withoutRecord() throws {
        let file = MemoryFile(undo.contents, path: "undo")
        var header = try LogHeader(from: file)
        (header.creatorVersion, header.originalSize) = (0x0001_0000, 0)
        try file.write(header.sealed(), at: 0)
        file.resize(to: header.eolLocation)
        #expect(try reason(file, on: disk, id: GUID(8)) == "taken" && findings(file, GUID(8)).isEmpty)
        let plain = try makeLog([(0, [1], 0)])
        #expect(try findings(plain, id).isEmpty)
    }

    /// The record is not believed where any of its bytes changed, or where some are missing.
    @Test func damagedRecord() throws {
        let end = Int(try LogReader(undo).endOfLog)
        for place in [0, 8, 12, 16, 32, 64, 96, 2143, 2144, 4063, 4064, 4095] {
            let file = MemoryFile(undo.contents, path: "undo")
            let byte = try file.bytes(at: UInt64(end + place), count: 1)[0]
            try file.write([byte ^ 0x10], at: UInt64(end + place))
            #expect(try reason(file, on: disk, id: id).contains("its record of the disk is missing or damaged"))
            #expect(try findings(file, id) == [.hrlUndoRecord], "\(place)")
        }
        let cut = MemoryFile(Array(undo.allBytes.dropLast()), path: "undo")
        #expect(try findings(cut, id) == [.hrlUndoRecord])
    }

    /// The checksums of the format are sums, which do not see bytes that changed places.
    @Test func swappedSectors() throws {
        let reader = try LogReader(undo)
        var places: [UInt64] = []
        try reader.forEachWrite(verifyingData: false) { places.append($0.dataOffset) }
        let file = MemoryFile(undo.contents, path: "undo")
        let (a, b) = (try file.bytes(at: places[0], count: 512), try file.bytes(at: places[0] + 512, count: 512))
        #expect(a != b)
        try file.write(b, at: places[0])
        try file.write(a, at: places[0] + 512)
        #expect(try LogReader(file).validate().findings.map(\.detail.code) == [.hrlBytesPastEnd])
        // Where the disk shows the logs' bytes, they hide what was saved.
        let shown = MemoryDisk(disk.allBytes)
        _ = try effect.apply(to: shown)
        #expect(try reason(file, on: shown, id: id).contains("HRL049: ContentDigest is not that of the log's bytes"))
        #expect(try code(file, id) == .hrlUndoContents)
        #expect(try findings(file, id, accepting: [.hrlUndoContents]) == [.hrlUndoContents])
    }

    /// What a search for the blocks gives back of one that lost its end, whole and in part.
    @Test func recovered() throws {
        let limited = MemoryFile(path: "undo")
        let writes = (0..<300).map { (UInt64($0 * 2048), [UInt8]?.some([1]), UInt64(0)) }
        let many = try LogEffect(of: [try LogReader(try makeLog(writes, after: GUID(7), id: GUID(1)))])
        _ = try UndoLog.save(many, of: disk, into: limited, diskID: id, time: time)
        let end = Int(try LogReader(limited).endOfLog)
        for (byteCount, codes) in [
            (end + 4096, [.hrlUndoRecord]), (end - 1, [FormatError.Code.hrlUndoWhole, .hrlUndoRecord]),
        ] {
            let open = MemoryFile(Array(limited.allBytes[..<byteCount]), path: "undo")
            var header = try LogHeader(from: open)
            header.eolLocation = 0
            try open.write(header.sealed(), at: 0)
            let (found, copy) = (try recover(unclosed: open), MemoryFile(path: "copy"))
            try found.writeClosedCopy(of: try found.candidate(), to: copy, time: time)
            #expect(try findings(copy, id) == codes)
        }
    }

    @Test func failingReads() throws {
        for calls in 0..<40 {
            let failing = FailingFile(MemoryFile(undo.contents, path: "undo"), after: calls, failsReads: true)
            do throws(DiskError) {
                let place = try UndoLogPlace(of: failing, for: effect, on: disk, diskID: id)
                if failing.hasFailed { Issue.record("taken or refused in spite of a failure: \(place)") }
            } catch { #expect(error.kind == .io) }
        }
    }
}
