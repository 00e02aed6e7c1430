import BlockIO
import ByteCodec
import DiskModel
import Dispatch
import Synchronization

/// Moves what a feed gives into the target of a merge: two threads take turns, each reads while the other one writes.
/// Nothing depends on the order: each sector is written once, and shows in the leaf from elsewhere until the links go.
final class MergeMover: Sendable {
    private struct State: Sendable {
        var feed: MergeFeed
        var doneByteCount: UInt64 = 0
        var failure: DiskError?
        /// Whether the file system still takes blocks to be shared.
        var canShare = true
    }

    private let target: any WritableDiskLayer
    /// The target over its own parents, for zeros: what reads as zeros already stays as it is.
    private let disk: ImageChain
    private let totalByteCount: UInt64
    private let state: Mutex<State>

    init(
        _ feed: MergeFeed, into target: any WritableDiskLayer, over below: [any DiskLayer], total: UInt64
    ) throws(DiskError) {
        self.target = target
        disk = try ImageChain(leafFirst: [target] + below, writableLeaf: target)
        totalByteCount = total
        state = Mutex(State(feed: feed))
    }

    /// - Parameter progress: bytes done of the total, called from both threads; throwing there stops the work.
    func run(_ progress: @Sendable (UInt64, UInt64) throws(DiskError) -> Void) throws(DiskError) {
        DispatchQueue.concurrentPerform(iterations: 2) { _ in
            let buffer = IOBuffer(byteCount: 256 << 10)
            do throws(DiskError) {
                while let piece = try next() {
                    try move(piece, buffer)
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
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }

    private func next() throws(DiskError) -> MergeFeed.Piece? {
        try state.withLock { (state) throws(DiskError) in
            guard state.failure == nil else { return nil }
            return try state.feed.next()
        }
    }

    private func move(_ piece: MergeFeed.Piece, _ buffer: IOBuffer) throws(DiskError) {
        switch piece.source {
        case .zero: try disk.writeZeroes(piece.range)
        case .copy(let file, let offset): try copy(piece.range, file, offset, buffer)
        case .share(let file, let offset):
            let base = piece.range.lowerBound
            try target.write(piece.range) { (part, place) throws(DiskError) in
                let start = offset + (part.lowerBound - base)
                if try share(part, file, start, to: place) { return }
                var done: UInt64 = 0
                let count = part.upperBound - part.lowerBound
                while done < count {
                    let step = Int(min(UInt64(buffer.byteCount), count - done))
                    try read(step, file, start + done, buffer)
                    try write(buffer.bytes(0..<step), at: place + done)
                    done += UInt64(step)
                }
            }
        }
    }

    private func copy(_ range: Range<UInt64>, _ file: any BlockFile, _ offset: UInt64, _ buffer: IOBuffer)
        throws(DiskError)
    {
        let count = Int(range.upperBound - range.lowerBound)
        try read(count, file, offset, buffer)
        if isZero(buffer.bytes(0..<count)) { return try disk.writeZeroes(range) }
        let base = range.lowerBound
        try target.write(range) { (part, place) throws(DiskError) in
            try write(buffer.bytes(Int(part.lowerBound - base)..<Int(part.upperBound - base)), at: place)
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
