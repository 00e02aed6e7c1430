public import BlockIO
public import DiskModel
import Glibc

/// Where the undo file of an image stands.
public enum UndoPlace {
    private static let attemptLimit = 1000

    /// Makes an undo file, empty and durable under its name.
    /// - Parameters:
    ///   - path: its path; nil: `IMAGE.undo`, or where that is taken `IMAGE.undo-2` and so on.
    ///   - image: the image's path.
    /// - Throws: `IOError`, with EEXIST for a path that is taken.
    public static func make(_ path: String?, for image: String) throws(IOError) -> PosixFile {
        let file = if let path { try PosixFile(path, .create) } else { try fresh(image) }
        try syncFolder(of: file.path)
        return file
    }

    private static func fresh(_ image: String) throws(IOError) -> PosixFile {
        for attempt in 1..<attemptLimit {
            let path = attempt == 1 ? "\(image).undo" : "\(image).undo-\(attempt)"
            do throws(IOError) { return try PosixFile(path, .create) } catch {
                guard error.reason == .errno(EEXIST) else { throw error }
            }
        }
        throw IOError("create", path: "\(image).undo", .errno(EEXIST))
    }

    /// Opens an undo file.
    /// - Parameters:
    ///   - image: what it is for.
    ///   - forWriting: for putting back; otherwise only for looking.
    public static func open(_ path: String, for image: PosixFile, forWriting: Bool) throws(DiskError) -> UndoJournal {
        try diskErrors(path, "opening the undo file") {
            guard try PosixFile(path).identity != image.identity else {
                throw DiskError(.refused, path: path, "is the image itself, not an undo file")
            }
            return try UndoJournal(reading: try PosixFile(path, forWriting ? .write : .read))
        }
    }
}
