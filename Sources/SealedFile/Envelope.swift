public import ByteCodec
public import Cipher

/// What stands before a container's contents: its kind and the ways to its key (docs/formats/sealed.md, Envelope).
///
/// Nothing in it may be believed before its code was checked with a key that one of its slots gave; it is parsed with bounds
/// before that.
public struct Envelope: Equatable, Sendable {
    public static let longestByteCount = 65_536
    static let codeByteCount = HMACSHA256.byteCount
    public static let slotLimit = 32
    public static let streamSegmentByteCount = 65_536
    public static let imageChunkByteCounts: ClosedRange<Int> = 4096...65_536
    public static let defaultImageChunkByteCount = 16_384

    public let kind: SealedKind
    public let chunkByteCount: Int
    /// 16 bytes.
    public let containerID: [UInt8]
    public var headerSequence: UInt64
    /// Seconds since 1970, or 0.
    public let creationTime: UInt64
    var compatibleFlags: UInt32 = 0
    public internal(set) var slots: [KeySlot]

    /// A new one, for a new container.
    init(kind: SealedKind, chunkByteCount: Int, containerID: [UInt8], creationTime: UInt64, slots: [KeySlot]) {
        (self.kind, self.chunkByteCount, self.containerID) = (kind, chunkByteCount, containerID)
        (headerSequence, self.creationTime, self.slots) = (1, creationTime, slots)
    }

    // MARK: Bytes

    /// The whole envelope with its code.
    public func bytes(_ keys: ContainerKeys) -> [UInt8] {
        let slotBytes = slots.flatMap(\.bytes)
        var header = EnvelopeHeader()
        header.kind = kind.rawValue
        header.slotCount = UInt16(slots.count)
        header.envelopeLength = UInt32(EnvelopeHeader.byteCount + slotBytes.count + Self.codeByteCount)
        header.compatibleFlags = compatibleFlags
        header.chunkSize = UInt32(chunkByteCount)
        header.containerID = containerID
        header.headerSequence = headerSequence
        header.creationTime = creationTime
        let covered = header.serialized() + slotBytes
        return covered + HMACSHA256.code(covered.rawBytes, key: keys.headerKey.bytes)
    }

    /// The envelope's length by its first 64 bytes, which are not to be believed for anything else.
    /// - Throws: SEAL001 for another file, SEAL002 for a version, suite or flag that is not known, SEAL003 for a length that
    ///   an envelope cannot have.
    public static func byteCount(inHeader bytes: RawSpan, at offset: UInt64 = 0) throws(FormatError) -> Int {
        try Int(header(bytes, offset).envelopeLength)
    }

    /// Parses a whole envelope; its code is not checked.
    /// - Parameters:
    ///   - bytes: all of it, with its code.
    ///   - offset: of the envelope in the file, for errors.
    /// - Throws: as `byteCount`; SEAL003, SEAL004, SEAL005.
    public init(_ bytes: RawSpan, at offset: UInt64 = 0) throws(FormatError) {
        let header = try Self.header(bytes, offset)
        guard bytes.byteCount == Int(header.envelopeLength) else {
            throw Self.wrong("EnvelopeLength", offset + 16, "is \(header.envelopeLength), of \(bytes.byteCount) bytes")
        }
        guard let kind = SealedKind(rawValue: header.kind) else {
            throw Self.wrong("Kind", offset + 12, "is \(header.kind): neither a stream, 1, nor an image, 2")
        }
        let chunk = Int(header.chunkSize)
        let isChunk =
            kind == .stream
            ? chunk == Self.streamSegmentByteCount
            : Self.imageChunkByteCounts.contains(chunk) && chunk & (chunk - 1) == 0
        guard isChunk else { throw Self.wrong("ChunkSize", offset + 28, "is \(chunk), which this kind cannot have") }
        (self.kind, chunkByteCount, containerID) = (kind, chunk, header.containerID)
        (headerSequence, creationTime) = (header.headerSequence, header.creationTime)
        compatibleFlags = header.compatibleFlags
        slots = try Self.slots(bytes, Int(header.slotCount), offset)
    }

    private static func header(_ bytes: RawSpan, _ offset: UInt64) throws(FormatError) -> EnvelopeHeader {
        guard bytes.byteCount >= EnvelopeHeader.byteCount else {
            throw FormatError(
                .sealedSignature, field: "Signature", offset: offset, "is missing: a sealed file has 64 bytes and more",
                section: "Envelope")
        }
        let header = try EnvelopeHeader(parsing: bytes)
        guard header.signature == EnvelopeHeader.signature else {
            throw FormatError(
                .sealedSignature, field: "Signature", offset: offset, "is not that of a sealed file",
                section: "Envelope")
        }
        let known = header.version == EnvelopeHeader.knownVersion && header.suite == EnvelopeHeader.knownSuite
        guard known, header.incompatibleFlags == 0 else {
            throw FormatError(
                .sealedVersion, field: "Version", offset: offset + 8,
                "is \(header.version), suite \(header.suite), flags \(header.incompatibleFlags); known are 1, 1 and 0",
                section: "Envelope")
        }
        let shortest = EnvelopeHeader.byteCount + codeByteCount
        guard (shortest...longestByteCount).contains(Int(header.envelopeLength)) else {
            throw wrong(
                "EnvelopeLength", offset + 16, "is \(header.envelopeLength), not \(shortest) to \(longestByteCount)")
        }
        return header
    }

    private static func slots(_ bytes: RawSpan, _ count: Int, _ offset: UInt64) throws(FormatError) -> [KeySlot] {
        guard (1...slotLimit).contains(count) else {
            throw wrong("SlotCount", offset + 14, "is \(count), not 1 to \(slotLimit)")
        }
        let end = bytes.byteCount - codeByteCount
        var place = EnvelopeHeader.byteCount
        var slots: [KeySlot] = []
        for _ in 0..<count {
            guard end - place >= SlotHeader.byteCount else { throw overrun(offset + UInt64(place)) }
            let head = try SlotHeader(parsing: bytes.extracting(place..<place + SlotHeader.byteCount))
            place += SlotHeader.byteCount
            guard Int(head.length) <= end - place else { throw overrun(offset + UInt64(place)) }
            let body = bytes.extracting(place..<place + Int(head.length))
            slots.append(try KeySlot(type: head.type, body: body, at: offset + UInt64(place)))
            place += Int(head.length)
        }
        guard place == end else {
            throw wrong("SlotCount", offset + 14, "leaves \(end - place) bytes before the code")
        }
        return slots
    }

    private static func wrong(_ field: String, _ offset: UInt64, _ problem: String) -> FormatError {
        FormatError(.sealedEnvelope, field: field, offset: offset, problem, section: "Envelope")
    }

    private static func overrun(_ offset: UInt64) -> FormatError {
        FormatError(.sealedSlot, field: "Slot", offset: offset, "ends behind the envelope", section: "Slots")
    }

    // MARK: Keys

    /// The container's keys, by the first slot that one of the secrets opens and that the code confirms.
    ///
    /// Passphrases cost: they are tried after all others. Whether a slot does not open or the code does not fit is not told
    /// apart.
    /// - Parameter bytes: those this envelope was parsed from.
    /// - Throws: `.notAuthentic`; `.derivationFailed`.
    public func keys(_ secrets: [SlotKey], confirming bytes: RawSpan) throws(CipherError) -> ContainerKeys {
        for case .opened(let id, let keys) in secrets where id == containerID && isAuthentic(bytes, keys) {
            return keys
        }
        let costly = secrets.filter(\.isPassphrase)
        for secret in secrets.filter({ !$0.isPassphrase }) + costly {
            for slot in slots {
                let masterKey: SecretBytes?
                do throws(CipherError) {
                    masterKey = try secret.masterKey(in: slot, containerID: containerID)
                } catch {
                    guard error != .derivationFailed else { throw error }
                    continue
                }
                guard let masterKey else { continue }
                let keys = ContainerKeys(masterKey: masterKey, kind: kind, containerID: containerID)
                if isAuthentic(bytes, keys) { return keys }
            }
        }
        throw .notAuthentic
    }

    /// Whether the code is that of the bytes.
    func isAuthentic(_ bytes: RawSpan, _ keys: ContainerKeys) -> Bool {
        let end = bytes.byteCount - Self.codeByteCount
        let code = HMACSHA256.code(bytes.extracting(0..<end), key: keys.headerKey.bytes)
        return equalInConstantTime(code.rawBytes, bytes.extracting(end..<bytes.byteCount))
    }
}

extension SlotKey {
    public var isPassphrase: Bool { if case .passphrase = self { true } else { false } }
}

extension Envelope {
    /// An envelope for a new container, with its keys.
    /// - Parameter secrets: one slot each; at least one.
    /// - Throws: `.derivationFailed`, `.invalidKey`.
    static func create(
        _ kind: SealedKind, chunkByteCount: Int, for secrets: [SlotKey], creationTime: UInt64, random: RandomSource
    ) throws(CipherError) -> (envelope: Envelope, keys: ContainerKeys) {
        precondition(!secrets.isEmpty && secrets.count <= slotLimit, "1 to 32 slots")
        let containerID = random.bytes(16)
        let masterKey = SecretBytes(byteCount: KeySlot.masterKeyByteCount, from: random)
        var slots: [KeySlot] = []
        for secret in secrets {
            slots.append(try secret.slot(for: masterKey, containerID: containerID, random: random))
        }
        let envelope = Envelope(
            kind: kind, chunkByteCount: chunkByteCount, containerID: containerID, creationTime: creationTime,
            slots: slots)
        return (envelope, ContainerKeys(masterKey: masterKey, kind: kind, containerID: containerID))
    }
}
