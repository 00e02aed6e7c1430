public import ByteCodec
import DiskModel

/// Something noticed in a log, with the write it is about.
public struct LogFinding: Hashable, Sendable {
    public var finding: Finding
    /// Number of the write, from 1; nil when it is about no single write.
    public var write: UInt64?

    public init(_ finding: Finding, write: UInt64? = nil) { (self.finding, self.write) = (finding, write) }

    public var severity: Finding.Severity { finding.severity }
    public var detail: FormatError { finding.detail }
}

/// Collects what a walk through a log notices, and decides what ends it.
struct LogFindings: Sendable {
    /// Of each kind so many are kept and the rest counted, so that no flood of warnings hides an error.
    static let keptPerKind = 100

    let path: String
    /// Codes whose errors do not end the walk.
    let accepted: Set<FormatError.Code>
    /// A checker's walk: no error ends it that leaves something to go on with.
    let goesOn: Bool
    private(set) var all: [LogFinding] = []
    /// How many of each kind were not kept.
    private(set) var dropped: [Finding.Kind: Int] = [:]
    private var counts: [Finding.Kind: Int] = [:]

    init(path: String, accepted: Set<FormatError.Code> = [], goesOn: Bool = false) {
        (self.path, self.accepted, self.goesOn) = (path, accepted, goesOn)
    }

    /// Where and what, in the order of `FormatError`.
    struct Place {
        var chapter: Chapter
        var field: String
        var offset: UInt64
        var write: UInt64?

        init(_ chapter: Chapter, _ field: String, at offset: UInt64, write: UInt64? = nil) {
            (self.chapter, self.field, self.offset, self.write) = (chapter, field, offset, write)
        }
    }

    mutating func note(
        _ severity: Finding.Severity, _ code: FormatError.Code, _ place: @autoclosure () -> Place,
        _ problem: @autoclosure () -> String
    ) {
        let kind = Finding.Kind(code, severity)
        guard counts[kind, default: 0] < Self.keptPerKind else { return dropped[kind, default: 0] += 1 }
        counts[kind, default: 0] += 1
        let place = place()
        all.append(LogFinding(Finding(severity, error(code, place, problem())), write: place.write))
    }

    /// An error that a user may accept: throws unless its code was accepted or this is a checker's walk.
    mutating func refuse(
        _ code: FormatError.Code, _ place: @autoclosure () -> Place, _ problem: @autoclosure () -> String
    ) throws(DiskError) {
        guard goesOn || accepted.contains(code) else { throw DiskError(error(code, place(), problem()), path: path) }
        note(.error, code, place(), problem())
    }

    /// An error that nobody may accept. Returns only in a checker's walk, which then leaves the thing alone.
    mutating func reject(
        _ code: FormatError.Code, _ place: @autoclosure () -> Place, _ problem: @autoclosure () -> String
    ) throws(DiskError) {
        guard goesOn else { throw DiskError(error(code, place(), problem()), path: path) }
        note(.error, code, place(), problem())
    }

    /// Keeps what was found elsewhere, such as the error that ended the walk.
    mutating func keep(_ error: FormatError, severity: Finding.Severity = .error) {
        counts[Finding.Kind(error.code, severity), default: 0] += 1
        all.append(LogFinding(Finding(severity, error)))
    }

    func error(_ code: FormatError.Code, _ place: Place, _ problem: String) -> FormatError {
        let number = place.write.map { " of write \($0)" } ?? ""
        return FormatError(
            code, field: place.field + number, offset: place.offset, problem, section: place.chapter.rawValue)
    }
}

func hex(_ value: some BinaryInteger) -> String { "0x" + String(value, radix: 16) }
