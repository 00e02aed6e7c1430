import ByteCodec

/// What a metadata page tells of a chunk: how it was enciphered, when it changed, whether it is there (48 bytes).
struct ChunkEntry: Equatable, Sendable {
    static let byteCount = 48
    static let nonceByteCount = 24
    /// Generations have 56 bits.
    static let generationLimit: UInt64 = 1 << 56

    enum State: UInt64, Sendable {
        /// Never written: zeros.
        case absent = 0
        case data = 1
        /// Zeros again.
        case zero = 2
    }

    private var fields: (UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0)
    /// Bits 0 to 55 the generation of the last change, 60 to 63 the state, the rest 0. It is authenticated with the chunk.
    private(set) var word: UInt64 = 0

    static let absent = ChunkEntry()
    private init() {}

    /// Of a chunk that is zeros again.
    init(zeroSince generation: UInt64) { word = Self.word(.zero, generation) }

    /// Of an enciphered chunk.
    /// - Parameters:
    ///   - nonce: 24 bytes.
    ///   - tag: 16 bytes.
    init(nonce: RawSpan, tag: RawSpan, word: UInt64) {
        fields = (
            nonce.integer(at: 0, .little), nonce.integer(at: 8, .little), nonce.integer(at: 16, .little),
            tag.integer(at: 0, .little), tag.integer(at: 8, .little)
        )
        self.word = word
    }

    static func word(_ state: State, _ generation: UInt64) -> UInt64 {
        precondition(generation < generationLimit, "56 bits")
        return state.rawValue << 60 | generation
    }

    init(parsing bytes: RawSpan, at offset: Int) {
        let tag = bytes.extracting(offset + 24..<offset + 40)
        let word: UInt64 = bytes.integer(at: offset + 40, .little)
        self.init(nonce: bytes.extracting(offset..<offset + 24), tag: tag, word: word)
    }

    func store(into bytes: inout MutableRawSpan, at offset: Int) {
        bytes.store(fields.0, at: offset, .little)
        bytes.store(fields.1, at: offset + 8, .little)
        bytes.store(fields.2, at: offset + 16, .little)
        bytes.store(fields.3, at: offset + 24, .little)
        bytes.store(fields.4, at: offset + 32, .little)
        bytes.store(word, at: offset + 40, .little)
    }

    /// Nil for bits that no state has.
    var state: State? {
        guard word >> 56 & 15 == 0 else { return nil }
        return State(rawValue: word >> 60)
    }
    /// Of the last change.
    var generation: UInt64 { word & (Self.generationLimit - 1) }

    /// The nonce and the tag behind it, 40 bytes, as they stand in memory.
    var nonceAndTag: [5 of UInt64] {
        [
            fields.0.littleEndian, fields.1.littleEndian, fields.2.littleEndian, fields.3.littleEndian,
            fields.4.littleEndian,
        ]
    }

    static func == (left: ChunkEntry, right: ChunkEntry) -> Bool {
        left.fields == right.fields && left.word == right.word
    }
}
