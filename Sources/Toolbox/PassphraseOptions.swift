public import ArgumentParser
import Cipher
import DiskModel
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

    public var isGiven: Bool { source.isGiven }

    var source: PassphraseSource {
        PassphraseSource(descriptor: passphraseFd, file: passphraseFile, option: "--passphrase", asksCommand: true)
    }

    public func validate() throws { try source.validate() }
}

/// Files whose bytes are a key.
public struct KeyFileOptions: ParsableArguments, Sendable {
    private static let byteLimit = 1 << 20
    @Option(
        name: .long, help: ArgumentHelp("A key of 32 bytes to 1 MiB; repeatable.", valueName: "file"),
        completion: .file())
    public var keyFile: [String] = []
    public init() {}

    func keys() throws(DiskError) -> [SlotKey] { try Self.keys(keyFile) }

    static func keys(_ paths: [String]) throws(DiskError) -> [SlotKey] {
        var result: [SlotKey] = []
        for path in paths { result.append(.keyFile(try Self.key(path))) }
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
