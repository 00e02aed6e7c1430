public import BlockIO
import Glibc

/// The folder in which a tracked disk's logs stand. Names count as durable after `sync`.
public protocol TrackedFolder: AnyObject, Sendable {
    /// For messages.
    var path: String { get }
    func names() throws(IOError) -> [String]
    /// A file that is there, alone: nobody else may be writing it.
    /// - Throws: `.locked` when somebody is.
    func open(_ name: String) throws(IOError) -> any BlockFile
    /// A new file, for writing alone.
    /// - Throws: EEXIST when there is one.
    func create(_ name: String) throws(IOError) -> any BlockFile
    /// Gives a file another name, which must be free.
    func rename(_ name: String, to newName: String) throws(IOError)
    func remove(_ name: String) throws(IOError)
    /// Makes a small file, or replaces it, at once and durably.
    func replace(_ name: String, with bytes: [UInt8]) throws(IOError)
    /// Returns when all names are durable.
    func sync() throws(IOError)
    /// Bytes of the medium that a file takes up.
    func occupiedByteCount(of name: String) throws(IOError) -> UInt64
}

/// A folder of the host.
public final class HostFolder: TrackedFolder {
    /// More names than this are not read.
    private static let maximumNameCount = 1_000_000
    public let path: String

    public init(_ path: String) { self.path = path }

    private func place(_ name: String) -> String { path == "/" ? "/\(name)" : "\(path)/\(name)" }

    public func names() throws(IOError) -> [String] {
        guard let stream = unsafe opendir(path) else { throw IOError("opendir", path: path, .errno(errno)) }
        defer { unsafe closedir(stream) }
        var result: [String] = []
        while let entry = unsafe readdir(stream) {
            guard result.count < Self.maximumNameCount else { throw IOError("readdir", path: path, .errno(EFBIG)) }
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            result.append(name)
        }
        return result
    }

    public func open(_ name: String) throws(IOError) -> any BlockFile { try PosixFile(place(name), .write) }

    public func create(_ name: String) throws(IOError) -> any BlockFile { try PosixFile(place(name), .create) }

    public func rename(_ name: String, to newName: String) throws(IOError) {
        try renameFile(place(name), to: place(newName))
    }

    public func remove(_ name: String) throws(IOError) {
        guard unsafe unlink(place(name)) == 0 else { throw IOError("unlink", path: place(name), .errno(errno)) }
    }

    public func replace(_ name: String, with bytes: [UInt8]) throws(IOError) {
        try replaceFile(place(name), with: bytes)
    }

    public func sync() throws(IOError) { try syncFolder(path) }

    public func occupiedByteCount(of name: String) throws(IOError) -> UInt64 {
        var status = stat()
        guard unsafe stat(place(name), &status) == 0 else {
            throw IOError("stat", path: place(name), .errno(errno))
        }
        return UInt64(status.st_blocks) * 512
    }
}
