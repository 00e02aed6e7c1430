import Glibc
import Synchronization

/// The end of a benchmark by SIGINT or SIGTERM. It is thrown where the work can be left, so that what was made is removed
/// by those who made it.
struct Interruption: Error {
    let signal: CInt

    private static let number = Atomic<CInt>(0)

    /// From here on the signals end nothing by themselves.
    static func watch() {
        for signal in [SIGINT, SIGTERM] {
            // The handler only stores into an atomic number.
            _ = Glibc.signal(signal) { Interruption.number.store($0, ordering: .relaxed) }
        }
    }

    static var hasCome: Bool { number.load(ordering: .relaxed) != 0 }

    static func check() throws {
        let signal = number.load(ordering: .relaxed)
        if signal != 0 { throw Interruption(signal: signal) }
    }
}
