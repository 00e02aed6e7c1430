/// How well a relationship is.
public struct Health: Hashable, Sendable {
    public enum Level: String, CaseIterable, Codable, Sendable, Comparable, CustomStringConvertible {
        case normal = "Normal"
        case warning = "Warning"
        case critical = "Critical"

        public var description: String { rawValue }

        public static func < (a: Level, b: Level) -> Bool { a.rank < b.rank }
        private var rank: Int { self == .normal ? 0 : self == .warning ? 1 : 2 }
    }

    public enum Reason: String, CaseIterable, Codable, Sendable {
        // Warning
        case cyclesMissed = "cycles_missed"
        case syncOld = "sync_old"
        case latencyHigh = "latency_high"
        case initialReplicationUnfinished = "initial_replication_unfinished"
        case failedOverWithoutReverse = "failed_over_without_reverse"
        case primarySuspended = "primary_suspended"
        // Critical
        case cannotSend = "cannot_send"
        /// Logs that were received cannot be merged for now.
        case cannotApply = "cannot_apply"
        case resyncRequired = "resync_required"
        case replicaSuspended = "replica_suspended"
        case error

        public var level: Level {
            switch self {
            case .cyclesMissed, .syncOld, .latencyHigh, .initialReplicationUnfinished, .failedOverWithoutReverse,
                .primarySuspended:
                .warning
            case .cannotSend, .cannotApply, .resyncRequired, .replicaSuspended, .error: .critical
            }
        }
    }

    /// Every reason that holds, empty when all is well.
    public let reasons: [Reason]
    /// The worst of the reasons.
    public var level: Level { reasons.map(\.level).max() ?? .normal }

    init(_ reasons: [Reason]) { self.reasons = reasons }

    /// What the figures alone say. The limits are Hyper-V's for its 5-minute interval, scaled to this one: the last
    /// sync younger than 12 intervals (1 hour), the average latency at most one interval (5 minutes); at most 20 % of
    /// the window's cycles missed. `since` (Unix seconds) stands in for the last sync while there is none.
    static func reasons(
        _ statistics: Statistics, interval: UInt32, since: Int64? = nil, at now: Moment
    ) -> [Reason] {
        var reasons: [Reason] = []
        let interval = Int64(interval)
        if statistics.windowStart == Statistics.windowStart(containing: now) {
            let cycles = statistics.cyclesDone.saturating(adding: statistics.cyclesMissed)
            if statistics.cyclesMissed.saturating(multipliedBy: 5) > cycles { reasons.append(.cyclesMissed) }
            let allowed = interval.saturating(multipliedBy: Int64(clamping: statistics.cyclesDone))
            if statistics.latencyTotal > allowed { reasons.append(.latencyHigh) }
        }
        if let last = statistics.lastSync ?? since,
            now.unixSeconds >= last.saturating(adding: 12 * interval)
        {
            reasons.append(.syncOld)
        }
        return reasons
    }
}
