import ToolTesting

/// The second reader, with secrets as vectors have them.
enum Unsealed {
    /// Runs it on a container; nil where it is not there.
    static func run(_ secrets: [EnvelopeVector.Secret], _ options: [String] = [], on path: String) throws
        -> ProgramResult?
    {
        let scratch = try Scratch()
        var arguments: [String] = []
        for (number, secret) in secrets.enumerated() {
            if let passphrase = secret.passphrase { arguments += ["--passphrase", passphrase] }
            if let keyFile = secret.keyFile {
                arguments += ["--key-file", try scratch.write("key\(number)", octets(keyFile))]
            }
            if let identity = secret.identity {
                arguments += ["--identity", try scratch.write("identity\(number)", Array(identity.utf8))]
            }
        }
        return try SecondReader.run(arguments + options + [path])
    }
}
