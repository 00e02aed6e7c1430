/// What has happened in the monitoring window, and the last times of what matters. Counters start again with each
/// window: 12 hours, from 09:00 and from 21:00 local time.
public struct Statistics: Hashable, Codable, Sendable {
    /// An error that is remembered.
    public struct Incident: Hashable, Codable, Sendable {
        /// Unix seconds.
        public var time: Int64
        public var message: String
        public var remedy: String
    }

    /// Unix seconds of the window's start; nil before anything was counted.
    public internal(set) var windowStart: Int64?
    public internal(set) var cyclesDone: UInt64 = 0
    public internal(set) var cyclesMissed: UInt64 = 0
    /// Bytes of logs that the target acknowledged (primary), or that were stored (replica).
    public internal(set) var bytes: UInt64 = 0
    /// Sum and maximum over the cycles done, in seconds from the switch of the logs to the acknowledgement.
    public internal(set) var latencyTotal: Int64 = 0
    public internal(set) var latencyMaximum: Int64 = 0
    /// Bytes of logs that wait at this side.
    public internal(set) var pendingBytes: UInt64 = 0
    /// Unix seconds when a cycle was last acknowledged (primary) or received (replica).
    public internal(set) var lastSync: Int64?
    /// Unix seconds when a whole cycle was last known to be applied.
    public internal(set) var lastApplied: Int64?
    /// Unix seconds.
    public internal(set) var lastTestFailover: Int64?
    /// The last 16, oldest first.
    public internal(set) var incidents: [Incident] = []

    public init() {}

    /// Average seconds, 0 without a cycle.
    public var latencyAverage: Int64 {
        cyclesDone == 0 ? 0 : latencyTotal / Int64(clamping: cyclesDone)
    }

    static let windowLength: Int64 = 43_200
    static let windowAnchor: Int64 = 32_400

    /// Start of the monitoring window that `moment` lies in, in Unix seconds.
    public static func windowStart(containing moment: Moment) -> Int64 {
        let since = (moment.secondOfDay - windowAnchor + 2 * windowLength) % windowLength
        return moment.unixSeconds.saturating(adding: -since)
    }

    mutating func roll(to now: Moment) {
        let start = Statistics.windowStart(containing: now)
        if windowStart != start { clearWindow(start: start) }
    }

    mutating func clearWindow(start: Int64?) {
        windowStart = start
        (cyclesDone, cyclesMissed, bytes, latencyTotal, latencyMaximum) = (0, 0, 0, 0, 0)
    }

    mutating func cycleDone(begun: Int64, at now: Moment) {
        roll(to: now)
        let latency = max(0, now.unixSeconds.saturating(adding: begun == .min ? .max : -begun))
        cyclesDone = cyclesDone.saturating(adding: 1)
        latencyTotal = latencyTotal.saturating(adding: latency)
        latencyMaximum = max(latencyMaximum, latency)
        lastSync = now.unixSeconds
    }

    mutating func cyclesWereMissed(_ count: Int64, at now: Moment) {
        roll(to: now)
        cyclesMissed = cyclesMissed.saturating(adding: UInt64(clamping: count))
    }

    mutating func note(_ message: String, remedy: String, at now: Moment) {
        incidents.append(Incident(time: now.unixSeconds, message: message, remedy: remedy))
        if incidents.count > 16 { incidents.removeFirst(incidents.count - 16) }
    }

    private enum CodingKeys: String, CodingKey {
        case windowStart = "window_start"
        case cyclesDone = "cycles_done"
        case cyclesMissed = "cycles_missed"
        case bytes
        case latencyTotal = "latency_total"
        case latencyMaximum = "latency_maximum"
        case pendingBytes = "pending_bytes"
        case lastSync = "last_sync"
        case lastApplied = "last_applied"
        case lastTestFailover = "last_test_failover"
        case incidents
    }
}
