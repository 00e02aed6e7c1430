import ByteCodec
import COpenSSL

/// XAES-256-GCM (C2SP): AES-256-GCM with nonces of 24 bytes, long enough to be drawn at random for every message: half of
/// one derives the key, by the CMAC-based derivation of NIST SP 800-108r1 with one block for each half of it.
///
/// One owner at a time.
@safe public final class XAESGCM {
    public static let keyByteCount = 32
    public static let nonceByteCount = 24
    public static let tagByteCount = 16

    private let block: AESBlock
    /// The CMAC's subkey for whole blocks: a secret.
    private let subkey: SecretBytes
    private let cipher: AESGCM

    /// - Parameter key: 32 bytes.
    public init(key: RawSpan) {
        let block = AESBlock(key: key)
        subkey = SecretBytes(byteCount: AESBlock.byteCount) { bytes in
            block.encipher(&bytes)
            Self.double(&bytes)
        }
        self.block = block
        // Replaced before its first use.
        cipher = AESGCM(key: key)
    }

    /// As `AESGCM.seal`, with a nonce of 24 bytes.
    public func seal(
        _ text: RawSpan, nonce: RawSpan, additional: RawSpan = RawSpan(), into output: inout MutableRawSpan
    ) {
        setKey(nonce)
        cipher.seal(text, nonce: nonce.extracting(12..<24), additional: additional, into: &output)
    }

    /// As `AESGCM.open`, with a nonce of 24 bytes.
    public func open(
        _ sealed: RawSpan, nonce: RawSpan, additional: RawSpan = RawSpan(), into output: inout MutableRawSpan
    ) throws(CipherError) {
        setKey(nonce)
        try cipher.open(sealed, nonce: nonce.extracting(12..<24), additional: additional, into: &output)
    }

    /// As `AESGCM.seal(inPlace:)`, with a nonce of 24 bytes.
    public func seal(
        inPlace text: inout MutableRawSpan, nonce: RawSpan, additional: RawSpan, tag: inout MutableRawSpan
    ) {
        setKey(nonce)
        cipher.seal(inPlace: &text, nonce: nonce.extracting(12..<24), additional: additional, tag: &tag)
    }

    /// As `AESGCM.open(inPlace:)`, with a nonce of 24 bytes.
    public func open(
        inPlace text: inout MutableRawSpan, tag: RawSpan, nonce: RawSpan, additional: RawSpan
    ) throws(CipherError) {
        setKey(nonce)
        try cipher.open(inPlace: &text, tag: tag, nonce: nonce.extracting(12..<24), additional: additional)
    }

    private func setKey(_ nonce: RawSpan) {
        precondition(nonce.byteCount == Self.nonceByteCount, "a nonce of 24 bytes")
        // Two messages: a counter, 0, "X", 0, the nonce's first half; each a whole block, so that its CMAC is one encryption.
        let subkey = subkey
        withUnsafeTemporaryKey { key in
            for index in 0..<2 {
                let base = index * AESBlock.byteCount
                key.store(UInt8(0), at: base, .big)
                key.store(UInt8(index + 1), at: base + 1, .big)
                key.store(UInt8(0x58), at: base + 2, .big)
                key.store(UInt8(0), at: base + 3, .big)
                key.copy(nonce.extracting(0..<12), at: base + 4)
                for place in 0..<AESBlock.byteCount {
                    let octet: UInt8 = key.bytes.integer(at: base + place, .big)
                    key.store(octet ^ subkey.bytes.integer(at: place, .big), at: base + place, .big)
                }
            }
            block.encipher(&key)
            cipher.setKey(key.bytes)
        }
    }

    /// A key on the stack, overwritten at the end.
    private func withUnsafeTemporaryKey(_ body: (inout MutableRawSpan) -> Void) {
        unsafe withUnsafeTemporaryAllocation(byteCount: Self.keyByteCount, alignment: 16) { buffer in
            var key = unsafe MutableRawSpan(_unsafeBytes: buffer)
            body(&key)
            unsafe OPENSSL_cleanse(buffer.baseAddress, buffer.count)
        }
    }

    /// Doubling in GF(2^128), as for CMAC (NIST SP 800-38B, section 6.1).
    private static func double(_ block: inout MutableRawSpan) {
        let high: UInt64 = block.bytes.integer(at: 0, .big)
        let low: UInt64 = block.bytes.integer(at: 8, .big)
        // Without a branch on the secret.
        block.store(low << 1 ^ (0x87 & (0 &- high >> 63)), at: 8, .big)
        block.store(high << 1 | low >> 63, at: 0, .big)
    }
}
