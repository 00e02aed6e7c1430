import BlockIO
import Dispatch
import DiskModel
import Synchronization

/// Writes batches to a disk on a thread of its own, in the order they come, while the next one is being read. Until `wait`
/// has returned, nothing else may be done with the disk.
final class BatchWriter: Sendable {
    /// A part of a batch, behind the part before in its buffer, and its place on the disk.
    struct Target: Sendable {
        var diskOffset: UInt64
        var byteCount: Int
    }

    /// A buffer that is filled, or written from, by one thread at a time.
    final class Slot: Sendable {
        let buffer: Mutex<IOBuffer>
        init(byteCount: Int) { buffer = Mutex(IOBuffer(byteCount: byteCount)) }
    }

    /// What the writing thread holds: not the writer itself, which waits for that thread when it goes away.
    private final class Work: Sendable {
        let disk: any VirtualDisk
        /// The first failure; nothing is written after it.
        let failure = Mutex<DiskError?>(nil)

        init(_ disk: any VirtualDisk) { self.disk = disk }

        func write(_ targets: [Target], from slot: Slot) {
            guard failure.withLock({ $0 == nil }) else { return }
            do throws(DiskError) {
                try slot.buffer.withLock { (buffer) throws(DiskError) in
                    var start = 0
                    for target in targets {
                        try disk.write(buffer.bytes(start..<start + target.byteCount), at: target.diskOffset)
                        start += target.byteCount
                    }
                }
            } catch { failure.withLock { $0 = error } }
        }
    }

    private let work: Work
    private let queue = DispatchQueue(label: "writing batches")
    private let writing = DispatchGroup()

    init(_ disk: any VirtualDisk) { work = Work(disk) }

    deinit { writing.wait() }

    /// Begins to write a filled buffer. The one handed over before is free again when this returns.
    /// - Throws: the failure of a batch before.
    func write(_ targets: [Target], from slot: Slot) throws(DiskError) {
        try wait()
        queue.async(group: writing) { [work] in work.write(targets, from: slot) }
    }

    /// Returns when everything handed over has been written.
    /// - Throws: the first failure.
    func wait() throws(DiskError) {
        writing.wait()
        if let failure = work.failure.withLock({ $0 }) { throw failure }
    }
}
