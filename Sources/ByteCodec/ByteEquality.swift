import Glibc

/// Whether two runs of bytes are the same.
public func bytesEqual(_ a: RawSpan, _ b: RawSpan) -> Bool {
    guard a.byteCount == b.byteCount else { return false }
    guard a.byteCount > 0 else { return true }
    return unsafe a.withUnsafeBytes { a in
        unsafe b.withUnsafeBytes { b in unsafe memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0 }
    }
}

/// Builds without optimisation compare arrays an element at a time, which makes tests on images take minutes; this is
/// quick in every build.
package func == (a: [UInt8], b: [UInt8]) -> Bool { bytesEqual(a.rawBytes, b.rawBytes) }
package func != (a: [UInt8], b: [UInt8]) -> Bool { !bytesEqual(a.rawBytes, b.rawBytes) }
