import ArgumentParser

/// Numbers of writes on the command line: `7`, `7-19`, `7-`, `-19`.
struct RecordRange: ExpressibleByArgument {
    var range: ClosedRange<UInt64>

    init?(argument: String) {
        let parts = argument.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        guard parts.count <= 2, parts.contains(where: { !$0.isEmpty }) else { return nil }
        let first = parts[0].isEmpty ? 1 : UInt64(parts[0])
        let last = parts.count == 1 ? first : parts[1].isEmpty ? UInt64.max : UInt64(parts[1])
        guard let first, let last, first >= 1, first <= last else { return nil }
        range = first...last
    }
}
