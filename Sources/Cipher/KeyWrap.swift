import ByteCodec
import COpenSSL

/// AES-256 key wrap (RFC 3394) of keys of 32 bytes, with the standard's initial value.
public enum KeyWrap {
    public static let wrappedByteCount = 40

    /// - Parameters:
    ///   - key: 32 bytes to be wrapped.
    ///   - wrappingKey: 32 bytes.
    /// - Returns: 40 bytes.
    public static func wrap(_ key: RawSpan, with wrappingKey: RawSpan) -> [UInt8] {
        precondition(key.byteCount == AESGCM.keyByteCount, "a key of 32 bytes")
        var result = [UInt8].zeros(wrappedByteCount)
        var output = result.mutableRawBytes
        let isDone = run(key, wrappingKey, encrypts: 1, &output)
        precondition(isDone, "key wrap failed")
        return result
    }

    /// - Throws: `.notAuthentic` for another wrapping key, or changed bytes.
    public static func unwrap(_ wrapped: RawSpan, with wrappingKey: RawSpan) throws(CipherError) -> SecretBytes {
        precondition(wrapped.byteCount == wrappedByteCount, "40 bytes")
        return try SecretBytes(byteCount: AESGCM.keyByteCount) { (output) throws(CipherError) in
            guard run(wrapped, wrappingKey, encrypts: 0, &output) else {
                ERR_clear_error()
                throw .notAuthentic
            }
        }
    }

    private static func run(
        _ input: RawSpan, _ key: RawSpan, encrypts: Int32, _ output: inout MutableRawSpan
    ) -> Bool {
        precondition(key.byteCount == AESGCM.keyByteCount, "a key of 32 bytes")
        guard let context = unsafe EVP_CIPHER_CTX_new() else { preconditionFailure("out of memory") }
        defer { unsafe EVP_CIPHER_CTX_free(context) }
        unsafe EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW)
        let started = unsafe key.withOctets { key in
            unsafe EVP_CipherInit_ex(context, FetchedCipher.aes256Wrap.pointer, nil, key, nil, encrypts)
        }
        precondition(started == 1, "EVP_CipherInit_ex failed")
        // Unwrapping writes more than it returns, in some versions of the library.
        let room = SecretBytes(byteCount: wrappedByteCount + 8) { (_: inout MutableRawSpan) in }
        var count: Int32 = 0
        let done = unsafe input.withOctets { from in
            unsafe room.withMutableOctets { unsafe EVP_CipherUpdate(context, $0, &count, from, Int32(input.byteCount)) }
        }
        guard done == 1, Int(count) == output.byteCount else { return false }
        output.copy(room.bytes.extracting(0..<output.byteCount), at: 0)
        return true
    }
}
