import BlockIO
import ChangeLog
import Glibc

/// A folder of the benchmark's own, for its image and its logs.
final class WorkFolder {
    let path: String
    var imagePath: String { path + "/" + imageName }
    let imageName = "bench.img"

    /// - Parameter byteCount: what the file system must have free.
    init(in parent: String, needing byteCount: UInt64) throws {
        var status = statvfs()
        guard unsafe statvfs(parent, &status) == 0 else { throw IOError("statvfs", path: parent, .errno(errno)) }
        let free = UInt64(status.f_bavail) * UInt64(status.f_frsize)
        guard free >= byteCount else { throw IOError("needs \(byteCount) bytes in", path: parent, .errno(ENOSPC)) }
        path = "\(parent)/tracking-bench.\(getpid())"
        guard unsafe mkdir(path, 0o700) == 0 else { throw IOError("mkdir", path: path, .errno(errno)) }
    }

    var logs: HostFolder { HostFolder(path) }

    func removeLogs() { removeFiles { $0 != imageName } }

    func clean() { removeFiles { _ in true } }

    func remove() {
        clean()
        _ = unsafe rmdir(path)
    }

    private func removeFiles(_ isMeant: (String) -> Bool) {
        for name in (try? logs.names()) ?? [] where name != "." && name != ".." && isMeant(name) {
            try? logs.remove(name)
        }
    }
}
