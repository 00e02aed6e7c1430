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

    /// What has to be done outside of the lock for a piece that has its place, or before it can have one.
    private enum Step {
        case wait(DispatchSemaphore)
        case writeBlocks
        case bufferQueued
        case writeBuffer(LogBuffer, ticket: UInt64)
        case placed(byteCount: Int)
        case writeDirectly(byteCount: Int, fileOffset: UInt64, ticket: UInt64)
    }

    /// Appends a write of any length at any disk offset. It is durable after the next `flush`.
    /// - Parameter joining: whether it may become one entry with the write before, where it goes on from it on the disk
    ///   at the same time.
    /// - Throws: `.outOfRange` past 64 TiB, `.io`; `.refused` past `occupiedByteLimit`.
    public func append(
        _ bytes: RawSpan, at diskOffset: UInt64, time: DiskTimestamp, joining: Bool = false
    ) throws(DiskError) {
        try checkRange(diskOffset, UInt64(bytes.byteCount))
        var done = 0
        while done < bytes.byteCount {
            let rest = bytes.extracting(done..<bytes.byteCount)
            done += try appendPiece(of: rest, at: diskOffset + UInt64(done), time: time.rawValue, joining: joining)
        }
        try commitIfNeeded()
    }

    /// Appends a write of an array's bytes.
    public func append(_ bytes: [UInt8], at diskOffset: UInt64, time: DiskTimestamp) throws(DiskError) {
        try append(bytes.rawBytes, at: diskOffset, time: time)
    }

    /// Appends a write of zeros, in entries of up to 2 GiB whose data is a hole in the log.
    /// - Throws: as `append`.
    public func appendZeroes(_ range: Range<UInt64>, time: DiskTimestamp) throws(DiskError) {
        try checkRange(range.lowerBound, range.upperBound - range.lowerBound)
        var start = range.lowerBound
        while start < range.upperBound {
            let count = min(UInt64(MetadataEntry.maximumDataLength), range.upperBound - start)
            try appendHole(at: start, count, time: time.rawValue)
            start += count
        }
        try commitIfNeeded()
    }

    private func checkRange(_ offset: UInt64, _ count: UInt64) throws(DiskError) {
        guard let end = offset.adding(count), end <= MetadataEntry.maximumEnd else {
            throw DiskError(
                .outOfRange, path: file.path,
                "a write of \(count) bytes at \(offset) ends past \(MetadataEntry.maximumEnd)")
        }
        try state.withLock { (state) throws(DiskError) in try check(state) }
    }

    /// - Returns: how many bytes it was.
    private func appendPiece(
        of bytes: RawSpan, at diskOffset: UInt64, time: UInt32, joining: Bool
    ) throws(DiskError) -> Int {
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
            case .bufferQueued: queue.async { self.writeQueued() }
            case .writeBuffer(let buffer, let ticket): write(buffer, ticket)
            case .placed(let count): return count
            case .writeDirectly(let count, let fileOffset, let ticket):
                do throws(IOError) { try file.write(bytes.extracting(0..<count), at: fileOffset) } catch {
                    throw fail(error)
                }
                state.withLock { $0.end(ticket) }
                return count
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
            if state.queueBuffer() { return .bufferQueued }
            if let (buffer, ticket) = state.takeQueued() { return .writeBuffer(buffer, ticket: ticket) }
            return .wait(state.waiting.join())
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
        return isDirect
            ? .writeDirectly(byteCount: count, fileOffset: fileOffset, ticket: ticket) : .placed(byteCount: count)
    }

    private func appendHole(at diskOffset: UInt64, _ count: UInt64, time: UInt32) throws(DiskError) {
        while true {
            let step = try state.withLock { (state) throws(DiskError) -> Step in
                try check(state)
                if state.holdsTooManyBlocks { return state.isCommitting ? .wait(state.waiting.join()) : .writeBlocks }
                guard state.takesSpace(for: 0) else { throw limitError }
                // Nothing was ever written past `position`: the data is a hole, or the zeros a cut file grows with.
                state.addEntry(
                    at: diskOffset, count, time: time, dataChecksum: options.computesDataChecksums ? .max : 0,
                    isZeros: true)
                return .placed(byteCount: 0)
            }
            switch step {
            case .wait(let semaphore): semaphore.wait()
            case .writeBlocks: try commit(.described)
            default: return
            }
        }
    }

    /// On the queue: writes a buffer, if nobody else has come to it.
    private func writeQueued() {
        if let (buffer, ticket) = state.withLock({ $0.takeQueued() }) { write(buffer, ticket) }
    }

    func write(_ buffer: LogBuffer, _ ticket: UInt64) {
        do throws(IOError) {
            try buffer.write(to: file)
            state.withLock { $0.end(ticket, giving: buffer) }
        } catch { _ = fail(error) }
    }

    /// Blocks that have become many are written by nobody who waits: a write is not to take as long as a flush.
    private func commitIfNeeded() throws(DiskError) {
        let goal = state.withLock { state -> Goal? in
            guard !state.isCommitting else { return nil }
            if let limit = options.flushPolicy.flushesAfterByteCount, state.unflushedByteCount >= limit {
                return .durable
            }
            return state.holdsManyBlocks ? .described : nil
        }
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
