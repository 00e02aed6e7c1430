public import ByteCodec

/// Which of many findings text shows: of each kind the first few, and of the rest how many there are. JSON has them all.
public struct FindingDigest: Sendable {
    public static let usualShownCount = 10

    private struct Count {
        var kind: Finding.Kind
        var listed = 0
        var dropped = 0
    }
    /// In the order in which their kinds came.
    private var counts: [Count] = []
    private let shownCount: Int

    /// - Parameter shownCount: how many of each kind are shown.
    public init(showing shownCount: Int = usualShownCount) { self.shownCount = shownCount }

    /// Counts a finding.
    /// - Returns: whether to show it.
    public mutating func admits(_ kind: Finding.Kind) -> Bool {
        let index = counts.firstIndex { $0.kind == kind } ?? counts.endIndex
        if index == counts.endIndex { counts.append(Count(kind: kind)) }
        counts[index].listed += 1
        return counts[index].listed <= shownCount
    }

    /// Counts findings that nothing lists, of kinds that were shown.
    public mutating func add(dropped: [Finding.Kind: Int]) {
        for index in counts.indices { counts[index].dropped += dropped[counts[index].kind] ?? 0 }
    }

    /// What JSON tells of findings that nothing lists, with their code.
    var unlisted: [(code: FormatError.Code, message: String)] {
        counts.filter { $0.dropped > 0 }.map { ($0.kind.code, "\($0.dropped) more like this are not listed") }
    }

    /// One line for each kind of which not all were shown: `HRL018: 4312 more like this; --json lists the first 100`.
    public var rests: [String] {
        counts.compactMap { count in
            let rest = count.listed + count.dropped - shownCount
            guard rest > 0 else { return nil }
            let inJSON = count.dropped > 0 ? "the first \(count.listed)" : "all"
            return "\(count.kind.code): \(rest) more like this; --json lists \(inJSON)"
        }
    }
}
