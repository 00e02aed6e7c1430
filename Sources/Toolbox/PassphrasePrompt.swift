import BlockIO
import CPlatform
import Cipher
import DiskModel
import Glibc

/// Asks for a passphrase on the terminal of the process, whatever its standard input is.
enum PassphrasePrompt {
    private static let path = "/dev/tty"

    /// - Parameters:
    ///   - container: what it is for.
    ///   - isNew: it is asked for twice: nobody would know later what was mistyped.
    ///   - elsewhere: how else it can be given, where there is no terminal.
    /// - Throws: `.key` where there is no terminal, or no passphrase was given.
    static func ask(for container: String, isNew: Bool, elsewhere: String) throws(DiskError) -> SecretBytes {
        let terminal = unsafe open(path, O_RDWR | O_CLOEXEC | O_NOCTTY)
        guard terminal >= 0 else {
            throw DiskError(
                .key, path: container, "a passphrase is needed, and there is no terminal to ask for it",
                hint: elsewhere)
        }
        defer { close(terminal) }
        let passphrase = try line(terminal, "\(isNew ? "New passphrase" : "Passphrase") for \(printable(container)): ")
        guard isNew else { return passphrase }
        let again = try line(terminal, "The same again: ")
        guard again == passphrase else { throw DiskError(.key, path: container, "the two passphrases differ") }
        return passphrase
    }

    /// Without echo, which comes back also where a signal ends the process.
    private static func line(_ terminal: CInt, _ question: String) throws(DiskError) -> SecretBytes {
        let result = vt_hide_input(terminal)
        guard result == 0 else { throw DiskError(IOError("tcsetattr", path: path, .errno(-result))) }
        defer {
            vt_show_input()
            say("\n", terminal)
        }
        say(question, terminal)
        return try SecretInput.passphrase(terminal, name: path)
    }

    private static func say(_ text: String, _ terminal: CInt) {
        let bytes = Array(text.utf8)
        _ = unsafe bytes.withUnsafeBytes { unsafe write(terminal, $0.baseAddress, $0.count) }
    }
}
