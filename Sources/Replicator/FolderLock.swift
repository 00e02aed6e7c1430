import BlockIO
import DiskModel
import Glibc

/// One process at a time in a folder. The lock goes with the process; no file tells of it.
final class FolderLock {
    let folder: String
    private let number: CInt

    /// - Throws: `.busy` when another process has it, `.io` with ENOENT when the folder is not there.
    init(_ folder: String, _ what: String) throws(DiskError) {
        self.folder = folder
        while true {
            let number = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            guard number >= 0 else { throw DiskError(IOError("open", path: folder, .errno(errno))) }
            guard flock(number, LOCK_EX | LOCK_NB) == 0 else {
                let code = errno
                close(number)
                guard code == EWOULDBLOCK else { throw DiskError(IOError("flock", path: folder, .errno(code))) }
                throw DiskError(
                    .busy, path: folder, "\(what) is in use by another vhdreplica",
                    hint: "wait for it to end, or stop it")
            }
            // Somebody may have removed the folder, and another made it anew, before it was locked.
            var (mine, there) = (stat(), stat())
            if unsafe fstat(number, &mine) == 0, unsafe stat(folder, &there) == 0, mine.st_ino == there.st_ino,
                mine.st_dev == there.st_dev
            {
                self.number = number
                return
            }
            close(number)
        }
    }

    deinit {
        // A child process that is just being started holds a copy of the descriptor for a moment.
        flock(number, LOCK_UN)
        close(number)
    }
}
