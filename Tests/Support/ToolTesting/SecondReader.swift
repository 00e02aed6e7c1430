import Foundation
import Synchronization

/// `Tests/Support/unsealed`, a second reader of sealed containers, in Python: it shares nothing with ours but the format's page.
public enum SecondReader {
    private static let modules = repositoryFolder + "/.build-peers/python"
    private static let program = repositoryFolder + "/Tests/Support/unsealed/unsealed.py"
    private static let announced = Mutex(false)

    /// - Returns: nil, after a loud line, where `scripts/bootstrap` has not put the module that it needs.
    public static func run(_ arguments: [String], folder: String? = nil) throws -> ProgramResult? {
        guard FileManager.default.fileExists(atPath: modules + "/cryptography") else {
            announced.withLock {
                if !$0 {
                    print("SKIPPED: no cryptography in \(modules): the second reader does not run (scripts/bootstrap)")
                }
                $0 = true
            }
            return nil
        }
        return try runProgram(
            "/usr/bin/python3", [program] + arguments, folder: folder,
            environment: ["PYTHONPATH": modules, "PYTHONDONTWRITEBYTECODE": "1"])
    }
}
