import ByteCodec
import COpenSSL

/// Diffie-Hellman on Curve25519 (RFC 7748).
public enum X25519 {
    public static let keyByteCount = 32

    /// The public key of a private one.
    /// - Parameter privateKey: 32 bytes.
    public static func publicKey(of privateKey: RawSpan) throws(CipherError) -> [UInt8] {
        let key = try Key(privateKey: privateKey)
        var result = [UInt8].zeros(keyByteCount)
        var count = keyByteCount
        guard unsafe EVP_PKEY_get_raw_public_key(key.pointer, &result, &count) == 1, count == keyByteCount else {
            throw .invalidKey
        }
        return result
    }

    /// What both sides share.
    /// - Throws: `.invalidKey` for public keys of small order, where everybody knows the result.
    public static func sharedSecret(_ privateKey: RawSpan, _ publicKey: RawSpan) throws(CipherError) -> SecretBytes {
        let own = try Key(privateKey: privateKey)
        let other = try Key(publicKey: publicKey)
        guard let context = unsafe EVP_PKEY_CTX_new(own.pointer, nil) else { preconditionFailure("out of memory") }
        defer { unsafe EVP_PKEY_CTX_free(context) }
        let secret = SecretBytes(byteCount: keyByteCount) { (_: inout MutableRawSpan) in }
        var count = keyByteCount
        let isDone =
            unsafe EVP_PKEY_derive_init(context) == 1
            && EVP_PKEY_derive_set_peer(context, other.pointer) == 1
            && secret.withMutableOctets { unsafe EVP_PKEY_derive(context, $0, &count) } == 1
        let zero = [UInt8].zeros(keyByteCount)
        guard isDone, count == keyByteCount, !equalInConstantTime(secret.bytes, zero.rawBytes) else {
            ERR_clear_error()
            throw .invalidKey
        }
        return secret
    }

    @safe private final class Key {
        let pointer: OpaquePointer

        init(privateKey: RawSpan) throws(CipherError) {
            guard privateKey.byteCount == keyByteCount,
                let pointer = unsafe privateKey.withOctets({
                    unsafe EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nil, $0, keyByteCount)
                })
            else { throw .invalidKey }
            unsafe self.pointer = pointer
        }

        init(publicKey: RawSpan) throws(CipherError) {
            guard publicKey.byteCount == keyByteCount,
                let pointer = unsafe publicKey.withOctets({
                    unsafe EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nil, $0, keyByteCount)
                })
            else { throw .invalidKey }
            unsafe self.pointer = pointer
        }

        deinit { unsafe EVP_PKEY_free(pointer) }
    }
}
