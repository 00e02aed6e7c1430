public import ByteCodec

/// Which of a file's many findings text shows: of each kind the first few, and of the rest how many there are. JSON has
/// them all.
public struct FindingDigest {
    public static let usualShownCount = 10

    private struct Count {
        var kind: Finding.Kind
        var listed = 0
        var shown = 0
        var dropped = 0
    }
    /// In the order in which their kinds came.
    private var counts: [Count] = []
    private let shownCount: Int
    private let budget: FindingBudget

    /// - Parameters:
    ///   - shownCount: how many of each kind are shown.
    ///   - budget: how many are in the whole run.
    public init(showing shownCount: Int = usualShownCount, of budget: FindingBudget) {
        (self.shownCount, self.budget) = (shownCount, budget)
    }

    /// Counts a finding.
    /// - Returns: whether to show it.
    public mutating func admits(_ kind: Finding.Kind) -> Bool {
        let index = counts.firstIndex { $0.kind == kind } ?? counts.endIndex
        if index == counts.endIndex { counts.append(Count(kind: kind)) }
        counts[index].listed += 1
        guard counts[index].listed <= shownCount, budget.takes(kind) else { return false }
        counts[index].shown += 1
        return true
    }

    /// Counts findings that nothing lists, of kinds that were shown.
    public mutating func add(dropped: [Finding.Kind: Int]) {
        for index in counts.indices { counts[index].dropped += dropped[counts[index].kind] ?? 0 }
    }

    /// What JSON tells of findings that nothing lists, with their code.
    var unlisted: [(code: FormatError.Code, message: String)] {
        counts.filter { $0.dropped > 0 }.map { ($0.kind.code, "\($0.dropped) more like this are not listed") }
    }

    /// One line for each kind of which some were shown and not all: `HRL018: 4312 more like this; --json lists the first
    /// 100`. Those of which the run had no room for any go to the run's count.
    public func rests() -> [String] {
        counts.compactMap { count in
            let rest = count.listed + count.dropped - count.shown
            guard rest > 0 else { return nil }
            guard count.shown > 0 else {
                budget.add(rest: rest, of: count.kind)
                return nil
            }
            let inJSON = count.dropped > 0 ? "the first \(count.listed)" : "all"
            return "\(count.kind.code): \(rest) more like this; --json lists \(inJSON)"
        }
    }
}
