import CPlatform
import Glibc

/// Gives a file another name, which must be free; durable after the folder was flushed.
/// - Throws: `IOError`, EEXIST when the name is taken.
public func renameFile(_ path: String, to newPath: String) throws(IOError) {
    let result = unsafe vt_rename_new(path, newPath)
    guard result == 0 else { throw IOError("rename", path: newPath, .errno(-result)) }
}
