import BlockIO
import ByteCodec
import DiskModel
import Glibc

/// Names in folders.
enum Folders {
    /// Names in a folder, sorted; empty when it is not there.
    static func names(_ folder: String) throws(DiskError) -> [String] {
        guard let stream = unsafe opendir(folder) else {
            if errno == ENOENT || errno == ENOTDIR { return [] }
            throw DiskError(IOError("opendir", path: folder, .errno(errno)))
        }
        defer { unsafe closedir(stream) }
        var result: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            if name != ".", name != ".." { result.append(name) }
        }
        return result.sorted()
    }

    /// Makes a folder, unless it is there; its name is durable in the folder above.
    static func make(_ folder: String, mode: mode_t = 0o777) throws(DiskError) {
        guard unsafe mkdir(folder, mode) != 0 else {
            do { try syncFolder(of: folder) } catch { throw DiskError(error) }
            return
        }
        guard errno == EEXIST, isFolder(folder) else {
            throw DiskError(IOError("mkdir", path: folder, .errno(errno)))
        }
    }

    /// Makes a folder that only its owner may enter, and those above it: copies of disks are as private as the disks.
    static func makePrivate(_ folder: String) throws(DiskError) {
        try makeAbove(folder)
        try make(folder, mode: 0o700)
    }

    private static func makeAbove(_ folder: String) throws(DiskError) {
        let above = splitPath(folder).folder
        guard above != folder, above != ".", !isFolder(above) else { return }
        try makeAbove(above)
        try make(above)
    }

    static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Whether there is anything of that name, a dangling link included.
    static func exists(_ path: String) -> Bool {
        var status = stat()
        return unsafe lstat(path, &status) == 0
    }

    /// Removes a file; none is as good.
    static func remove(_ path: String) throws(DiskError) {
        guard unsafe unlink(path) != 0, errno != ENOENT else { return }
        throw DiskError(IOError("unlink", path: path, .errno(errno)))
    }

    /// Removes a folder if it is empty.
    static func removeEmpty(_ folder: String) { _ = unsafe rmdir(folder) }

    /// Bytes that a file occupies.
    static func occupiedBytes(_ path: String) throws(DiskError) -> UInt64 {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { throw DiskError(IOError("stat", path: path, .errno(errno))) }
        return UInt64(clamping: status.st_blocks) * 512
    }

    /// The path from the root, links as they are.
    static func absolute(_ path: String) -> String {
        var parts: [Substring] = []
        let whole = path.hasPrefix("/") ? path : "\(currentFolder())/\(path)"
        for part in whole.split(separator: "/") where part != "." {
            // A link before `..` leads elsewhere: leave such a path as it is.
            if part == "..", let last = parts.last, last != "..", !isLink("/" + parts.joined(separator: "/")) {
                parts.removeLast()
            } else {
                parts.append(part)
            }
        }
        return "/" + parts.joined(separator: "/")
    }

    static func isLink(_ path: String) -> Bool {
        var status = stat()
        return unsafe lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
    }

    /// Whether a path is the name of an open file, and not that of a link to it.
    static func isItself(_ path: String, _ file: PosixFile) -> Bool {
        var status = stat()
        guard unsafe lstat(path, &status) == 0, let opened = try? file.status() else { return false }
        return status.st_dev == opened.st_dev && status.st_ino == opened.st_ino
    }

    private static func currentFolder() -> String {
        guard let path = unsafe getcwd(nil, 0) else { return "/" }
        defer { unsafe free(path) }
        return unsafe String(cString: path)
    }

    /// The lowest folder of a path that is there.
    static func nearestExisting(_ path: String) -> String {
        var path = path
        while !isFolder(path), path != "/" { path = splitPath(path).folder }
        return path
    }

    /// Bytes that a user may still write to the volume of a folder.
    static func freeBytes(_ folder: String) throws(DiskError) -> UInt64 {
        var status = statvfs()
        guard unsafe statvfs(folder, &status) == 0 else {
            throw DiskError(IOError("statvfs", path: folder, .errno(errno)))
        }
        return UInt64(status.f_bavail).multiplied(by: UInt64(status.f_frsize)) ?? .max
    }

    static func isWritable(_ folder: String) -> Bool { unsafe access(folder, W_OK | X_OK) == 0 }
}
