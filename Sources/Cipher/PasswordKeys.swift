import ByteCodec
import COpenSSL

/// Keys from passphrases, made slow on purpose. Callers bound the costs, which may come from a hostile file.
public enum PasswordKeys {
    /// scrypt (RFC 7914).
    /// - Parameters:
    ///   - log2N: binary logarithm of the cost, below 32.
    ///   - r: block size; memory is 128 · r · 2^log2N bytes.
    ///   - p: how often.
    /// - Throws: `.derivationFailed` where the library refuses, for want of memory.
    public static func scrypt(
        _ passphrase: RawSpan, salt: RawSpan, log2N: Int, r: Int, p: Int, byteCount: Int = 32
    ) throws(CipherError) -> SecretBytes {
        let cost = UInt64(1) << UInt64(log2N)
        let saltByteCount = salt.byteCount
        // What it takes, and some for its own tables.
        let memory = 128 * UInt64(r) * (cost + UInt64(p) + 2) + 1 << 20
        return try unsafe secret(byteCount) { key in
            unsafe passphrase.withOctets { pass in
                unsafe salt.withOctets { salt in
                    unsafe EVP_PBE_scrypt(
                        UnsafeRawPointer(pass).assumingMemoryBound(to: CChar.self), passphrase.byteCount, salt,
                        saltByteCount, cost, UInt64(r), UInt64(p), memory, key, byteCount)
                }
            }
        }
    }

    /// PBKDF2 with HMAC-SHA-512 (RFC 8018).
    public static func pbkdf2SHA512(
        _ passphrase: RawSpan, salt: RawSpan, iterations: UInt32, byteCount: Int = 32
    ) throws(CipherError) -> SecretBytes {
        guard let rounds = Int32(exactly: iterations), rounds > 0 else { throw .derivationFailed }
        let saltByteCount = Int32(salt.byteCount)
        return try unsafe secret(byteCount) { key in
            unsafe passphrase.withOctets { pass in
                unsafe salt.withOctets { salt in
                    unsafe PKCS5_PBKDF2_HMAC(
                        UnsafeRawPointer(pass).assumingMemoryBound(to: CChar.self), Int32(passphrase.byteCount), salt,
                        saltByteCount, rounds, EVP_sha512(), Int32(byteCount), key)
                }
            }
        }
    }

    private static func secret(
        _ byteCount: Int, _ derive: (UnsafeMutablePointer<UInt8>) -> Int32
    ) throws(CipherError) -> SecretBytes {
        let key = SecretBytes(byteCount: byteCount) { (_: inout MutableRawSpan) in }
        guard unsafe key.withMutableOctets({ unsafe derive($0) }) == 1 else {
            ERR_clear_error()
            throw .derivationFailed
        }
        return key
    }
}
