public import ArgumentParser
import Cipher
import DiskModel
import Glibc
import SealedFile

/// Where a passphrase is read from; never the command line, which others see.
public struct PassphraseOptions: ParsableArguments, Sendable {
    @Option(
        name: .long, help: ArgumentHelp("Read the passphrase's line from this file descriptor.", valueName: "fd"))
    public var passphraseFd: Int32?
    @Option(
        name: .long, help: ArgumentHelp("The passphrase is the first line of this file.", valueName: "file"),
        completion: .file())
    public var passphraseFile: String?
    public init() {}

    public var isGiven: Bool { passphraseFd != nil || passphraseFile != nil }

    public func validate() throws {
        guard passphraseFd == nil || passphraseFile == nil else {
            throw ValidationError("--passphrase-fd and --passphrase-file exclude each other")
        }
        // A number that is free now could later be that of a file.
        guard let passphraseFd else { return }
        let flags = fcntl(passphraseFd, F_GETFL)
        guard flags != -1, flags & O_ACCMODE != O_WRONLY else {
            throw ValidationError(
                "--passphrase-fd \(passphraseFd): this descriptor is not open for reading; open it in the shell, such as "
                    + "with \(max(passphraseFd, 3))<FILE")
        }
    }

    /// From where the options say, else from the command that keeps it, else from the terminal.
    /// - Parameters:
    ///   - container: what it is for.
    ///   - isNew: nothing can tell yet whether it is the right one.
    func passphrase(for container: String, isNew: Bool) throws(DiskError) -> SecretBytes {
        if let passphraseFd {
            return try SecretInput.passphrase(passphraseFd, name: "file descriptor \(passphraseFd)")
        }
        if let passphraseFile {
            return try SecretInput.withOpenFile(passphraseFile) { (descriptor) throws(DiskError) in
                try SecretInput.passphrase(descriptor, name: passphraseFile)
            } failure: {
                DiskError($0, doing: "reading the passphrase")
            }
        }
        if let passphrase = try PassphraseCommand.passphrase() { return passphrase }
        return try PassphrasePrompt.ask(for: container, isNew: isNew)
    }
}

/// Files whose bytes are a key.
public struct KeyFileOptions: ParsableArguments, Sendable {
    private static let byteLimit = 1 << 20
    @Option(
        name: .long, help: ArgumentHelp("A key of 32 bytes to 1 MiB; repeatable.", valueName: "file"),
        completion: .file())
    public var keyFile: [String] = []
    public init() {}

    func keys() throws(DiskError) -> [SlotKey] {
        var result: [SlotKey] = []
        for path in keyFile { result.append(.keyFile(try Self.key(path))) }
        return result
    }

    static func key(_ path: String) throws(DiskError) -> SecretBytes {
        let key = try SecretInput.contents(path, byteLimit: byteLimit)
        guard key.byteCount >= KeySlot.shortestKeyFile else {
            throw DiskError(
                .key, path: path,
                "has \(key.byteCount) bytes: a key file has \(KeySlot.shortestKeyFile) to \(byteLimit)",
                hint: "seal-keygen --key-file makes one")
        }
        return key
    }
}
