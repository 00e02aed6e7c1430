public import ByteCodec

/// The rules of docs/formats/sealed.md. What is authenticated and does not fit is no matter of format: `DiskError.Kind.key`.
extension FormatError.Code {
    /// No signature of a sealed container.
    public static let sealedSignature = Self("SEAL001")
    /// A version, a suite or an incompatible flag that is not known.
    public static let sealedVersion = Self("SEAL002")
    /// A kind, a size or a count that an envelope cannot have.
    public static let sealedEnvelope = Self("SEAL003")
    /// A slot that ends behind the envelope, or has the wrong length.
    public static let sealedSlot = Self("SEAL004")
    /// Costs of a key derivation outside of what is accepted.
    public static let sealedCost = Self("SEAL005")
    /// A container that ends before its contents do.
    public static let sealedEnd = Self("SEAL006")
    /// Frames of a stream that do not follow each other.
    public static let sealedFrame = Self("SEAL007")
    /// Bytes behind a stream's end.
    public static let sealedTail = Self("SEAL008")
    /// An image without a valid root block.
    public static let sealedRoot = Self("SEAL009")
    /// A stream without its end: open, or cut off.
    public static let sealedOpen = Self("SEAL010")
    /// A container whose keys were erased.
    public static let sealedErased = Self("SEAL011")
}
