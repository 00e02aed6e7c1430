import Glibc

/// Byte access: the few audited `unsafe` steps between arrays, spans and integers.

extension [UInt8] {
    /// The array's bytes, read-only.
    @inlinable public var rawBytes: RawSpan {
        @_lifetime(borrow self) get { unsafe span.bytes }
    }

    /// The array's bytes, writable in place.
    @inlinable public var mutableRawBytes: MutableRawSpan {
        @_lifetime(&self) mutating get {
            let count = self.count
            let start = unsafe withUnsafeMutableBufferPointer { UnsafeMutableRawPointer($0.baseAddress) }
            // SAFETY: the result holds exclusive access to the array, which therefore can neither move nor shrink.
            let bytes = unsafe MutableRawSpan(
                _unsafeBytes: UnsafeMutableRawBufferPointer(start: start, count: count))
            return unsafe _overrideLifetime(bytes, mutating: &self)
        }
    }

    /// `byteCount` zero bytes.
    @inlinable public static func zeros(_ byteCount: Int) -> [UInt8] { Self(repeating: 0, count: byteCount) }

    /// A copy of the bytes of a span.
    @inlinable public init(copying bytes: RawSpan) {
        self = unsafe bytes.withUnsafeBytes { unsafe [UInt8]($0) }
    }
}

extension RawSpan {
    /// The unaligned integer at `offset`, in the given byte order. Traps outside the span: check lengths before.
    @inlinable public func integer<T: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int, as type: T.Type = T.self, _ order: ByteOrder
    ) -> T {
        // SAFETY: the load is bounds-checked, and every bit pattern of an integer is valid.
        let raw = unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: T.self)
        return order == .little ? T(littleEndian: raw) : T(bigEndian: raw)
    }

    /// The bytes of a range as an array.
    @inlinable public func array(_ range: Range<Int>) -> [UInt8] { [UInt8](copying: extracting(range)) }
}

extension MutableRawSpan {
    /// Stores an integer at `offset` in the given byte order. Traps outside the span.
    @inlinable @_lifetime(self: copy self)
    public mutating func store<T: FixedWidthInteger & BitwiseCopyable>(
        _ value: T, at offset: Int, _ order: ByteOrder
    ) {
        let raw = order == .little ? value.littleEndian : value.bigEndian
        storeBytes(of: raw, toByteOffset: offset, as: T.self)
    }

    /// Copies `bytes` to `offset`. Traps outside the span.
    @inlinable @_lifetime(self: copy self)
    public mutating func copy(_ bytes: RawSpan, at offset: Int) {
        precondition(offset >= 0 && bytes.byteCount <= byteCount - offset)
        guard bytes.byteCount > 0 else { return }
        // SAFETY: range checked above.
        unsafe withUnsafeMutableBytes { target in
            unsafe bytes.withUnsafeBytes { source in
                unsafe target.baseAddress!.advanced(by: offset).copyMemory(
                    from: source.baseAddress!, byteCount: source.count)
            }
        }
    }

    /// Sets the bytes of a range to zero. Traps outside the span.
    @_lifetime(self: copy self)
    public mutating func zero(_ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= byteCount)
        guard !range.isEmpty else { return }
        // SAFETY: range checked above.
        unsafe withUnsafeMutableBytes { target in
            _ = unsafe memset(target.baseAddress! + range.lowerBound, 0, range.count)
        }
    }

    /// Runs `body` on the part of the span in `range`.
    @inlinable @_lifetime(self: copy self)
    public mutating func withPart<Failure: Error, Result>(
        _ range: Range<Int>, _ body: (inout MutableRawSpan) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        precondition(range.lowerBound >= 0 && range.upperBound <= byteCount)
        return try unsafe withUnsafeMutableBytes { (all) throws(Failure) -> Result in
            var part = unsafe MutableRawSpan(_unsafeBytes: UnsafeMutableRawBufferPointer(rebasing: all[range]))
            return try body(&part)
        }
    }
}
