import ByteCodec
import Cipher
import DiskModel

/// What stands before the frames of a stream, found to be right: from here on the envelope's fields are true.
struct StreamStart {
    let envelope: Envelope
    let keys: ContainerKeys
    /// For the first frame.
    let chain: StreamChain

    /// - Parameter input: at the start of the container; behind the envelope afterwards.
    /// - Throws: `.format` SEAL001 to SEAL006 and SEAL011, `.key`, `.io`.
    init(_ input: StreamInput, secrets: [SlotKey], path: String) throws(DiskError) {
        let bytes = try diskErrors(path, "reading the envelope") { try Envelope.bytes(from: input) }
        envelope = try diskErrors(path) { try Self.envelope(bytes) }
        do throws(CipherError) { keys = try envelope.keys(secrets, confirming: bytes.rawBytes) } catch {
            throw EnvelopeFailure.key(error, path: path)
        }
        chain = StreamChain(envelope: bytes.rawBytes, containerID: envelope.containerID, keys: keys)
    }

    private static func envelope(_ bytes: [UInt8]) throws(FormatError) -> Envelope {
        let envelope = try Envelope(bytes.rawBytes)
        guard envelope.kind == .stream else {
            throw FormatError(
                .sealedEnvelope, field: "Kind", offset: 12, "is \(envelope.kind.rawValue), an image, not a stream",
                section: "Envelope")
        }
        return envelope
    }
}
