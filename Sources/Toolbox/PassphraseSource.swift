import ArgumentParser
import Cipher
import DiskModel
import Glibc

/// Where one passphrase is read from, as options say.
struct PassphraseSource {
    var descriptor: Int32?
    var file: String?
    /// The options are this, `-fd` and this, `-file`.
    var option: String
    /// Whether it may be the one that the command keeps.
    var asksCommand: Bool

    var isGiven: Bool { descriptor != nil || file != nil }

    func validate() throws {
        guard descriptor == nil || file == nil else {
            throw ValidationError("\(option)-fd and \(option)-file exclude each other")
        }
        // A number that is free now could later be that of a file.
        guard let descriptor else { return }
        let flags = fcntl(descriptor, F_GETFL)
        guard flags != -1, flags & O_ACCMODE != O_WRONLY else {
            throw ValidationError(
                "\(option)-fd \(descriptor): this descriptor is not open for reading; open it in the shell, such as "
                    + "with \(max(descriptor, 3))<FILE")
        }
    }

    /// From where the options say, else from the command that keeps it, else from the terminal.
    /// - Parameters:
    ///   - container: what it is for.
    ///   - isNew: nothing can tell yet whether it is the right one.
    func passphrase(for container: String, isNew: Bool) throws(DiskError) -> SecretBytes {
        if let descriptor {
            return try SecretInput.passphrase(descriptor, name: "file descriptor \(descriptor)")
        }
        if let file {
            return try SecretInput.withOpenFile(file) { (descriptor) throws(DiskError) in
                try SecretInput.passphrase(descriptor, name: file)
            } failure: {
                DiskError($0, doing: "reading the passphrase")
            }
        }
        if asksCommand, let passphrase = try PassphraseCommand.passphrase(isNew: isNew) { return passphrase }
        let command = asksCommand ? ", \(option)-fd or $VHDTOOLS_PASSPHRASE_COMMAND" : " or \(option)-fd"
        return try PassphrasePrompt.ask(
            for: container, isNew: isNew, elsewhere: "give it by \(option)-file\(command), or give a key")
    }
}
