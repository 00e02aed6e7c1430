import ByteCodec
import Cipher

/// The head of a record in the journal; its entries follow, then from the next multiple of 4096 bytes what it brings.
struct RecordHead: DiskStruct, Equatable {
    static let byteCount = 192
    static let byteOrder = ByteOrder.little
    static let knownSignature = Array("SEALJRNL".utf8)

    /// HMAC-SHA-256 with the journal key of what follows, to the last entry.
    var code: [UInt8] = .zeros(32)
    var signature = Self.knownSignature
    /// The record's own position.
    var position: UInt64 = 0
    var kind: UInt32 = 0
    var entryCount: UInt32 = 0
    /// Bytes that the record brings.
    var payloadByteCount: UInt64 = 0
    /// The contents with this commit; in a record of pages, those of the commit before it.
    var generation: UInt64 = 0
    /// Bytes of the disk inside.
    var byteCount: UInt64 = 0
    var previousRootDigest: [UInt8] = .zeros(32)
    var rootDigest: [UInt8] = .zeros(32)
    var reservedAreZero = true

    init() {}

    mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.bytes("Code", &code, count: 32)
        try f.bytes("Signature", &signature, count: 8)
        try f.field("Position", &position)
        try f.field("Kind", &kind)
        try f.field("EntryCount", &entryCount)
        try f.field("PayloadByteCount", &payloadByteCount)
        try f.field("Generation", &generation)
        try f.field("ByteCount", &byteCount)
        try f.bytes("PreviousRootDigest", &previousRootDigest, count: 32)
        try f.bytes("RootDigest", &rootDigest, count: 32)
        try f.reserved("Reserved", count: 48, allZero: &reservedAreZero)
    }
}

/// What a commit, or the beginning of a checkpoint, leaves in the journal.
struct JournalRecord: Equatable, Sendable {
    /// More entries than that no record has: it bounds what a reader holds.
    static let entryLimit = 65_536

    /// One change of a commit (64 bytes): a chunk of data, or a run of chunks that become zeros.
    struct Change: Equatable, Sendable {
        static let byteCount = 64
        /// Says that a chunk is in its place, not in the journal.
        static let inPlace = UInt64.max

        /// The chunk, or the first of a run.
        var index: UInt64
        /// Of data: the journal's position, or `inPlace`. Of zeros: how many chunks, none beyond the first one's group.
        var place: UInt64
        var entry: ChunkEntry
    }

    enum Body: Equatable, Sendable {
        /// Kind 1. Brings enciphered chunks.
        case commit([Change])
        /// Kind 2. Brings pages as the root block leads to them, before they are overwritten.
        case pages([PageID])

        var kind: UInt32 { if case .commit = self { 1 } else { 2 } }
        var entryCount: Int {
            switch self {
            case .commit(let changes): changes.count
            case .pages(let pages): pages.count
            }
        }
        var entryByteCount: Int {
            if case .commit = self { Change.byteCount } else { JournalRecord.pageEntryByteCount }
        }
    }
    static let pageEntryByteCount = 16

    var head: RecordHead
    var body: Body

    /// Bytes of a head with its entries, to where the payload begins.
    static func headByteCount(entries: Int, entryByteCount: Int) -> UInt64 {
        UInt64(RecordHead.byteCount + entries * entryByteCount).roundedUp(to: UInt64(ImageLayout.pageByteCount))
    }
    static func headByteCount(changes: Int) -> UInt64 {
        headByteCount(entries: changes, entryByteCount: Change.byteCount)
    }
    static func headByteCount(pages: Int) -> UInt64 {
        headByteCount(entries: pages, entryByteCount: pageEntryByteCount)
    }

    var isCommit: Bool { if case .commit = body { true } else { false } }
    var payloadPosition: UInt64 {
        head.position + Self.headByteCount(entries: body.entryCount, entryByteCount: body.entryByteCount)
    }
    /// Where the next record begins.
    var end: UInt64 { payloadPosition + head.payloadByteCount }

    // MARK: Bytes

    /// The head and its entries, filled up with zeros.
    func bytes(_ keys: ContainerKeys) -> [UInt8] {
        var head = head
        head.kind = body.kind
        head.entryCount = UInt32(body.entryCount)
        var bytes = head.serialized()
        let covered = bytes.count + body.entryCount * body.entryByteCount
        bytes += [UInt8].zeros(Int(payloadPosition - head.position) - bytes.count)
        var raw = bytes.mutableRawBytes
        switch body {
        case .commit(let changes):
            for (number, change) in changes.enumerated() {
                let at = RecordHead.byteCount + number * Change.byteCount
                raw.store(change.index, at: at, .little)
                raw.store(change.place, at: at + 8, .little)
                change.entry.store(into: &raw, at: at + 16)
            }
        case .pages(let pages):
            for (number, page) in pages.enumerated() {
                let at = RecordHead.byteCount + number * Self.pageEntryByteCount
                raw.store(UInt64(page.level), at: at, .little)
                raw.store(page.number, at: at + 8, .little)
            }
        }
        let code = HMACSHA256.code(bytes.rawBytes.extracting(32..<covered), key: keys.journalKey.bytes)
        bytes.replaceSubrange(0..<32, with: code)
        return bytes
    }

    /// The record at a position; nil where there is none: torn, of an earlier lap, or of another container.
    /// - Parameter room: bytes from the position to where the ring ends.
    init?(at position: UInt64, room: UInt64, _ keys: ContainerKeys, read: (UInt64, Int) throws -> [UInt8]) rethrows {
        guard room >= UInt64(ImageLayout.pageByteCount) else { return nil }
        var bytes = try read(position, ImageLayout.pageByteCount)
        guard let head = try? RecordHead(parsing: bytes.rawBytes), head.signature == RecordHead.knownSignature,
            head.position == position, head.kind == 1 || head.kind == 2, head.entryCount <= Self.entryLimit,
            head.payloadByteCount % UInt64(ImageLayout.pageByteCount) == 0
        else { return nil }
        let (count, size) = (Int(head.entryCount), head.kind == 1 ? Change.byteCount : Self.pageEntryByteCount)
        let headByteCount = Self.headByteCount(entries: count, entryByteCount: size)
        guard headByteCount <= room, head.payloadByteCount <= room - headByteCount else { return nil }
        bytes = try read(position, Int(headByteCount))
        let raw = bytes.rawBytes
        let covered = raw.extracting(32..<RecordHead.byteCount + count * size)
        let code = HMACSHA256.code(covered, key: keys.journalKey.bytes)
        guard equalInConstantTime(code.rawBytes, raw.extracting(0..<32)) else { return nil }
        self.head = head
        let starts = (0..<count).map { RecordHead.byteCount + $0 * size }
        if head.kind == 1 {
            body = .commit(
                starts.map {
                    Change(
                        index: raw.integer(at: $0, .little), place: raw.integer(at: $0 + 8, .little),
                        entry: ChunkEntry(parsing: raw, at: $0 + 16))
                })
        } else {
            var pages: [PageID] = []
            for start in starts {
                let (level, number): (UInt64, UInt64) = (
                    raw.integer(at: start, .little), raw.integer(at: start + 8, .little)
                )
                guard level <= UInt64(PageID.topLevel), number < ImageLayout.chunkLimit else { return nil }
                pages.append(PageID(level: Int(level), number: number))
            }
            body = .pages(pages)
        }
    }

    init(position: UInt64, generation: UInt64, byteCount: UInt64, payloadByteCount: UInt64, _ body: Body) {
        head = RecordHead()
        (head.position, head.generation, head.byteCount) = (position, generation, byteCount)
        head.payloadByteCount = payloadByteCount
        self.body = body
    }
}
