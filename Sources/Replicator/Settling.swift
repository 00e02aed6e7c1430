import DiskModel
import Replication

/// Whether each disk is what its replica now says.
///
/// Logs are trusted to tell every change, as long as the disk did change when logs came. Where that does not fit, the
/// contents decide: a disk that changed without a log, a log that came without a change, and whatever a fuzzy copy left
/// open. A disk with a live log is ahead of its replica by right, and is left alone.
extension PrimaryPerformer {
    /// Replicas that are to be compared at the end of a cycle, whatever their disks' times say.
    struct Suspects {
        /// Somebody else wrote to it, or put another in its place.
        var foreign: Set<Int> = []
        /// A run was cut off while it may have written to it, so that nobody else's writing can be told from that.
        var unsure: Set<Int> = []
    }

    /// Before a cycle writes to the replicas: finds those that are not as they were left, and forgets how the others were,
    /// so that a run that is cut off is not taken for somebody else.
    func suspectReplicas() throws -> Suspects {
        var suspects = Suspects()
        for index in document.disks.indices {
            guard let left = document.disks[index].replica else {
                suspects.unsure.insert(index)
                continue
            }
            if target.fingerprint(disk: index) == left {
                document.disks[index].replica = nil
            } else {
                suspects.foreign.insert(index)
            }
        }
        try save()
        return suspects
    }

    /// Whether a tracker writes to a log of the disk.
    func hasLiveLog(_ index: Int) throws -> Bool {
        try logs(index).describe(known: Set(machine.record.disks[index].known)).contains { $0.ending == .live }
    }

    func setSettled(_ index: Int, _ fingerprint: Fingerprint?) {
        if fingerprint != nil { document.disks[index].awaitsFirstComparison = nil }
        document.disks[index].settled = fingerprint
        document.disks[index].settledTip = machine.record.disks[index].position.received
    }

    /// - Parameters:
    ///   - verifying: compare in any case.
    ///   - suspects: compared in any case, and kept in mind until they can be.
    ///   - isStart: the end of an initial replication, where a difference means that a change escaped the logs.
    /// - Throws: `DiskError` when a source cannot be read, `SizeChange`.
    func settle(verifying: Bool, suspects: Suspects = Suspects(), isStart: Bool) throws {
        var stops: [DiskStop] = []
        for index in document.disks.indices {
            do {
                if let stop = try settle(index, verifying, suspects, isStart: isStart) { stops.append(stop) }
            } catch {
                // What was found to differ is not forgotten over another disk's failure.
                if stops.isEmpty { try note(error, disk: index) } else { try handle(.markForResync(stops)) }
                throw error
            }
        }
        if stops.isEmpty { return try save() }
        try handle(.markForResync(stops))
        try run()
    }

    /// - Returns: that the disk is not what its replica says. How the replica is now is kept only once it is known, or taken,
    ///   to be right.
    private func settle(_ index: Int, _ verifying: Bool, _ suspects: Suspects, isStart: Bool) throws -> DiskStop? {
        let isForeign = suspects.foreign.contains(index)
        let isSuspect = isForeign || suspects.unsure.contains(index)
        let source = try openSource(index)
        let hasLiveLog = try hasLiveLog(index)
        let replica = target.fingerprint(disk: index)
        if isForeign { tellForeign(index, hasLiveLog) }
        guard !hasLiveLog else {
            if !isSuspect { document.disks[index].replica = replica }
            return nil
        }
        let settled = document.disks[index].settled
        let change = settled?.change(to: source.fingerprint)
        let hadLogs = machine.record.disks[index].position.received != document.disks[index].settledTip
        if !verifying, !isSuspect, settled != nil, hadLogs == (change != nil) {
            document.disks[index].replica = replica
            setSettled(index, source.fingerprint)
            return nil
        }
        let place = try target.firstDifference(disk: index, from: source.chain)
        guard let place else {
            document.disks[index].replica = replica
            setSettled(index, source.fingerprint)
            return nil
        }
        let difference = "its replica differs from byte \(place) on"
        let isFirst = isStart || document.disks[index].awaitsFirstComparison == true
        if isFirst || verifying || isForeign || (!hadLogs && settled != nil) {
            let why = change.map { "changed (\($0)), and no log says how" } ?? "a change is in no log"
            surroundings.watcher.warn(source.path, "\(difference): \(why)")
            return DiskStop(disk: index, reason: .offline)
        }
        document.disks[index].replica = replica
        setSettled(index, nil)
        surroundings.watcher.doubt(
            source.path,
            "\(difference): a log was merged there that is not in this disk; bring it forward by the log (hrl-apply), or "
                + "protect it anew")
        return nil
    }

    private func tellForeign(_ index: Int, _ hasLiveLog: Bool) {
        let what = "the replica of \(diskName(index)) was changed since the last cycle"
        if hasLiveLog {
            surroundings.watcher.doubt(target.place, "\(what), and cannot be compared while a log is open")
        } else {
            surroundings.watcher.warn(target.place, "\(what): it is compared")
        }
    }
}
