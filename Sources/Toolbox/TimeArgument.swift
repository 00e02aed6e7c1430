public import ArgumentParser
public import ByteCodec

/// A time on the command line: RFC 3339, such as `2026-11-22T20:14:03Z` or with a numeric offset.
public struct TimeArgument: ExpressibleByArgument, Sendable, Equatable {
    public var unixSeconds: Int64

    public init?(argument: String) {
        guard let seconds = ByteCodec.unixSeconds(rfc3339: argument) else { return nil }
        unixSeconds = seconds
    }

    /// As images and logs store it; times they cannot store become the nearest one.
    public var diskTimestamp: DiskTimestamp { DiskTimestamp(unixSeconds: unixSeconds) }
}
