import BlockIO
import ByteCodec
import Dispatch

/// Chunks that are enciphered together, one behind the other in one buffer. One owner at a time; two threads work on it
/// inside of `seal`, each on chunks of its own, hence unchecked.
final class ChunkBatch: @unchecked Sendable {
    /// Bytes of a batch: enough for two threads, and bounded memory.
    static let byteCount = 1 << 20
    /// Fewer bytes are not worth a second thread.
    private static let sharedByteCount = 128 << 10

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

    /// Enciphers all, with a fresh nonce each.
    func seal(word: UInt64, _ ciphers: ChunkCiphers, _ nonces: [UInt8]) {
        let count = indices.count
        precondition(nonces.count == count * ChunkEntry.nonceByteCount, "a nonce for each")
        let threadCount = count * chunkByteCount >= Self.sharedByteCount ? 2 : 1
        let middle = (count + threadCount - 1) / threadCount
        if threadCount == 1 {
            seal(0..<count, word, ciphers, nonces)
        } else {
            DispatchQueue.concurrentPerform(iterations: 2) { part in
                seal(part == 0 ? 0..<middle : middle..<count, word, ciphers, nonces)
            }
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
            for place in places {
                let nonce = Array(nonces[24 * place..<24 * place + 24])
                buffer.withMutableBytes(place * chunkByteCount..<(place + 1) * chunkByteCount) { chunk in
                    tags.withMutableBytes(16 * place..<16 * place + 16) { tag in
                        cipher.seal(&chunk, index: indices[place], word: word, nonce: nonce.rawBytes, tag: &tag)
                    }
                }
            }
        }
    }

    /// The enciphered chunks.
    func writeSealed(_ body: (RawSpan) throws(IOError) -> Void) throws(IOError) {
        let buffer = buffer
        try body(buffer.bytes(0..<indices.count * chunkByteCount))
    }

    /// Writes each to its place in the file, neighbours together.
    func write(to file: any BlockFile, _ layout: ImageLayout) throws(IOError) {
        let buffer = buffer
        try forEachRun(of: indices, layout) { (places, offset) throws(IOError) in
            try file.write(
                buffer.bytes(places.lowerBound * chunkByteCount..<places.upperBound * chunkByteCount), at: offset)
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
