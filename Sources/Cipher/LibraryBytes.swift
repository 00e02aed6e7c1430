/// The library takes bytes as `unsigned char *`. A run that is empty gets an address too, since it takes null for absent.
extension RawSpan {
    func withOctets<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
        unsafe withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else {
                var none: UInt8 = 0
                return unsafe withUnsafePointer(to: &none) { unsafe body($0) }
            }
            return unsafe body(base.assumingMemoryBound(to: UInt8.self))
        }
    }
}

extension MutableRawSpan {
    mutating func withOctets<Result>(_ body: (UnsafeMutablePointer<UInt8>) -> Result) -> Result {
        unsafe withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else {
                var none: UInt8 = 0
                return unsafe withUnsafeMutablePointer(to: &none) { unsafe body($0) }
            }
            return unsafe body(base.assumingMemoryBound(to: UInt8.self))
        }
    }
}
