import Dispatch

/// The writes of a disk that are under way, so that those that overlap go one after the other, in the order in which they
/// came, and all the others at once. A log switch holds new ones back and waits until none is left.
///
/// Kept under its disk's lock; who gets a semaphore waits on it after leaving the lock. Work is linear in the number of
/// threads that write at the same time.
struct TrackedWrites: Sendable {
    private struct Entry: Sendable {
        var ticket: UInt64
        var range: Range<UInt64>
        /// What its thread waits on; nil while the write goes on.
        var waiting: DispatchSemaphore?
    }

    /// In the order of their coming.
    private var entries: [Entry] = []
    private var lastTicket: UInt64 = 0
    private var waitingCount = 0
    private(set) var isHeld = false
    /// Signalled when those under way have ended.
    private var drained: DispatchSemaphore?

    /// Begins a write, or queues it behind those that it has to wait for.
    mutating func enter(_ range: Range<UInt64>) -> (ticket: UInt64, wait: DispatchSemaphore?) {
        lastTicket += 1
        let isFree = !isHeld && !entries.contains { $0.range.overlaps(range) }
        let semaphore = isFree ? nil : DispatchSemaphore(value: 0)
        entries.append(Entry(ticket: lastTicket, range: range, waiting: semaphore))
        if !isFree { waitingCount += 1 }
        return (lastTicket, semaphore)
    }

    mutating func leave(_ ticket: UInt64) {
        if let index = entries.firstIndex(where: { $0.ticket == ticket }) { entries.remove(at: index) }
        if isHeld {
            if entries.count == waitingCount {
                drained?.signal()
                drained = nil
            }
        } else if waitingCount > 0 {
            letGo()
        }
    }

    /// Lets no further write begin.
    /// - Returns: what to wait on until those under way have ended; nil when there are none.
    mutating func hold() -> DispatchSemaphore? {
        precondition(!isHeld, "one log switch at a time")
        isHeld = true
        guard entries.count > waitingCount else { return nil }
        let semaphore = DispatchSemaphore(value: 0)
        drained = semaphore
        return semaphore
    }

    mutating func release() {
        isHeld = false
        letGo()
    }

    /// Lets those go on for which nothing earlier is in the way.
    private mutating func letGo() {
        for index in entries.indices {
            guard let semaphore = entries[index].waiting,
                !entries[..<index].contains(where: { $0.range.overlaps(entries[index].range) })
            else { continue }
            entries[index].waiting = nil
            waitingCount -= 1
            semaphore.signal()
        }
    }
}
