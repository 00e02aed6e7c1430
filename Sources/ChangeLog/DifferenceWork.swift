import Dispatch
import DiskModel
import Synchronization

/// One search for differences, shared by two threads.
///
/// Each takes the next job and compares it. One that has found something waits until all jobs before its own are done, and
/// then brings its bytes to the log straight from its buffers; so at most one waits, and the other never does, since it has
/// the earlier job.
final class DifferenceWork: Sendable {
    private struct Turns {
        /// The first job that is not done.
        var next = 0
        /// How many jobs right behind that one are done; its thread alone can be that late.
        var doneBehind = 0
        /// Disk offset where the last job done in order ends, and where the last one behind does.
        var end: UInt64 = 0
        var endBehind: UInt64 = 0
        /// The job whose thread waits for its turn, and what wakes it. A semaphore is one thread's own: the other one, which
        /// may have to wait before this one has run again, would take its signal.
        var waiting: (sequence: Int, wakes: DispatchSemaphore)?
        var failure: DiskError?
        var isStopped = false

        var hasEnded: Bool { failure != nil || isStopped }

        mutating func finish(_ job: ComparisonJob) {
            guard job.sequence == next else {
                doneBehind += 1
                endBehind = job.end
                return
            }
            next += 1 + doneBehind
            end = doneBehind > 0 ? endBehind : job.end
            doneBehind = 0
        }
    }

    private let plan: Mutex<ComparisonPlan>
    private let turns = Mutex(Turns())
    /// Touched by the thread whose turn it is.
    private let writes: Mutex<JoinedWrites>

    init(_ plan: consuming ComparisonPlan, _ writes: JoinedWrites) {
        self.plan = Mutex(plan)
        self.writes = Mutex(writes)
    }

    /// Takes jobs until there are none. The disks' and the log's failures are kept for `finish`.
    /// - Parameter progress: gets the disk offset up to which all is done.
    /// - Throws: what `progress` throws.
    func run(progress: (UInt64) throws(DiskError) -> Void) throws(DiskError) {
        let (reader, wakes) = (DifferenceReader(), DispatchSemaphore(value: 0))
        while !turns.withLock({ $0.hasEnded }) {
            let job: ComparisonJob
            do throws(DiskError) {
                let taken = plan.withLock { plan in Result { () throws(DiskError) in try plan.next() } }
                guard let next = try taken.get() else { return }
                job = next
                try compare(job, reader, wakes)
            } catch {
                fail(error)
                return
            }
            try progress(finish(job))
        }
    }

    /// Runs with nobody to report to.
    func run() {
        // Without progress nothing is thrown.
        try? run { _ in }
    }

    /// Ends both threads' work.
    func stop() {
        turns.withLock { $0.isStopped = true }
        wake()
    }

    /// What was written, all of it, after both threads have ended.
    /// - Throws: the failure that ended the work, the first one in time.
    func finish() throws(DiskError) -> JoinedWrites {
        if let failure = turns.withLock({ $0.failure }) { throw failure }
        return try writes.withLock { (writes) throws(DiskError) in
            try writes.finish()
            return writes
        }
    }

    private func compare(
        _ job: ComparisonJob, _ reader: DifferenceReader, _ wakes: DispatchSemaphore
    ) throws(DiskError) {
        var isMyTurn = false
        for piece in job.pieces {
            guard try reader.differs(piece) else { continue }
            if !isMyTurn { isMyTurn = waitForTurn(job.sequence, wakes) }
            guard isMyTurn else { return }
            try writes.withLock { (writes) throws(DiskError) in try reader.append(piece, to: &writes) }
        }
    }

    /// - Returns: false when the work has ended meanwhile.
    private func waitForTurn(_ sequence: Int, _ wakes: DispatchSemaphore) -> Bool {
        while true {
            let (hasEnded, hasCome) = turns.withLock { turns in
                let hasCome = turns.next == sequence
                // Otherwise the other thread may be registered already.
                if !hasCome, !turns.hasEnded { turns.waiting = (sequence, wakes) }
                return (turns.hasEnded, hasCome)
            }
            if hasEnded { return false }
            if hasCome { return true }
            wakes.wait()
        }
    }

    private func finish(_ job: ComparisonJob) -> UInt64 {
        let end = turns.withLock { turns in
            turns.finish(job)
            return turns.end
        }
        wake()
        return end
    }

    private func fail(_ error: DiskError) {
        turns.withLock { if $0.failure == nil { $0.failure = error } }
        wake()
    }

    /// Wakes the waiting thread if it has something to do.
    private func wake() {
        let wakes: DispatchSemaphore? = turns.withLock { turns in
            guard let waiting = turns.waiting, turns.hasEnded || turns.next == waiting.sequence else { return nil }
            turns.waiting = nil
            return waiting.wakes
        }
        wakes?.signal()
    }
}
