/// Something a person can do about a chain.
public struct ChainRepair: Sendable, Equatable {
    public enum Kind: String, Sendable {
        /// The child is told where its parent stands.
        case relink
        /// The child takes a parent whose id is not the one it names.
        case forceRelink = "force-relink"
        /// The folder in which the parent stands has to be named.
        case nameFolder = "name-folder"
        /// The key of a sealed parent has to be given.
        case giveKey = "give-key"
        /// A pending log is replayed into the file.
        case replayLog = "replay-log"
        /// Breaches of the format's rules are mended.
        case mend
        /// What cannot be mended is looked at.
        case check
        /// A merge that was interrupted is brought to its end.
        case merge
    }
    public var kind: Kind
    /// What is the matter, and what the repair does about it.
    public var reason: String
    /// A program and its arguments; empty where there is none to run.
    public var command: [String]
    /// What it can cost.
    public var risk: String?

    init(_ kind: Kind, _ reason: String, _ command: [String] = [], risk: String? = nil) {
        (self.kind, self.reason, self.command, self.risk) = (kind, reason, command, risk)
    }
}
