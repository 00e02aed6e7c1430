import DiskModel
import Replication

/// Whether each disk is what its replica now says.
///
/// Logs are trusted to tell every change, as long as the disk did change when logs came. Where that does not fit, the
/// contents decide: a disk that changed without a log, a log that came without a change, and whatever a fuzzy copy left
/// open. A disk with a live log is ahead of its replica by right, and is left alone.
extension PrimaryPerformer {
    /// Whether somebody else has written to a replica disk, or put another in its place, since it was left; said once.
    func noteForeignReplicas() -> Bool {
        var isForeign = false
        for index in document.disks.indices {
            guard let left = document.disks[index].replica, target.fingerprint(disk: index) != left else { continue }
            isForeign = true
            surroundings.watcher.warn(
                target.place, "the replica of \(diskName(index)) was changed since the last cycle: it is compared")
        }
        return isForeign
    }

    /// - Parameters:
    ///   - verifying: compare in any case.
    ///   - isStart: the end of an initial replication, where a difference means that a change escaped the logs.
    /// - Throws: `DiskError` when a source cannot be read, `SizeChange`.
    func settle(verifying: Bool, isStart: Bool) throws {
        var stops: [DiskStop] = []
        for index in document.disks.indices {
            let source = try openSource(index)
            let hasLiveLog = try logs(index).describe(known: Set(machine.record.disks[index].known))
                .contains { $0.ending == .live }
            guard !hasLiveLog else { continue }
            let settled = document.disks[index].settled
            let change = settled?.change(to: source.fingerprint)
            let hadLogs = tallies[index].sentLogs > 0
            if !verifying, let settled {
                if !hadLogs, settled == source.fingerprint { continue }
                if hadLogs, change != nil {
                    document.disks[index].settled = source.fingerprint
                    continue
                }
            }
            guard let place = try target.firstDifference(disk: index, from: source.chain) else {
                document.disks[index].settled = source.fingerprint
                continue
            }
            if isStart || verifying || (!hadLogs && settled != nil) {
                surroundings.watcher.warn(
                    source.path,
                    "its replica differs from byte \(place) on: "
                        + (change.map { "changed (\($0)), and no log says how" } ?? "a change is in no log"))
                stops.append(DiskStop(disk: index, reason: .offline))
            } else {
                document.disks[index].settled = nil
                surroundings.watcher.doubt(
                    source.path,
                    "its replica differs from byte \(place) on: a log was merged there that is not in this disk; "
                        + "bring it forward by the log (hrl-apply), or protect it anew")
            }
        }
        for index in document.disks.indices { document.disks[index].replica = target.fingerprint(disk: index) }
        if stops.isEmpty { return try save() }
        try handle(.markForResync(stops))
        try run()
    }
}
