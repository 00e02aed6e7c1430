import ArgumentParser
public import ByteCodec

/// A time on the command line: RFC 3339, `2026-11-22T20:14:03Z` or with a numeric offset, to the second; one that images and
/// logs can store.
public struct TimeArgument: Sendable, Equatable {
    public var unixSeconds: Int64

    /// For `transform:`.
    /// - Throws: `ValidationError` that says what is valid, that the zone is missing, or between which times it has to lie.
    public static func parse(_ text: String) throws -> Self {
        if let value = Self(argument: text) {
            guard !isLeapSecond(text) else {
                throw ValidationError("its second is 60: leap seconds are not counted, so there are 0 to 59")
            }
            guard value.diskTimestamp.unixSeconds == value.unixSeconds else {
                throw ValidationError(
                    "images and logs store times from \(DiskTimestamp(rawValue: 0)) to \(DiskTimestamp(rawValue: .max))"
                )
            }
            return value
        }
        guard Self(argument: text + "Z") == nil else {
            throw ValidationError("its zone is missing: \(text)Z is UTC, \(text)+01:00 an hour ahead of it")
        }
        throw ValidationError("it takes a time of RFC 3339, such as 2026-11-22T20:14:03Z or 2026-11-22T21:14:03+01:00")
    }

    /// Whether the second of a well-formed time is 60.
    private static func isLeapSecond(_ text: String) -> Bool { text.utf8.dropFirst(17).starts(with: "60".utf8) }

    public init?(argument: String) {
        guard let seconds = ByteCodec.unixSeconds(rfc3339: argument) else { return nil }
        unixSeconds = seconds
    }

    /// As images and logs store it.
    public var diskTimestamp: DiskTimestamp { DiskTimestamp(unixSeconds: unixSeconds) }
}
