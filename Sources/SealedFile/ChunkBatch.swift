import BlockIO
import ByteCodec

/// Chunks that are enciphered together, one behind the other in one buffer. One owner at a time; two threads work on it
/// inside of `seal`, each on chunks of its own, hence unchecked.
final class ChunkBatch: @unchecked Sendable {
    /// Bytes of a batch: enough for two threads, and bounded memory.
    static let byteCount = 1 << 20
    /// What a thread enciphers and writes at once: less is not worth a second thread, and this much stays in its cache.
    private static let partByteCount = 64 << 10

    let chunkByteCount: Int
    let capacity: Int
    private let buffer: IOBuffer
    private let tags: IOBuffer
    private(set) var indices: [UInt64] = []
    /// Of the chunks, once they are sealed.
    private(set) var entries: [ChunkEntry] = []

    init(chunkByteCount: Int) {
        self.chunkByteCount = chunkByteCount
        capacity = Self.byteCount / chunkByteCount
        buffer = IOBuffer(byteCount: Self.byteCount)
        tags = IOBuffer(byteCount: 16 * capacity)
    }

    var isEmpty: Bool { indices.isEmpty }
    var isFull: Bool { indices.count == capacity }

    func removeAll() {
        indices.removeAll(keepingCapacity: true)
        entries.removeAll(keepingCapacity: true)
    }

    /// - Parameter text: a whole chunk.
    func append(_ index: UInt64, _ text: RawSpan) {
        precondition(text.byteCount == chunkByteCount && !isFull, "a whole chunk")
        let start = indices.count * chunkByteCount
        buffer.withMutableBytes(start..<start + chunkByteCount) { $0.copy(text, at: 0) }
        indices.append(index)
    }

    /// Enciphers all, with a fresh nonce each, and writes them, by two threads where they are many.
    /// - Parameter write: gets places in the batch and what was enciphered there; in any order.
    func seal(
        word: UInt64, _ ciphers: ChunkCiphers, _ nonces: [UInt8],
        write: @Sendable (Range<Int>, RawSpan) throws(IOError) -> Void
    ) throws(IOError) {
        let count = indices.count
        precondition(nonces.count == count * ChunkEntry.nonceByteCount, "a nonce for each")
        let size = max(1, Self.partByteCount / chunkByteCount)
        @Sendable func part(_ number: Int) throws(IOError) {
            let places = number * size..<min(count, (number + 1) * size)
            seal(places, word, ciphers, nonces)
            let buffer = self.buffer
            try write(places, buffer.bytes(places.lowerBound * chunkByteCount..<places.upperBound * chunkByteCount))
        }
        if count <= size {
            try part(0)
        } else {
            try onTwoThreads((count + size - 1) / size) { (number) throws(IOError) in try part(number) }
        }
        let (tags, nonceBytes) = (tags, nonces.rawBytes)
        for place in 0..<count {
            let nonce = nonceBytes.extracting(24 * place..<24 * place + 24)
            let tag = tags.bytes(16 * place..<16 * place + 16)
            entries.append(ChunkEntry(nonce: nonce, tag: tag, word: word))
        }
    }

    private func seal(_ places: Range<Int>, _ word: UInt64, _ ciphers: ChunkCiphers, _ nonces: [UInt8]) {
        ciphers.withOne { cipher in
            let nonces = nonces.rawBytes
            for place in places {
                let nonce = nonces.extracting(24 * place..<24 * place + 24)
                buffer.withMutableBytes(place * chunkByteCount..<(place + 1) * chunkByteCount) { chunk in
                    tags.withMutableBytes(16 * place..<16 * place + 16) { tag in
                        cipher.seal(&chunk, index: indices[place], word: word, nonce: nonce, tag: &tag)
                    }
                }
            }
        }
    }

    /// As `seal`, with each chunk written to its place in the file, neighbours together.
    func seal(
        word: UInt64, _ ciphers: ChunkCiphers, _ nonces: [UInt8], into file: any BlockFile, _ layout: ImageLayout
    ) throws(IOError) {
        let size = chunkByteCount
        try seal(word: word, ciphers, nonces) { (places, bytes) throws(IOError) in
            try forEachRun(of: Array(indices[places]), layout) { (run, offset) throws(IOError) in
                try file.write(bytes.extracting(run.lowerBound * size..<run.upperBound * size), at: offset)
            }
        }
    }
}

/// Runs of chunks that stand side by side in the file: where they are in the list, and the offset of the first.
func forEachRun(
    of indices: [UInt64], _ layout: ImageLayout, _ body: (Range<Int>, UInt64) throws(IOError) -> Void
) throws(IOError) {
    var start = 0
    while start < indices.count {
        let offset = layout.offset(ofChunk: indices[start])
        var end = start + 1
        while end < indices.count,
            layout.offset(ofChunk: indices[end]) == offset + UInt64(end - start) * UInt64(layout.chunkByteCount)
        {
            end += 1
        }
        try body(start..<end, offset)
        start = end
    }
}
