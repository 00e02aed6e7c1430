/// UTF-16 text on disk: VHDX creators and locators (little-endian), VHD parent names (big-endian).

/// Decodes code units strictly. Nil for an odd byte count or an unpaired surrogate.
public func strictUTF16(_ bytes: RawSpan, _ order: ByteOrder) -> String? {
    guard bytes.byteCount % 2 == 0 else { return nil }
    return String(validating: codeUnits(bytes, order), as: UTF16.self)
}

/// Decodes up to the first NUL, with replacement characters for unpaired surrogates; for text shown to people.
public func lenientUTF16(_ bytes: RawSpan, _ order: ByteOrder) -> String {
    String(decoding: codeUnits(bytes, order).prefix { $0 != 0 }, as: UTF16.self)
}

/// Encodes without a terminator.
public func utf16Bytes(_ text: String, _ order: ByteOrder) -> [UInt8] {
    text.utf16.flatMap { unit -> [UInt8] in
        let (low, high) = (UInt8(truncatingIfNeeded: unit), UInt8(unit >> 8))
        return order == .little ? [low, high] : [high, low]
    }
}

private func codeUnits(_ bytes: RawSpan, _ order: ByteOrder) -> [UInt16] {
    (0..<bytes.byteCount / 2).map { bytes.integer(at: 2 * $0, order) }
}
