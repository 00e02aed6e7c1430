import CPlatform
public import Glibc

/// An output in the making: whole or absent. Order: create, write, `commit` = flush file, give it its name, flush folder.
///
/// Where the file system has files without a name, it is one of these until `commit`, so that nothing is left however the
/// process ends. Elsewhere it has the name `.NAME.XXXX.tmp` beside its place, which a kill leaves behind.
///
/// Only a regular file is ever replaced, under the writer's lock, and its permissions and owner stay.
public final class PendingFile {
    public let file: PosixFile
    public let finalPath: String
    /// Its name until `commit`; nil while it has none.
    private var temporaryPath: String?
    private let replaces: Bool
    private var isOpen = true
    /// The file that will be replaced, held under the lock until then: nobody else may be writing it.
    private var replaced: PosixFile?

    /// - Parameters:
    ///   - replaces: whether an existing file at `path` may be replaced.
    ///   - permissions: of a new file, less the process's umask; those that any new file gets, unless it is a secret.
    /// - Throws: `IOError` with EEXIST when the path exists and may not be replaced; `.notRegular` for what is no file;
    ///   `.locked` when somebody is writing the file to be replaced.
    public convenience init(_ path: String, replaces: Bool, permissions: mode_t = 0o666) throws(IOError) {
        try self.init(path, replaces: replaces, permissions: permissions, needsName: false)
    }

    init(_ path: String, replaces: Bool, permissions wanted: mode_t = 0o666, needsName: Bool) throws(IOError) {
        (finalPath, self.replaces) = (path, replaces)
        let there: stat?
        (there, replaced) = try Self.fileInPlace(path, replaces: replaces)
        // In place of another file, nobody sees more than before.
        let permissions = there == nil ? wanted : 0o600
        let folder = splitPath(path).folder
        if !needsName, let unnamed = try? PosixFile(unnamedIn: folder, for: path, permissions: permissions) {
            file = unnamed
            if let there { keepOwner(of: there) }
            return
        }
        var attempt = 0
        while true {
            let candidate = Self.temporaryPath(beside: path)
            do {
                file = try PosixFile(candidate, .create, permissions: permissions)
                temporaryPath = candidate
                break
            } catch {
                attempt += 1
                guard error.reason == .errno(EEXIST), attempt < 100 else {
                    throw IOError("create", path: path, error.reason)
                }
            }
        }
        if let there { keepOwner(of: there) }
    }

    /// Refuses what making the output would be refused for, and makes nothing.
    /// - Throws: as `init`; what a folder that takes no files says.
    public static func check(_ path: String, replaces: Bool) throws(IOError) {
        _ = try fileInPlace(path, replaces: replaces)
        guard unsafe access(splitPath(path).folder, W_OK | X_OK) == 0 else {
            throw IOError("create", path: path, .errno(errno))
        }
    }

    /// What stands in the output's place, and that file under the writer's lock.
    private static func fileInPlace(
        _ path: String, replaces: Bool
    ) throws(IOError) -> (status: stat?, locked: PosixFile?) {
        let there = try regularFile(at: path)
        if !replaces, isTaken(path) { throw IOError("create", path: path, .errno(EEXIST)) }
        return (there, there == nil ? nil : try locked(path))
    }

    /// Whether something has the name; also a symbolic link to nothing.
    private static func isTaken(_ path: String) -> Bool {
        var status = stat()
        return unsafe lstat(path, &status) == 0
    }

    /// What stands at a path; nil when nothing does.
    private static func regularFile(at path: String) throws(IOError) -> stat? {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        guard status.st_mode & S_IFMT == S_IFREG else { throw IOError("create", path: path, .notRegular) }
        return status
    }

    /// The file to be replaced, locked; nil where it cannot be opened for writing, and so nobody writes it as we would.
    private static func locked(_ path: String) throws(IOError) -> PosixFile? {
        do { return try PosixFile(path, .write) } catch {
            guard error.reason != .locked, error.reason != .replaced else { throw error }
            return nil
        }
    }

    private func keepOwner(of status: stat) {
        file.withDescriptor {
            _ = fchown($0, status.st_uid, status.st_gid)
            _ = fchmod($0, status.st_mode & 0o777)
        }
    }

    private static func temporaryPath(beside path: String) -> String {
        let (folder, name) = splitPath(path)
        return "\(folder)/.\(name).\(String(UInt32.random(in: 0 ... .max), radix: 36)).tmp"
    }

    /// Makes the output durable under its name.
    public func commit() throws(IOError) {
        guard isOpen else { throw IOError("rename", path: finalPath, .errno(ENOENT)) }
        try file.sync()
        if let temporaryPath {
            try rename(from: temporaryPath)
        } else if replaces {
            let temporaryPath = Self.temporaryPath(beside: finalPath)
            try file.giveName(temporaryPath)
            self.temporaryPath = temporaryPath
            try rename(from: temporaryPath)
        } else {
            do { try file.giveName(finalPath) } catch { throw IOError("create", path: finalPath, error.reason) }
        }
        isOpen = false
        replaced = nil
        try syncFolder(of: finalPath)
    }

    private func rename(from temporaryPath: String) throws(IOError) {
        let result =
            unsafe replaces
            ? (Glibc.rename(temporaryPath, finalPath) == 0 ? 0 : -errno) : vt_rename_new(temporaryPath, finalPath)
        guard result == 0 else { throw IOError("rename", path: finalPath, .errno(-result)) }
    }

    /// Removes what was written; harmless after `commit`.
    public func discard() {
        guard isOpen else { return }
        isOpen = false
        if let temporaryPath { _ = unsafe unlink(temporaryPath) }
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
