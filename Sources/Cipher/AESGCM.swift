import ByteCodec
import COpenSSL

/// AES-256-GCM (NIST SP 800-38D) with nonces of 12 and tags of 16 bytes.
///
/// Holds a key's schedule; one owner at a time. A nonce must never serve twice under one key. What the library cannot do
/// short of wrong parameters or memory stops the process.
@safe public final class AESGCM {
    public static let keyByteCount = 32
    public static let nonceByteCount = 12
    public static let tagByteCount = 16

    private let context: OpaquePointer

    /// - Parameter key: 32 bytes.
    public init(key: RawSpan) {
        guard let context = unsafe EVP_CIPHER_CTX_new() else { preconditionFailure("out of memory") }
        unsafe self.context = context
        setKey(key)
    }

    deinit { unsafe EVP_CIPHER_CTX_free(context) }

    /// Takes another key.
    public func setKey(_ key: RawSpan) {
        precondition(key.byteCount == Self.keyByteCount, "a key of 32 bytes")
        let isSet = unsafe key.withOctets { key in
            unsafe EVP_CipherInit_ex(context, FetchedCipher.aes256GCM.pointer, nil, key, nil, 1)
        }
        precondition(isSet == 1, "EVP_CipherInit_ex failed")
    }

    /// Enciphers.
    /// - Parameters:
    ///   - nonce: 12 bytes.
    ///   - additional: what the tag covers besides.
    ///   - output: as long as the text and, behind it, 16 bytes of tag. May not overlap the text.
    public func seal(_ text: RawSpan, nonce: RawSpan, additional: RawSpan, into output: inout MutableRawSpan) {
        precondition(output.byteCount == text.byteCount + Self.tagByteCount, "room for the text and the tag")
        start(nonce, additional, encrypts: 1)
        let isDone = unsafe output.withOctets { output in
            guard unsafe update(text, output) else { return false }
            var count: Int32 = 0
            let tag = unsafe output + text.byteCount
            return unsafe EVP_CipherFinal_ex(context, tag, &count) == 1
                && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(Self.tagByteCount), tag) == 1
        }
        precondition(isDone, "enciphering failed")
    }

    /// Deciphers. Where the tag does not fit, the output holds zeros.
    /// - Parameters:
    ///   - sealed: enciphered text and, behind it, 16 bytes of tag; no shorter than that.
    ///   - output: as long as the text. May not overlap what is deciphered.
    /// - Throws: `.notAuthentic`.
    public func open(
        _ sealed: RawSpan, nonce: RawSpan, additional: RawSpan, into output: inout MutableRawSpan
    ) throws(CipherError) {
        let textByteCount = sealed.byteCount - Self.tagByteCount
        precondition(textByteCount >= 0 && output.byteCount == textByteCount, "room for the text")
        start(nonce, additional, encrypts: 0)
        let isAuthentic = unsafe output.withOctets { output in
            guard unsafe update(sealed.extracting(0..<textByteCount), output) else { return false }
            var (count, none) = (Int32(0), UInt8(0))
            // The library copies the tag; it takes all its parameters as writable.
            let isSet = unsafe sealed.extracting(textByteCount..<sealed.byteCount).withOctets {
                unsafe EVP_CIPHER_CTX_ctrl(
                    context, EVP_CTRL_AEAD_SET_TAG, Int32(Self.tagByteCount), UnsafeMutablePointer(mutating: $0))
            }
            return unsafe isSet == 1 && EVP_CipherFinal_ex(context, &none, &count) == 1
        }
        guard isAuthentic else {
            ERR_clear_error()
            output.zero(0..<textByteCount)
            throw .notAuthentic
        }
    }

    /// Enciphers in place, with the tag apart.
    /// - Parameters:
    ///   - nonce: 12 bytes.
    ///   - tag: 16 bytes, filled.
    public func seal(
        inPlace text: inout MutableRawSpan, nonce: RawSpan, additional: RawSpan, tag: inout MutableRawSpan
    ) {
        precondition(tag.byteCount == Self.tagByteCount, "a tag of 16 bytes")
        start(nonce, additional, encrypts: 1)
        let (isUpdated, context) = (updateInPlace(&text), unsafe context)
        let isDone = unsafe tag.withOctets { tag in
            var count: Int32 = 0
            return unsafe EVP_CipherFinal_ex(context, tag, &count) == 1
                && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(Self.tagByteCount), tag) == 1
        }
        precondition(isUpdated && isDone, "enciphering failed")
    }

    /// Deciphers in place. Where the tag does not fit, zeros are left.
    /// - Parameters:
    ///   - tag: 16 bytes.
    ///   - nonce: 12 bytes.
    /// - Throws: `.notAuthentic`.
    public func open(
        inPlace text: inout MutableRawSpan, tag: RawSpan, nonce: RawSpan, additional: RawSpan
    ) throws(CipherError) {
        precondition(tag.byteCount == Self.tagByteCount, "a tag of 16 bytes")
        start(nonce, additional, encrypts: 0)
        var (tag, none) = (tag.array(0..<Self.tagByteCount), UInt8(0))
        var count: Int32 = 0
        let isAuthentic =
            unsafe updateInPlace(&text)
            && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(Self.tagByteCount), &tag) == 1
            && EVP_CipherFinal_ex(context, &none, &count) == 1
        guard isAuthentic else {
            ERR_clear_error()
            text.zero(0..<text.byteCount)
            throw .notAuthentic
        }
    }

    private func updateInPlace(_ text: inout MutableRawSpan) -> Bool {
        let byteCount = text.byteCount
        guard byteCount > 0 else { return true }
        let context = unsafe context
        var count: Int32 = 0
        // The library takes one buffer for both.
        let updated = unsafe text.withOctets { unsafe EVP_CipherUpdate(context, $0, &count, $0, Int32(byteCount)) }
        return updated == 1 && Int(count) == byteCount
    }

    private func start(_ nonce: RawSpan, _ additional: RawSpan, encrypts: Int32) {
        precondition(nonce.byteCount == Self.nonceByteCount, "a nonce of 12 bytes")
        let started = unsafe nonce.withOctets { unsafe EVP_CipherInit_ex(context, nil, nil, nil, $0, encrypts) }
        precondition(started == 1, "EVP_CipherInit_ex failed")
        guard additional.byteCount > 0 else { return }
        var count: Int32 = 0
        let added = unsafe additional.withOctets {
            unsafe EVP_CipherUpdate(context, nil, &count, $0, Int32(additional.byteCount))
        }
        precondition(added == 1, "EVP_CipherUpdate failed")
    }

    private func update(_ text: RawSpan, _ output: UnsafeMutablePointer<UInt8>) -> Bool {
        guard text.byteCount > 0 else { return true }
        var count: Int32 = 0
        let updated = unsafe text.withOctets {
            unsafe EVP_CipherUpdate(context, output, &count, $0, Int32(text.byteCount))
        }
        return updated == 1 && Int(count) == text.byteCount
    }
}

/// Owns an `EVP_CIPHER`, which the library lets any number of threads share. Fetched once: that costs more than a chunk.
@safe final class FetchedCipher: @unchecked Sendable {
    static let aes256GCM = FetchedCipher("AES-256-GCM")
    static let aes256ECB = FetchedCipher("AES-256-ECB")
    static let aes256Wrap = FetchedCipher("AES-256-WRAP")

    let pointer: OpaquePointer

    private init(_ name: String) {
        guard let pointer = unsafe EVP_CIPHER_fetch(nil, name, nil) else {
            preconditionFailure("the system's libcrypto offers no \(name)")
        }
        unsafe self.pointer = pointer
    }

    deinit { unsafe EVP_CIPHER_free(pointer) }
}
