import ByteCodec
import Cipher

/// Seals and opens the segments of one frame at a time. One owner at a time.
///
/// A segment's nonce is its number in the frame, 11 bytes big-endian, and 1 for the last one, else 0 (STREAM): segments
/// cannot be dropped, doubled or moved, and the frame cannot be cut.
final class SegmentCipher {
    private var cipher: AESGCM?

    /// Takes a frame's key.
    func setKey(_ key: SecretBytes) {
        if let cipher { cipher.setKey(key.bytes) } else { cipher = AESGCM(key: key.bytes) }
    }

    /// In place.
    func seal(_ text: inout MutableRawSpan, counter: UInt64, isLast: Bool, tag: inout MutableRawSpan) {
        let nonce = Self.nonce(counter, isLast)
        unsafe keyed.seal(inPlace: &text, nonce: nonce.span.bytes, additional: RawSpan(), tag: &tag)
    }

    /// In place.
    /// - Throws: `.notAuthentic`; zeros are left then.
    func open(_ text: inout MutableRawSpan, tag: RawSpan, counter: UInt64, isLast: Bool) throws(CipherError) {
        let nonce = Self.nonce(counter, isLast)
        try unsafe keyed.open(inPlace: &text, tag: tag, nonce: nonce.span.bytes, additional: RawSpan())
    }

    private var keyed: AESGCM {
        guard let cipher else { preconditionFailure("a key comes first") }
        return cipher
    }

    private static func nonce(_ counter: UInt64, _ isLast: Bool) -> [12 of UInt8] {
        var nonce = [12 of UInt8](repeating: 0)
        // The three bytes before stay 0: a frame has fewer than 2^64 segments.
        for index in 0..<8 { nonce[3 + index] = UInt8(truncatingIfNeeded: counter >> UInt64(8 * (7 - index))) }
        nonce[11] = isLast ? 1 : 0
        return nonce
    }
}
