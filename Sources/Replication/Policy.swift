/// Why a policy is not one.
public enum PolicyFault: String, Error, Sendable, CustomStringConvertible {
    case intervalTooShort = "the interval must be at least 1 second"
    case intervalTooLong = "the interval must be at most 1 day"
    case tooManyPoints = "recovery points: 0 to 24"
    case windowOutOfRange = "a time of day is 00:00 to 23:59:59"

    public var description: String { rawValue }
}

/// What an administrator chooses for a relationship.
public struct Policy: Hashable, Codable, Sendable {
    /// Seconds between cycles, 1 … 86,400.
    public let interval: UInt32
    /// Older points that are kept besides the newest, 0 … 24.
    public let recoveryPoints: UInt8
    /// Whether what travels is compressed.
    public let compression: Bool
    /// Whether a needed resynchronisation starts by itself, in `resyncWindow`.
    public let automaticResync: Bool
    /// Local time of day.
    public let resyncWindow: DailyWindow

    /// 5 minutes, no older points, compressed, no automatic resynchronisation.
    public static let standard = Policy()

    private init() {
        (interval, recoveryPoints, compression, automaticResync, resyncWindow) = (300, 0, true, false, .overnight)
    }

    /// - Parameter interval: seconds, 1 … 86,400.
    /// - Parameter recoveryPoints: 0 … 24.
    /// - Throws: `PolicyFault` when a value is out of range.
    public init(
        interval: UInt32 = 300, recoveryPoints: UInt8 = 0, compression: Bool = true, automaticResync: Bool = false,
        resyncWindow: DailyWindow = .overnight
    ) throws(PolicyFault) {
        guard interval >= 1 else { throw .intervalTooShort }
        guard interval <= 86_400 else { throw .intervalTooLong }
        guard recoveryPoints <= 24 else { throw .tooManyPoints }
        self.interval = interval
        self.recoveryPoints = recoveryPoints
        self.compression = compression
        self.automaticResync = automaticResync
        self.resyncWindow = resyncWindow
    }

    private enum CodingKeys: String, CodingKey {
        case interval
        case recoveryPoints = "recovery_points"
        case compression
        case automaticResync = "automatic_resync"
        case resyncWindow = "resync_window"
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let window = try values.decode(DailyWindow.self, forKey: .resyncWindow)
        try self.init(
            interval: values.decode(UInt32.self, forKey: .interval),
            recoveryPoints: values.decode(UInt8.self, forKey: .recoveryPoints),
            compression: values.decode(Bool.self, forKey: .compression),
            automaticResync: values.decode(Bool.self, forKey: .automaticResync),
            resyncWindow: DailyWindow(from: window.from, to: window.to))
    }
}
