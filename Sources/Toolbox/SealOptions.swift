public import ArgumentParser
public import DiskModel
public import SealedFile

/// Who is to open a new sealed file.
public struct SealOptions: ParsableArguments {
    @OptionGroup public var recipientOptions: RecipientOptions
    @OptionGroup public var passphraseOptions: PassphraseOptions
    @OptionGroup public var keyFileOptions: KeyFileOptions
    public init() {}

    /// Whether somebody is named.
    public var isGiven: Bool {
        recipientOptions.isGiven || passphraseOptions.isGiven || !keyFileOptions.keyFile.isEmpty
    }

    /// - Throws: `ValidationError` where nobody could open it.
    public func check() throws {
        guard isGiven else {
            throw ValidationError("nothing says who may open it: give -R RECIPIENT, -p or --key-file FILE")
        }
        try recipientOptions.check(passphraseOptions.source)
    }

    /// One secret for each slot.
    /// - Parameter container: what they are for.
    /// - Throws: `.key` for what is no key; `.refused` for more than a container has slots; `.io`.
    public func secrets(for container: String) throws(DiskError) -> [SlotKey] {
        try recipientOptions.secrets(keyFileOptions.keyFile, passphraseOptions.source, for: container)
    }

    /// What was given, to open a sealed file that is there.
    /// - Parameter identity: files with identities, too.
    /// - Throws: as `KeyOptions`.
    public func openingSecrets(
        _ identity: [String], for envelope: Envelope, path: String
    ) throws(DiskError) -> [SlotKey] {
        try KeyOptions.secrets(identity, keyFileOptions, passphraseOptions, for: envelope, path: path)
    }
}

/// Who else is to open a sealed file, beside options that say what opens it now.
public struct NewKeyOptions: ParsableArguments {
    @OptionGroup public var recipientOptions: RecipientOptions
    @Option(
        name: .long, help: ArgumentHelp("Read the new passphrase's line from this file descriptor.", valueName: "fd"))
    public var newPassphraseFd: Int32?
    @Option(
        name: .long, help: ArgumentHelp("The new passphrase is the first line of this file.", valueName: "file"),
        completion: .file())
    public var newPassphraseFile: String?
    @Option(
        name: .long, help: ArgumentHelp("Whoever has this key, of 32 bytes to 1 MiB; repeatable.", valueName: "file"),
        completion: .file())
    public var newKeyFile: [String] = []
    public init() {}

    /// Never the one that the command keeps: that one opens it now.
    private var source: PassphraseSource {
        PassphraseSource(
            descriptor: newPassphraseFd, file: newPassphraseFile, option: "--new-passphrase", asksCommand: false)
    }

    public func validate() throws {
        try source.validate()
        guard recipientOptions.isGiven || source.isGiven || !newKeyFile.isEmpty else {
            throw ValidationError("nothing says who is to open it: give -R RECIPIENT, -p or --new-key-file FILE")
        }
        try recipientOptions.check(source)
    }

    /// One secret for each slot.
    /// - Throws: as of `SealOptions`.
    public func secrets(for container: String) throws(DiskError) -> [SlotKey] {
        try recipientOptions.secrets(newKeyFile, source, for: container)
    }
}
