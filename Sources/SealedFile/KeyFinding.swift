public import BlockIO
import ByteCodec
import Cipher
import Digest
public import DiskModel

extension Envelope {
    /// Which of some secrets opens a container, tried in their order, and the container's keys, with which it opens again
    /// at no cost.
    ///
    /// Only the envelope is looked at: what follows it is checked by whoever reads it.
    /// - Parameter file: a container of any kind.
    /// - Returns: nil where none of them opens it.
    /// - Throws: `.format` SEAL001 to SEAL006 and SEAL011; `.refused` where deriving a key takes more memory than there is; `.io`.
    public static func opening(
        _ file: any BlockFile, with secrets: [SlotKey]
    ) throws(DiskError) -> (secret: SlotKey, opened: SlotKey)? {
        let isImage = try unverified(in: file).kind == .image
        for secret in secrets {
            guard let opened = try isImage ? imageKeys(file, secret) : streamKeys(file, secret) else { continue }
            return (secret, opened)
        }
        return nil
    }

    private static func imageKeys(_ file: any BlockFile, _ secret: SlotKey) throws(DiskError) -> SlotKey? {
        do throws(DiskError) {
            let found = try ImageEnvelopes(file, [secret])
            return .opened(containerID: found.envelope.containerID, found.keys)
        } catch {
            guard error.kind == .key else { throw error }
            return nil
        }
    }

    private static func streamKeys(_ file: any BlockFile, _ secret: SlotKey) throws(DiskError) -> SlotKey? {
        let (envelope, bytes) = try unverified(path: file.path, from: SealedStreamReader.source(of: file))
        do throws(CipherError) {
            return .opened(
                containerID: envelope.containerID, try envelope.keys([secret], confirming: bytes.rawBytes))
        } catch {
            guard error == .derivationFailed else { return nil }
            throw EnvelopeFailure.key(error, path: file.path)
        }
    }

    /// Whether one of an image's envelopes can be parsed, also where the file does not begin with it.
    public static func hasCopy(_ file: any BlockFile) -> Bool { (try? ImageEnvelopes.copies(file)) != nil }

    /// Whether a file begins as a sealed one does; where its start cannot be read, whether it has the second copy of an image's
    /// envelope.
    /// - Throws: what reading the start threw, where there is no such copy.
    public static func isSigned(_ file: any BlockFile) throws(IOError) -> Bool {
        guard try file.byteCount() >= UInt64(EnvelopeHeader.byteCount) else { return false }
        do throws(IOError) {
            return try file.bytes(at: 0, count: EnvelopeHeader.signature.count) == EnvelopeHeader.signature
        } catch {
            guard hasCopy(file) else { throw error }
            return true
        }
    }
}

extension SealedImage {
    /// Opens the container again, at no cost and without any other secret.
    public var key: SlotKey { .opened(containerID: envelope.containerID, keys) }

    /// For what stays small, in bytes; a hole as long as nothing is written a second time.
    public static let smallJournalByteCount: UInt64 = 1 << 20
}

extension SlotKey {
    private static let commitmentMessage = Array("vhdseal/1/commitment".utf8)

    /// Of `.opened`: what no other container's keys give, in hexadecimal. Kept elsewhere, it tells later whether another
    /// container was put in this one's place, also one that the same secrets open. It is no secret.
    public var commitment: String? {
        guard case .opened(_, let keys) = self else { return nil }
        let message = Self.commitmentMessage
        return HMACSHA256.code(message.rawBytes, key: keys.headerKey.bytes).hexadecimal
    }
}
