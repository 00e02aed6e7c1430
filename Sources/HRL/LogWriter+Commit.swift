import BlockIO
import DiskModel
import Dispatch
import Synchronization

// Committing: steps 3 and 4. One thread at a time does it, for all whose writes were appended before it began; others
// append meanwhile.
extension LogWriter {
    enum Goal {
        /// Full blocks are in the file.
        case described
        /// Everything is in the file and flushed.
        case durable
        /// As `durable`, of a log that is being closed: it has a block in any case.
        case whole
    }

    /// What a commit is about.
    private struct Batch: Sendable {
        var entryCount: UInt64
        var blocks: [Block]
        /// Data with this ticket or an earlier one must be in the file.
        var lastTicket: UInt64
    }

    private enum Turn {
        case nothing
        case wait(DispatchSemaphore)
        case go(Batch)
    }

    func commit(_ goal: Goal) throws(DiskError) {
        let target = state.withLock { $0.entryCount }
        while true {
            let turn = try state.withLock { (state) throws(DiskError) -> Turn in
                guard !state.isClosed else { return .nothing }
                if let failure = state.failure { throw DiskError(failure, doing: "the log stopped after a failure") }
                if goal == .durable, state.durableEntryCount >= target { return .nothing }
                if goal == .described, !state.holdsManyBlocks { return .nothing }
                if state.isCommitting {
                    return goal == .described ? .nothing : .wait(state.waiting.join())
                }
                return .go(beginCommit(&state, goal))
            }
            switch turn {
            case .nothing: return
            case .wait(let semaphore): semaphore.wait()
            case .go(let batch): return try run(batch, goal)
            }
        }
    }

    private func beginCommit(_ state: inout State, _ goal: Goal) -> Batch {
        state.isCommitting = true
        if goal != .described { state.finishBlock(evenEmpty: goal == .whole && state.lastBlock == nil) }
        _ = state.queueBuffer()
        let batch = Batch(
            entryCount: state.entryCount - UInt64(state.pending.count), blocks: state.takeBlocks(),
            lastTicket: state.nextTicket)
        if goal != .described {
            state.unflushedByteCount = 0
            state.dirtySince = nil
        }
        return batch
    }

    private func run(_ batch: Batch, _ goal: Goal) throws(DiskError) {
        try waitForData(through: batch.lastTicket)
        do throws(IOError) {
            if !batch.blocks.isEmpty {
                try file.sync()
                for block in batch.blocks {
                    try file.write(block.bytes(byteCount: Int(options.metadataSize)), at: block.offset)
                }
            }
            // Blocks that an earlier commit described may wait for this.
            if goal != .described { try file.sync() }
        } catch { throw fail(error) }
        state.withLock { state in
            if goal != .described { state.durableEntryCount = batch.entryCount }
            state.isCommitting = false
            state.waiting.wakeAll()
        }
    }

    private enum Wait {
        case over
        case write(LogBuffer, ticket: UInt64)
        case on(DispatchSemaphore)
    }

    /// Returns when all data up to a ticket is in the file; writes what waits in buffers itself.
    private func waitForData(through ticket: UInt64) throws(DiskError) {
        while true {
            let wait = try state.withLock { (state) throws(DiskError) -> Wait in
                if let failure = state.failure { throw DiskError(failure, doing: "writing the log") }
                guard let first = state.underWay.first, first <= ticket else { return .over }
                if let (buffer, ticket) = state.takeQueued() { return .write(buffer, ticket: ticket) }
                return .on(state.waiting.join())
            }
            switch wait {
            case .over: return
            case .write(let buffer, let ticket): write(buffer, ticket)
            case .on(let semaphore): semaphore.wait()
            }
        }
    }
}
