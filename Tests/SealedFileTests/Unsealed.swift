import Foundation
import Synchronization
import ToolTesting

/// `Tests/Support/unsealed`, a second reader of sealed containers, in Python: it shares nothing with ours but the format's page.
enum Unsealed {
    private static let modules = repositoryFolder + "/.build-peers/python"
    private static let program = repositoryFolder + "/Tests/Support/unsealed/unsealed.py"
    private static let announced = Mutex(false)

    /// Runs it with secrets on a container.
    /// - Returns: nil, after a loud line, where `scripts/bootstrap` has not put the module that it needs.
    static func run(_ secrets: [EnvelopeVector.Secret], _ options: [String] = [], on path: String) throws
        -> ProgramResult?
    {
        guard FileManager.default.fileExists(atPath: modules + "/cryptography") else {
            announced.withLock {
                if !$0 {
                    print("SKIPPED: no cryptography in \(modules): the second reader does not run (scripts/bootstrap)")
                }
                $0 = true
            }
            return nil
        }
        let scratch = try Scratch()
        var arguments = [program]
        for (number, secret) in secrets.enumerated() {
            if let passphrase = secret.passphrase { arguments += ["--passphrase", passphrase] }
            if let keyFile = secret.keyFile {
                arguments += ["--key-file", try scratch.write("key\(number)", octets(keyFile))]
            }
            if let identity = secret.identity {
                arguments += ["--identity", try scratch.write("identity\(number)", Array(identity.utf8))]
            }
        }
        return try runProgram(
            "/usr/bin/python3", arguments + options + [path],
            environment: ["PYTHONPATH": modules, "PYTHONDONTWRITEBYTECODE": "1"])
    }
}
