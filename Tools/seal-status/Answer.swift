import ByteCodec
import Digest
import SealedFile
import Toolbox

/// What is known of a sealed file.
struct Answer {
    var envelope: Envelope
    /// The envelope is what it was when a holder of a key wrote it.
    var isAuthentic = false
    /// So is everything else; nil where that was not asked for.
    var isVerified: Bool?
    /// Of the contents, where it is known.
    var byteCount: UInt64?
    /// Of a stream that was read: whether it has its end.
    var isComplete: Bool?
    /// Of an image.
    var anchor: Anchor?

    init(_ envelope: Envelope) { self.envelope = envelope }

    private var kind: String { envelope.kind == .stream ? "stream" : "image" }

    /// The last second of the year 9999: what is later is no time.
    private static let latestTime: UInt64 = 253_402_300_799
    private var created: String? {
        let seconds = envelope.creationTime
        return seconds == 0 || seconds > Self.latestTime ? nil : rfc3339(unixSeconds: Int64(seconds))
    }

    var document: JSONValue {
        [
            "kind": .string(kind), "container_id": .string(envelope.containerID.hexadecimal),
            "created": .optional(created), "created_raw": .unsigned(envelope.creationTime),
            "chunk_size": .integer(Int64(envelope.chunkByteCount)),
            "header_sequence": .unsigned(envelope.headerSequence),
            "slots": .array(envelope.slots.map(\.document)),
            "authentic": .bool(isAuthentic), "verified": .bool(isVerified ?? false),
            "length": .optional(byteCount), "complete": .optional(isComplete, JSONValue.bool),
            "generation": .optional(anchor?.generation), "anchor": .optional(anchor?.description),
        ]
    }

    func lines(_ path: String, plain: Bool) -> [String] {
        var lines = ["\(printable(path)): sealed \(kind), id \(envelope.containerID.hexadecimal)"]
        if let created { lines.append("  created \(created)") }
        lines.append("  chunks of \(Quantity.bytes(UInt64(envelope.chunkByteCount), plain: plain))")
        for (index, slot) in envelope.slots.enumerated() { lines.append("  slot \(index + 1): \(slot.text)") }
        if let byteCount { lines.append("  contents \(Quantity.bytes(byteCount, plain: plain))") }
        if let anchor { lines.append("  generation \(anchor.generation), anchor \(anchor)") }
        lines.append("  " + verdict)
        return lines
    }

    private var verdict: String {
        guard isAuthentic else { return "not authenticated: this is only what the file says about itself" }
        guard let isVerified else { return "the envelope is authentic; --verify checks everything" }
        guard isVerified else { return "the envelope is authentic, but not everything else" }
        return isComplete == false ? "authentic as far as it goes: the end is missing" : "authentic, all of it"
    }
}

extension KeySlot {
    /// For people.
    fileprivate var text: String {
        switch body {
        case .scrypt(let log2N, let r, let p, _, _):
            "passphrase, scrypt 2^\(log2N), \(r), \(p): \(Quantity.short(128 * UInt64(r) << UInt64(log2N))) of memory"
        case .pbkdf2(let iterations, _, _): "passphrase, PBKDF2 with SHA-512, \(iterations) rounds"
        case .keyFile: "key file"
        case .recipient: "recipient, X25519"
        case .unknown(let type, _): "of type \(type), which is not known"
        }
    }

    fileprivate var document: JSONValue {
        var members: [JSONValue.Member] = []
        func add(_ type: String, _ derivation: String?, log2N: UInt64? = nil, iterations: UInt64? = nil) {
            members = [
                .init("type", .string(type)), .init("derivation", .optional(derivation)),
                .init("log2_n", .optional(log2N)), .init("iterations", .optional(iterations)),
            ]
        }
        switch body {
        case .scrypt(let log2N, _, _, _, _): add("passphrase", "scrypt", log2N: UInt64(log2N))
        case .pbkdf2(let iterations, _, _): add("passphrase", "pbkdf2", iterations: UInt64(iterations))
        case .keyFile: add("key_file", "hkdf")
        case .recipient: add("recipient", "hpke")
        case .unknown: add("unknown", nil)
        }
        return .object(members)
    }
}
