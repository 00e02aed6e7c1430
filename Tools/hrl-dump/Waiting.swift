import Glibc
import Synchronization

/// Waiting for a log to grow.
enum Waiting {
    private static let milliseconds: CInt = 200
    private static let endIsWanted = Atomic<Bool>(false)

    /// Lets SIGINT and SIGTERM end the waiting instead of the process.
    static func catchSignals() {
        // A parent may have left them blocked.
        var signals = sigset_t()
        _ = unsafe sigemptyset(&signals)
        for number in [SIGINT, SIGTERM] { _ = unsafe sigaddset(&signals, number) }
        _ = unsafe sigprocmask(SIG_UNBLOCK, &signals, nil)
        for number in [SIGINT, SIGTERM] {
            signal(number) { _ in Waiting.endIsWanted.store(true, ordering: .relaxed) }
        }
    }

    /// Sleeps a little.
    /// - Returns: false when a signal came. A reader of standard output that has gone away ends the process.
    static func sleep() -> Bool {
        guard !endIsWanted.load(ordering: .relaxed) else { return false }
        var poller = pollfd(fd: 1, events: 0, revents: 0)
        if unsafe poll(&poller, 1, milliseconds) > 0 {
            if poller.revents & Int16(POLLERR) != 0 { raise(SIGPIPE) }
            usleep(UInt32(milliseconds) * 1000)
        }
        return !endIsWanted.load(ordering: .relaxed)
    }
}
