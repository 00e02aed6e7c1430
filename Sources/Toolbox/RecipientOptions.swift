public import ArgumentParser
import Cipher
import DiskModel
import SealedFile

/// Kinds of new keys that need no file of their own.
public struct RecipientOptions: ParsableArguments {
    @Option(
        name: [.customShort("R"), .long],
        help: ArgumentHelp(
            "Whoever has the identity of this age recipient, age1…, or of those in a file; repeatable.",
            valueName: "recipient"))
    public var recipient: [String] = []
    @Flag(name: [.short, .long], help: "Whoever knows a passphrase.")
    public var passphrase = false
    @Flag(help: "Derive the passphrase's key by PBKDF2, where scrypt's 128 MiB of memory are too much.")
    public var pbkdf2 = false
    public init() {}

    /// Whether somebody is named.
    var isGiven: Bool { passphrase || !recipient.isEmpty }

    /// Whether what is said is of no use with keys that are there already.
    public var namesNewKeys: Bool { pbkdf2 || !recipient.isEmpty }

    func check(_ source: PassphraseSource) throws {
        if pbkdf2, !passphrase, !source.isGiven { throw ValidationError("--pbkdf2 goes with a passphrase: -p") }
    }

    /// One secret for each slot.
    /// - Parameters:
    ///   - keyFiles: their paths.
    ///   - source: of a passphrase, where one is wanted.
    ///   - container: what they are for.
    func secrets(
        _ keyFiles: [String], _ source: PassphraseSource, for container: String
    ) throws(DiskError) -> [SlotKey] {
        var secrets: [SlotKey] = []
        for text in recipient { secrets += try Self.recipients(text).map { .recipient($0) } }
        secrets += try KeyFileOptions.keys(keyFiles)
        let takesPassphrase = passphrase || source.isGiven
        let count = secrets.count + (takesPassphrase ? 1 : 0)
        try Self.checkCount(count, container)
        guard takesPassphrase else { return secrets }
        let cost: SlotKey.PassphraseCost = pbkdf2 ? .pbkdf2(iterations: KeySlot.defaultIterations) : .standard
        return secrets + [.passphrase(try source.passphrase(for: container, isNew: true), cost)]
    }

    static func checkCount(_ count: Int, _ container: String) throws(DiskError) {
        guard count > Envelope.slotLimit else { return }
        throw DiskError(
            .refused, path: container, "\(count) keys to seal for", hint: "give \(Envelope.slotLimit) at most")
    }

    static func recipients(_ text: String) throws(DiskError) -> [Recipient] {
        if let recipient = Recipient(text) { return [recipient] }
        guard !text.hasPrefix("age1") else {
            throw DiskError(.key, path: text, "is no recipient", hint: "copy it again from the identity's public key")
        }
        return try AgeKeyFile.recipients(text)
    }
}
