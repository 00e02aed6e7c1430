public import DiskModel
import ByteCodec
import Dispatch
import HRL

/// One exchange of the logs of several disks, at one instant for all of them.
///
/// **Order.**
/// 1. For each disk a new log is made as `<image>.hrl.new`, durably. A cut leaves `<image>.hrl` unclosed, as at any time
///    while a disk is tracked, and an empty log beside it. An error takes all of them back: nothing has changed.
/// 2. Writes of all disks are held and those under way waited for; the logs are exchanged in memory; writes go on. A cut
///    from here on leaves `<image>.hrl.new` unclosed with what it got, and after it the next start tells that continuity
///    was lost.
/// 3. For each disk: the disk is flushed, then the log that ended is closed. It is closed only when the disk has durably
///    what it tells, because a closed log may be sent, and what it covers be forgotten by the dirty map.
/// 4. `<image>.hrl` is renamed to `<image>.<UniqueId>.hrl`, the folder flushed; then `<image>.hrl.new` to `<image>.hrl`, the
///    folder flushed. A cut between leaves no `<image>.hrl`, and the next start finds `<image>.hrl.new`.
/// 5. The cycle record is written, as a whole and durably. A cut before leaves logs without one, which are good for each
///    disk by itself.
struct LogSwitch {
    let disks: [TrackedDisk]

    /// A disk and the logs it exchanged.
    private struct Exchange {
        var disk: TrackedDisk
        var old: LogWriter
        var new: LogWriter
    }

    func run(cycle: UInt64) throws(DiskError) -> SwitchedLogs {
        let prepared = try prepare()
        let (exchanges, result) = try exchange(prepared)
        var switched = result
        for exchange in exchanges {
            do throws(DiskError) {
                try exchange.disk.finish(exchange.old)
            } catch {
                switched.failures.append(error)
            }
        }
        if exchanges.count == disks.count, switched.failures.isEmpty {
            switched.record = CycleRecord(
                cycle: cycle, time: disks[0].parts.now(),
                disks: exchanges.map {
                    .init(
                        name: $0.disk.imageName, ended: $0.old.uniqueID.description, next: $0.new.uniqueID.description)
                })
        }
        return switched
    }

    private func prepare() throws(DiskError) -> [(disk: TrackedDisk, log: LogWriter)] {
        var prepared: [(disk: TrackedDisk, log: LogWriter)] = []
        do throws(DiskError) {
            for disk in disks {
                if let log = try disk.prepareLog() { prepared.append((disk, log)) }
            }
        } catch {
            for (disk, _) in prepared { disk.logs.discardNew() }
            throw error
        }
        return prepared
    }

    /// Step 2.
    private func exchange(
        _ prepared: [(disk: TrackedDisk, log: LogWriter)]
    ) throws(DiskError) -> ([Exchange], SwitchedLogs) {
        var exchanges: [Exchange] = []
        var result = SwitchedLogs()
        let started = ContinuousClock.now
        let held: [TrackedDisk]
        do throws(DiskError) { held = try drain() } catch {
            for (disk, _) in prepared { disk.logs.discardNew() }
            throw error
        }
        result.drainDuration = started.duration(to: .now)
        var unused: [TrackedDisk] = []
        for (disk, log) in prepared {
            if let old = disk.exchange(for: log) {
                exchanges.append(Exchange(disk: disk, old: old, new: log))
            } else {
                unused.append(disk)
            }
        }
        for disk in held { disk.releaseWrites() }
        result.holdDuration = started.duration(to: .now)
        for disk in unused { disk.logs.discardNew() }
        return (exchanges, result)
    }

    /// Holds the writes of all disks and waits for those under way: of all at once, so that it takes as long as the slowest
    /// write and not as their sum.
    private func drain() throws(DiskError) -> [TrackedDisk] {
        var held: [TrackedDisk] = []
        var waits: [DispatchSemaphore] = []
        do throws(DiskError) {
            for disk in disks {
                if let wait = try disk.holdWrites() { waits.append(wait) }
                held.append(disk)
            }
        } catch {
            for disk in held { disk.releaseWrites() }
            throw error
        }
        for wait in waits { wait.wait() }
        return held
    }
}

/// What a log switch did.
public struct SwitchedLogs: Sendable {
    /// Nil when not all disks of the group have a closed log from it: one was not tracked, or failed.
    public internal(set) var record: CycleRecord?
    /// How long writers were held, and how much of it was waiting for writes under way.
    public internal(set) var holdDuration = Duration.zero
    public internal(set) var drainDuration = Duration.zero
    /// What went wrong after the instant; these disks are no longer tracked.
    public internal(set) var failures: [DiskError] = []
}
