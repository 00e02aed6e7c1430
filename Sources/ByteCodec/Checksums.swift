import CPlatform

/// CRC-32C (Castagnoli) of a piece; `initial` is the result for the pieces before it. [MS-VHDX] 2.1
public func crc32c(_ bytes: RawSpan, initial: UInt32 = 0) -> UInt32 {
    unsafe bytes.withUnsafeBytes { unsafe vt_crc32c(initial, $0.baseAddress, $0.count) }
}

/// CRC-32C of a structure whose own 4-byte checksum field at `field` counts as zero.
public func crc32c(_ bytes: RawSpan, skippingField field: Int) -> UInt32 {
    var crc = crc32c(bytes.extracting(0..<field))
    crc = crc32c([0, 0, 0, 0].rawBytes, initial: crc)
    return crc32c(bytes.extracting(field + 4..<bytes.byteCount), initial: crc)
}

/// The sum of all bytes as unsigned values, modulo 2^32.
public func byteSum(_ bytes: RawSpan) -> UInt32 {
    unsafe bytes.withUnsafeBytes { unsafe vt_byte_sum($0.baseAddress, $0.count) }
}

/// The complemented byte sum of VHD and HRL over a structure whose own 4-byte field at `field` counts as zero.
public func complementedByteSum(_ bytes: RawSpan, skippingField field: Int) -> UInt32 {
    ~(byteSum(bytes) &- byteSum(bytes.extracting(field..<field + 4)))
}

/// Whether every byte is zero.
public func isZero(_ bytes: RawSpan) -> Bool {
    unsafe bytes.withUnsafeBytes { unsafe vt_is_zero($0.baseAddress, $0.count) }
}
