import BlockIO
import ByteCodec
import Digest
import Glibc

/// A forensic record of runs: one JSON line each, holding the SHA-256 of the line before, so that a changed or missing
/// line shows.
enum CaseLog {
    struct Entry {
        var tool: String
        var arguments: [String]
        var started: Int64
        var ended: Int64
        var inputs: [JSONValue]
        var outputs: [JSONValue]
        var exit: Int32
    }

    static func append(_ entry: Entry, to path: String) throws(IOError) {
        // O_APPEND under a lock: two runs at once must not take the same predecessor.
        let number = unsafe open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard number >= 0 else { throw IOError("open", path: path, .errno(errno)) }
        defer { close(number) }
        guard flock(number, LOCK_EX) == 0 else { throw IOError("flock", path: path, .errno(errno)) }
        let previous = try lastLine(path)
        var line: [UInt8] = []
        document(entry, previous: previous.map { Digest.hash(.sha256, $0.rawBytes).hexadecimal }).write(to: &line)
        line.append(UInt8(ascii: "\n"))
        let written = unsafe line.withUnsafeBytes { unsafe write(number, $0.baseAddress, $0.count) }
        guard written == line.count, fsync(number) == 0 else { throw IOError("write", path: path, .errno(errno)) }
    }

    /// The bytes of the last line without its end; nil for an empty log. Lines are read from the end, in bounded steps.
    private static func lastLine(_ path: String) throws(IOError) -> [UInt8]? {
        let file = try PosixFile(path)
        var end = try file.byteCount()
        var tail: [UInt8] = []
        while end > 0, tail.count < 1 << 24 {
            let count = min(end, 65536)
            tail = try file.bytes(at: end - count, count: Int(count)) + tail
            end -= count
            let body = tail.last == UInt8(ascii: "\n") ? tail.dropLast() : tail[...]
            if let newline = body.lastIndex(of: UInt8(ascii: "\n")) { return Array(body[(newline + 1)...]) }
            if end == 0 { return Array(body) }
        }
        return nil
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
