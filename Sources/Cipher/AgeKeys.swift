import ByteCodec

/// A public key to which containers are sealed, in age's form: `age1…`.
public struct Recipient: Hashable, Sendable, CustomStringConvertible {
    private static let prefix = "age"
    /// The X25519 public key, 32 bytes.
    public let publicKey: [UInt8]

    /// - Parameter publicKey: 32 bytes.
    public init(publicKey: [UInt8]) {
        precondition(publicKey.count == X25519.keyByteCount, "a key of 32 bytes")
        self.publicKey = publicKey
    }

    /// Nil for what is no X25519 recipient, or mistyped.
    public init?(_ text: String) {
        guard let (prefix, bytes) = Bech32.decode(text), prefix == Self.prefix, bytes.count == X25519.keyByteCount
        else {
            return nil
        }
        publicKey = bytes
    }

    public var description: String { Bech32.encode(publicKey, prefix: Self.prefix) }
}

/// A private key, in age's form: `AGE-SECRET-KEY-1…`. It has no description.
public struct Identity: Sendable {
    private static let prefix = "age-secret-key-"
    /// The X25519 private key, 32 bytes.
    public let privateKey: SecretBytes
    public let recipient: Recipient

    /// A new one.
    public init(random: RandomSource = .system) throws(CipherError) {
        try self.init(privateKey: SecretBytes(byteCount: X25519.keyByteCount, from: random))
    }

    /// - Parameter privateKey: 32 bytes.
    public init(privateKey: SecretBytes) throws(CipherError) {
        self.privateKey = privateKey
        recipient = Recipient(publicKey: try X25519.publicKey(of: privateKey.bytes))
    }

    /// - Throws: `.invalidKey` for what is no X25519 identity, or mistyped.
    public init(_ text: RawSpan) throws(CipherError) {
        guard var decoded = Bech32.decode(text) else { throw .invalidKey }
        // In place: of another variable only a copy would be overwritten.
        defer { cleanse(&decoded.bytes) }
        guard decoded.prefix == Self.prefix, decoded.bytes.count == X25519.keyByteCount else { throw .invalidKey }
        try self.init(privateKey: SecretBytes(copying: decoded.bytes.rawBytes))
    }

    /// The text to be kept secret, for the file that holds it.
    public func secretText() -> SecretBytes {
        var text = Bech32.octets(privateKey.bytes, prefix: Self.prefix)
        defer { cleanse(&text) }
        for place in text.indices where text[place] >= UInt8(ascii: "a") { text[place] ^= 0x20 }
        return SecretBytes(copying: text.rawBytes)
    }
}
