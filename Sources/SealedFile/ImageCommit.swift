import BlockIO
import ByteCodec
import Cipher
import Glibc
import Synchronization

extension SealedImage {
    /// Steps 1 to 4. Nothing where nothing was changed.
    func commit(_ writing: inout Writing) throws(IOError) {
        guard writing.access == .writing else { throw refusal("commit") }
        guard state.withLock({ $0.isChanged }) else { return }
        if state.withLock({ $0.mustCheckpoint }) { try checkpoint(&writing) }
        writing.access = .failed
        try sealFreeChunks(&writing)
        let plan = try sealForJournal(&writing)
        let record = try flushAndSettle(plan)
        try ring.write(record.rawBytes, at: plan.position)
        try file.sync()
        state.withLock { $0.finishCommit(plan) }
        for zeros in plan.zeros { try punch(zeros) }
        writing.access = .writing
    }

    /// Step 2, while another thread brings the pages in memory up to date.
    /// - Returns: the record.
    private func flushAndSettle(_ plan: CommitPlan) throws(IOError) -> [UInt8] {
        let record = Mutex<[UInt8]>([])
        try onTwoThreads(2) { (number) throws(IOError) in
            guard number == 1 else { return try file.sync() }
            let bytes = try state.withLock { (state) throws(IOError) in try state.settle(plan).bytes(keys) }
            record.withLock { $0 = bytes }
        }
        return record.withLock { $0 }
    }

    /// Enciphers what is still in memory behind the room for the record.
    private func sealForJournal(_ writing: inout Writing) throws(IOError) -> CommitPlan {
        let generation = try nextGeneration()
        let (head, zeros, dataCount, hot) = state.withLock { state in
            let hot = state.changes.hot
            // A chunk in memory takes the place of what was enciphered, or zeros, before.
            let others = state.changes.entries.filter { hot[$0.key] == nil }
            let zeros = others.filter { $0.value.entry.state == .zero }.keys.sorted()
            return (
                state.head, runs(of: zeros), others.count - zeros.count + hot.count, hot.sorted { $0.key < $1.key }
            )
        }
        var plan = CommitPlan(
            position: head, generation: generation, changeCount: zeros.count + dataCount,
            payloadByteCount: UInt64(hot.count * chunkByteCount), zeros: zeros)
        try checkRoom(upTo: plan.payloadPosition + plan.payloadByteCount)
        let batch = writing.takeBatch(chunkByteCount)
        var position = plan.payloadPosition
        for (index, chunk) in hot {
            let text = chunk.text
            batch.append(index, text.rawBytes)
            if batch.isFull { try sealForJournal(batch, &position, generation) }
        }
        try sealForJournal(batch, &position, generation)
        plan.end = position
        return plan
    }

    /// What is written into the journal never reaches what is still needed there: changes are taken only as long as it fits.
    func checkRoom(upTo end: UInt64) throws(IOError) {
        let tail = state.withLock { $0.tail }
        guard end - tail <= layout.journalByteCount else { throw IOError("journal", path: path, .errno(ENOSPC)) }
    }

    private func sealForJournal(
        _ batch: ChunkBatch, _ position: inout UInt64, _ generation: UInt64
    ) throws(IOError) {
        guard !batch.isEmpty else { return }
        defer { batch.removeAll() }
        let nonces = random.bytes(batch.indices.count * ChunkEntry.nonceByteCount)
        let start = position
        try batch.seal(word: ChunkEntry.word(.data, generation), ciphers, nonces) { (places, bytes) throws(IOError) in
            try ring.write(bytes, at: start + UInt64(places.lowerBound * chunkByteCount))
        }
        state.withLock { state in
            for (place, index) in batch.indices.enumerated() {
                let location = ChunkLocation.journal(start + UInt64(place * chunkByteCount))
                state.changes.set(ImageChanges.Change(entry: batch.entries[place], location: location), index)
            }
        }
        position += UInt64(batch.indices.count * chunkByteCount)
    }

    /// Gives back the space of chunks of one group that are zeros now.
    private func punch(_ chunks: Range<UInt64>) throws(IOError) {
        let start = layout.offset(ofChunk: chunks.lowerBound)
        try file.zero(start..<start + UInt64(chunks.count) * UInt64(chunkByteCount))
    }
}

/// A commit under way.
struct CommitPlan: Sendable {
    /// Of its record.
    let position: UInt64
    let generation: UInt64
    let changeCount: Int
    let payloadByteCount: UInt64
    /// Chunks that become zeros, in runs that stay within a group.
    let zeros: [Range<UInt64>]
    /// Where the journal goes on.
    var end: UInt64 = 0

    init(position: UInt64, generation: UInt64, changeCount: Int, payloadByteCount: UInt64, zeros: [Range<UInt64>]) {
        (self.position, self.generation, self.changeCount) = (position, generation, changeCount)
        (self.payloadByteCount, self.zeros) = (payloadByteCount, zeros)
    }

    var payloadPosition: UInt64 { position + JournalRecord.headByteCount(changes: changeCount) }
}

/// Sorted chunks as runs that stay within a group.
private func runs(of indices: [UInt64]) -> [Range<UInt64>] {
    var result: [Range<UInt64>] = []
    for index in indices {
        if let last = result.last, last.upperBound == index, index % ImageLayout.chunksPerGroup != 0 {
            result[result.count - 1] = last.lowerBound..<index + 1
        } else {
            result.append(index..<index + 1)
        }
    }
    return result
}

extension ImageState {
    /// Brings the changes into the pages.
    /// - Returns: the record.
    func settle(_ plan: CommitPlan) throws(IOError) -> JournalRecord {
        var list: [JournalRecord.Change] = plan.zeros.map {
            JournalRecord.Change(
                index: $0.lowerBound, place: UInt64($0.count), entry: ChunkEntry(zeroSince: plan.generation))
        }
        for (index, change) in changes.entries.sorted(by: { $0.key < $1.key }) {
            try tree.setEntry(change.entry, index)
            guard change.entry.state == .data else { continue }
            let place =
                if case .journal(let position) = change.location { position } else { JournalRecord.Change.inPlace }
            list.append(JournalRecord.Change(index: index, place: place, entry: change.entry))
        }
        try tree.settle(generation: plan.generation)
        precondition(list.count == plan.changeCount, "room for the record was left by this count")
        var record = JournalRecord(
            position: plan.position, generation: plan.generation, byteCount: changes.byteCount,
            payloadByteCount: plan.payloadByteCount, .commit(list))
        record.head.previousRootDigest = rootDigest
        record.head.rootDigest = tree.codes.rootDigest(
            byteCount: changes.byteCount, generation: plan.generation, digests: tree.rootDigests)
        return record
    }

    /// The record is durable.
    mutating func finishCommit(_ plan: CommitPlan) {
        for (index, change) in changes.entries {
            if case .journal(let position) = change.location {
                inJournal[index] = position
            } else {
                inJournal[index] = nil
            }
        }
        generation = plan.generation
        byteCount = changes.byteCount
        rootDigest = tree.codes.rootDigest(byteCount: byteCount, generation: generation, digests: tree.rootDigests)
        head = plan.end
        changes.removeAll()
    }
}
