import ByteCodec
import COpenSSL

/// AES-256 of single blocks of 16 bytes, from which XAES derives its keys; nothing else may be enciphered this way.
@safe final class AESBlock {
    static let byteCount = 16
    private let context: OpaquePointer

    /// - Parameter key: 32 bytes.
    init(key: RawSpan) {
        precondition(key.byteCount == AESGCM.keyByteCount, "a key of 32 bytes")
        guard let context = unsafe EVP_CIPHER_CTX_new() else { preconditionFailure("out of memory") }
        unsafe self.context = context
        let started = unsafe key.withOctets { key in
            unsafe EVP_EncryptInit_ex(context, FetchedCipher.aes256ECB.pointer, nil, key, nil)
        }
        precondition(started == 1, "EVP_EncryptInit_ex failed")
        _ = unsafe EVP_CIPHER_CTX_set_padding(context, 0)
    }

    deinit { unsafe EVP_CIPHER_CTX_free(context) }

    /// Enciphers whole blocks, in place.
    func encipher(_ blocks: inout MutableRawSpan) {
        precondition(blocks.byteCount % Self.byteCount == 0, "whole blocks")
        let byteCount = Int32(blocks.byteCount)
        var count: Int32 = 0
        let updated = unsafe blocks.withOctets { unsafe EVP_EncryptUpdate(context, $0, &count, $0, byteCount) }
        precondition(updated == 1 && count == byteCount, "EVP_EncryptUpdate failed")
    }
}
