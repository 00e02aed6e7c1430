public import BlockIO
public import DiskModel
import Glibc

/// Where the undo file of an image stands.
public enum UndoPlace {
    private static let attemptLimit = 1000

    /// Makes an undo file, empty and durable under its name. An empty one, left by a repair that was killed before it
    /// saved anything, does not count as taken.
    /// - Parameters:
    ///   - path: its path; nil: `IMAGE.undo`, or where that is taken `IMAGE.undo-2` and so on.
    ///   - image: the image's path.
    /// - Throws: `IOError`, with EEXIST for a path that is taken.
    public static func make(_ path: String?, for image: String) throws(IOError) -> PosixFile {
        let file = if let path { try claim(path) } else { try fresh(image) }
        do throws(IOError) { try syncFolder(of: file.path) } catch {
            remove(file)
            throw error
        }
        return file
    }

    /// Whether something stands at a path that an undo file may not take the place of.
    public static func isTaken(_ path: String) -> Bool {
        var status = stat()
        return unsafe lstat(path, &status) == 0 && emptyFile(path) == nil
    }

    /// Removes an undo file that nothing needs, unless another file has its name by now.
    public static func remove(_ file: PosixFile) {
        var status = stat()
        guard unsafe lstat(file.path, &status) == 0, isStatus(status, of: file) else { return }
        _ = unsafe unlink(file.path)
    }

    private static func claim(_ path: String) throws(IOError) -> PosixFile {
        do throws(IOError) { return try PosixFile(path, .create) } catch {
            guard error.reason == .errno(EEXIST), let empty = emptyFile(path) else { throw error }
            return empty
        }
    }

    /// The file at a path, locked, if it is like one that was just made: empty, under no other name, and nobody else's to
    /// read. It is looked at again under the lock: its maker may have written to it or removed it until then.
    private static func emptyFile(_ path: String) -> PosixFile? {
        guard emptyStatus(path) != nil, let file = try? PosixFile(path, .write), let status = emptyStatus(path),
            isStatus(status, of: file)
        else { return nil }
        return file
    }

    private static func emptyStatus(_ path: String) -> stat? {
        var status = stat()
        guard unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size == 0,
            status.st_nlink == 1, status.st_uid == geteuid(), status.st_mode & 0o077 == 0
        else { return nil }
        return status
    }

    private static func isStatus(_ status: stat, of file: PosixFile) -> Bool {
        (UInt64(status.st_dev), UInt64(status.st_ino)) == (file.identity.device, file.identity.inode)
    }

    private static func fresh(_ image: String) throws(IOError) -> PosixFile {
        for attempt in 1..<attemptLimit {
            let path = attempt == 1 ? "\(image).undo" : "\(image).undo-\(attempt)"
            do throws(IOError) { return try claim(path) } catch {
                guard error.reason == .errno(EEXIST) else { throw error }
            }
        }
        throw IOError("create", path: "\(image).undo", .errno(EEXIST))
    }

    /// Opens an undo file.
    /// - Parameters:
    ///   - image: what it is for.
    ///   - forWriting: for putting back; otherwise only for looking.
    /// - Returns: nil for an undo file in which nothing was saved, whose repair so changed nothing.
    public static func open(
        _ path: String, for image: PosixFile, forWriting: Bool, _ files: FileOpener = .plain
    ) throws(DiskError) -> UndoJournal? {
        try diskErrors(path, "opening the undo file") {
            guard try PosixFile(path).identity != image.identity else {
                throw DiskError(.refused, path: path, "is the image itself, not an undo file")
            }
            let file = try files.open(path, forWriting ? .write : .read).contents
            return try UndoJournal.isUnbegun(file) ? nil : try UndoJournal(reading: file)
        }
    }
}
