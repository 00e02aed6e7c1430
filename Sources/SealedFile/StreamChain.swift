import ByteCodec
import Cipher
import Digest

/// What ties the frames of a stream together: each frame's key comes from everything before it, so that frames cannot
/// be dropped, doubled, put elsewhere or into another stream.
///
/// H of the first frame is the SHA-256 of the envelope, that of each further one SHA-256(H ‖ head ‖ last tag) of the
/// one before. A frame's key is HKDF(stream key, salt, container id ‖ kind ‖ index ‖ H).
struct StreamChain: Sendable {
    private let streamKey: SecretBytes
    private let containerID: [UInt8]
    /// Of everything before the frame to come.
    private(set) var digest: [UInt8]
    /// Of the frame to come.
    private(set) var frameIndex: UInt64 = 0

    /// - Parameter envelope: all its bytes.
    init(envelope: RawSpan, containerID: [UInt8], keys: ContainerKeys) {
        (streamKey, self.containerID) = (keys.streamKey, containerID)
        digest = Digest.hash(.sha256, envelope)
    }

    /// The head of the frame to come, with a salt of its own.
    func header(_ kind: FrameKind, _ random: RandomSource) -> FrameHeader {
        FrameHeader(kind, index: frameIndex, salt: random.bytes(FrameHeader.saltByteCount))
    }

    /// The key of the frame to come.
    func key(of header: FrameHeader) -> SecretBytes { key(of: header, digest: digest) }

    /// The key of any frame.
    /// - Parameter digest: of everything before it.
    func key(of header: FrameHeader, digest: [UInt8]) -> SecretBytes {
        var index = [UInt8].zeros(8)
        var raw = index.mutableRawBytes
        raw.store(header.index, at: 0, .little)
        let info = containerID + [header.kind] + index + digest
        return HKDFSHA256.key(streamKey.bytes, salt: header.salt.rawBytes, info: info.rawBytes)
    }

    /// Goes to the next frame.
    /// - Parameter lastTag: of the last segment of the one that has this head.
    mutating func advance(over header: FrameHeader, lastTag: RawSpan) {
        let bytes = digest + header.serialized() + [UInt8](copying: lastTag)
        digest = Digest.hash(.sha256, bytes.rawBytes)
        frameIndex += 1
    }
}
