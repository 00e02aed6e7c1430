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
    var changes: Changes?
    /// Of the contents, where they were asked for.
    var hashes: HashingSink?

    /// What was changed since an anchor.
    struct Changes {
        let since: Anchor
        var byteCount: UInt64 = 0
        var rangeCount: UInt64 = 0

        init(_ image: SealedImage, since: Anchor) throws {
            self.since = since
            var (bytes, ranges): (UInt64, UInt64) = (0, 0)
            try image.forEachChangedRange(since: since) { range in
                bytes += range.upperBound - range.lowerBound
                ranges += 1
            }
            (byteCount, rangeCount) = (bytes, ranges)
        }

        var document: JSONValue {
            ["since": .string(since.description), "bytes": .unsigned(byteCount), "ranges": .unsigned(rangeCount)]
        }
    }

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
            "changes": .optional(changes, \.document), "hashes": hashes?.document ?? .object([]),
        ]
    }

    func lines(_ path: String, plain: Bool) -> [String] {
        var lines = ["\(printable(path)): sealed \(kind), id \(envelope.containerID.hexadecimal)"]
        if let created { lines.append("  created \(created)") }
        lines.append("  chunks of \(Quantity.bytes(UInt64(envelope.chunkByteCount), plain: plain))")
        for (index, slot) in envelope.slots.enumerated() { lines.append("  slot \(index + 1): \(slot.text)") }
        if let byteCount { lines.append("  contents \(Quantity.bytes(byteCount, plain: plain))") }
        if let anchor { lines.append("  generation \(anchor.generation), anchor \(anchor)") }
        if let changes {
            let size = Quantity.bytes(changes.byteCount, plain: plain)
            let ranges = counted(changes.rangeCount, "range", "ranges")
            lines.append("  changed since generation \(changes.since.generation): \(size) in \(ranges)")
        }
        for line in hashes?.lines(path) ?? [] { lines.append("  " + line) }
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
