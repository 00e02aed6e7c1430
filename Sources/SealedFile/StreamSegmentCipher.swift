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

    /// - Parameter sealed: as long as the text and a tag.
    func seal(_ text: RawSpan, counter: UInt64, isLast: Bool, into sealed: inout MutableRawSpan) {
        let nonce = Self.nonce(counter, isLast)
        unsafe keyed.seal(text, nonce: nonce.span.bytes, additional: RawSpan(), into: &sealed)
    }

    /// - Throws: `.notAuthentic`; the text is zeros then.
    func open(
        _ sealed: RawSpan, counter: UInt64, isLast: Bool, into text: inout MutableRawSpan
    ) throws(CipherError) {
        let nonce = Self.nonce(counter, isLast)
        try unsafe keyed.open(sealed, nonce: nonce.span.bytes, additional: RawSpan(), into: &text)
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
