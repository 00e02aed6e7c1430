/// A point in time, as the performer's clock says. The machines have no clock of their own.
public struct Moment: Hashable, Sendable {
    /// Seconds since 1970-01-01T00:00:00Z.
    public var unixSeconds: Int64
    /// Seconds to add to get local time; only daily windows look at it.
    public var utcOffset: Int32

    public init(_ unixSeconds: Int64, utcOffset: Int32 = 0) {
        self.unixSeconds = unixSeconds
        self.utcOffset = utcOffset
    }

    /// Local seconds since midnight, 0 ..< 86,400.
    var secondOfDay: Int64 {
        let rest = unixSeconds.saturating(adding: Int64(utcOffset)) % 86_400
        return rest < 0 ? rest + 86_400 : rest
    }
}

/// A span of every local day. It may pass midnight; equal ends mean the whole day.
public struct DailyWindow: Hashable, Codable, Sendable {
    /// First second of the window, in seconds after local midnight.
    public var from: UInt32
    /// First second after it.
    public var to: UInt32

    /// - Throws: `PolicyFault.windowOutOfRange` unless both are below 86,400.
    public init(from: UInt32, to: UInt32) throws(PolicyFault) {
        guard from < 86_400, to < 86_400 else { throw .windowOutOfRange }
        (self.from, self.to) = (from, to)
    }

    private init(checkedFrom from: UInt32, to: UInt32) { (self.from, self.to) = (from, to) }

    /// 18:30–06:00.
    public static let overnight = DailyWindow(checkedFrom: 66_600, to: 21_600)

    public func contains(_ moment: Moment) -> Bool {
        let second = moment.secondOfDay
        let (from, to) = (Int64(from), Int64(to))
        if from == to { return true }
        return from < to ? (from..<to).contains(second) : second >= from || second < to
    }
}

extension FixedWidthInteger {
    /// The sum, or the nearest value that fits.
    func saturating(adding other: Self) -> Self {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other < 0 ? .min : .max) : sum
    }

    /// The product of values that are not negative, or the greatest value.
    func saturating(multipliedBy other: Self) -> Self {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? .max : product
    }
}
