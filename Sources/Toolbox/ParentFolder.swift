import ArgumentParser
import Glibc

/// A folder named with `--parent-dir`.
public enum ParentFolder {
    /// For `transform:`. One that is not there would be searched in vain, and without a word.
    /// - Throws: `ValidationError` for what is no folder.
    public static func parse(_ path: String) throws -> String {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { throw ValidationError(unsafe String(cString: strerror(errno))) }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw ValidationError("it is no folder") }
        return path
    }
}
