public import ArgumentParser
public import BlockIO
import Cipher
public import DiskModel
public import SealedFile

/// What opens sealed files, alike in all tools that read them.
public struct KeyOptions: ParsableArguments, Sendable {
    @OptionGroup public var passphraseOptions: PassphraseOptions
    @OptionGroup public var keyFileOptions: KeyFileOptions
    @Option(
        name: [.customShort("i"), .long],
        help: ArgumentHelp("An age identity file, AGE-SECRET-KEY-1…; repeatable.", valueName: "file"),
        completion: .file())
    public var identity: [String] = []
    public init() {}

    public var isGiven: Bool {
        passphraseOptions.isGiven || !keyFileOptions.keyFile.isEmpty || !identity.isEmpty
    }

    /// For tools whose sealed file may come by standard input.
    /// - Parameter input: as it is named; nil or `-` for standard input.
    /// - Throws: `ValidationError` where the passphrase is to come from there, too.
    public func checkDescriptor(besides input: String?) throws {
        guard input == nil || input == "-", passphraseOptions.passphraseFd == 0 else { return }
        throw ValidationError(
            "the sealed file and the passphrase come by the same descriptor: give one of them by a file")
    }

    /// All that was given; where nothing was, a passphrase is asked for, if one can open the container at all.
    /// - Parameters:
    ///   - envelope: the container's.
    ///   - path: the container's.
    /// - Throws: `.key` for what is no key, or where none can be had; `.io`.
    public func secrets(for envelope: Envelope, path: String) throws(DiskError) -> [SlotKey] {
        try Self.secrets(identity, keyFileOptions, passphraseOptions, for: envelope, path: path)
    }

    static func secrets(
        _ identity: [String], _ keyFileOptions: KeyFileOptions, _ passphraseOptions: PassphraseOptions,
        for envelope: Envelope, path: String
    ) throws(DiskError) -> [SlotKey] {
        let secrets = try given(identity, keyFileOptions, passphraseOptions)
        return secrets.isEmpty ? [try passphraseOptions.asked(for: envelope, path: path)] : secrets
    }

    /// What the options give, without asking anybody: key files, identities, then a passphrase.
    func given() throws(DiskError) -> [SlotKey] { try Self.given(identity, keyFileOptions, passphraseOptions) }

    private static func given(
        _ identity: [String], _ keyFileOptions: KeyFileOptions, _ passphraseOptions: PassphraseOptions
    ) throws(DiskError) -> [SlotKey] {
        var secrets = try keyFileOptions.keys()
        for file in identity { secrets += try AgeKeyFile.identities(file).map { .identity($0) } }
        guard passphraseOptions.isGiven else { return secrets }
        return secrets + [try passphraseOptions.secret(for: "", isNew: false)]
    }

    /// Opens files with these keys, and with passphrases that a person is asked for.
    public var files: FileOpener { SealedFiles.ofRun(self).opener }

    /// What opens a container, for those who open it themselves.
    /// - Throws: `.key` where nothing does; `.format` for what is no container; `.io`.
    public func key(of host: PosixFile) throws(DiskError) -> SlotKey { try SealedFiles.ofRun(self).key(of: host) }

    /// Seals a new, empty file like another one, for the key that opened that one.
    /// - Returns: the new file itself where the other one is not sealed.
    public func contents(ofNew host: PosixFile, like other: OpenedFile) throws(DiskError) -> any BlockFile {
        try SealedFiles.ofRun(self).contents(ofNew: host, like: other)
    }
}

extension PassphraseOptions {
    /// A passphrase from the command that keeps it, or from the terminal.
    /// - Throws: `.key` where none can be had, or none would open the container.
    func asked(for envelope: Envelope, path: String) throws(DiskError) -> SlotKey {
        guard envelope.takesPassphrase else {
            throw DiskError(
                .key, path: path, "no passphrase opens it, and no key was given",
                hint: "give the key that it was sealed for: --identity or --key-file")
        }
        return try secret(for: path, isNew: false)
    }

    /// Of slots that are there it is theirs to say what they cost.
    func secret(for path: String, isNew: Bool) throws(DiskError) -> SlotKey {
        .passphrase(try source.passphrase(for: path, isNew: isNew), .standard)
    }
}

extension Envelope {
    /// Whether one of the slots is a passphrase's.
    var takesPassphrase: Bool {
        slots.contains { slot in
            switch slot.body {
            case .scrypt, .pbkdf2: true
            default: false
            }
        }
    }
}
