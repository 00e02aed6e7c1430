/// What is wrong with the logs of one disk. Nothing of them is taken.
public enum LogFault: Error, Hashable, Codable, Sendable, CustomStringConvertible {
    /// `name` follows log `missing`, which is neither here nor was it received.
    case gap(name: String, missing: LogID)
    /// `name` says it is the first of a chain, but log `expected` should come before it.
    case restart(name: String, expected: LogID)
    /// Several logs follow the same one (nil: are the first).
    case fork(names: [String], after: LogID?)
    /// `name` follows `after`, which has been followed by a log received earlier.
    case overtaken(name: String, after: LogID?)
    case duplicate(names: [String], id: LogID)
    /// These logs follow each other in a circle.
    case cycle(names: [String])
    case unclosed(name: String)
    /// `problem` names rule and offset.
    case damaged(name: String, problem: String)
    /// `name` writes up to byte `end` of a disk of `size` bytes.
    case beyondDisk(name: String, end: UInt64, size: UInt64)
    case tooMany(count: Int)

    private enum CodingKeys: String, CodingKey {
        case gap, restart, fork, overtaken, duplicate, cycle, unclosed, damaged
        case beyondDisk = "beyond_disk"
        case tooMany = "too_many"
    }

    /// Stable word for each case.
    public var code: String {
        switch self {
        case .gap: "gap"
        case .restart: "restart"
        case .fork: "fork"
        case .overtaken: "overtaken"
        case .duplicate: "duplicate"
        case .cycle: "cycle"
        case .unclosed: "unclosed"
        case .damaged: "damaged"
        case .beyondDisk: "beyond_disk"
        case .tooMany: "too_many"
        }
    }

    public var description: String {
        func list(_ names: [String]) -> String { names.joined(separator: ", ") }
        func place(_ id: LogID?) -> String { id.map { "follow log \($0)" } ?? "say they are the first of the chain" }
        switch self {
        case .gap(let name, let missing): return "\(name): out of order: log \(missing) before it is missing"
        case .restart(let name, let expected):
            return "\(name): out of order: starts a new chain, expected was one after log \(expected)"
        case .fork(let names, let after): return "out of order: several logs \(place(after)): \(list(names))"
        case .overtaken(let name, let after):
            let after = after.map { "log \($0)" } ?? "no log"
            return "\(name): out of order: follows \(after), and another log that does was received before"
        case .duplicate(let names, let id): return "out of order: several logs have UniqueId \(id): \(list(names))"
        case .cycle(let names): return "out of order: logs follow each other in a circle: \(list(names))"
        case .unclosed(let name): return "\(name): not closed"
        case .damaged(let name, let problem): return "\(name): damaged: \(problem)"
        case .beyondDisk(let name, let end, let size):
            return "\(name): beyond the disk: writes up to byte \(end) of \(size)"
        case .tooMany(let count): return "too many logs: \(count)"
        }
    }

    /// What to do about it, in one sentence.
    public var remedy: String {
        switch self {
        case .gap: "Resynchronise; the missing log was removed before it was sent."
        case .beyondDisk: "Bring the replica to the size of the source, then resynchronise."
        case .restart, .fork, .overtaken, .duplicate, .cycle, .unclosed, .damaged, .tooMany: "Resynchronise."
        }
    }
}
