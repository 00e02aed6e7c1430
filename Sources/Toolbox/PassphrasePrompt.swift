import BlockIO
import ByteCodec
import Cipher
import DiskModel
import Glibc

/// Asks for a passphrase on the terminal of the process, whatever its standard input is.
enum PassphrasePrompt {
    private static let path = "/dev/tty"
    /// What Ctrl-C sends while it is no signal.
    private static let interrupt: UInt8 = 3

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

    /// Without echo, and without signals, which would end the process with the echo off.
    private static func line(_ terminal: CInt, _ question: String) throws(DiskError) -> SecretBytes {
        var shown = termios()
        guard unsafe tcgetattr(terminal, &shown) == 0 else {
            throw DiskError(IOError("tcgetattr", path: path, .errno(errno)))
        }
        var hidden = shown
        hidden.c_lflag &= ~tcflag_t(ECHO | ISIG)
        guard unsafe tcsetattr(terminal, TCSAFLUSH, &hidden) == 0 else {
            throw DiskError(IOError("tcsetattr", path: path, .errno(errno)))
        }
        defer {
            unsafe tcsetattr(terminal, TCSAFLUSH, &shown)
            say("\n", terminal)
        }
        say(question, terminal)
        let passphrase = try SecretInput.passphrase(terminal, name: path)
        let bytes = passphrase.bytes
        for place in 0..<bytes.byteCount where bytes.integer(at: place, as: UInt8.self, .little) == interrupt {
            throw DiskError(.key, path: path, "no passphrase was given")
        }
        return passphrase
    }

    private static func say(_ text: String, _ terminal: CInt) {
        let bytes = Array(text.utf8)
        _ = unsafe bytes.withUnsafeBytes { unsafe write(terminal, $0.baseAddress, $0.count) }
    }
}
