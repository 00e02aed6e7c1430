/// What the performer found out about one log file, without judging it.
public struct LogDescriptor: Hashable, Sendable {
    public enum Ending: String, Codable, Sendable {
        /// Closed in good order (EOLLocation is set).
        case closed
        /// Still open, and a tracker that is running writes to it. It is left alone.
        case live
        /// Still open, and nobody writes to it: its end is lost.
        case unclosed
    }

    /// File name, for messages and for finding it again; unique beside one disk.
    public var name: String
    /// nil when the header cannot be read; then `problem` says why.
    public var uniqueID: LogID?
    /// The predecessor; nil for none.
    public var previousID: LogID?
    public var ending: Ending
    /// The first rule that the file breaks, with code and offset, as one line; nil when every check passed.
    public var problem: String?
    /// First byte of the disk after everything the log writes; 0 when it writes nothing.
    public var diskEnd: UInt64
    /// Bytes that the file occupies (holes do not count).
    public var byteCount: UInt64

    public init(
        name: String, uniqueID: LogID?, previousID: LogID?, ending: Ending = .closed, problem: String? = nil,
        diskEnd: UInt64 = 0, byteCount: UInt64 = 0
    ) {
        self.name = name
        self.uniqueID = uniqueID
        self.previousID = previousID
        self.ending = ending
        self.problem = problem
        self.diskEnd = diskEnd
        self.byteCount = byteCount
    }

    /// Why this log, in its right place, must not be applied to a disk of `diskSize` bytes; nil when it may.
    func fault(diskSize: UInt64) -> LogFault? {
        if ending != .closed { return .unclosed(name: name) }
        if let problem { return .damaged(name: name, problem: problem) }
        if uniqueID == nil { return .damaged(name: name, problem: "UniqueId is zero") }
        if uniqueID == previousID { return .cycle(names: [name]) }
        if diskEnd > diskSize { return .beyondDisk(name: name, end: diskEnd, size: diskSize) }
        return nil
    }
}
