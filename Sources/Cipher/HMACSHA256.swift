import ByteCodec
import COpenSSL

/// HMAC-SHA-256 (RFC 2104) under one key. One owner at a time.
@safe public final class HMACSHA256 {
    public static let byteCount = 32
    private let context: OpaquePointer

    /// - Parameter key: of any length but none.
    public init(key: RawSpan) {
        precondition(key.byteCount > 0, "a key")
        guard let function = unsafe EVP_MAC_fetch(nil, "HMAC", nil), let context = unsafe EVP_MAC_CTX_new(function)
        else {
            preconditionFailure("the system's libcrypto offers no HMAC")
        }
        unsafe EVP_MAC_free(function)
        unsafe self.context = context
        let keyByteCount = key.byteCount
        let started = unsafe key.withOctets { unsafe vhdtools_hmac_sha256_start(context, $0, keyByteCount) }
        precondition(started == 1, "EVP_MAC_init failed")
    }

    deinit { unsafe EVP_MAC_CTX_free(context) }

    /// Continues the message.
    public func update(_ bytes: RawSpan) {
        let byteCount = bytes.byteCount
        guard byteCount > 0 else { return }
        let updated = unsafe bytes.withOctets { unsafe EVP_MAC_update(context, $0, byteCount) }
        precondition(updated == 1, "EVP_MAC_update failed")
    }

    /// The code of the message; the next update begins another one under the same key.
    public func finish() -> [UInt8] {
        var result = [UInt8].zeros(Self.byteCount)
        var count = 0
        let finished = unsafe EVP_MAC_final(context, &result, &count, Self.byteCount)
        precondition(finished == 1 && count == Self.byteCount, "EVP_MAC_final failed")
        let started = unsafe EVP_MAC_init(context, nil, 0, nil)
        precondition(started == 1, "EVP_MAC_init failed")
        return result
    }

    /// The code of a message at hand.
    public static func code(_ message: RawSpan, key: RawSpan) -> [UInt8] {
        let code = HMACSHA256(key: key)
        code.update(message)
        return code.finish()
    }
}
