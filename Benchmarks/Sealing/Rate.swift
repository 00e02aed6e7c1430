import Glibc

/// Bytes a second of wall-clock time, median of some rounds, and of CPU time, in all of them.
struct Rate {
    private let name: String
    private var byteCount = 0
    private var seconds: [Double] = []
    private var cpu = 0.0

    init(_ name: String) { self.name = name }

    mutating func measure(_ byteCount: Int, _ body: () throws -> Void) rethrows {
        let (started, cpuBefore) = (ContinuousClock.now, Self.cpuSeconds())
        try body()
        seconds.append(started.duration(to: .now) / .seconds(1))
        cpu += Self.cpuSeconds() - cpuBefore
        self.byteCount = byteCount
    }

    /// Prints a line: the name, and both rates.
    func report() {
        let median = seconds.sorted()[seconds.count / 2]
        let perCPUSecond = Double(byteCount) * Double(seconds.count) / cpu
        print("\(name) \(Int(Double(byteCount) / median)) \(Int(perCPUSecond))")
    }

    private static func cpuSeconds() -> Double {
        var usage = rusage()
        _ = unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1_000_000 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }
}
