import Glibc

/// Whether two runs hold the same bytes.
func isEqual(_ a: RawSpan, _ b: RawSpan) -> Bool {
    guard a.byteCount == b.byteCount else { return false }
    guard a.byteCount > 0 else { return true }
    // SAFETY: both addresses hold so many bytes.
    return unsafe a.withUnsafeBytes { a in
        unsafe b.withUnsafeBytes { b in
            guard let a = a.baseAddress, let other = b.baseAddress else { return false }
            return unsafe memcmp(a, other, b.count) == 0
        }
    }
}
