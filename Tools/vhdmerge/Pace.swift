import Glibc
import Toolbox

/// Keeps work below a number of bytes a second.
struct Pace: Sendable {
    private let bytesPerSecond: Double?
    private let started = Progress.seconds()

    init(_ bytesPerSecond: UInt64?) { self.bytesPerSecond = bytesPerSecond.map { Double($0) } }

    /// Sleeps until so many bytes may be done.
    func wait(for done: UInt64) {
        guard let bytesPerSecond else { return }
        var left = started + Double(done) / bytesPerSecond - Progress.seconds()
        while left > 0 {
            usleep(UInt32(min(left, 1) * 1e6))
            left = started + Double(done) / bytesPerSecond - Progress.seconds()
        }
    }
}
