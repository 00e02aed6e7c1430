public import DiskModel

/// What a tool's exit code says; the same for all tools.
public enum ExitStatus: Int32, Sendable, Comparable {
    case done = 0
    /// A finding: differs, corrupt.
    case finding = 1
    /// I/O error, not this format, refused, unsupported.
    case failed = 2
    /// Done, but partial or with warnings: log pending, unclosed log.
    case partial = 3
    /// Wrong or missing key.
    case key = 4
    /// Another writer has the file.
    case busy = 5
    case usage = 64

    /// Of several outcomes the most severe one counts: usage, key, busy, failed, finding, partial, done.
    private var rank: Int { [.done, .partial, .finding, .failed, .busy, .key, .usage].firstIndex(of: self) ?? 0 }
    public static func < (a: Self, b: Self) -> Bool { a.rank < b.rank }

    public init(_ kind: DiskError.Kind) {
        self =
            switch kind {
            case .busy: .busy
            case .key: .key
            default: .failed
            }
    }
}
