import BlockIO
import CPlatform
import Cipher
import DiskModel
import Glibc

/// The program that keeps the passphrase: `$VHDTOOLS_PASSPHRASE_COMMAND`, run by the shell. The passphrase is the first line
/// that it prints.
enum PassphraseCommand {
    private static let variable = "VHDTOOLS_PASSPHRASE_COMMAND"
    /// For messages: the command itself may say too much.
    private static let name = "$" + variable

    /// Nil where there is no command.
    /// - Parameter isNew: nothing can tell yet whether it is the right one. Then the command must end well before its line
    ///   counts: that of one that fails later may be a complaint.
    /// - Throws: `.key` for a command that fails or prints no passphrase, and for a new one also where it does not end; `.io`.
    static func passphrase(isNew: Bool) throws(DiskError) -> SecretBytes? {
        guard let command = unsafe getenv(variable), unsafe command.pointee != 0 else { return nil }
        var output: CInt = -1
        let child = unsafe vt_spawn_shell(command, &output)
        guard child > 0 else { throw DiskError(IOError("posix_spawn", path: name, .errno(-child))) }
        let passphrase: Result<SecretBytes, DiskError>
        do throws(DiskError) { passphrase = .success(try SecretInput.passphrase(output, name: name)) } catch {
            passphrase = .failure(error)
        }
        // What follows its line finds nobody who reads it.
        close(output)
        if case .success = passphrase, !hasEnded(child, seconds: isNew ? longestWait : 2) {
            guard !isNew else {
                throw DiskError(.key, path: name, "the command has not ended \(longestWait) seconds after its line")
            }
            return try passphrase.get()
        }
        let exit = vt_wait_for(child)
        guard exit == 0 || exit == 128 + SIGPIPE else {
            throw DiskError(.key, path: name, "the command failed: exit code \(exit)")
        }
        return try passphrase.get()
    }

    /// In seconds.
    private static let longestWait = 60

    /// Waits a while for a command that has printed its line: one that goes on is left to itself.
    private static func hasEnded(_ child: pid_t, seconds: Int) -> Bool {
        for _ in 0..<seconds * 100 {
            if vt_has_ended(child) { return true }
            usleep(10_000)
        }
        return false
    }
}
