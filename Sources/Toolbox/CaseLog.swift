import BlockIO
import ByteCodec
import Digest
import DiskModel
import Glibc

/// A forensic record of runs: one JSON line each, holding the SHA-256 of the line before, so that a changed or missing
/// line shows. Opened before the work of a run, which must not end unrecorded; written to at its end.
final class CaseLog {
    struct Entry {
        var tool: String
        var arguments: [String]
        var started: Int64
        var ended: Int64
        var inputs: [JSONValue]
        var outputs: [JSONValue]
        var exit: Int32
    }

    let path: String
    private let descriptor: CInt
    /// Where the record of this run begins, and the line before; nil until `append`.
    private var place: (offset: UInt64, previous: [UInt8]?)?

    /// Opens a file in which the run may be recorded: it is absent, empty, or ends in a record.
    /// - Throws: `.refused` for any other file; `.io` where it cannot be written to.
    init(_ path: String) throws(DiskError) {
        try diskErrors(path, "opening the case log") {
            do { _ = try Self.lastLine(try PosixFile(path)) } catch let error as IOError
                where error.reason == .errno(ENOENT)
            {}
        }
        // O_APPEND under a lock: two runs at once must not take the same predecessor.
        let number = unsafe open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard number >= 0 else {
            throw DiskError(IOError("open", path: path, .errno(errno)), doing: "opening the case log")
        }
        (self.path, descriptor) = (path, number)
    }

    /// Gives the lock back as well.
    deinit { close(descriptor) }

    /// Records a run, under a lock that stays until this value goes.
    func append(_ entry: Entry) throws(DiskError) {
        try diskErrors(path) {
            guard flock(descriptor, LOCK_EX) == 0 else { throw IOError("flock", path: path, .errno(errno)) }
            let file = try PosixFile(path)
            try refuseFiles(of: entry, file)
            let previous = try Self.lastLine(file)
            place = (try file.byteCount(), previous)
            try write(entry, after: previous)
        }
    }

    /// Puts another record in the place of the one just written: the run took another end.
    func replace(with entry: Entry) throws(DiskError) {
        guard let place else { return }
        try diskErrors(path) {
            guard ftruncate(descriptor, off_t(place.offset)) == 0 else {
                throw IOError("ftruncate", path: path, .errno(errno))
            }
            try write(entry, after: place.previous)
        }
    }

    /// The file must still be the one that was opened, and none that the run read or made.
    private func refuseFiles(of entry: Entry, _ file: PosixFile) throws {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, UInt64(status.st_ino) == file.identity.inode,
            UInt64(status.st_dev) == file.identity.device
        else {
            throw DiskError(
                .refused, path: path, "was removed or replaced during the run", hint: "the run is not recorded")
        }
        for case .string(let used)? in (entry.inputs + entry.outputs).map({ $0["path"] })
        where (try? PosixFile(used))?.identity == file.identity {
            throw DiskError(.refused, path: path, "is a file of this run", hint: "choose another case log")
        }
    }

    private func write(_ entry: Entry, after previous: [UInt8]?) throws(IOError) {
        var line: [UInt8] = []
        let sum = previous.map { Digest.hash(.sha256, $0.rawBytes).hexadecimal }
        Self.document(entry, previous: sum).write(to: &line)
        line.append(Self.newline)
        let written = unsafe line.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
        guard written == line.count, fsync(descriptor) == 0 else {
            throw IOError("write", path: path, .errno(written < 0 ? errno : ENOSPC))
        }
    }

    /// How much of the end is read to find the last line: mostly the first is enough, and no record is longer than the
    /// second.
    private static let tailLimits: [UInt64] = [1 << 16, 1 << 24]
    private static let firstBytes = Array(#"{"tool":"#.utf8)

    /// The bytes of the last line without its end; nil for an empty log.
    /// - Throws: `DiskError` when that line is no record.
    private static func lastLine(_ file: PosixFile) throws -> [UInt8]? {
        let end = try file.byteCount()
        guard end > 0 else { return nil }
        if end > firstBytes.count, try file.bytes(at: 0, count: firstBytes.count) == firstBytes {
            for limit in tailLimits {
                let start = end - min(end, limit)
                let tail = try file.bytes(at: start, count: Int(end - start))
                let body = tail.dropLast()
                let lineStart = body.lastIndex(of: newline).map { $0 + 1 } ?? (start == 0 ? 0 : nil)
                guard tail.last == newline, let lineStart else { continue }
                let line = Array(body[lineStart...])
                if isRecord(line) { return line }
                break
            }
        }
        throw DiskError(.refused, path: file.path, "is not a case log", hint: "name a new file or a case log")
    }

    private static let newline = UInt8(ascii: "\n")

    private static func isRecord(_ line: [UInt8]) -> Bool {
        guard line.starts(with: firstBytes), line.last == UInt8(ascii: "}") else { return false }
        return String(decoding: line, as: UTF8.self).contains(#","previous_sha256":"#)
    }

    private static func document(_ entry: Entry, previous: String?) -> JSONValue {
        [
            "tool": .string(entry.tool), "tool_version": .string(toolVersion),
            "arguments": .array(entry.arguments.map(JSONValue.string)),
            "user": .string(userName()), "host": .string(hostName()),
            "start": .string(rfc3339(unixSeconds: entry.started)), "end": .string(rfc3339(unixSeconds: entry.ended)),
            "inputs": .array(entry.inputs.map(withModificationTime)),
            "outputs": .array(entry.outputs.map(withModificationTime)), "exit": .integer(Int64(entry.exit)),
            "previous_sha256": .optional(previous),
        ]
    }

    private static func withModificationTime(_ entry: JSONValue) -> JSONValue {
        guard case .object(let members) = entry, case .string(let path)? = entry["path"] else { return entry }
        var status = stat()
        let found = unsafe stat(path, &status) == 0
        return .object(
            members + [
                .init("mtime", found ? .string(rfc3339(unixSeconds: Int64(status.st_mtim.tv_sec))) : .null)
            ])
    }

    private static func userName() -> String {
        guard let record = unsafe getpwuid(getuid()) else { return "\(getuid())" }
        return unsafe String(cString: record.pointee.pw_name)
    }

    private static func hostName() -> String {
        var name = [CChar](repeating: 0, count: 256)
        guard unsafe gethostname(&name, 255) == 0 else { return "" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
