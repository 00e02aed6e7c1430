import ByteCodec
import Cipher

// The structures of a sealed stream, behind its envelope: packed and little-endian. Byte map: docs/formats/sealed.md.

/// What a frame of a stream holds.
enum FrameKind: UInt8, Sendable {
    case data = 1
    /// The stream's end: one segment, an `EndRecord`.
    case end = 2
}

/// The head of a frame; its segments follow.
struct FrameHeader: DiskStruct, Equatable {
    static let byteCount = 48
    static let byteOrder = ByteOrder.little

    static let signature = Array("FRM1".utf8)
    static let saltByteCount = 32

    var signature = Self.signature
    var kind: UInt8 = 0
    var reservedIsZero = true
    /// Frames count from 0, the end frame among them.
    var index: UInt64 = 0
    /// Random: no two frames have the same key.
    var salt: [UInt8] = .zeros(Self.saltByteCount)

    init() {}
    init(_ kind: FrameKind, index: UInt64, salt: [UInt8]) {
        (self.kind, self.index, self.salt) = (kind.rawValue, index, salt)
    }

    mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.bytes("Signature", &signature, count: 4)
        try f.field("Kind", &kind)
        try f.reserved("Reserved", count: 3, allZero: &reservedIsZero)
        try f.field("Index", &index)
        try f.bytes("Salt", &salt, count: Self.saltByteCount)
    }

    /// Bytes of a head that do not come from chance.
    static let knownByteCount = 16

    /// The index in what looks like the head of a frame; nil for other bytes. Ciphertext has no such look: the chance
    /// is 2^-64 a place, and far less for an index near to a given one.
    /// - Parameter bytes: at least `knownByteCount` from the place.
    static func index(lookingAt bytes: RawSpan, _ place: Int) -> UInt64? {
        let first: UInt64 = bytes.integer(at: place, .little)
        guard first == Self.dataStart || first == Self.endStart else { return nil }
        return bytes.integer(at: place + 8, .little)
    }

    /// `FRM1`, the kind and three zeros.
    private static let dataStart: UInt64 = 0x1_314d_5246
    private static let endStart: UInt64 = 0x2_314d_5246
}

/// The text of an end frame.
struct EndRecord: DiskStruct, Equatable {
    static let byteCount = 16
    /// Of the frame that holds it alone, the stream's last.
    static let frameByteCount = FrameHeader.byteCount + SegmentWord.byteCount + byteCount + AESGCM.tagByteCount
    static let byteOrder = ByteOrder.little

    /// Data frames of the stream.
    var frameCount: UInt64 = 0
    /// Bytes of text in all of them.
    var textByteCount: UInt64 = 0

    init() {}
    init(frameCount: UInt64, textByteCount: UInt64) {
        (self.frameCount, self.textByteCount) = (frameCount, textByteCount)
    }

    mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("FrameCount", &frameCount)
        try f.field("TextByteCount", &textByteCount)
    }
}

/// The word before a segment, which says where it ends: bits 0 to 16 the bytes of its text, bit 31 whether it is its
/// frame's last. Both are authenticated with the segment, by its length and its nonce; before that only their bounds
/// count.
struct SegmentWord: Equatable {
    static let byteCount = 4
    static let lastFlag: UInt32 = 1 << 31
    /// Of each segment but a frame's last.
    static let full = SegmentWord(textByteCount: Envelope.streamSegmentByteCount, isLast: false)

    let textByteCount: Int
    let isLast: Bool
    var rawValue: UInt32 { UInt32(textByteCount) | (isLast ? Self.lastFlag : 0) }

    init(textByteCount: Int, isLast: Bool) { (self.textByteCount, self.isLast) = (textByteCount, isLast) }

    /// Nil for what no writer makes: only last segments are not full, and they are empty only in empty frames.
    /// - Parameter counter: number of the segment in its frame.
    init?(_ rawValue: UInt32, counter: UInt64) {
        let (count, isLast) = (Int(rawValue & ~Self.lastFlag), rawValue & Self.lastFlag != 0)
        guard count <= Envelope.streamSegmentByteCount, isLast || count == Envelope.streamSegmentByteCount,
            count > 0 || counter == 0
        else { return nil }
        self.init(textByteCount: count, isLast: isLast)
    }
}
