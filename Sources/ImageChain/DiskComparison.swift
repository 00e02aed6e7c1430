import BlockIO
import Dispatch
public import DiskModel
import Synchronization

/// What two disks are compared for.
public struct ComparisonOptions {
    /// Bytes of the disks to compare; nil: all of the longer one.
    public var range: Range<UInt64>?
    /// The first difference is all that is wanted.
    public var stopsAtFirst = false
    /// How many ranges that differ are kept.
    public var listLimit = 0
    /// Sees all bytes; the comparison then takes one thread, and nothing is skipped.
    public var observer: (any ComparisonObserver)?
    public init() {}
}

/// Sees the bytes of both disks as they are compared, each disk's in order up to its end.
public protocol ComparisonObserver {
    func data(_ side: ComparisonSide, _ bytes: RawSpan)
    func zeros(_ side: ComparisonSide, _ byteCount: UInt64)
}

public enum ComparisonSide: Sendable { case a, b }

/// What comparing two disks found. The shorter disk counts as zeros past its end.
public struct ComparisonResult: Sendable {
    /// What was to be compared, in bytes of the disks.
    public var range: Range<UInt64>
    /// Disk offset of the first byte that differs; nil: none does.
    public var firstDifference: UInt64?
    /// Bytes that differ, sectors of 512 bytes that hold any, and runs of adjoining ones. With `stopsAtFirst` at most 1.
    public var differingByteCount: UInt64
    public var differingSectorCount: UInt64
    public var differingRangeCount: UInt64
    /// The first of these runs in bytes, cut to the range compared; at most `listLimit`.
    public var differingRanges: [Range<UInt64>]
    /// Bytes of the disks read and compared.
    public var comparedByteCount: UInt64
    /// Bytes that both disks show as zeros without storing any.
    public var zeroByteCount: UInt64
    /// Bytes that both disks take from the same place of the same file; equal unread.
    public var sharedByteCount: UInt64
}

/// Compares the contents of two disks.
///
/// Goes by extents: what is zeros on both sides, or the same bytes of the same file, is not read. The rest is cut into
/// jobs of about 1 MiB, which two threads take in turn; the result does not depend on which of them is faster. Memory: 1 MiB
/// and what the images keep of their tables.
///
/// - Parameter progress: on the calling thread, with the bytes of the range done; may throw to end the comparison.
/// - Throws: `DiskError`: `.outOfRange` for a range past both disks' ends, and the disks' own; of several the one that
///   comes first on the disk.
public func compareDisks(
    _ a: any VirtualDisk, _ b: any VirtualDisk, _ options: ComparisonOptions = .init(),
    progress: (UInt64) throws(DiskError) -> Void = { _ in }
) throws(DiskError) -> ComparisonResult {
    let longer = a.geometry.virtualByteCount >= b.geometry.virtualByteCount ? a : b
    let whole = longer.wholeRange
    let range = options.range ?? whole
    guard range.upperBound <= whole.upperBound else {
        throw DiskError(
            .outOfRange, path: longer.path,
            "bytes \(range.lowerBound) to \(range.upperBound) lie past the disk's end at \(whole.upperBound)")
    }
    let work = ComparisonWork(
        ComparisonPlan(a, b, range, readsShared: options.observer != nil), options, start: range.lowerBound)
    // A queue of its own always has a thread.
    let (helper, helping) = (DispatchQueue(label: "comparison"), DispatchGroup())
    if options.observer == nil { helper.async(group: helping) { work.run() } }
    defer { helping.wait() }
    do {
        try work.run(options.observer) { (done) throws(DiskError) in try progress(done - range.lowerBound) }
    } catch {
        work.stop()
        throw error
    }
    helping.wait()
    let result = try work.result(range)
    // The other thread may have done the last job.
    if !options.stopsAtFirst { try progress(range.upperBound - range.lowerBound) }
    return result
}

/// The first byte in which two disks differ: where the shorter one ends at the latest; nil when there is none.
public func firstDifferingByte(
    between a: any VirtualDisk, and b: any VirtualDisk, progress: (UInt64) throws(DiskError) -> Void = { _ in }
) throws(DiskError) -> UInt64? {
    let (mine, theirs) = (a.geometry.virtualByteCount, b.geometry.virtualByteCount)
    var options = ComparisonOptions()
    options.range = 0..<min(mine, theirs)
    options.stopsAtFirst = true
    let found = try compareDisks(a, b, options, progress: progress).firstDifference
    return found ?? (mine == theirs ? nil : min(mine, theirs))
}

/// One comparison, shared by its threads.
private final class ComparisonWork: Sendable {
    /// Finished jobs that adjoin.
    private struct Finished: Sendable {
        var sequences: Range<Int>
        var tally: DifferenceTally
        /// Disk offset where they end.
        var end: UInt64
    }
    private struct Outcome: Sendable {
        /// In order, never adjoining: as many as there are threads, at most.
        var finished: [Finished] = []
        /// Jobs from here on do not matter any more: a difference that ends the comparison was found before them.
        var limit = Int.max
        /// The failure that comes first on the disk.
        var failure: (sequence: Int, error: DiskError)?
        var isStopped = false

        var wantsMore: Bool { !isStopped && failure == nil && limit == .max }
        var validFailure: DiskError? { failure.flatMap { $0.sequence < limit ? $0.error : nil } }

        /// Makes one of the two at `index` and behind, where they adjoin.
        mutating func join(_ index: Int) {
            guard finished.indices.contains(index), finished.indices.contains(index + 1),
                finished[index].sequences.upperBound == finished[index + 1].sequences.lowerBound
            else { return }
            let next = finished.remove(at: index + 1)
            finished[index].tally.merge(next.tally)
            finished[index].sequences = finished[index].sequences.lowerBound..<next.sequences.upperBound
            finished[index].end = next.end
        }
    }
    private let plan: Mutex<ComparisonPlan>
    private let outcome: Mutex<Outcome>
    private let stopsAtFirst: Bool
    private let listLimit: Int

    init(_ plan: consuming ComparisonPlan, _ options: ComparisonOptions, start: UInt64) {
        self.plan = Mutex(plan)
        (stopsAtFirst, listLimit) = (options.stopsAtFirst, options.listLimit)
        let nothing = Finished(sequences: 0..<0, tally: DifferenceTally(listLimit: options.listLimit), end: start)
        outcome = Mutex(Outcome(finished: [nothing]))
    }

    /// Takes jobs until there are none. Failures are kept for `result`.
    /// - Throws: what `progress` throws.
    func run(
        _ observer: (any ComparisonObserver)? = nil, progress: (UInt64) throws(DiskError) -> Void = { _ in }
    ) throws(DiskError) {
        let reader = PieceReader(observer, stopsAtFirst: stopsAtFirst)
        while outcome.withLock({ $0.wantsMore }) {
            let taken = plan.withLock { plan in
                let sequence = plan.nextSequence
                return (sequence: sequence, job: Result { () throws(DiskError) in try plan.next() })
            }
            let (job, tally): (ComparisonJob, DifferenceTally)
            do throws(DiskError) {
                guard let next = try taken.job.get() else { return }
                (job, tally) = (next, try reader.compare(next, listLimit: listLimit))
            } catch {
                fail(taken.sequence, error)
                return
            }
            try progress(finish(job, tally))
        }
    }

    /// Runs with nobody to report to.
    func run() {
        // Without progress nothing is thrown.
        try? run(nil)
    }

    func stop() { outcome.withLock { $0.isStopped = true } }

    private func fail(_ sequence: Int, _ error: DiskError) {
        outcome.withLock {
            if sequence < $0.failure?.sequence ?? .max { $0.failure = (sequence, error) }
        }
    }

    /// Adds a finished job.
    /// - Returns: the disk offset up to which all is done.
    private func finish(_ job: ComparisonJob, _ tally: DifferenceTally) -> UInt64 {
        outcome.withLock { outcome in
            let sequence = job.sequence
            guard sequence < outcome.limit else { return outcome.finished[0].end }
            if stopsAtFirst, tally.firstByte != nil {
                outcome.limit = sequence + 1
                outcome.finished.removeAll { $0.sequences.lowerBound > sequence }
            }
            let index = outcome.finished.firstIndex { $0.sequences.lowerBound > sequence } ?? outcome.finished.count
            let finished = Finished(sequences: sequence..<sequence + 1, tally: tally, end: job.end)
            outcome.finished.insert(finished, at: index)
            outcome.join(index)
            outcome.join(index - 1)
            return outcome.finished[0].end
        }
    }

    func result(_ range: Range<UInt64>) throws(DiskError) -> ComparisonResult {
        let (finished, failure) = outcome.withLock { ($0.finished[0], $0.validFailure) }
        if let failure { throw failure }
        let tally = finished.tally
        let sector = DifferenceTally.sectorByteCount
        return ComparisonResult(
            range: range, firstDifference: tally.firstByte,
            differingByteCount: tally.byteCount, differingSectorCount: tally.sectorCount,
            differingRangeCount: tally.rangeCount,
            differingRanges: tally.ranges.map {
                ($0.lowerBound * sector..<$0.upperBound * sector).clamped(to: range)
            },
            comparedByteCount: tally.comparedByteCount, zeroByteCount: tally.zeroByteCount,
            sharedByteCount: tally.sharedByteCount)
    }
}
