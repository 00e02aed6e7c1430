import ByteCodec
import COpenSSL

/// HKDF with SHA-256 (RFC 5869).
public enum HKDFSHA256 {
    /// Section 2.2.
    /// - Returns: a pseudorandom key of 32 bytes.
    public static func extract(_ secret: RawSpan, salt: RawSpan) -> SecretBytes {
        // Without a salt one of zeros counts, which the library has to be given.
        let zeros = [UInt8].zeros(32)
        let none = [UInt8]()
        let salt = salt.byteCount > 0 ? salt : zeros.rawBytes
        return derive(32, EVP_KDF_HKDF_MODE_EXTRACT_ONLY, secret, salt, none.rawBytes)
    }

    /// Section 2.3.
    /// - Parameters:
    ///   - key: at least 32 bytes, uniformly distributed.
    ///   - byteCount: at most 8160.
    public static func expand(_ key: RawSpan, info: RawSpan, byteCount: Int = 32) -> SecretBytes {
        let none = [UInt8]()
        return derive(byteCount, EVP_KDF_HKDF_MODE_EXPAND_ONLY, key, none.rawBytes, info)
    }

    /// Both.
    public static func key(_ secret: RawSpan, salt: RawSpan, info: RawSpan, byteCount: Int = 32) -> SecretBytes {
        let extracted = extract(secret, salt: salt)
        return expand(extracted.bytes, info: info, byteCount: byteCount)
    }

    private static func derive(
        _ byteCount: Int, _ mode: Int32, _ key: RawSpan, _ salt: RawSpan, _ info: RawSpan
    ) -> SecretBytes {
        let result = SecretBytes(byteCount: byteCount) { (_: inout MutableRawSpan) in }
        let (keyByteCount, saltByteCount, infoByteCount) = (key.byteCount, salt.byteCount, info.byteCount)
        let made = unsafe key.withOctets { key in
            unsafe salt.withOctets { salt in
                unsafe info.withOctets { info in
                    unsafe result.withMutableOctets { result in
                        unsafe vhdtools_hkdf_sha256(
                            mode, key, keyByteCount, salt, saltByteCount, info, infoByteCount, result, byteCount)
                    }
                }
            }
        }
        precondition(made == 1, "HKDF failed")
        return result
    }
}
