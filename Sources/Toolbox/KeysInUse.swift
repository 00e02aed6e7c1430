import BlockIO
public import DiskModel
import Glibc
import Synchronization

/// The files that keys were read from in this run: none of them may be replaced by an output, which could be all that is
/// sealed for that key.
public enum KeysInUse {
    private static let files = Mutex<Set<PosixFile.Identity>>([])

    /// Notes a file that keys come from, by its open descriptor.
    static func note(_ descriptor: CInt) {
        guard let identity = PosixFile.identity(of: descriptor) else { return }
        files.withLock { _ = $0.insert(identity) }
    }

    /// - Throws: `.refused` for an output that is a key, or what standard input reads.
    public static func refuseReplacing(_ output: String) throws(DiskError) {
        guard let there = try? PosixFile(output).identity else { return }
        let isKey = files.withLock { $0.contains(there) }
        guard isKey || there == PosixFile.identity(of: STDIN_FILENO) else { return }
        throw DiskError(
            .refused, path: output, isKey ? "the output is a file that a key was read from" : "the output is the input",
            hint: "choose another output file")
    }
}
