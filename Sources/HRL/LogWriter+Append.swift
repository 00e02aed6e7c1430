import BlockIO
public import ByteCodec
public import DiskModel
import Dispatch
import Synchronization

// Appending: each piece of a write takes its place under the lock; its bytes go into a buffer then and there, or, when
// there are many of them, into the file after the lock.
extension LogWriter {
    /// Writes of this many bytes go to the file directly.
    static let directByteCount = 256 << 10

    /// A piece that has its place, and what is left to be done outside of the lock.
    private struct Placed {
        var byteCount: Int
        /// Whether somebody has to be told that a buffer waits to be written.
        var callsQueue = false
        var goal: Goal?
    }

    /// What has to be done outside of the lock for a piece that has its place, or before it can have one.
    private enum Step {
        case wait(DispatchSemaphore)
        case writeBlocks
        case writeBuffer(LogBuffer, ticket: UInt64)
        case placed(Placed)
        case writeDirectly(Placed, fileOffset: UInt64, ticket: UInt64)
    }

    /// Appends a write of any length at any disk offset. It is durable after the next `flush`.
    /// - Parameter joining: whether it may become one entry with the write before, where it goes on from it on the disk
    ///   at the same time.
    /// - Throws: `.outOfRange` past 64 TiB, `.io`; `.refused` past `occupiedByteLimit`.
    public func append(
        _ bytes: RawSpan, at diskOffset: UInt64, time: DiskTimestamp, joining: Bool = false
    ) throws(DiskError) {
        try checkRange(diskOffset, UInt64(bytes.byteCount))
        guard bytes.byteCount > 0 else { return try state.withLock { (state) throws(DiskError) in try check(state) } }
        var done = 0
        var goal: Goal?
        while done < bytes.byteCount {
            let rest = bytes.extracting(done..<bytes.byteCount)
            let placed = try appendPiece(of: rest, at: diskOffset + UInt64(done), time: time.rawValue, joining: joining)
            done += placed.byteCount
            goal = placed.goal
        }
        try commitIfNeeded(goal)
    }

    /// Appends a write of an array's bytes.
    public func append(_ bytes: [UInt8], at diskOffset: UInt64, time: DiskTimestamp) throws(DiskError) {
        try append(bytes.rawBytes, at: diskOffset, time: time)
    }

    /// Appends a write of zeros, in entries of up to 2 GiB whose data is a hole in the log.
    /// - Throws: as `append`.
    public func appendZeroes(_ range: Range<UInt64>, time: DiskTimestamp) throws(DiskError) {
        try checkRange(range.lowerBound, range.upperBound - range.lowerBound)
        guard !range.isEmpty else { return try state.withLock { (state) throws(DiskError) in try check(state) } }
        var start = range.lowerBound
        var goal: Goal?
        while start < range.upperBound {
            let count = min(UInt64(MetadataEntry.maximumDataLength), range.upperBound - start)
            goal = try appendHole(at: start, count, time: time.rawValue)
            start += count
        }
        try commitIfNeeded(goal)
    }

    private func checkRange(_ offset: UInt64, _ count: UInt64) throws(DiskError) {
        guard let end = offset.adding(count), end <= MetadataEntry.maximumEnd else {
            throw DiskError(
                .outOfRange, path: file.path,
                "a write of \(count) bytes at \(offset) ends past \(MetadataEntry.maximumEnd)")
        }
    }

    private func appendPiece(
        of bytes: RawSpan, at diskOffset: UInt64, time: UInt32, joining: Bool
    ) throws(DiskError) -> Placed {
        // Where nothing is joined the piece is known before its place is, and is summed outside of the lock.
        let most = min(bytes.byteCount, options.maximumEntryByteCount)
        let sum = options.computesDataChecksums && !joining ? byteSum(bytes.extracting(0..<most)) : nil
        while true {
            let step = try state.withLock { (state) throws(DiskError) -> Step in
                try check(state)
                return try next(&state, bytes, at: diskOffset, time: time, joining: joining, sum: sum)
            }
            switch step {
            case .wait(let semaphore): semaphore.wait()
            case .writeBlocks: try commit(.described)
            case .writeBuffer(let buffer, let ticket): write(buffer, ticket)
            case .placed(let placed):
                if placed.callsQueue { queue.async { self.writeQueued() } }
                return placed
            case .writeDirectly(let placed, let fileOffset, let ticket):
                do throws(IOError) { try file.write(bytes.extracting(0..<placed.byteCount), at: fileOffset) } catch {
                    throw fail(error)
                }
                state.withLock { $0.end(ticket) }
                return placed
            }
        }
    }

    /// Gives a piece its place, if it can have one.
    private func next(
        _ state: inout State, _ bytes: RawSpan, at diskOffset: UInt64, time: UInt32, joining: Bool, sum: UInt32?
    ) throws(DiskError) -> Step {
        let room = joining ? state.roomInLastEntry(at: diskOffset, time) : 0
        let count = min(bytes.byteCount, room > 0 ? room : options.maximumEntryByteCount)
        let isDirect = count >= Self.directByteCount
        // Whoever has to wait does the work that is waited for, where nobody has begun with it.
        if state.holdsTooManyBlocks { return state.isCommitting ? .wait(state.waiting.join()) : .writeBlocks }
        if !isDirect, !state.hasBuffer(for: count) {
            guard let (buffer, ticket) = state.takeQueued() else { return .wait(state.waiting.join()) }
            return .writeBuffer(buffer, ticket: ticket)
        }
        guard state.takesSpace(for: UInt64(count)) else { throw limitError }
        let fileOffset = state.position
        let piece = bytes.extracting(0..<count)
        if !isDirect { state.filling!.append(piece, at: fileOffset) }
        let ticket = isDirect ? state.begin() : 0
        let dataSum = options.computesDataChecksums ? sum ?? byteSum(piece) : nil
        if room > 0 {
            state.extendLastEntry(by: count, sum: dataSum)
        } else {
            state.addEntry(at: diskOffset, UInt64(count), time: time, dataChecksum: dataSum.map { ~$0 } ?? 0)
        }
        let placed = Placed(byteCount: count, callsQueue: state.callsQueue(), goal: goal(state))
        return isDirect ? .writeDirectly(placed, fileOffset: fileOffset, ticket: ticket) : .placed(placed)
    }

    private func appendHole(at diskOffset: UInt64, _ count: UInt64, time: UInt32) throws(DiskError) -> Goal? {
        while true {
            let step = try state.withLock { (state) throws(DiskError) -> Step in
                try check(state)
                if state.holdsTooManyBlocks { return state.isCommitting ? .wait(state.waiting.join()) : .writeBlocks }
                guard state.takesSpace(for: 0) else { throw limitError }
                // Nothing was ever written past `position`: the data is a hole, or the zeros a cut file grows with.
                state.addEntry(
                    at: diskOffset, count, time: time, dataChecksum: options.computesDataChecksums ? .max : 0,
                    isZeros: true)
                return .placed(Placed(byteCount: 0, goal: goal(state)))
            }
            switch step {
            case .wait(let semaphore): semaphore.wait()
            case .writeBlocks: try commit(.described)
            case .placed(let placed): return placed.goal
            case .writeBuffer, .writeDirectly: preconditionFailure("zeros have no bytes")
            }
        }
    }

    /// On the queue: writes buffers until none waits.
    private func writeQueued() {
        while let (buffer, ticket) = state.withLock({ $0.takeQueuedOnQueue() }) { write(buffer, ticket) }
    }

    func write(_ buffer: LogBuffer, _ ticket: UInt64) {
        do throws(IOError) {
            try buffer.write(to: file)
            state.withLock { $0.end(ticket, giving: buffer) }
        } catch { _ = fail(error) }
    }

    /// What the log needs after an append; nil while another thread is at it.
    private func goal(_ state: borrowing State) -> Goal? {
        guard !state.isCommitting else { return nil }
        if let limit = options.flushPolicy.flushesAfterByteCount, state.unflushedByteCount >= limit { return .durable }
        return state.holdsManyBlocks ? .described : nil
    }

    /// Blocks that have become many are written by nobody who waits: a write is not to take as long as a flush.
    private func commitIfNeeded(_ goal: Goal?) throws(DiskError) {
        switch goal {
        case nil: return
        case .described?:
            blockQueue.async {
                // What fails is noted, and told by the next call.
                do throws(DiskError) { try self.commit(.described) } catch {}
            }
        case let goal?: try commit(goal)
        }
    }
}
