/// Seconds since 2000-01-01T00:00:00Z in 32 bits, as VHD and HRL store time; ends 2136-02-07T06:28:15Z.
public struct DiskTimestamp: Hashable, Comparable, Sendable {
    public var rawValue: UInt32
    /// 2000-01-01T00:00:00Z in Unix time.
    public static let epoch: Int64 = 946_684_800

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// From Unix time, clamped to the representable range.
    public init(unixSeconds: Int64) {
        rawValue = UInt32(clamping: max(unixSeconds, Self.epoch) - Self.epoch)
    }

    public var unixSeconds: Int64 { Int64(rawValue) + Self.epoch }
    public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
}

extension DiskTimestamp: CustomStringConvertible {
    /// RFC 3339, UTC.
    public var description: String { rfc3339(unixSeconds: unixSeconds) }
}

/// RFC 3339 in UTC, `2017-02-08T04:13:00Z`, for years 0 to 9999.
public func rfc3339(unixSeconds: Int64) -> String {
    let (day, second) = unixSeconds.floorDivided(by: 86_400)
    // Days to a civil date in the proleptic Gregorian calendar, with years that start in March.
    let (era, dayOfEra) = (day + 719_468).floorDivided(by: 146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * dayOfYear + 2) / 153
    let dayOfMonth = dayOfYear - (153 * marchMonth + 2) / 5 + 1
    let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    func digits(_ value: Int64, _ count: Int) -> String {
        let text = String(value)
        return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
    }
    return "\(digits(year, 4))-\(digits(month, 2))-\(digits(dayOfMonth, 2))"
        + "T\(digits(second / 3600, 2)):\(digits(second / 60 % 60, 2)):\(digits(second % 60, 2))Z"
}

/// Unix seconds of an RFC 3339 time with `Z` or a numeric offset; fractions of a second are cut off. Nil when malformed.
public func unixSeconds(rfc3339 text: String) -> Int64? {
    let bytes = Array(text.utf8)
    guard bytes.count >= 20 else { return nil }
    func number(_ range: Range<Int>) -> Int64? {
        var value: Int64 = 0
        for byte in bytes[range] {
            guard (48...57).contains(byte) else { return nil }
            value = value * 10 + Int64(byte - 48)
        }
        return value
    }
    func has(_ character: Unicode.Scalar, at index: Int) -> Bool { bytes[index] == UInt8(ascii: character) }
    guard has("-", at: 4), has("-", at: 7), has("T", at: 10) || has("t", at: 10) || has(" ", at: 10), has(":", at: 13),
        has(":", at: 16), let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
        let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19),
        (1...12).contains(month), day >= 1, hour < 24, minute < 60, second <= 60
    else { return nil }
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    let monthDays: [Int64] = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    guard day <= monthDays[Int(month) - 1] else { return nil }
    var rest = 19
    if has(".", at: rest) {
        rest += 1
        let digitsStart = rest
        while rest < bytes.count, (48...57).contains(bytes[rest]) { rest += 1 }
        guard rest > digitsStart else { return nil }
    }
    var zone: Int64 = 0
    if rest == bytes.count - 1, has("Z", at: rest) || has("z", at: rest) {
    } else if rest == bytes.count - 6, has("+", at: rest) || has("-", at: rest), has(":", at: rest + 3),
        let hours = number(rest + 1..<rest + 3), let minutes = number(rest + 4..<rest + 6), hours < 24, minutes < 60
    {
        zone = (hours * 60 + minutes) * (has("-", at: rest) ? -60 : 60)
    } else {
        return nil
    }
    // Civil date to days: the inverse of `rfc3339`.
    let marchYear = month <= 2 ? year - 1 : year
    let (era, yearOfEra) = marchYear.floorDivided(by: 400)
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return (era * 146_097 + dayOfEra - 719_468) * 86_400 + hour * 3600 + minute * 60 + second - zone
}

extension Int64 {
    fileprivate func floorDivided(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
