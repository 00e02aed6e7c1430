import Foundation
import Synchronization

/// Other people's programs that we compare with.
public enum Peer {
    private static let announced = Mutex<Set<String>>([])

    /// The path of a program, or nil and a loud line once: the tests that need it are skipped.
    public static func find(_ name: String) -> String? {
        for folder in ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/bin", "/sbin"] {
            let path = "\(folder)/\(name)"
            if FileManager.default.isExecutableFile(atPath: path) { return path }
        }
        announced.withLock {
            if $0.insert(name).inserted {
                print("SKIPPED: no \(name) here: comparisons with it do not run (scripts/bootstrap)")
            }
        }
        return nil
    }
}
