/// Something about a file that a person should know, and that did not stop the reading.
public struct Finding: Hashable, Sendable {
    public enum Severity: String, Sendable, Comparable, CaseIterable {
        case information = "info", warning, error
        public static func < (a: Severity, b: Severity) -> Bool { a.rank < b.rank }
        private var rank: Int { Self.allCases.firstIndex(of: self)! }
    }

    /// What findings have in common that are too many to tell one by one.
    public struct Kind: Hashable, Sendable {
        public var code: FormatError.Code
        public var severity: Severity

        public init(_ code: FormatError.Code, _ severity: Severity) { (self.code, self.severity) = (code, severity) }
    }

    public var severity: Severity
    public var detail: FormatError
    public var kind: Kind { Kind(detail.code, severity) }

    public init(_ severity: Severity, _ detail: FormatError) {
        (self.severity, self.detail) = (severity, detail)
    }
}

/// Collects what a reader notices, and decides what stops it: an error stops unless its code was accepted beforehand
/// (`--accept CODE`), and then it is kept as a finding of severity `error`.
public struct Findings: Sendable {
    public private(set) var all: [Finding] = []
    public let accepted: Set<FormatError.Code>
    /// Findings beyond this many are counted and not kept, so that a hostile image cannot fill memory.
    public static let keptCount = 1000
    public private(set) var droppedCount = 0
    private let limit: Int

    /// - Parameter limit: how many are kept; larger than usual for one whose own rules bound them.
    public init(accepting accepted: Set<FormatError.Code> = [], limit: Int = keptCount) {
        (self.accepted, self.limit) = (accepted, limit)
    }

    public mutating func note(_ severity: Finding.Severity, _ detail: FormatError) {
        guard all.count < limit else { return droppedCount += 1 }
        all.append(Finding(severity, detail))
    }

    public mutating func warn(_ detail: FormatError) { note(.warning, detail) }

    /// Throws `error`, unless its code is accepted: then it is noted, and reading goes on.
    public mutating func refuse(_ error: FormatError) throws(FormatError) {
        guard accepted.contains(error.code) else { throw error }
        note(.error, error)
    }
}
