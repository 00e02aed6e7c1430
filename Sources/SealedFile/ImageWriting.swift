public import BlockIO
import ByteCodec
import Cipher
import Glibc
import Synchronization

extension SealedImage {
    /// Bytes of plaintext that wait for a commit, at most.
    private static let hotByteCount = 8 << 20

    public func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) {
        guard bytes.byteCount > 0 else { return }
        guard let range = checkedRange(offset, UInt64(bytes.byteCount)), range.upperBound <= layout.byteCountLimit
        else {
            throw IOError("write", path: path, .errno(EFBIG), offset: offset)
        }
        let size = UInt64(chunkByteCount)
        try writing.withLock { (writing) throws(IOError) in
            guard writing.access == .writing else { throw refusal("write", offset) }
            let batch = writing.takeBatch(chunkByteCount)
            var position = offset
            while position < range.upperBound {
                let index = position / size
                let end = min(range.upperBound, (index + 1) * size)
                let part = Int(position - index * size)..<Int(end - index * size)
                let text = bytes.extracting(Int(position - offset)..<Int(end - offset))
                if part.count == chunkByteCount, try admitInPlace(index, batch, &writing) {
                    batch.append(index, text)
                    if batch.isFull { try seal(batch, lengthens: true) }
                } else {
                    try seal(batch, lengthens: true)
                    try keep(text, index, part, &writing)
                }
                position = end
            }
            try seal(batch, lengthens: true)
        }
    }

    // MARK: In place

    /// Whether a whole chunk can go to its place at once, with everything prepared for that: nothing that anybody reads is
    /// there.
    private func admitInPlace(
        _ index: UInt64, _ batch: ChunkBatch, _ writing: inout Writing
    ) throws(IOError) -> Bool {
        for _ in 0..<2 {
            let admitted = try state.withLock { (state) throws(IOError) -> Bool? in
                guard state.changes.hot[index] == nil, state.changes.entries[index] == nil, try state.isFree(index)
                else { return false }
                let pages = state.untouchedPages(index)
                guard state.hasRoom(layout, chunks: batch.indices.count + 1, forJournal: 0, pages: pages.count)
                else { return nil }
                state.changes.touch(pages)
                return true
            }
            if let admitted { return admitted }
            try seal(batch, lengthens: true)
            try makeRoom(&writing)
        }
        throw IOError("write", path: path, .errno(ENOSPC), offset: index * UInt64(chunkByteCount))
    }

    /// Enciphers the batch's chunks into their places, and lets readers find them.
    /// - Parameter lengthens: the disk goes to the end of the last one, if it did not before.
    private func seal(_ batch: ChunkBatch, lengthens: Bool) throws(IOError) {
        guard !batch.isEmpty else { return }
        defer { batch.removeAll() }
        let word = ChunkEntry.word(.data, try nextGeneration())
        let nonces = random.bytes(batch.indices.count * ChunkEntry.nonceByteCount)
        try batch.seal(word: word, ciphers, nonces, into: file, layout)
        state.withLock { state in
            for (index, entry) in zip(batch.indices, batch.entries) {
                state.changes.set(ImageChanges.Change(entry: entry, location: .inPlace), index)
                guard lengthens else { continue }
                state.changes.byteCount = max(state.changes.byteCount, (index + 1) * UInt64(chunkByteCount))
            }
        }
    }

    /// Of the commit to come.
    func nextGeneration() throws(IOError) -> UInt64 {
        let next = state.withLock { $0.generation } + 1
        guard next < ChunkEntry.generationLimit else { throw IOError("commit", path: path, .errno(EOVERFLOW)) }
        return next
    }

    // MARK: In memory

    /// Keeps a part of a chunk, or all of it, in memory until the commit.
    private func keep(
        _ text: RawSpan, _ index: UInt64, _ part: Range<Int>, _ writing: inout Writing
    ) throws(IOError) {
        let chunk = try hotChunk(index, isWhole: part.count == chunkByteCount, &writing)
        let end = index * UInt64(chunkByteCount) + UInt64(part.upperBound)
        state.withLock { state in
            if part.count == chunkByteCount {
                chunk.text = [UInt8](copying: text)
            } else {
                chunk.text.edit { $0.copy(text, at: part.lowerBound) }
            }
            if state.changes.hot[index] == nil { state.changes.set(chunk, index) }
            state.changes.byteCount = max(state.changes.byteCount, end)
        }
    }

    /// A chunk's plaintext to be changed, in memory already or read for that; not yet seen by others in this case.
    private func hotChunk(_ index: UInt64, isWhole: Bool, _ writing: inout Writing) throws(IOError) -> HotChunk {
        for _ in 0..<3 {
            if let chunk = state.withLock({ $0.changes.hot[index] }) { return chunk }
            guard try admitToMemory(index) else {
                try makeRoom(&writing)
                continue
            }
            guard state.withLock({ $0.changes.hot.count }) * chunkByteCount < Self.hotByteCount else {
                try sealFreeChunks(&writing)
                if state.withLock({ $0.changes.hot.count }) * chunkByteCount > Self.hotByteCount / 2 {
                    try commit(&writing)
                }
                continue
            }
            let isFree = try state.withLock { (state) throws(IOError) in try state.isFree(index) }
            return HotChunk(isWhole ? [] : try plaintext(index), isFree: isFree)
        }
        throw IOError("write", path: path, .errno(ENOSPC), offset: index * UInt64(chunkByteCount))
    }

    private func admitToMemory(_ index: UInt64) throws(IOError) -> Bool {
        try state.withLock { (state) throws(IOError) in
            let pages = state.untouchedPages(index)
            let forJournal = try state.isFree(index) ? 0 : 1
            guard state.hasRoom(layout, chunks: 1, forJournal: forJournal, pages: pages.count) else { return false }
            state.changes.touch(pages)
            return true
        }
    }

    /// A whole chunk, past the end of the disk too.
    private func plaintext(_ index: UInt64) throws(IOError) -> [UInt8] {
        var text = [UInt8].zeros(chunkByteCount)
        let contents = try state.withLock { (state) throws(IOError) in try state.contents(index) }
        var raw = text.mutableRawBytes
        try fetch(contents, index, &raw)
        return text
    }

    /// Enciphers the chunks in memory whose places are free, and forgets their plaintext.
    func sealFreeChunks(_ writing: inout Writing) throws(IOError) {
        let free = state.withLock { state in
            state.changes.hot.filter { $0.value.isFree }.sorted { $0.key < $1.key }
        }
        let batch = writing.takeBatch(chunkByteCount)
        for (index, chunk) in free {
            let text = chunk.text
            batch.append(index, text.rawBytes)
            if batch.isFull { try seal(batch, lengthens: false) }
        }
        try seal(batch, lengthens: false)
    }

    /// Commits and empties the journal.
    func makeRoom(_ writing: inout Writing) throws(IOError) {
        try commit(&writing)
        try checkpoint(&writing)
    }

    // MARK: Zeros and size

    public func zero(_ range: Range<UInt64>) throws(IOError) {
        try writing.withLock { (writing) throws(IOError) in
            guard writing.access == .writing else { throw refusal("zero", range.lowerBound) }
            let end = min(range.upperBound, byteCount())
            guard range.lowerBound < end else { return }
            try makeZero(range.lowerBound..<end, &writing)
        }
    }

    /// - Parameter range: the part past the disk's end counts as zeros already.
    private func makeZero(_ range: Range<UInt64>, _ writing: inout Writing) throws(IOError) {
        let size = UInt64(chunkByteCount)
        // The last chunk may be whole as far as the disk goes.
        let isToEnd = range.upperBound == byteCount()
        let first = range.lowerBound.dividedRoundingUp(by: size)
        let end = isToEnd ? range.upperBound.dividedRoundingUp(by: size) : range.upperBound / size
        guard first < end else { return try makeZeroInside(range, &writing) }
        if range.lowerBound < first * size { try makeZeroInside(range.lowerBound..<first * size, &writing) }
        try makeChunksZero(first..<end, &writing)
        if end * size < range.upperBound { try makeZeroInside(end * size..<range.upperBound, &writing) }
    }

    /// A range that no whole chunk is in.
    private func makeZeroInside(_ range: Range<UInt64>, _ writing: inout Writing) throws(IOError) {
        let size = UInt64(chunkByteCount)
        for index in range.lowerBound / size...(range.upperBound - 1) / size {
            let (start, end) = (max(range.lowerBound, index * size), min(range.upperBound, (index + 1) * size))
            let isData = try state.withLock { (state) throws(IOError) in try state.isData(index) }
            guard isData else { continue }
            let zeros = [UInt8].zeros(Int(end - start))
            try keep(zeros.rawBytes, index, Int(start - index * size)..<Int(end - index * size), &writing)
        }
    }

    private func makeChunksZero(_ chunks: Range<UInt64>, _ writing: inout Writing) throws(IOError) {
        var index = chunks.lowerBound
        while index < chunks.upperBound {
            let next = try state.withLock { (state) throws(IOError) in try state.chunkPastAbsence(index) }
            guard next == index else {
                index = next
                continue
            }
            let group = index..<min(chunks.upperBound, PageID(ofChunk: index).chunks.upperBound)
            if try makeGroupZero(group) {
                index = group.upperBound
            } else {
                try makeRoom(&writing)
            }
        }
    }

    /// Chunks of one group.
    /// - Returns: false where the journal has no room for that; nothing was changed.
    private func makeGroupZero(_ chunks: Range<UInt64>) throws(IOError) -> Bool {
        let generation = try nextGeneration()
        return try state.withLock { (state) throws(IOError) in
            var data: [UInt64] = []
            for index in chunks where try state.isData(index) { data.append(index) }
            guard let first = data.first else { return true }
            let pages = state.untouchedPages(first)
            guard state.hasRoom(layout, chunks: data.count, forJournal: 0, pages: pages.count) else { return false }
            state.changes.touch(pages)
            for index in data {
                let change = ImageChanges.Change(entry: ChunkEntry(zeroSince: generation), location: .inPlace)
                state.changes.set(change, index)
            }
            return true
        }
    }

    /// Cuts the disk, or lengthens it with zeros. What is cut off becomes zeros first; a loss meanwhile may leave a part of
    /// that, of the old length.
    public func resize(to byteCount: UInt64) throws(IOError) {
        guard byteCount <= layout.byteCountLimit else {
            throw IOError("resize", path: path, .errno(EFBIG), offset: byteCount)
        }
        try writing.withLock { (writing) throws(IOError) in
            guard writing.access == .writing else { throw refusal("resize", byteCount) }
            let old = self.byteCount()
            if byteCount < old { try makeZero(byteCount..<old, &writing) }
            state.withLock { $0.changes.byteCount = byteCount }
        }
    }
}

extension SealedImage.Writing {
    /// An empty batch; whoever has the turn uses the same one again.
    mutating func takeBatch(_ chunkByteCount: Int) -> ChunkBatch {
        let batch = self.batch ?? ChunkBatch(chunkByteCount: chunkByteCount)
        self.batch = batch
        batch.removeAll()
        return batch
    }
}
