import Glibc

/// A call on a file that failed.
public struct IOError: Error, Hashable, Sendable {
    public enum Reason: Hashable, Sendable {
        case errno(CInt)
        /// A read went past the end of a file of so many bytes.
        case endOfFile(byteCount: UInt64)
        /// Somebody else holds the writer's lock.
        case locked
        /// The path leads to another file than the one that was opened, or to none.
        case replaced
        /// The file was opened for reading only, or refuses writes after a failed flush.
        case readOnly
        /// A pipe or a device where a file is wanted.
        case notRegular
        /// Bytes of a sealed file that are not those that were sealed.
        case notAuthentic
    }

    /// The system call or operation, such as `pread`.
    public var call: String
    public var path: String
    public var reason: Reason
    /// Byte offset in the file, where the call has one.
    public var offset: UInt64?

    public init(_ call: String, path: String, _ reason: Reason, offset: UInt64? = nil) {
        (self.call, self.path, self.reason, self.offset) = (call, path, reason, offset)
    }
}

extension IOError: CustomStringConvertible {
    /// What happened, without the path.
    public var explanation: String {
        let place = offset.map { " (offset 0x\(String($0, radix: 16)))" } ?? ""
        return switch reason {
        case .errno(let code): unsafe "\(call): \(String(cString: strerror(code)))\(place)"
        case .endOfFile(let count): "the file ends after \(count) bytes\(place)"
        case .locked: "in use by another writer"
        case .replaced: "was replaced meanwhile; run it again"
        case .readOnly: "not open for writing\(place)"
        case .notRegular: "is not a regular file"
        case .notAuthentic: "the bytes are not those that were sealed\(place)"
        }
    }
    public var description: String { "\(path): \(explanation)" }
}
