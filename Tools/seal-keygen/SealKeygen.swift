import ArgumentParser
import BlockIO
import ByteCodec
import Cipher
import DiskModel
import Glibc
import Toolbox

@main
struct SealKeygen: Tool {
    static let configuration = CommandConfiguration(
        commandName: "seal-keygen",
        abstract: "Make a key to seal with, in the file format of age.",
        discussion: """
            EXAMPLES
              seal-keygen -o key.txt
              seal-keygen -y key.txt
              seal-keygen --key-file -o disk.key

            The file is secret; its public key, age1…, is what others give to seal -R. Keys of age-keygen do as well.
            """,
        version: versionText)
    static let schema = "seal-keygen/1"
    private static let keyFileByteCount = 32

    @Option(
        name: [.customShort("o"), .customLong("output")],
        help: ArgumentHelp(
            "A new file that only its owner can read, instead of standard output. It is never replaced.",
            valueName: "file"),
        completion: .file())
    var outputFile: String?
    @Option(
        name: [.customShort("y"), .customLong("public")],
        help: ArgumentHelp(
            "Make no key: print the public keys of this identity file, or of - standard input.", valueName: "identity"),
        completion: .file())
    var identity: String?
    @Flag(help: "Make 32 random bytes, for --key-file of the other tools, instead of an identity.")
    var keyFile = false
    @OptionGroup var output: OutputOptions

    private var writesToStandardOutput: Bool { outputFile == nil || outputFile == "-" }

    func validate() throws {
        if identity != nil, keyFile || outputFile != nil {
            throw ValidationError("-y makes no key: leave out -o and --key-file")
        }
        if output.json, identity == nil, writesToStandardOutput {
            throw ValidationError("--json needs -o FILE: standard output carries the key")
        }
    }

    func perform(_ run: ToolRun) throws {
        if let identity { return try tellRecipients(of: identity, run) }
        if keyFile {
            if outputFile == nil { try refuseTerminal(run.out, path: "a key file") }
            let key = SecretBytes(byteCount: Self.keyFileByteCount, from: .system)
            try write([.secret(key)], run)
            return report(nil, run)
        }
        let identity = try Identity()
        let head = """
            # created: \(rfc3339(unixSeconds: ToolRun.now()))
            # public key: \(identity.recipient)

            """
        try write([.text(head), .secret(identity.secretText()), .text("\n")], run)
        report(identity.recipient, run)
    }

    private enum Piece {
        case text(String)
        case secret(SecretBytes)
    }

    private func write(_ pieces: [Piece], _ run: ToolRun) throws {
        guard !writesToStandardOutput, let path = outputFile else {
            try forEachSpan(of: pieces) { bytes in try run.out.write(bytes) }
            return
        }
        try run.refuseOverwritingCaseLog(path)
        let pending = try keyErrors { () throws(IOError) in
            try PendingFile(path, replaces: false, permissions: 0o600)
        }
        var offset: UInt64 = 0
        try forEachSpan(of: pieces) { bytes in
            try pending.file.write(bytes, at: offset)
            offset += UInt64(bytes.byteCount)
        }
        try keyErrors { () throws(IOError) in try pending.commit() }
        run.addOutput(path, byteCount: offset)
    }

    /// No option replaces a key: what was sealed to it would be lost.
    private func keyErrors<Result>(_ body: () throws(IOError) -> Result) throws(DiskError) -> Result {
        do throws(IOError) { return try body() } catch {
            var failure = DiskError(error)
            if error.reason == .errno(EEXIST) { failure.hint = "a key is never replaced: choose another file" }
            throw failure
        }
    }

    private func forEachSpan(of pieces: [Piece], _ body: (RawSpan) throws -> Void) throws {
        for piece in pieces {
            switch piece {
            case .text(let text):
                let bytes = Array(text.utf8)
                try body(bytes.rawBytes)
            case .secret(let secret): try body(secret.bytes)
            }
        }
    }

    private func report(_ recipient: Recipient?, _ run: ToolRun) {
        run.result = [
            "output": .optional(writesToStandardOutput ? nil : outputFile),
            "kind": .string(recipient == nil ? "key_file" : "identity"),
            "recipients": .array(recipient.map { [.string($0.description)] } ?? []),
        ]
        guard !output.json, !output.quiet, let recipient else { return }
        let line = "Public key: \(recipient)"
        if writesToStandardOutput { printError(line) } else { try? run.out.line(line) }
    }

    private func tellRecipients(of path: String, _ run: ToolRun) throws {
        let recipients = try AgeKeyFile.identities(path == "-" ? "/dev/stdin" : path).map(\.recipient)
        run.result = [
            "output": nil, "kind": "identity", "recipients": .array(recipients.map { .string($0.description) }),
        ]
        guard !output.json else { return }
        for recipient in recipients { try run.out.line(recipient.description) }
    }
}
