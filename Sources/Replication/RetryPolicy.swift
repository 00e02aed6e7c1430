/// When a failed action is tried again: after 1, 2, 4, 8 and 10 minutes, then every 30.
public enum RetryPolicy {
    /// Seconds to wait after failure number `attempt`, counted from 1.
    public static func delay(afterAttempt attempt: Int) -> Int64 {
        switch attempt {
        case ...1: 60
        case 2: 120
        case 3: 240
        case 4: 480
        case 5: 600
        default: 1800
        }
    }
}

/// A failure that is waiting to be tried again.
public struct Retry: Hashable, Codable, Sendable {
    public var failure: Failure
    /// How often the action has failed in a row, from 1.
    public var attempts: Int
    /// Unix seconds; not before then, unless an operation asks for it.
    public var due: Int64

    init(_ failure: Failure, after previous: Retry?, at now: Moment) {
        self.failure = failure
        attempts = (previous?.attempts ?? 0).saturating(adding: 1)
        due = now.unixSeconds.saturating(adding: RetryPolicy.delay(afterAttempt: attempts))
    }
}
