package import Dispatch

/// Threads that wait until some state, which a lock guards, has changed. The state keeps this value beside what they wait
/// for: a thread joins under the lock, waits outside of it, and looks again.
package struct WaitingThreads: Sendable {
    private var semaphores: [DispatchSemaphore] = []

    package init() {}

    /// Called under the lock; the caller waits on the semaphore after leaving it, once.
    package mutating func join() -> DispatchSemaphore {
        let semaphore = DispatchSemaphore(value: 0)
        semaphores.append(semaphore)
        return semaphore
    }

    /// Lets all of them look again. Called under the lock.
    package mutating func wakeAll() {
        for semaphore in semaphores { semaphore.signal() }
        semaphores.removeAll(keepingCapacity: true)
    }
}
