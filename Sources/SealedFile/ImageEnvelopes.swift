import BlockIO
import ByteCodec
import Cipher
import DiskModel

/// The two copies of an image's envelope: the valid one with the higher sequence counts, and a secret must open that one.
struct ImageEnvelopes {
    let envelope: Envelope
    let keys: ContainerKeys
    /// Of the copy that counts: which slot was opened, from 0; which of the two copies it is, 0 or 1; its bytes.
    let slot: Int
    let place: Int
    let bytes: [UInt8]
    /// Whether the other copy is authentic too, and another one: a change was cut off before it.
    let hasOlderCopy: Bool

    struct Copy {
        let envelope: Envelope
        let bytes: [UInt8]
        /// 0 or 1.
        let place: Int
    }

    /// The copies that can be parsed, the one with the highest sequence first. Nothing of them is authentic.
    /// - Throws: `.format` where there is none that can be read.
    static func copies(_ file: any BlockFile) throws(DiskError) -> [Copy] {
        var copies: [Copy] = []
        var firstError: FormatError?
        for place in ImageLayout.envelopeOffsets.indices {
            do throws(FormatError) { copies.append(try copy(file, place)) } catch {
                firstError = firstError ?? error
            }
        }
        guard !copies.isEmpty else {
            throw DiskError(firstError ?? wrongKind(0), path: file.path, doing: "reading the envelope")
        }
        return copies.sorted { $0.envelope.headerSequence > $1.envelope.headerSequence }
    }

    /// - Throws: `.format` where there is no envelope of an image; `.key` where no secret opens it; `.io`.
    init(_ file: any BlockFile, _ secrets: [SlotKey]) throws(DiskError) {
        let copies = try Self.copies(file)
        for (number, copy) in copies.enumerated() {
            guard let (keys, slot) = try Self.open(copy, secrets, file.path) else { continue }
            // With the keys at hand a newer copy can be told from a damaged one: that is where slots were taken away.
            let isOutdated = copies[..<number].contains { $0.envelope.isAuthentic($0.bytes.rawBytes, keys) }
            guard !isOutdated else { break }
            (envelope, self.keys, self.slot, place, bytes) = (copy.envelope, keys, slot, copy.place, copy.bytes)
            hasOlderCopy = copies[(number + 1)...].contains {
                $0.bytes != copy.bytes && $0.envelope.isAuthentic($0.bytes.rawBytes, keys)
            }
            return
        }
        throw EnvelopeFailure.notOpened(path: file.path)
    }

    private static func wrongKind(_ offset: UInt64) -> FormatError {
        FormatError(
            .sealedEnvelope, field: "Kind", offset: offset + 12, "is 1: a sealed stream, not an image",
            section: "Envelope")
    }

    /// Nil where no secret is the right one.
    private static func open(
        _ copy: Copy, _ secrets: [SlotKey], _ path: String
    ) throws(DiskError) -> (keys: ContainerKeys, slot: Int)? {
        do throws(CipherError) {
            return try copy.envelope.open(secrets, confirming: copy.bytes.rawBytes)
        } catch {
            guard error == .derivationFailed else { return nil }
            throw EnvelopeFailure.key(error, path: path)
        }
    }

    private static func copy(_ file: any BlockFile, _ place: Int) throws(FormatError) -> Copy {
        let offset = ImageLayout.envelopeOffsets[place]
        func bytes(_ count: Int) throws(FormatError) -> [UInt8] {
            do throws(IOError) { return try file.bytes(at: offset, count: count) } catch {
                throw FormatError(
                    offset == 0 ? .sealedSignature : .sealedEnd, field: "Envelope", offset: offset,
                    "cannot be read: \(error.explanation)", section: "Envelope")
            }
        }
        let head = try bytes(EnvelopeHeader.byteCount)
        let count = try Envelope.byteCount(inHeader: head.rawBytes, at: offset)
        let all = try bytes(count)
        let envelope = try Envelope(all.rawBytes, at: offset)
        guard envelope.kind == .image else { throw wrongKind(offset) }
        return Copy(envelope: envelope, bytes: all, place: place)
    }
}
