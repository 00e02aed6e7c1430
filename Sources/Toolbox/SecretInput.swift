import BlockIO
import ByteCodec
import Cipher
import DiskModel
import Glibc

/// Secrets from descriptors and files, straight into memory that is overwritten afterwards. None of these bytes is in any
/// message.
enum SecretInput {
    /// Bytes of a passphrase, at most: what a terminal takes on one line.
    static let longestPassphrase = 4095

    /// The first line without its end. It is read byte by byte: what follows is left for others.
    /// - Parameter name: of the input, for messages.
    /// - Throws: `.key` for an empty line or one that is too long; `.io`.
    static func passphrase(_ descriptor: CInt, name: String) throws(DiskError) -> SecretBytes {
        KeysInUse.note(descriptor)
        var count = 0
        let buffer: SecretBytes
        do throws(IOError) {
            buffer = try SecretBytes(byteCount: longestPassphrase + 1) { (bytes) throws(IOError) in
                count = try readLine(descriptor, name, &bytes)
            }
        } catch { throw DiskError(error, doing: "reading the passphrase") }
        guard count <= longestPassphrase else {
            throw DiskError(.key, path: name, "the passphrase is longer than \(longestPassphrase) bytes")
        }
        if count > 0, buffer.bytes.integer(at: count - 1, as: UInt8.self, .little) == UInt8(ascii: "\r") { count -= 1 }
        guard count > 0 else { throw DiskError(.key, path: name, "the passphrase is empty") }
        return SecretBytes(copying: buffer.bytes.extracting(0..<count))
    }

    /// - Returns: bytes before the line's end, or as many as there is room for.
    private static func readLine(
        _ descriptor: CInt, _ name: String, _ bytes: inout MutableRawSpan
    ) throws(IOError) -> Int {
        for count in 0..<bytes.byteCount {
            let got = try bytes.withPart(count..<count + 1) { (octet) throws(IOError) in
                try read(descriptor, name, &octet)
            }
            let isEnd = got == 0 || bytes.bytes.integer(at: count, as: UInt8.self, .little) == UInt8(ascii: "\n")
            if isEnd { return count }
        }
        return bytes.byteCount
    }

    /// All of a file or pipe.
    /// - Throws: `.key` for one that is longer than the limit; `.io`.
    static func contents(_ path: String, byteLimit: Int) throws(DiskError) -> SecretBytes {
        var count = 0
        let buffer: SecretBytes
        do throws(IOError) {
            buffer = try withOpenFile(path) { (descriptor) throws(IOError) in
                try SecretBytes(byteCount: byteLimit + 1) { (bytes) throws(IOError) in
                    count = try readAll(descriptor, path, &bytes)
                }
            }
        } catch { throw DiskError(error, doing: "reading a key") }
        guard count <= byteLimit else {
            throw DiskError(
                .key, path: path, "has more than \(byteLimit) bytes", hint: "give the file that holds the key")
        }
        return SecretBytes(copying: buffer.bytes.extracting(0..<count))
    }

    private static func readAll(
        _ descriptor: CInt, _ path: String, _ bytes: inout MutableRawSpan
    ) throws(IOError) -> Int {
        var done = 0
        while done < bytes.byteCount {
            let count = try bytes.withPart(done..<bytes.byteCount) { (rest) throws(IOError) in
                try read(descriptor, path, &rest)
            }
            guard count > 0 else { break }
            done += count
        }
        return done
    }

    /// A file, or a pipe with a name, such as a shell makes of `<(…)`.
    static func withOpenFile<Failure: Error, Result>(
        _ path: String, _ body: (CInt) throws(Failure) -> Result, failure: (IOError) -> Failure
    ) throws(Failure) -> Result {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        guard descriptor >= 0 else { throw failure(IOError("open", path: path, .errno(errno))) }
        defer { close(descriptor) }
        KeysInUse.note(descriptor)
        return try body(descriptor)
    }

    private static func withOpenFile<Result>(
        _ path: String, _ body: (CInt) throws(IOError) -> Result
    ) throws(IOError) -> Result {
        try withOpenFile(path, body) { $0 }
    }

    private static func read(
        _ descriptor: CInt, _ name: String, _ bytes: inout MutableRawSpan
    ) throws(IOError) -> Int {
        while true {
            let count = unsafe bytes.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 { return count }
            guard errno == EINTR else { throw IOError("read", path: name, .errno(errno)) }
        }
    }
}
