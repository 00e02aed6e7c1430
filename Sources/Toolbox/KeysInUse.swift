import BlockIO
import DiskModel
import Glibc
import Synchronization

/// The files that keys were read from in this run: none of them may be replaced by an output, which could be all that is
/// sealed for that key.
enum KeysInUse {
    private static let files = Mutex<Set<PosixFile.Identity>>([])

    /// Notes a file that keys come from, by its open descriptor; and from now on no memory of this process is left in a core
    /// dump.
    static func note(_ descriptor: CInt) {
        refuseCoreDumps()
        guard let identity = PosixFile.identity(of: descriptor) else { return }
        files.withLock { _ = $0.insert(identity) }
    }

    /// - Throws: `.refused` for an output that is a key, or what standard input reads.
    static func refuseReplacing(_ output: String) throws(DiskError) {
        guard let there = try? PosixFile(output).identity else { return }
        let isKey = files.withLock { $0.contains(there) }
        guard isKey || there == PosixFile.identity(of: STDIN_FILENO) else { return }
        throw DiskError(
            .refused, path: output, isKey ? "the output is a file that a key was read from" : "the output is the input",
            hint: "choose another output file")
    }

    /// A limit of 1 ends the making of a core also where the system pipes it to a program.
    static func refuseCoreDumps() {
        var limit = rlimit(rlim_cur: 1, rlim_max: 1)
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
    }
}
