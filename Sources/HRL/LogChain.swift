public import BlockIO
public import ByteCodec
public import DiskModel

/// A log as a link of a chain: its header, closed or not.
public struct LogLink: Sendable {
    public var path: String
    public var header: LogHeader

    public init(path: String, header: LogHeader) { (self.path, self.header) = (path, header) }

    /// - Throws: as `LogHeader.init(from:)`.
    public init(_ file: any BlockFile) throws(DiskError) {
        self.init(path: file.path, header: try LogHeader(from: file))
    }

    public init(_ reader: LogReader) { self.init(path: reader.file.path, header: reader.header) }
}

/// Logs in the order of their writes, which PreviousUniqueId and UniqueId give; names and times count for nothing.
public struct LogChainOrder: Sendable {
    public static let maximumCount = 100_000

    /// Why logs are no chain.
    public enum Fault: String, Sendable {
        case tooMany = "too many logs"
        case duplicate = "duplicate"
        case fork = "fork"
        case cycle = "cycle"
        case severalStarts = "several starts"
        case gap = "gap"
    }

    /// Indices of the given logs that are to be applied, oldest first.
    public private(set) var indices: [Int] = []
    /// Indices of logs up to the last one applied, oldest first.
    public private(set) var applied: [Int] = []
    /// The log that was not closed and ended the order; it and those after it are left out.
    public private(set) var unclosed: Int?
    public private(set) var findings: [Finding] = []

    /// Orders logs.
    /// - Parameter lastApplied: UniqueId of the log applied last; nil when the chain may begin anywhere.
    /// - Throws: `DiskError` of kind `.chain` with HRL025; its text begins with a `Fault`, and names the logs.
    public init(_ links: [LogLink], after lastApplied: GUID? = nil) throws(DiskError) {
        guard !links.isEmpty else { return }
        guard links.count <= Self.maximumCount else {
            throw Self.error(.tooMany, links[0], "\(links.count), at most \(Self.maximumCount)")
        }
        let followers = try Self.followers(links)
        let start = try Self.start(links, lastApplied, followers)
        var order: [Int] = []
        var next: Int? = start
        while let index = next, order.count < links.count {
            order.append(index)
            next = followers[links[index].header.uniqueID]
        }
        guard order.count == links.count else {
            let missed = Set(links.indices).subtracting(order).sorted()
            throw Self.error(.cycle, links[missed[0]], "no beginning to \(Self.names(links, missed))")
        }
        if let lastApplied, let last = order.firstIndex(where: { links[$0].header.uniqueID == lastApplied }) {
            applied = Array(order[...last])
            order = Array(order[(last + 1)...])
        }
        stopBeforeUnclosed(links, &order)
        indices = order
        noteOddities(links)
    }

    /// Each log's follower, by the UniqueId it follows; faults that concern pairs are found here.
    private static func followers(_ links: [LogLink]) throws(DiskError) -> [GUID: Int] {
        var byID: [GUID: Int] = [:]
        var result: [GUID: Int] = [:]
        for (index, link) in links.enumerated() {
            if let other = byID.updateValue(index, forKey: link.header.uniqueID) {
                throw error(.duplicate, link, "\(links[other].path) has the same UniqueId \(link.header.uniqueID)")
            }
            let previous = link.header.previousUniqueID
            guard previous != .zero else { continue }
            if let other = result.updateValue(index, forKey: previous) {
                throw error(.fork, link, "\(links[other].path) and \(link.path) both follow \(previous)")
            }
        }
        return result
    }

    /// The log that all others follow.
    private static func start(
        _ links: [LogLink], _ lastApplied: GUID?, _ followers: [GUID: Int]
    ) throws(DiskError) -> Int {
        let ids = Set(links.map(\.header.uniqueID))
        let starts = links.indices
            .filter { !ids.contains(links[$0].header.previousUniqueID) || links[$0].header.previousUniqueID == .zero }
            .sorted { (links[$0].header.timeStamp, $0) < (links[$1].header.timeStamp, $1) }
        guard !starts.isEmpty else {
            throw error(.cycle, links[0], "no beginning to \(names(links, Array(links.indices)))")
        }
        let wanted = lastApplied.flatMap { ids.contains($0) ? nil : $0 }
        // With nothing applied before, a log that follows none is the beginning, whatever the times say.
        let start = starts.first { links[$0].header.previousUniqueID == wanted ?? .zero } ?? starts[0]
        let others = starts.filter { $0 != start }
        if let other = others.first(where: { links[$0].header.previousUniqueID != .zero }) {
            let last = lastFrom(start, links, followers)
            throw error(
                .gap, links[other],
                "\(links[other].path) follows \(links[other].header.previousUniqueID), which is not there: "
                    + "the chain ends with \(links[last].path), \(links[last].header.uniqueID)")
        }
        if let other = others.first {
            throw error(.severalStarts, links[other], "no log comes before any of \(names(links, starts))")
        }
        if let wanted, links[start].header.previousUniqueID != wanted {
            throw error(
                .gap, links[start],
                "it follows \(links[start].header.previousUniqueID), the log applied last is \(wanted)")
        }
        return start
    }

    /// Where a chain ends; for messages.
    private static func lastFrom(_ start: Int, _ links: [LogLink], _ followers: [GUID: Int]) -> Int {
        var last = start
        // A cycle is told elsewhere, and must only not hold this up.
        for _ in links {
            guard let next = followers[links[last].header.uniqueID] else { break }
            last = next
        }
        return last
    }

    private mutating func stopBeforeUnclosed(_ links: [LogLink], _ order: inout [Int]) {
        guard let stop = order.firstIndex(where: { !links[$0].header.isClosed }) else { return }
        unclosed = order[stop]
        let after = order.count - stop - 1
        findings.append(
            Finding(
                after > 0 ? .error : .warning,
                FormatError(
                    .hrlNotClosed, field: "EOLLocation", offset: LogHeader.offset(of: "EOLLocation"),
                    "of \(links[order[stop]].path) is 0: it was not closed and ends the chain"
                        + (after > 0 ? "; \(after) logs after it cannot be used" : ""),
                    section: Chapter.chain.rawValue)))
        order.removeSubrange(stop...)
    }

    private mutating func noteOddities(_ links: [LogLink]) {
        for (older, newer) in zip(indices, indices.dropFirst()).prefix(Findings.keptCount) {
            let (old, new) = (links[older].header, links[newer].header)
            if new.timeStamp < old.timeStamp {
                note(
                    .warning, .hrlChain, "TimeStamp",
                    "of \(links[newer].path), \(new.created), is before that of \(links[older].path), \(old.created)")
            }
            if new.vhd2DataWriteGUID != old.vhd2DataWriteGUID {
                note(
                    .information, .hrlDataWriteGUID, "Vhd2DataWriteGuid",
                    "of \(links[newer].path) differs from that of \(links[older].path)")
            }
        }
    }

    private mutating func note(
        _ severity: Finding.Severity, _ code: FormatError.Code, _ field: String, _ problem: String
    ) {
        let offset = LogHeader.offset(of: field)
        findings.append(
            Finding(
                severity,
                FormatError(code, field: field, offset: offset, problem, section: Chapter.chain.rawValue)))
    }

    private static func names(_ links: [LogLink], _ indices: [Int]) -> String {
        indices.prefix(10).map { links[$0].path }.joined(separator: ", ")
            + (indices.count > 10 ? " and \(indices.count - 10) more" : "")
    }

    private static func error(_ fault: Fault, _ link: LogLink, _ problem: String) -> DiskError {
        let field = fault == .duplicate ? "UniqueId" : "PreviousUniqueId"
        return DiskError(
            .chain, path: link.path, doing: "ordering logs",
            cause: .format(
                FormatError(
                    .hrlChain, field: field, offset: LogHeader.offset(of: field), "\(fault.rawValue): \(problem)",
                    section: Chapter.chain.rawValue)))
    }
}
