import BlockIO
import ByteCodec
import Cipher

/// The head of a root block, which stands twice in the file; the digests of level 2 follow it, then zeros.
struct RootHead: DiskStruct, Equatable {
    static let byteCount = 128
    static let byteOrder = ByteOrder.little
    static let knownSignature = Array("SEALROOT".utf8)
    static let signatureOffset: UInt64 = 32
    /// Sequence and JournalTail are below it, so that adding to them never overflows. No writer comes near.
    static let countLimit: UInt64 = 1 << 63

    /// HMAC-SHA-256 with the page key of what follows, to the last digest.
    var code: [UInt8] = .zeros(32)
    var signature = Self.knownSignature
    /// Counts root blocks: of two valid ones the higher counts.
    var sequence: UInt64 = 0
    /// The commit whose contents this root block leads to.
    var generation: UInt64 = 0
    /// Bytes of the disk inside.
    var byteCount: UInt64 = 0
    var journalByteCount: UInt64 = 0
    /// The journal's position from which records follow.
    var journalTail: UInt64 = 0
    /// What the file had at least when this was written.
    var fileByteCount: UInt64 = 0
    var digestCount: UInt64 = 0
    var reservedAreZero = true

    init() {}

    mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.bytes("Code", &code, count: 32)
        try f.bytes("Signature", &signature, count: 8)
        try f.field("Sequence", &sequence)
        try f.field("Generation", &generation)
        try f.field("ByteCount", &byteCount)
        try f.field("JournalByteCount", &journalByteCount)
        try f.field("JournalTail", &journalTail)
        try f.field("FileByteCount", &fileByteCount)
        try f.field("DigestCount", &digestCount)
        try f.reserved("Reserved", count: 32, allZero: &reservedAreZero)
    }
}

/// A root block: what all contents hang on.
struct RootBlock: Equatable, Sendable {
    var head = RootHead()
    /// Of the pages of level 2, one behind the other.
    var digests: [UInt8] = []

    /// As it stands in the file, without the zeros behind it.
    func bytes(_ keys: ContainerKeys) -> [UInt8] {
        var head = head
        head.digestCount = UInt64(digests.count / ImagePage.digestByteCount)
        var bytes = head.serialized() + digests
        let code = HMACSHA256.code(bytes.rawBytes.extracting(32..<bytes.count), key: keys.pageKey.bytes)
        bytes.replaceSubrange(0..<32, with: code)
        return bytes
    }

    /// Nil where no root block of the container can be read, or one that no writer makes.
    /// - Parameter offset: of the block in the file.
    init?(_ file: any BlockFile, at offset: UInt64, _ keys: ContainerKeys, chunkByteCount: Int) {
        guard let start = try? file.bytes(at: offset, count: RootHead.byteCount),
            let head = try? RootHead(parsing: start.rawBytes), head.signature == RootHead.knownSignature,
            head.digestCount <= ImageLayout.rootDigestLimit
        else { return nil }
        let end = RootHead.byteCount + Int(head.digestCount) * ImagePage.digestByteCount
        guard let bytes = try? file.bytes(at: offset, count: end) else { return nil }
        let code = HMACSHA256.code(bytes.rawBytes.extracting(32..<end), key: keys.pageKey.bytes)
        guard equalInConstantTime(code.rawBytes, bytes.rawBytes.extracting(0..<32)) else { return nil }
        let layout = ImageLayout(chunkByteCount: chunkByteCount, journalByteCount: head.journalByteCount)
        guard ImageLayout.isJournal(head.journalByteCount, chunkByteCount: chunkByteCount),
            head.byteCount <= layout.byteCountLimit, head.generation < ChunkEntry.generationLimit,
            head.journalTail % UInt64(ImageLayout.pageByteCount) == 0, head.journalTail < RootHead.countLimit,
            head.sequence < RootHead.countLimit
        else { return nil }
        self.head = head
        digests = Array(bytes[RootHead.byteCount...])
    }

    init() {}
}
