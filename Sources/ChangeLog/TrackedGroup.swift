public import DiskModel
import ByteCodec
import Synchronization

/// The tracked disks of one virtual machine, whose logs are exchanged at one instant.
public final class TrackedGroup: Sendable {
    public let name: String
    public let disks: [TrackedDisk]
    /// Where the cycle records go.
    private let folder: any TrackedFolder
    /// One switch, or the end, at a time.
    private let turn = Mutex(false)

    /// - Parameter name: with which the names of cycle records begin, such as the machine's.
    /// - Throws: `.refused` for no disks, or two of the same name.
    public init(_ name: String, _ disks: [TrackedDisk], records folder: any TrackedFolder) throws(DiskError) {
        guard !disks.isEmpty, Set(disks.map(\.imageName)).count == disks.count else {
            throw DiskError(
                .refused, path: folder.path,
                "a group needs disks, and each its own name; these are "
                    + disks.map(\.imageName).joined(separator: ", "))
        }
        (self.name, self.disks, self.folder) = (name, disks, folder)
    }

    /// Ends the log of every disk and begins the next one; see `LogSwitch` for the order. Writers wait while those under
    /// way end, not while files are flushed.
    /// - Throws: `DiskError` when nothing was changed: a log could not be made, or the group is closed; `.io` when the
    ///   record could not be written. What fails in between is in the result.
    public func switchLogs(cycle: UInt64) throws(DiskError) -> SwitchedLogs {
        try turn.withLock { (isClosed) throws(DiskError) in
            guard !isClosed else { throw DiskError(.refused, path: folder.path, "the disks of \(name) are closed") }
            let switched = try LogSwitch(disks: disks).run(cycle: cycle)
            if let record = switched.record {
                let name = CycleRecord.fileName(name, cycle: cycle)
                try diskErrors(folder.path, "writing the record of cycle \(cycle)") {
                    try folder.replace(name, with: Array(record.json.utf8))
                }
            }
            return switched
        }
    }

    /// Closes all disks, each as `TrackedDisk.close`; all are tried.
    /// - Throws: the first error.
    public func close() throws(DiskError) {
        try turn.withLock { (isClosed) throws(DiskError) in
            guard !isClosed else { return }
            isClosed = true
            var first: DiskError?
            for disk in disks {
                do throws(DiskError) { try disk.close() } catch { first = first ?? error }
            }
            if let first { throw first }
        }
    }
}
