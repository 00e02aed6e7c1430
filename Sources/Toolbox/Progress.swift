public import ArgumentParser
import Glibc
import Synchronization

/// Options of tools that may work for long.
public struct ProgressOptions: ParsableArguments {
    @Option(
        name: .long, help: ArgumentHelp("Write N/100 lines to this file descriptor while working.", valueName: "fd"))
    public var progress: Int32?
    public init() {}

    /// A number that is free now could later be that of an image.
    public func validate() throws {
        guard let progress else { return }
        let flags = fcntl(progress, F_GETFL)
        guard flags != -1, flags & O_ACCMODE != O_RDONLY else {
            throw ValidationError(
                "--progress \(progress): this descriptor is not open for writing; open it in the shell, such as with "
                    + "\(max(progress, 3))>FILE")
        }
    }
}

/// Set by SIGUSR1, answered at the next update.
private let statusIsWanted = Atomic<Bool>(false)

/// Shows how far a long work is: a bar with rate and time left on a terminal after the first second, `N/100` lines on a
/// descriptor, one line on SIGUSR1.
public final class Progress: Sendable {
    private struct State: Sendable {
        var done: UInt64 = 0
        var total: UInt64
        var label: String
        var shown = -1.0
        var percentWritten = -1
        var barIsShown = false
    }
    private let state: Mutex<State>
    private let started = Progress.seconds()
    private let barIsWanted: Bool
    private let descriptor: Int32?

    public init(_ label: String, total: UInt64, output: OutputOptions, options: ProgressOptions) {
        state = Mutex(State(total: total, label: label))
        barIsWanted = !output.quiet && isatty(2) == 1
        descriptor = options.progress
        signal(SIGUSR1) { _ in statusIsWanted.store(true, ordering: .relaxed) }
    }

    /// A clock that never goes back.
    public static func seconds() -> Double {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Starts the next part of the work.
    public func begin(_ label: String, total: UInt64) {
        state.withLock { ($0.label, $0.total, $0.done) = (label, total, 0) }
    }

    /// Sets how much of the total is done; cheap enough to call for every buffer.
    public func update(_ done: UInt64) {
        defer { if statusIsWanted.exchange(false, ordering: .relaxed) { printStatus() } }
        let now = Self.seconds()
        let (bar, percent): (String?, Int?) = state.withLock {
            $0.done = done
            var percent: Int?
            if descriptor != nil {
                let value = Int(($0.total == 0 ? 1 : min(1, Double(done) / Double($0.total))) * 100)
                if value != $0.percentWritten { ($0.percentWritten, percent) = (value, value) }
            }
            guard barIsWanted, now - started > 1, now - $0.shown > 0.1 else { return (nil, percent) }
            $0.shown = now
            $0.barIsShown = true
            return (line($0, now), percent)
        }
        if let percent, let descriptor {
            let text = Array("\(percent)/100\n".utf8)
            _ = unsafe text.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
        }
        if let bar {
            let text = Array("\r\u{1b}[K\(bar)".utf8)
            _ = unsafe text.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
        }
    }

    /// As `update`, where the total comes to light with the work.
    public func update(_ done: UInt64, of total: UInt64) {
        state.withLock { $0.total = total }
        update(done)
    }

    /// Removes the bar.
    public func end() {
        if state.withLock({ $0.barIsShown }) {
            let text = Array("\r\u{1b}[K".utf8)
            _ = unsafe text.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
        }
    }

    private func printStatus() { printError(state.withLock { line($0, Self.seconds()) }) }

    private func line(_ state: State, _ now: Double) -> String {
        let elapsed = max(now - started, 0.001)
        let rate = Double(state.done) / elapsed
        let part = state.total == 0 ? 1 : min(1, Double(state.done) / Double(state.total))
        let filled = Int(part * 24)
        let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: 24 - filled)
        let left = rate > 0 ? Int(Double(state.total - min(state.done, state.total)) / rate) : 0
        let time =
            left >= 3600
            ? "\(left / 3600) h \(left / 60 % 60) min" : left >= 60 ? "\(left / 60) min \(left % 60) s" : "\(left) s"
        return "\(state.label) [\(bar)] \(Int(part * 100)) %, \(Quantity.short(state.done)) of "
            + "\(Quantity.short(state.total)), \(Quantity.short(UInt64(rate)))/s, \(time) left"
    }
}
