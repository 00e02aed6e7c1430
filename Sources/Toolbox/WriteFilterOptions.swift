public import ArgumentParser

/// Which writes of logs count, alike in the tools that look into logs.
public struct WriteFilterOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Only writes at or after this time, such as 2026-11-22T20:14:03Z or 2026-11-22T21:14:03+01:00.",
            valueName: "time"),
        transform: TimeArgument.parse)
    public var since: TimeArgument?
    @Option(
        help: ArgumentHelp("Only writes at or before this time.", valueName: "time"), transform: TimeArgument.parse)
    public var until: TimeArgument?
    @Option(
        help: ArgumentHelp("Only writes that touch these bytes of the disk.", valueName: "offset+length"),
        transform: ByteRangeArgument.parse)
    public var disk: ByteRangeArgument?
    public init() {}
}
