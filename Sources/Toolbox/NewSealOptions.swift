public import ArgumentParser
import BlockIO
import Cipher
public import DiskModel
import SealedFile

/// Whether a new file is sealed, and for whom.
public struct NewSealOptions: ParsableArguments {
    @Flag(
        help:
            "Seal the new file for the keys that are given, those of the inputs; else for a new passphrase."
    )
    public var seal = false
    @OptionGroup public var sealTo: SealToOptions
    public init() {}

    public var isGiven: Bool { seal || sealTo.isGiven }

    /// A new file, whole or absent.
    /// - Parameters:
    ///   - keys: those of the inputs.
    ///   - staysSmall: gets a journal of 1 MiB instead of 32 MiB, which are a hole as long as the file is not written again.
    ///   - other: is sealed as this one is, where the options say nothing: what stands beside sealed contents, or in for
    ///     them.
    /// - Throws: as `PendingFile.init`; `.key` for what is no key.
    public func output(
        _ path: String, replaces: Bool, _ keys: KeyOptions, staysSmall: Bool = false, like other: OpenedFile? = nil
    ) throws -> OutputFile {
        let files = SealedFiles.ofRun(keys)
        let journal = staysSmall ? SealedImage.smallJournalByteCount : SealedImage.defaultJournalByteCount
        guard isGiven else {
            guard let other, other.isSealed else { return try OutputFile(path, replaces: replaces, nil) }
            return try OutputFile(path, replaces: replaces) { (host) throws(DiskError) in
                try files.create(on: host, for: [try files.secret(of: other)], journalByteCount: journal)
            }
        }
        // Keys are asked for before anything is made.
        let secrets = try secrets(files, keys, path)
        return try OutputFile(path, replaces: replaces) { (host) throws(DiskError) in
            try files.create(on: host, for: secrets, journalByteCount: journal)
        }
    }

    private func secrets(_ files: SealedFiles, _ keys: KeyOptions, _ path: String) throws(DiskError) -> [SlotKey] {
        var secrets: [SlotKey] = []
        secrets += try sealTo.recipients(for: path).map { .recipient($0) }
        if seal {
            let given = try files.given()
            secrets += given.isEmpty ? [try keys.passphraseOptions.secret(for: path, isNew: true)] : given
        }
        try RecipientOptions.checkCount(secrets.count, path)
        return secrets
    }
}
