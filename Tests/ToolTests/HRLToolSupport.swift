import BlockIO
import ByteCodec
import DiskModel
import Foundation
import HRL
import ImageChain
import ToolTesting
import VHDX

/// Logs and images for the tests of the log tools.
enum HRLSample {
    static let first = GUID(1, 1, 1, 1)
    static let second = GUID(2, 2, 2, 2)
    static let third = GUID(3, 3, 3, 3)
    static let time: UInt32 = 800_000_000
    static let diskByteCount: UInt64 = 8 << 20

    struct Write {
        var offset: UInt64
        var value: UInt8
        var count: Int
        var second: UInt32 = 0
    }

    /// What most tests use: four writes, the third over part of the second.
    static let writes = [
        Write(offset: 0, value: 0x11, count: 4096), Write(offset: 1 << 20, value: 0x22, count: 65536, second: 1),
        Write(offset: (1 << 20) + 512, value: 0x33, count: 512, second: 2),
        Write(offset: (8 << 20) - 512, value: 0x44, count: 512, second: 3),
    ]
    /// Where the data of those writes begins, and the block that describes them.
    static let dataOffset: UInt64 = 8192
    static let blockOffset: UInt64 = 8192 + 4096 + 65536 + 512 + 512

    /// A log's bytes.
    static func log(
        _ writes: [Write] = writes, id: GUID = first, after previous: GUID = .zero, checksums: Bool = false,
        isClosed: Bool = true
    ) throws -> [UInt8] {
        let file = MemoryFile()
        var options = LogWriter.Options()
        (options.uniqueID, options.previousUniqueID) = (id, previous)
        options.created = DiskTimestamp(rawValue: time)
        options.computesDataChecksums = checksums
        let writer = try LogWriter.create(on: file, options)
        for write in writes {
            try writer.append(
                [UInt8](repeating: write.value, count: write.count), at: write.offset,
                time: DiskTimestamp(rawValue: time + write.second))
        }
        if isClosed { try writer.close(at: DiskTimestamp(rawValue: time + 10)) } else { try writer.flush() }
        return file.allBytes
    }

    /// What the writes make of a disk.
    static func apply(_ writes: [Write], to disk: inout [UInt8]) {
        for write in writes {
            disk.replaceSubrange(
                Int(write.offset)..<Int(write.offset) + write.count,
                with: [UInt8](repeating: write.value, count: write.count))
        }
    }

    static func makeDisk(_ path: String, byteCount: UInt64 = diskByteCount) throws {
        try VHDXCreator.create(
            on: try PosixFile(path, .create), type: .dynamic, virtualByteCount: byteCount, blockByteCount: 1 << 20)
    }

    static func contents(_ path: String) throws -> [UInt8] {
        let chain = try ImageChain.open(path)
        return try chain.bytes(at: 0, count: Int(chain.geometry.virtualByteCount))
    }
}

/// One broken rule: how to break it in the sample log, and what must be said.
struct HRLDamage: Sendable, CustomStringConvertible {
    var code: String
    var field: String
    /// Exit status of hrl-dump and of hrl-check; hrl-apply always gives 2.
    var dump: Int32
    var check: Int32
    var breaks: @Sendable (inout [UInt8]) throws -> Void
    var description: String { "\(code) \(field)" }

    init(
        _ code: String, _ field: String, dump: Int32, check: Int32,
        _ breaks: @escaping @Sendable (inout [UInt8]) throws -> Void
    ) {
        (self.code, self.field, self.dump, self.check, self.breaks) = (code, field, dump, check, breaks)
    }

    /// Changes the file header and puts its checksum right.
    static func header(_ log: inout [UInt8], _ change: (inout LogHeader) -> Void) throws {
        var header = try LogHeader(parsing: log.rawBytes.extracting(0..<LogHeader.byteCount))
        change(&header)
        log.replaceSubrange(0..<LogHeader.byteCount, with: header.sealed())
    }

    static func block(_ log: inout [UInt8], _ change: (inout MetadataHeader) -> Void) throws {
        let start = Int(HRLSample.blockOffset)
        var header = try MetadataHeader(parsing: log.rawBytes.extracting(start..<start + MetadataHeader.byteCount))
        change(&header)
        log.replaceSubrange(start..<start + MetadataHeader.byteCount, with: header.sealed())
    }

    static func entry(_ log: inout [UInt8], _ slot: Int, _ change: (inout MetadataEntry) -> Void) throws {
        let start = Int(HRLSample.blockOffset) + MetadataHeader.byteCount + slot * MetadataEntry.byteCount
        var entry = try MetadataEntry(parsing: log.rawBytes.extracting(start..<start + MetadataEntry.byteCount))
        change(&entry)
        log.replaceSubrange(start..<start + MetadataEntry.byteCount, with: entry.sealed())
    }

    static let all: [HRLDamage] = [
        .init("HRL040", "file", dump: 2, check: 2) { $0 = Array($0.prefix(4095)) },
        .init("HRL001", "Cookie", dump: 2, check: 2) { $0[0] = 0x4d },
        .init("HRL041", "LogFormatVersion", dump: 2, check: 2) { log in
            try header(&log) { $0.logFormatVersion = 0x0000_0200 }
        },
        .init("HRL002", "LogFormatVersion", dump: 2, check: 2) { log in
            try header(&log) { $0.logFormatVersion = 0x0003_0000 }
        },
        .init("HRL003", "Checksum", dump: 2, check: 1) { $0[40] ^= 1 },
        .init("HRL005", "EOLLocation", dump: 2, check: 1) { log in try header(&log) { $0.eolLocation += 4096 } },
        .init("HRL005", "EOLLocation", dump: 2, check: 1) { log in try header(&log) { $0.eolLocation = 5000 } },
        .init("HRL007", "MetadataSize", dump: 2, check: 1) { log in try header(&log) { $0.metadataSize = 0 } },
        .init("HRL007", "MetadataSize", dump: 2, check: 1) { log in try header(&log) { $0.metadataSize = 1 << 30 } },
        .init("HRL007", "MetadataSize", dump: 2, check: 1) { log in try header(&log) { $0.metadataSize = 4100 } },
        .init("HRL024", "UniqueId", dump: 2, check: 1) { log in try header(&log) { $0.uniqueID = .zero } },
        .init("HRL011", "PreviousMetadataLocation", dump: 1, check: 1) { log in
            try block(&log) { $0.previousMetadataLocation = 512 }
        },
        .init("HRL011", "PreviousMetadataLocation", dump: 1, check: 1) { log in
            try block(&log) { $0.previousMetadataLocation = HRLSample.blockOffset }
        },
        .init("HRL012", "Checksum", dump: 1, check: 1) { $0[Int(HRLSample.blockOffset) + 12] ^= 1 },
        .init("HRL013", "ValidMetadataEntries", dump: 1, check: 1) { log in
            try block(&log) { $0.validMetadataEntries = 128 }
        },
        .init("HRL015", "Checksum of write 2", dump: 1, check: 1) { $0[Int(HRLSample.blockOffset) + 64 + 8] ^= 1 },
        .init("HRL015", "MetaOperation of write 2", dump: 1, check: 1) { log in
            try entry(&log, 1) { $0.metaOperation = 2 }
        },
        .init("HRL015", "DataLength of write 4", dump: 1, check: 1) { log in try entry(&log, 3) { $0.dataLength = 0 } },
        .init("HRL016", "DataChecksum of write 2", dump: 1, check: 1) { $0[Int(HRLSample.dataOffset) + 5000] ^= 1 },
        .init("HRL017", "DataLength of write 4", dump: 1, check: 1) { log in
            try entry(&log, 3) { $0.dataLength = 1024 }
        },
        .init("HRL019", "ByteOffset of write 1", dump: 1, check: 1) { log in
            try entry(&log, 0) { $0.byteOffset = .max - 511 }
        },
        .init("HRL042", "ByteOffset of write 1", dump: 1, check: 1) { log in
            let start = Int(HRLSample.blockOffset) + 32
            log.replaceSubrange(start..<start + 32, with: [UInt8](repeating: 0, count: 32))
        },
        .init("HRL043", "DataLength of write 1", dump: 1, check: 1) { log in
            try entry(&log, 0) { $0.dataLength = (1 << 31) + 512 }
        },
    ]

    func brokenLog() throws -> [UInt8] {
        var log = try HRLSample.log(checksums: true)
        try breaks(&log)
        return log
    }
}

/// A tool that is still running, with its output in files.
final class RunningTool {
    private let process = Process()
    private let scratch: Scratch

    init(_ name: String, _ arguments: [String], folder: String) throws {
        scratch = try Scratch()
        process.executableURL = URL(fileURLWithPath: toolPath(name))
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        for file in ["out", "err"] { _ = try scratch.write(file, []) }
        let handles = ["out", "err"].map { FileHandle(forWritingAtPath: scratch.path($0)) }
        (process.standardOutput, process.standardError) = (handles[0], handles[1])
        process.standardInput = FileHandle.nullDevice
        try process.run()
        // Foundation keeps them open otherwise, and starts no program with more than a thousand descriptors.
        for handle in handles { try handle?.close() }
    }

    deinit { if process.isRunning { send(SIGKILL) } }

    var output: String { (try? String(contentsOfFile: scratch.path("out"), encoding: .utf8)) ?? "" }
    var error: String { (try? String(contentsOfFile: scratch.path("err"), encoding: .utf8)) ?? "" }
    var processID: Int32 { process.processIdentifier }
    var isRunning: Bool { process.isRunning }
    /// Bytes it has given to the system to write, as far as that is known.
    var writtenByteCount: UInt64 {
        let counters = try? String(contentsOfFile: "/proc/\(process.processIdentifier)/io", encoding: .utf8)
        let line = counters?.split(separator: "\n").first { $0.hasPrefix("wchar: ") }
        return line.flatMap { UInt64($0.dropFirst(7)) } ?? 0
    }
    func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

    /// Waits until something holds, at most 20 seconds.
    func wait(until holds: () -> Bool) -> Bool {
        for _ in 0..<2000 {
            if holds() { return true }
            usleep(10_000)
        }
        return holds()
    }

    /// Waits for the end; the exit code, or 128 + signal.
    func end() -> Int32? {
        guard wait(until: { !self.process.isRunning }) else { return nil }
        return process.terminationReason == .uncaughtSignal
            ? 128 + process.terminationStatus : process.terminationStatus
    }
}

/// Lines of JSON as dictionaries.
func jsonLines(_ text: String) throws -> [[String: Any]] {
    try text.split(separator: "\n").map { line in
        guard let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] else {
            throw ProgramFailure(description: "no JSON object: \(line)")
        }
        return object
    }
}
