import ByteCodec

// The structures of a sealed container, packed and little-endian. Byte map: docs/formats/sealed.md.

/// What a container holds.
public enum SealedKind: UInt16, Sendable {
    /// Read and written from its start to its end.
    case stream = 1
    /// Read and written anywhere.
    case image = 2
}

/// The start of an envelope, at offset 0; slots and a code follow.
struct EnvelopeHeader: DiskStruct, Equatable {
    static let byteCount = 64
    static let byteOrder = ByteOrder.little

    static let signature: [UInt8] = [0x89, 0x53, 0x45, 0x41, 0x4C, 0x0D, 0x0A, 0x1A]
    static let knownVersion: UInt16 = 1
    /// AES-256-GCM for streams, XAES-256-GCM for images, HKDF and HMAC with SHA-256.
    static let knownSuite: UInt16 = 1

    var signature = Self.signature
    var version = Self.knownVersion
    var suite = Self.knownSuite
    var kind: UInt16 = 0
    var slotCount: UInt16 = 0
    /// Bytes of the envelope, with its code.
    var envelopeLength: UInt32 = 0
    /// Whoever does not know one of them can do nothing.
    var incompatibleFlags: UInt32 = 0
    var compatibleFlags: UInt32 = 0
    /// Bytes of a chunk, or of a stream's segment.
    var chunkSize: UInt32 = 0
    var containerID: [UInt8] = .zeros(16)
    /// Counts the changes of an image's envelope: of two valid ones the higher counts.
    var headerSequence: UInt64 = 0
    /// Seconds since 1970, or 0.
    var creationTime: UInt64 = 0

    init() {}

    mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.bytes("Signature", &signature, count: 8)
        try f.field("Version", &version)
        try f.field("Suite", &suite)
        try f.field("Kind", &kind)
        try f.field("SlotCount", &slotCount)
        try f.field("EnvelopeLength", &envelopeLength)
        try f.field("IncompatibleFlags", &incompatibleFlags)
        try f.field("CompatibleFlags", &compatibleFlags)
        try f.field("ChunkSize", &chunkSize)
        try f.bytes("ContainerId", &containerID, count: 16)
        try f.field("HeaderSequence", &headerSequence)
        try f.field("CreationTime", &creationTime)
    }
}

/// The head of a slot; its body follows.
struct SlotHeader: DiskStruct, Equatable {
    static let byteCount = 4
    static let byteOrder = ByteOrder.little

    var type: UInt16 = 0
    /// Bytes of the body.
    var length: UInt16 = 0

    init() {}
    init(type: UInt16, length: UInt16) { (self.type, self.length) = (type, length) }

    mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("Type", &type)
        try f.field("Length", &length)
    }
}
