import BlockIO
import Dispatch
import DiskModel
import Synchronization

/// Writes batches to a disk on a thread of its own, in the order they come, while the next ones are being read: some of them,
/// so that neither thread waits for the other at each batch. Until `wait` has returned, nothing else may be done with the
/// disk.
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
        /// Counts buffers whose turn may come; they are taken in a circle, and written in that order.
        let free = DispatchSemaphore(value: 0)

        init(_ disk: any VirtualDisk) { self.disk = disk }

        func write(_ targets: [Target], from slot: Slot) {
            defer { free.signal() }
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

    private static let slotCount = 4

    private let work: Work
    private let slots: [Slot]
    private let takenCount = Mutex(0)
    private let queue = DispatchQueue(label: "writing batches")
    private let writing = DispatchGroup()

    /// - Parameter byteCount: of a buffer; there are four.
    init(_ disk: any VirtualDisk, byteCount: Int) {
        work = Work(disk)
        slots = (0..<Self.slotCount).map { _ in Slot(byteCount: byteCount) }
        for _ in slots { work.free.signal() }
    }

    deinit { writing.wait() }

    /// A buffer to be filled and handed over; waits until one is free.
    func freeSlot() throws(DiskError) -> Slot {
        work.free.wait()
        try check()
        return takenCount.withLock { count in
            defer { count += 1 }
            return slots[count % Self.slotCount]
        }
    }

    /// Begins to write the buffer taken last.
    /// - Throws: the failure of a batch before.
    func write(_ targets: [Target], from slot: Slot) throws(DiskError) {
        try check()
        queue.async(group: writing) { [work] in work.write(targets, from: slot) }
    }

    /// Returns when everything handed over has been written.
    /// - Throws: the first failure.
    func wait() throws(DiskError) {
        writing.wait()
        try check()
    }

    private func check() throws(DiskError) {
        if let failure = work.failure.withLock({ $0 }) { throw failure }
    }
}
