/// Which of the logs beside a disk come next, and in which order: by PreviousUniqueId → UniqueId, never by name or time.
public enum LogOrder {
    /// More files than this beside one disk are refused.
    public static let limit = 100_000

    /// What a look at the logs beside one disk found.
    public struct Pickup: Equatable, Sendable {
        /// The logs to take, in chain order, up to the fault if there is one.
        public var take: [LogDescriptor] = []
        /// Logs that were received before, whatever their condition: the source needs them no more.
        public var known: [LogDescriptor] = []
        /// What stands after the last of `take`; nil when every log is either known, live or taken.
        public var fault: LogFault?
    }

    /// Orders `candidates`, the logs beside one disk.
    ///
    /// A log is known if it is `received`, in `known`, or reached from `received` by going back. Live logs are left out.
    /// - Parameter received: the last log that was taken; nil before the first of a chain.
    /// - Parameter diskSize: bytes; a log that writes beyond is a fault.
    public static func pickup(
        _ candidates: [LogDescriptor], after received: LogID?, known: Set<LogID> = [], diskSize: UInt64
    ) -> Pickup {
        var pickup = Pickup()
        guard candidates.count <= limit else {
            pickup.fault = .tooMany(count: candidates.count)
            return pickup
        }
        let settled = ancestors(of: received, among: candidates).union(known)
        var open: [LogDescriptor] = []
        for log in candidates {
            if let id = log.uniqueID, settled.contains(id) {
                pickup.known.append(log)
            } else if log.ending != .live {
                open.append(log)
            }
        }
        if let fault = identityFault(open) {
            pickup.fault = fault
            return pickup
        }

        var successors: [LogID?: [LogDescriptor]] = [:]
        for log in open { successors[log.previousID, default: []].append(log) }
        var last = received
        while let heirs = successors.removeValue(forKey: last) {
            guard heirs.count == 1 else {
                pickup.fault = .fork(names: heirs.map(\.name).sorted(), after: last)
                return pickup
            }
            if let fault = heirs[0].fault(diskSize: diskSize) {
                pickup.fault = fault
                return pickup
            }
            pickup.take.append(heirs[0])
            last = heirs[0].uniqueID
        }
        let rest = successors.values.flatMap { $0 }.sorted { $0.name < $1.name }
        let taken = Set(pickup.take.compactMap(\.uniqueID))
        pickup.fault = strayFault(rest, expected: last, settled: settled.union(taken))
        return pickup
    }

    /// Where a copy that is about to be made stands in the chain: everything in the logs of now is in it already.
    public struct Baseline: Equatable, Sendable {
        /// The log that the first one to come will follow; nil for the first of a new chain.
        public var tip: LogID?
        /// Logs that are in the copy.
        public var covered: [LogID] = []
        /// Names of logs that will never be needed and would only be in the way: unreadable, unclosed or broken ones,
        /// and all of them when they do not end in one tip.
        public var setAside: [String] = []
    }

    /// The baseline of a disk with these logs beside it. A live log's predecessor is the tip; without one, the tip is
    /// the good log that none follows. Logs that end in several tips (a fork, leftovers) make a new chain begin.
    public static func baseline(_ candidates: [LogDescriptor]) -> Baseline {
        var baseline = Baseline()
        var good: [LogDescriptor] = []
        for log in candidates where log.ending != .live {
            if log.fault(diskSize: .max) == nil { good.append(log) } else { baseline.setAside.append(log.name) }
        }
        let followed = Set(good.compactMap(\.previousID))
        let tips = good.filter { $0.uniqueID.map { !followed.contains($0) } ?? false }
        if let live = candidates.first(where: { $0.ending == .live }) {
            baseline.tip = live.previousID
        } else if tips.count == 1 {
            baseline.tip = tips[0].uniqueID
        } else {
            baseline.setAside += good.map(\.name)
        }
        baseline.covered = Set(good.compactMap(\.uniqueID)).sorted { $0.description < $1.description }
        return baseline
    }

    private static func ancestors(of received: LogID?, among candidates: [LogDescriptor]) -> Set<LogID> {
        var predecessor: [LogID: LogID] = [:]
        for log in candidates {
            if let id = log.uniqueID, let previous = log.previousID { predecessor[id] = previous }
        }
        var found: Set<LogID> = []
        var next = received
        while let id = next, found.insert(id).inserted { next = predecessor[id] }
        return found
    }

    /// Logs that cannot be placed: no identity, or one that another has too.
    private static func identityFault(_ logs: [LogDescriptor]) -> LogFault? {
        var names: [LogID: [String]] = [:]
        for log in logs.sorted(by: { $0.name < $1.name }) {
            guard let id = log.uniqueID else {
                return .damaged(name: log.name, problem: log.problem ?? "UniqueId is zero")
            }
            names[id, default: []].append(log.name)
        }
        let twice = names.filter { $0.value.count > 1 }.min { $0.value[0] < $1.value[0] }
        return twice.map { .duplicate(names: $0.value, id: $0.key) }
    }

    /// Why `rest`, sorted by name, does not follow `expected`.
    private static func strayFault(
        _ rest: [LogDescriptor], expected: LogID?, settled: Set<LogID>
    ) -> LogFault? {
        guard !rest.isEmpty else { return nil }
        let ids = Set(rest.compactMap(\.uniqueID))
        // Prefer the log itself to the ones behind it, and the damage to its consequence.
        let heads = rest.filter { $0.previousID.map { !ids.contains($0) } ?? true }
        for log in heads {
            if let previous = log.previousID, settled.contains(previous) {
                return .overtaken(name: log.name, after: previous)
            }
        }
        for log in heads {
            if let previous = log.previousID { return .gap(name: log.name, missing: previous) }
            if let expected { return .restart(name: log.name, expected: expected) }
        }
        return .cycle(names: circle(in: rest))
    }

    /// The names of one circle in `rest`, of which every log's predecessor is in `rest` too.
    private static func circle(in rest: [LogDescriptor]) -> [String] {
        var byID: [LogID: LogDescriptor] = [:]
        for log in rest { if let id = log.uniqueID { byID[id] = log } }
        var path: [LogDescriptor] = []
        var place: [LogID: Int] = [:]
        var next: LogDescriptor? = rest.first
        while let log = next, let id = log.uniqueID {
            if let start = place[id] { return path[start...].map(\.name).sorted() }
            place[id] = path.count
            path.append(log)
            next = log.previousID.flatMap { byID[$0] }
        }
        return path.map(\.name)
    }
}
