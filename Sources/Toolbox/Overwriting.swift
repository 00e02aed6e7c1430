import BlockIO
public import DiskModel
import Glibc

/// Refuses an output that is a file already in use by this run, whatever name it goes by.
/// - Parameter role: what the files are, such as "the input".
public func refuseOverwriting(_ output: String, _ paths: [String], _ role: String) throws(DiskError) {
    for path in paths where isSamePlace(output, path) {
        throw DiskError(.refused, path: output, "the output is \(role)", hint: "choose another output file")
    }
}

/// Refuses to write bytes to a terminal that nobody insisted on.
public func refuseTerminal(_ out: OutputStream, path: String) throws(DiskError) {
    guard out.isTerminal else { return }
    throw DiskError(
        .refused, path: path, "bytes are not written to a terminal", hint: "use a pipe or -o FILE, or -o - to insist")
}

/// Whether two paths lead to one file, or to one name in a folder where there is no file yet.
private func isSamePlace(_ a: String, _ b: String) -> Bool {
    if let mine = try? PosixFile(a).identity { return (try? PosixFile(b))?.identity == mine }
    let (left, right) = (splitPath(a), splitPath(b))
    return left.name == right.name && folderIdentity(left.folder) == folderIdentity(right.folder)
}

private func folderIdentity(_ path: String) -> [UInt64]? {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return nil }
    return [UInt64(status.st_dev), UInt64(status.st_ino)]
}
