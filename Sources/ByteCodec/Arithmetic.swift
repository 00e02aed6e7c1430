/// Checked arithmetic on untrusted numbers, and rounding.

extension UInt64 {
    /// `self + other`, or nil on overflow.
    @inlinable public func adding(_ other: UInt64) -> UInt64? {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? nil : sum
    }

    /// `self * other`, or nil on overflow.
    @inlinable public func multiplied(by other: UInt64) -> UInt64? {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? nil : product
    }

    /// The multiple of `alignment` at or below.
    @inlinable public func roundedDown(to alignment: UInt64) -> UInt64 { self - self % alignment }

    /// The multiple of `alignment` at or above. Traps on overflow: bound untrusted numbers before.
    @inlinable public func roundedUp(to alignment: UInt64) -> UInt64 {
        let rest = self % alignment
        return rest == 0 ? self : self + (alignment - rest)
    }

    @inlinable public func dividedRoundingUp(by divisor: UInt64) -> UInt64 {
        self / divisor + (self % divisor == 0 ? 0 : 1)
    }

    @inlinable public var isPowerOfTwo: Bool { nonzeroBitCount == 1 }
}

/// `offset..<offset + byteCount`, or nil when it wraps.
@inlinable public func checkedRange(_ offset: UInt64, _ byteCount: UInt64) -> Range<UInt64>? {
    guard let end = offset.adding(byteCount) else { return nil }
    return offset..<end
}
