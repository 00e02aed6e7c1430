import ArgumentParser
public import ByteCodec

/// A time on the command line: RFC 3339, `2026-11-22T20:14:03Z` or with a numeric offset, to the second.
public struct TimeArgument: Sendable, Equatable {
    public var unixSeconds: Int64

    /// For `transform:`.
    /// - Throws: `ValidationError` that says what is valid, or that the zone is missing.
    public static func parse(_ text: String) throws -> Self {
        if let value = Self(argument: text) { return value }
        guard Self(argument: text + "Z") == nil else {
            throw ValidationError("its zone is missing: \(text)Z is UTC, \(text)+01:00 an hour ahead of it")
        }
        throw ValidationError("it takes a time of RFC 3339, such as 2026-11-22T20:14:03Z or 2026-11-22T21:14:03+01:00")
    }

    public init?(argument: String) {
        guard let seconds = ByteCodec.unixSeconds(rfc3339: argument) else { return nil }
        unixSeconds = seconds
    }

    /// As images and logs store it; times they cannot store become the nearest one.
    public var diskTimestamp: DiskTimestamp { DiskTimestamp(unixSeconds: unixSeconds) }
}
