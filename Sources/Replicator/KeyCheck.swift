import BlockIO
import DiskModel
import Replication

/// Whether a run has the keys that it is going to need, found out before it touches anything.
extension Relationship {
    /// - Parameter readsReplica: whether sealed disks of the replica may have to be read or changed. Those that are not there
    ///   yet will be made in this run, which needs nobody's identity.
    /// - Throws: `.key` when a sealed file cannot be opened. Whatever else is wrong is found, and recorded, by the work.
    func checkKeys(readsReplica: Bool) throws {
        for disk in performer.document.disks.indices {
            do { _ = try performer.openSource(disk) } catch let error as DiskError where error.kind == .key {
                throw error
            } catch {}
        }
        guard performer.document.isSealed, readsReplica else { return }
        for path in replicaPaths { try target.seal.checkKey(of: path) }
    }

    private var replicaPaths: [String] {
        zip(performer.document.disks, performer.machine.record.disks).map {
            target.store.disk($1.identity.name, $0.format)
        }
    }

    /// Whether a cycle has logs to merge, something to finish, or disks to compare. Answers yes where it is not sure.
    func mayReadReplica() throws -> Bool {
        guard performer.document.isSealed, performer.state == .replicating(nil),
            let replica = try? JSONFile.load(StoreDocument.self, target.store.document),
            replica.record.state.name == .replicating, replica.record.disks.allSatisfy(\.pending.isEmpty)
        else { return true }
        for (index, path) in replicaPaths.enumerated() {
            let disk = performer.document.disks[index]
            let record = performer.machine.record.disks[index]
            guard let left = disk.replica, left == DirectoryTarget.fingerprint(of: path) else { return true }
            if try performer.logs(index).hasNew(known: Set(record.known)) { return true }
            if try performer.hasLiveLog(index) { continue }
            guard let source = try? performer.openSource(index), disk.settled == source.fingerprint,
                disk.settledTip == record.position.received
            else { return true }
        }
        return false
    }
}
