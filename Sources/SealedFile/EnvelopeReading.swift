public import BlockIO
import ByteCodec
public import DiskModel

extension Envelope {
    /// The bytes of the envelope that a container begins with.
    static func bytes(from input: StreamInput) throws -> [UInt8] {
        let head = try input.bytes(EnvelopeHeader.byteCount)
        let byteCount = try byteCount(inHeader: head.rawBytes)
        let bytes = try head + input.bytes(byteCount - EnvelopeHeader.byteCount)
        guard bytes.count == byteCount else { throw StreamFailure.cutEnvelope(bytes.count, of: byteCount) }
        return bytes
    }

    /// What a container that comes as a stream says about itself. Nothing of it is authentic.
    /// - Parameters:
    ///   - path: for messages.
    ///   - source: gives the container's bytes from its start.
    /// - Returns: the envelope, and what was taken from the source.
    /// - Throws: `.format` SEAL001 to SEAL006 and SEAL011; `.io`.
    public static func unverified(
        path: String, from source: @escaping SealedStreamReader.Source
    ) throws(DiskError) -> (envelope: Envelope, bytes: [UInt8]) {
        try diskErrors(path, "reading the envelope") {
            let bytes = try bytes(from: StreamInput(source))
            return (try Envelope(bytes.rawBytes), bytes)
        }
    }

    /// What a container in a file says about itself: of an image by the newer one of its envelopes that can be read and parsed.
    /// Nothing of it is authentic.
    /// - Throws: `.format` SEAL001 to SEAL006 and SEAL011; `.io`.
    public static func unverified(in file: any BlockFile) throws(DiskError) -> Envelope {
        let first: Envelope
        do throws(DiskError) {
            first = try unverified(path: file.path, from: SealedStreamReader.source(of: file)).envelope
        } catch {
            guard error.kind == .format || error.kind == .io, let copy = try? ImageEnvelopes.copies(file).first else {
                throw error
            }
            return copy.envelope
        }
        guard first.kind == .image else { return first }
        return try ImageEnvelopes.copies(file)[0].envelope
    }

    /// Whether an image's file has both copies of its envelope, and they are the same. Where not, a change of its slots was cut
    /// off, or one is damaged or cannot be read. Nothing of them is authentic.
    /// - Throws: `.format` where there is none.
    public static func hasEqualCopies(in file: any BlockFile) throws(DiskError) -> Bool {
        let copies = try ImageEnvelopes.copies(file)
        return copies.count == 2 && copies[0].bytes == copies[1].bytes
    }
}
