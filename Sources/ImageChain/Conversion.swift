import BlockIO
import ByteCodec
public import DiskModel
import Dispatch
import Synchronization

public struct ConversionOptions: Sendable {
    /// Whether blocks may be shared with the source's file where the file system can; they are not looked at then, and
    /// zeros among them stay.
    public var clones = true
    public init() {}
}

/// What a conversion did, in bytes of the disk.
public struct ConversionResult: Sendable, Equatable {
    /// Read and written.
    public var copiedByteCount: UInt64 = 0
    /// Shared with the source's file.
    public var clonedByteCount: UInt64 = 0
    /// Stored in the source as zeros, and left out.
    public var zeroByteCount: UInt64 = 0
    /// Not stored in the source.
    public var skippedByteCount: UInt64 = 0
    public init() {}
}

/// Fills a new image with the contents of a disk: what the source does not store, and pages of zeros, become holes.
///
/// Two threads take turns: each reads a piece and looks for zeros while the other one writes. Space in the target is given
/// out in the order of the disk, so that the same disk always gives the same file.
/// - Parameter progress: gets the bytes of the disk that are done; called from both threads.
/// - Throws: `DiskError`; of several failures the first in the order of the disk.
public func fill(
    _ builder: any ImageBuilder, from source: any VirtualDisk, _ options: ConversionOptions = .init(),
    progress: @Sendable (UInt64) -> Void = { _ in }
) throws(DiskError) -> ConversionResult {
    let device = options.clones ? try cloneDevice(builder, source) : nil
    let work = FillWork(builder, source, cloneDevice: device)
    DispatchQueue.concurrentPerform(iterations: 2) { _ in work.run(progress) }
    let result = try work.result()
    try builder.finish()
    return result
}

/// The device on which the target can share blocks with the source; tried with one block, which is taken back.
/// - Throws: when it cannot be taken back: it would stand in the new image.
private func cloneDevice(_ builder: any ImageBuilder, _ source: any VirtualDisk) throws(DiskError) -> UInt64? {
    guard let target = builder.file.hostFile, let probe = try? source.extents(in: source.wholeRange, limit: 1).first,
        let file = probe.file.hostFile, file.identity.device == target.identity.device,
        (try? target.byteCount()) == 0, let end = try? file.byteCount(), end >= PieceFeed.cloneUnit
    else { return nil }
    guard (try? target.clone(0..<PieceFeed.cloneUnit, of: file, to: 0)) == true else { return nil }
    do { try target.resize(to: 0) } catch { throw DiskError(error, doing: "trying to share blocks") }
    return target.identity.device
}

/// The work that the threads share.
///
/// `@unchecked`: the builder is only called by the thread whose turn it is.
private final class FillWork: @unchecked Sendable {
    private struct State {
        var feed: PieceFeed
        /// A piece taken from the feed that did not belong to the job before.
        var kept: Piece?
        /// Signalled when every piece given out so far has its place.
        var turn = DispatchSemaphore(value: 0)
        var sequence = 0
        var result = ConversionResult()
        var failure: (sequence: Int, error: DiskError)?
    }
    private let builder: any ImageBuilder
    private let state: Mutex<State>

    init(_ builder: any ImageBuilder, _ source: any VirtualDisk, cloneDevice: UInt64?) {
        self.builder = builder
        let feed = PieceFeed(source, runByteCount: builder.runByteCount, cloneDevice: cloneDevice)
        let start = State(feed: feed)
        start.turn.signal()
        state = Mutex(start)
    }

    /// Pieces, and their turn among those that ask for space: one to be copied, or several to be shared, which is done
    /// sooner than handing over.
    private struct Job {
        var pieces: [Piece]
        var sequence: Int
        var turn: DispatchSemaphore
        var next: DispatchSemaphore
    }

    func result() throws(DiskError) -> ConversionResult {
        let (failure, result) = state.withLock { state in
            state.result.skippedByteCount = state.feed.skippedByteCount
            return (state.failure, state.result)
        }
        if let failure { throw failure.error }
        return result
    }

    func run(_ progress: (UInt64) -> Void) {
        let buffer = IOBuffer(byteCount: Int(PieceFeed.copyByteCount))
        var runs: [Range<Int>] = []
        while let job = nextJob() {
            do throws(DiskError) {
                if job.pieces[0].way == .clone {
                    try clone(job, buffer, &runs)
                } else {
                    try copy(job.pieces[0], job, buffer, &runs)
                }
                let last = job.pieces[job.pieces.count - 1]
                progress(last.offset + last.byteCount)
            } catch { fail(error, job.sequence) }
        }
    }

    private static let clonesPerJob = 128

    private func nextJob() -> Job? {
        state.withLock { (state) -> Job? in
            guard state.failure == nil else { return nil }
            do throws(DiskError) {
                let pieces = try Self.nextPieces(&state)
                guard !pieces.isEmpty else { return nil }
                let job = Job(
                    pieces: pieces, sequence: state.sequence, turn: state.turn, next: DispatchSemaphore(value: 0))
                state.turn = job.next
                state.sequence += 1
                return job
            } catch {
                state.failure = (state.sequence, error)
                return nil
            }
        }
    }

    private static func nextPieces(_ state: inout State) throws(DiskError) -> [Piece] {
        var pieces: [Piece] = []
        while pieces.count < clonesPerJob {
            let kept = state.kept.take()
            guard let piece = if let kept { kept } else { try state.feed.next() } else { break }
            if let first = pieces.first, first.way == .copy || piece.way == .copy {
                state.kept = piece
                break
            }
            pieces.append(piece)
            if piece.way == .copy { break }
        }
        return pieces
    }

    private func fail(_ error: DiskError, _ sequence: Int) {
        state.withLock { state in
            if let failure = state.failure, failure.sequence < sequence { return }
            state.failure = (sequence, error)
        }
    }

    private func copy(_ piece: Piece, _ job: Job, _ buffer: IOBuffer, _ runs: inout [Range<Int>]) throws(DiskError) {
        let target: UInt64?
        do {
            // Whatever happens, the next one gets its turn.
            defer { job.next.signal() }
            let failed: DiskError?
            do {
                try read(piece, buffer, &runs)
                failed = nil
            } catch { failed = error }
            job.turn.wait()
            if let failed { throw failed }
            target = try place(piece, runs)
        }
        try write(piece, buffer, runs, to: target)
    }

    private func read(_ piece: Piece, _ buffer: IOBuffer, _ runs: inout [Range<Int>]) throws(DiskError) {
        let count = Int(piece.byteCount)
        do { try buffer.fill(count, from: piece.file, at: piece.fileOffset) } catch {
            throw DiskError(error, doing: "reading the disk at \(piece.offset)")
        }
        runs.removeAll(keepingCapacity: true)
        forEachNonzeroRun(in: buffer.bytes(0..<count)) { runs.append($0) }
    }

    private func place(_ piece: Piece, _ runs: [Range<Int>]) throws(DiskError) -> UInt64? {
        guard !runs.isEmpty else { return nil }
        return try builder.place(piece.offset..<piece.offset + piece.byteCount)
    }

    private func write(_ piece: Piece, _ buffer: IOBuffer, _ runs: [Range<Int>], to target: UInt64?) throws(DiskError) {
        var written = 0
        for run in runs {
            guard let target else { break }
            do { try builder.file.write(buffer.bytes(run), at: target + UInt64(run.lowerBound)) } catch {
                throw DiskError(error, doing: "writing the disk at \(piece.offset)")
            }
            written += run.count
        }
        state.withLock {
            $0.result.copiedByteCount += UInt64(written)
            $0.result.zeroByteCount += piece.byteCount - UInt64(written)
        }
    }

    private func clone(_ job: Job, _ buffer: IOBuffer, _ runs: inout [Range<Int>]) throws(DiskError) {
        defer { job.next.signal() }
        job.turn.wait()
        for piece in job.pieces { try clone(piece, buffer, &runs) }
    }

    private func clone(_ piece: Piece, _ buffer: IOBuffer, _ runs: inout [Range<Int>]) throws(DiskError) {
        let target = try builder.place(piece.offset..<piece.offset + piece.byteCount)
        if let from = piece.file.hostFile, let to = builder.file.hostFile {
            let isShared: Bool
            do {
                isShared = try to.clone(piece.fileOffset..<piece.fileOffset + piece.byteCount, of: from, to: target)
            } catch { throw DiskError(error, doing: "sharing the disk at \(piece.offset)") }
            if isShared { return state.withLock { $0.result.clonedByteCount += piece.byteCount } }
        }
        var done: UInt64 = 0
        while done < piece.byteCount {
            var part = piece
            (part.offset, part.fileOffset) = (piece.offset + done, piece.fileOffset + done)
            part.byteCount = min(PieceFeed.copyByteCount, piece.byteCount - done)
            try read(part, buffer, &runs)
            try write(part, buffer, runs, to: target + done)
            done += part.byteCount
        }
    }
}
