import BlockIO
import ByteCodec
import DiskModel
import Dispatch
import Synchronization

/// Moves what a feed gives into the target of a merge, with two threads.
/// Nothing depends on the order: each sector is written once, and shows in the leaf from elsewhere until the links go.
final class MergeMover: Sendable {
    private struct State: Sendable {
        var feed: MergeFeed
        var doneByteCount: UInt64 = 0
        var failure: DiskError?
        /// The target seems cut.
        var cut: DiskError?
        var isOver: Bool { failure != nil || cut != nil }
        /// Whether the file system still takes blocks to be shared.
        var canShare = true
    }

    private let target: any WritableDiskLayer
    /// The target over its own parents, for zeros: what reads as zeros already stays as it is.
    private let disk: ImageChain
    private let length: GrowingLength
    private let totalByteCount: UInt64
    private let state: Mutex<State>

    init(
        _ feed: MergeFeed, into target: any WritableDiskLayer, over below: [any DiskLayer], total: UInt64,
        watching length: GrowingLength
    ) throws(DiskError) {
        self.target = target
        self.length = length
        disk = try ImageChain(leafFirst: [target] + below, writableLeaf: target)
        totalByteCount = total
        state = Mutex(State(feed: feed))
    }

    /// - Parameter progress: bytes done of the total, called from both threads; throwing there stops the work.
    func run(_ progress: @Sendable (UInt64, UInt64) throws(DiskError) -> Void) throws(DiskError) {
        DispatchQueue.concurrentPerform(iterations: 2) { _ in
            let buffer = IOBuffer(byteCount: 256 << 10)
            do throws(DiskError) {
                while let piece = try next(), try look() {
                    try move(piece, buffer)
                    guard try look() else { return }
                    let done = state.withLock { state in
                        state.doneByteCount += piece.byteCount
                        return state.doneByteCount
                    }
                    try progress(done, totalByteCount)
                }
            } catch {
                state.withLock { $0.failure = $0.failure ?? error }
            }
        }
        let (failure, cut) = state.withLock { ($0.failure, $0.cut) }
        // An I/O error of the other thread counts first: a growth that failed may have been taken back.
        if let failure, failure.kind == .io { throw failure }
        if let cut { throw length.confirm(cut) }
        try length.check()
        if let failure { throw failure }
    }

    /// Sees that nobody cut the target; otherwise the work is over.
    private func look() throws(DiskError) -> Bool {
        guard let loss = try length.loss() else { return true }
        state.withLock { $0.cut = $0.cut ?? loss }
        return false
    }

    private func next() throws(DiskError) -> MergeFeed.Piece? {
        try state.withLock { (state) throws(DiskError) in
            guard !state.isOver else { return nil }
            return try state.feed.next()
        }
    }

    private func move(_ piece: MergeFeed.Piece, _ buffer: IOBuffer) throws(DiskError) {
        switch piece.source {
        case .zero: try disk.writeZeroes(piece.range)
        case .copy(let file, let offset):
            let count = Int(piece.byteCount)
            try read(count, file, offset, buffer)
            if isZero(buffer.bytes(0..<count)) { return try disk.writeZeroes(piece.range) }
            let base = piece.range.lowerBound
            for (part, place) in try places(for: piece.range) {
                try write(buffer.bytes(Int(part.lowerBound - base)..<Int(part.upperBound - base)), at: place)
            }
        case .share(let file, let offset):
            for (part, place) in try places(for: piece.range) {
                let start = offset + (part.lowerBound - piece.range.lowerBound)
                if try share(part, file, start, to: place) { continue }
                try copy(part.upperBound - part.lowerBound, file, start, to: place, buffer)
            }
        }
    }

    /// Where a range goes in the target's file. It is filled outside of the target's lock, so that both threads write at
    /// once. A flush between may show the place before its bytes are there: below the links, where nobody looks, and the
    /// target is closed, flushed, before they go.
    private func places(for range: Range<UInt64>) throws(DiskError) -> [(part: Range<UInt64>, place: UInt64)] {
        var result: [(part: Range<UInt64>, place: UInt64)] = []
        try target.write(range) { (part, place) throws(DiskError) in result.append((part, place)) }
        return result
    }

    private func copy(
        _ byteCount: UInt64, _ file: any BlockFile, _ start: UInt64, to place: UInt64, _ buffer: IOBuffer
    ) throws(DiskError) {
        var done: UInt64 = 0
        while done < byteCount {
            let step = Int(min(UInt64(buffer.byteCount), byteCount - done))
            try read(step, file, start + done, buffer)
            try write(buffer.bytes(0..<step), at: place + done)
            done += UInt64(step)
        }
    }

    private func share(_ part: Range<UInt64>, _ file: any BlockFile, _ start: UInt64, to place: UInt64)
        throws(DiskError) -> Bool
    {
        guard place % 4096 == 0, let from = file.hostFile, let to = target.file.hostFile,
            state.withLock({ $0.canShare })
        else { return false }
        do throws(IOError) {
            if try to.clone(start..<start + (part.upperBound - part.lowerBound), of: from, to: place) { return true }
        } catch { throw DiskError(error, doing: "sharing blocks") }
        state.withLock { $0.canShare = false }
        return false
    }

    private func read(_ count: Int, _ file: any BlockFile, _ offset: UInt64, _ buffer: IOBuffer) throws(DiskError) {
        do throws(IOError) { try buffer.fill(count, from: file, at: offset) } catch {
            throw DiskError(error, doing: "reading what is to be merged")
        }
    }

    private func write(_ bytes: RawSpan, at place: UInt64) throws(DiskError) {
        do throws(IOError) { try target.file.write(bytes, at: place) } catch {
            throw DiskError(error, doing: "merging")
        }
    }
}
