import ByteCodec

/// How many findings text shows in a whole run: of each kind so many, in however many files they are, and of the rest how
/// many there are. JSON has them all.
public final class FindingBudget {
    public static let usualShownCount = 50

    private struct Count {
        var shown = 0
        var rest = 0
        /// Files of which none was shown.
        var fileCount = 0
    }
    private var counts: [Finding.Kind: Count] = [:]
    private let shownCount: Int

    /// - Parameter shownCount: how many of each kind are shown.
    public init(showing shownCount: Int = usualShownCount) { self.shownCount = shownCount }

    /// Counts a finding that shall be shown.
    /// - Returns: whether there is room for it.
    func takes(_ kind: Finding.Kind) -> Bool {
        guard counts[kind, default: Count()].shown < shownCount else { return false }
        counts[kind, default: Count()].shown += 1
        return true
    }

    /// Counts the findings of a file of which none was shown.
    func add(rest: Int, of kind: Finding.Kind) {
        counts[kind, default: Count()].rest += rest
        counts[kind, default: Count()].fileCount += 1
    }

    /// One line for each kind that there was no room for: `HRL018: 4312 more like this in 95 more files`.
    public var rests: [String] {
        counts.filter { $0.value.rest > 0 }
            .sorted { ($0.key.code, $0.key.severity) < ($1.key.code, $1.key.severity) }
            .map { kind, count in
                "\(kind.code): \(count.rest) more like this in \(counted(UInt64(count.fileCount), "more file", "more files"))"
                    + "; --json lists them"
            }
    }
}
