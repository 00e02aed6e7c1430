import ByteCodec
public import Cipher
public import DiskModel

/// Files of age's keys: one a line; empty lines and those that begin with `#` say nothing.
public enum AgeKeyFile {
    private static let byteLimit = 64 << 10

    /// - Throws: `.key` for a line that is no identity, or a file without one; `.io`.
    public static func identities(_ path: String) throws(DiskError) -> [Identity] {
        try keys(path, "identity", "AGE-SECRET-KEY-1…") { line in try? Identity(line) }
    }

    /// - Throws: `.key` for a line that is no recipient, or a file without one; `.io`.
    static func recipients(_ path: String) throws(DiskError) -> [Recipient] {
        try keys(path, "recipient", "age1…") { line in
            Recipient(String(decoding: [UInt8](copying: line), as: UTF8.self))
        }
    }

    private static func keys<Key>(
        _ path: String, _ noun: String, _ form: String, _ parse: (RawSpan) -> Key?
    ) throws(DiskError) -> [Key] {
        let contents = try SecretInput.contents(path, byteLimit: byteLimit)
        var result: [Key] = []
        for (index, range) in lines(contents.bytes).enumerated() {
            let line = contents.bytes.extracting(range)
            guard line.byteCount > 0, line.integer(at: 0, as: UInt8.self, .little) != UInt8(ascii: "#") else {
                continue
            }
            guard let key = parse(line) else {
                throw DiskError(.key, path: path, "line \(index + 1) is no \(noun)", hint: "one is written \(form)")
            }
            result.append(key)
        }
        guard !result.isEmpty else {
            throw DiskError(.key, path: path, "has no \(noun)", hint: "one is written \(form)")
        }
        return result
    }

    /// Without their ends, LF or CR LF.
    private static func lines(_ bytes: RawSpan) -> [Range<Int>] {
        var result: [Range<Int>] = []
        var start = 0
        func octet(_ place: Int) -> UInt8 { bytes.integer(at: place, as: UInt8.self, .little) }
        for end in 0...bytes.byteCount where end == bytes.byteCount || octet(end) == UInt8(ascii: "\n") {
            let hasReturn = end > start && octet(end - 1) == UInt8(ascii: "\r")
            result.append(start..<(hasReturn ? end - 1 : end))
            start = end + 1
        }
        return result
    }
}
