public import ArgumentParser
import Cipher
public import DiskModel
public import SealedFile

/// Who is to open a new sealed file.
public struct SealOptions: ParsableArguments {
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
    @OptionGroup public var passphraseOptions: PassphraseOptions
    @OptionGroup public var keyFileOptions: KeyFileOptions
    public init() {}

    private var takesPassphrase: Bool { passphrase || passphraseOptions.isGiven }

    public func validate() throws {
        guard takesPassphrase || !recipient.isEmpty || !keyFileOptions.keyFile.isEmpty else {
            throw ValidationError("nothing says who may open it: give -R RECIPIENT, -p or --key-file FILE")
        }
        if pbkdf2, !takesPassphrase { throw ValidationError("--pbkdf2 goes with a passphrase: -p") }
    }

    /// One secret for each slot.
    /// - Parameter container: what they are for.
    /// - Throws: `.key` for what is no key; `.refused` for more than a container has slots; `.io`.
    public func secrets(for container: String) throws(DiskError) -> [SlotKey] {
        var secrets: [SlotKey] = []
        for text in recipient { secrets += try Self.recipients(text).map { .recipient($0) } }
        secrets += try keyFileOptions.keys()
        let count = secrets.count + (takesPassphrase ? 1 : 0)
        try Self.checkCount(count, container)
        guard takesPassphrase else { return secrets }
        let cost: SlotKey.PassphraseCost = pbkdf2 ? .pbkdf2(iterations: KeySlot.defaultIterations) : .standard
        return secrets + [.passphrase(try passphraseOptions.passphrase(for: container, isNew: true), cost)]
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
