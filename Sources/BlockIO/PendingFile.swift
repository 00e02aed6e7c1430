import CPlatform
import Glibc

/// An output in the making: written under a temporary name beside its place, and whole or absent. Order: create, write,
/// `commit` = flush file, rename, flush directory. Dropped without `commit`, it is removed; a kill can leave only the
/// temporary file `.NAME.XXXXXX.tmp`.
public final class PendingFile {
    public let file: PosixFile
    public let finalPath: String
    private let temporaryPath: String
    private let replaces: Bool
    private var isOpen = true

    /// - Parameter replaces: whether an existing file at `path` may be replaced.
    /// - Throws: `IOError` with EEXIST when the path exists and may not be replaced.
    public init(_ path: String, replaces: Bool) throws(IOError) {
        if !replaces, unsafe access(path, F_OK) == 0 { throw IOError("create", path: path, .errno(EEXIST)) }
        let (folder, name) = splitPath(path)
        var attempt = 0
        while true {
            let tag = String(UInt32.random(in: 0 ... .max), radix: 36)
            let candidate = "\(folder)/.\(name).\(tag).tmp"
            do {
                // Outputs get the permissions any new file gets.
                file = try PosixFile(candidate, .create, permissions: 0o666)
                temporaryPath = candidate
                break
            } catch {
                attempt += 1
                guard error.reason == .errno(EEXIST), attempt < 100 else {
                    throw IOError("create", path: path, error.reason)
                }
            }
        }
        finalPath = path
        self.replaces = replaces
    }

    /// Makes the output durable under its name.
    public func commit() throws(IOError) {
        try file.sync()
        if replaces {
            guard unsafe rename(temporaryPath, finalPath) == 0 else {
                throw IOError("rename", path: finalPath, .errno(errno))
            }
        } else {
            let result = unsafe vt_rename_new(temporaryPath, finalPath)
            guard result == 0 else { throw IOError("rename", path: finalPath, .errno(-result)) }
        }
        isOpen = false
        try syncFolder(of: finalPath)
    }

    /// Removes the temporary file; harmless after `commit`.
    public func discard() {
        guard isOpen else { return }
        isOpen = false
        _ = unsafe unlink(temporaryPath)
    }

    deinit { discard() }
}

/// Folder and last component of a path; the folder of a bare name is `.`.
public func splitPath(_ path: String) -> (folder: String, name: String) {
    guard let slash = path.lastIndex(of: "/") else { return (".", path) }
    let folder = path[..<slash]
    return (folder.isEmpty ? "/" : String(folder), String(path[path.index(after: slash)...]))
}

/// Makes the names in the folder that holds `path` durable.
public func syncFolder(of path: String) throws(IOError) { try syncFolder(splitPath(path).folder) }

/// Makes the names in a folder durable.
public func syncFolder(_ folder: String) throws(IOError) {
    let number = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard number >= 0 else { throw IOError("open", path: folder, .errno(errno)) }
    defer { close(number) }
    // EINVAL: a file system whose folders cannot be flushed keeps its names by other means.
    guard fsync(number) == 0 || errno == EINVAL else { throw IOError("fsync", path: folder, .errno(errno)) }
}

/// Replaces a small file atomically and durably.
public func replaceFile(_ path: String, with bytes: [UInt8]) throws(IOError) {
    let pending = try PendingFile(path, replaces: true)
    try pending.file.write(bytes, at: 0)
    try pending.commit()
}
