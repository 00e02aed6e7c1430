import Glibc

/// Whether bytes stand anywhere in others. Fast in debug builds, too: the system looks for the first of them.
public func occurs(_ pattern: [UInt8], in bytes: [UInt8]) -> Bool {
    guard let first = pattern.first, bytes.count >= pattern.count else { return pattern.isEmpty }
    return unsafe bytes.withUnsafeBytes { all in
        unsafe pattern.withUnsafeBytes { wanted in
            let end = all.count - wanted.count + 1
            var place = 0
            while place < end {
                let rest = unsafe all.baseAddress! + place
                guard let found = unsafe memchr(rest, CInt(first), end - place) else { return false }
                if unsafe memcmp(found, wanted.baseAddress!, wanted.count) == 0 { return true }
                place += unsafe found - UnsafeMutableRawPointer(mutating: rest) + 1
            }
            return false
        }
    }
}
