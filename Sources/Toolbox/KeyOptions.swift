public import ArgumentParser
import Cipher
public import DiskModel
public import SealedFile

/// What opens sealed files, alike in all tools that read them.
public struct KeyOptions: ParsableArguments {
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
        var secrets = try keyFileOptions.keys()
        for file in identity { secrets += try AgeKeyFile.identities(file).map { .identity($0) } }
        guard secrets.isEmpty || passphraseOptions.isGiven else { return secrets }
        guard passphraseOptions.isGiven || envelope.takesPassphrase else {
            throw DiskError(
                .key, path: path, "no passphrase opens it, and no key was given",
                hint: "give the key that it was sealed for: --identity or --key-file")
        }
        guard path != StandardInput.name || passphraseOptions.passphraseFd != 0 else {
            throw DiskError(
                .refused, path: path, "the sealed file and the passphrase come by the same descriptor",
                hint: "give one of them by a file")
        }
        // Of slots that are there it is theirs to say what they cost.
        let passphrase = try passphraseOptions.source.passphrase(for: path, isNew: false)
        return secrets + [.passphrase(passphrase, .standard)]
    }
}

extension Envelope {
    /// Whether one of the slots is a passphrase's.
    fileprivate var takesPassphrase: Bool {
        slots.contains { slot in
            switch slot.body {
            case .scrypt, .pbkdf2: true
            default: false
            }
        }
    }
}
