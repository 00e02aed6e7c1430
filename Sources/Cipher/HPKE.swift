import ByteCodec

/// HPKE in base mode (RFC 9180), one message: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
public enum HPKE {
    private static let kem: UInt16 = 0x0020
    private static let kdf: UInt16 = 0x0001
    private static let aead: UInt16 = 0x0002

    /// A message for whoever has the private key.
    public struct Sealed: Equatable, Sendable {
        /// The ephemeral public key, 32 bytes.
        public var encapsulated: [UInt8]
        /// The message and 16 bytes of tag.
        public var text: [UInt8]

        public init(encapsulated: [UInt8], text: [UInt8]) { (self.encapsulated, self.text) = (encapsulated, text) }
    }

    /// Section 6.1, `SealBase`.
    /// - Throws: `.invalidKey`.
    public static func seal(
        _ message: RawSpan, to recipient: RawSpan, info: RawSpan, additional: RawSpan, random: RandomSource
    ) throws(CipherError) -> Sealed {
        let ephemeral = SecretBytes(byteCount: X25519.keyByteCount, from: random)
        return try seal(message, to: recipient, info: info, additional: additional, ephemeral: ephemeral)
    }

    /// With a given ephemeral private key: for vectors.
    static func seal(
        _ message: RawSpan, to recipient: RawSpan, info: RawSpan, additional: RawSpan, ephemeral: SecretBytes
    ) throws(CipherError) -> Sealed {
        let encapsulated = try X25519.publicKey(of: ephemeral.bytes)
        let shared = try X25519.sharedSecret(ephemeral.bytes, recipient)
        let context = Context(shared, encapsulated, recipient, info)
        var text = [UInt8].zeros(message.byteCount + AESGCM.tagByteCount)
        var output = text.mutableRawBytes
        AESGCM(key: context.key.bytes)
            .seal(message, nonce: context.nonce.bytes, additional: additional, into: &output)
        return Sealed(encapsulated: encapsulated, text: text)
    }

    /// Section 6.1, `OpenBase`.
    /// - Throws: `.notAuthentic` for another key, or changed bytes; `.invalidKey`.
    public static func open(
        _ sealed: Sealed, with identity: SecretBytes, info: RawSpan, additional: RawSpan
    ) throws(CipherError) -> SecretBytes {
        guard sealed.text.count >= AESGCM.tagByteCount else { throw .notAuthentic }
        let shared = try X25519.sharedSecret(identity.bytes, sealed.encapsulated.rawBytes)
        let recipient = try X25519.publicKey(of: identity.bytes)
        let context = Context(shared, sealed.encapsulated, recipient.rawBytes, info)
        let cipher = AESGCM(key: context.key.bytes)
        return try SecretBytes(byteCount: sealed.text.count - AESGCM.tagByteCount) { (output) throws(CipherError) in
            try cipher.open(sealed.text.rawBytes, nonce: context.nonce.bytes, additional: additional, into: &output)
        }
    }

    /// What the key schedule gives for the only message (sections 4.1 and 5.1).
    struct Context {
        let key: SecretBytes
        let nonce: SecretBytes

        init(_ secret: SecretBytes, _ encapsulated: [UInt8], _ recipient: RawSpan, _ info: RawSpan) {
            let kemSuite = Array("KEM".utf8) + bigEndian(kem)
            let suite = Array("HPKE".utf8) + bigEndian(kem) + bigEndian(kdf) + bigEndian(aead)
            let kemContext = encapsulated + [UInt8](copying: recipient)
            let first = labeledExtract(RawSpan(), kemSuite, "eae_prk", secret.bytes)
            let shared = labeledExpand(first, kemSuite, "shared_secret", kemContext, 32)
            let none = [UInt8]()
            let idHash = labeledExtract(RawSpan(), suite, "psk_id_hash", none.rawBytes)
            let infoHash = labeledExtract(RawSpan(), suite, "info_hash", info)
            // Base mode.
            let schedule = [0] + [UInt8](copying: idHash.bytes) + [UInt8](copying: infoHash.bytes)
            let keyed = labeledExtract(shared.bytes, suite, "secret", none.rawBytes)
            key = labeledExpand(keyed, suite, "key", schedule, AESGCM.keyByteCount)
            nonce = labeledExpand(keyed, suite, "base_nonce", schedule, AESGCM.nonceByteCount)
        }
    }

    private static func bigEndian(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }

    /// Section 4, `LabeledExtract`.
    private static func labeledExtract(
        _ salt: RawSpan, _ suite: [UInt8], _ label: String, _ secret: RawSpan
    ) -> SecretBytes {
        let start = Array("HPKE-v1".utf8) + suite + Array(label.utf8)
        let labeled = SecretBytes(byteCount: start.count + secret.byteCount) { bytes in
            bytes.copy(start.rawBytes, at: 0)
            bytes.copy(secret, at: start.count)
        }
        return HKDFSHA256.extract(labeled.bytes, salt: salt)
    }

    /// Section 4, `LabeledExpand`.
    private static func labeledExpand(
        _ key: SecretBytes, _ suite: [UInt8], _ label: String, _ info: [UInt8], _ byteCount: Int
    ) -> SecretBytes {
        let labeled = bigEndian(UInt16(byteCount)) + Array("HPKE-v1".utf8) + suite + Array(label.utf8) + info
        return HKDFSHA256.expand(key.bytes, info: labeled.rawBytes, byteCount: byteCount)
    }
}
