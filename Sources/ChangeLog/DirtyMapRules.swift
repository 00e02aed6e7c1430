public import ByteCodec

/// One code a rule of docs/formats/hrl-map.md. All but the first two are findings: what is damaged counts as dirty.
extension FormatError.Code {
    /// No dirty map, or one too large to be any.
    public static let mapSignature = Self("MAP001")
    /// A version that this program does not know.
    public static let mapVersion = Self("MAP002")
    /// One copy of the header is damaged.
    public static let mapHeaderCopy = Self("MAP003")
    /// Both copies of the header are.
    public static let mapHeaders = Self("MAP004")
    /// A page is damaged or missing.
    public static let mapPage = Self("MAP005")
    /// The map is for a disk of another size.
    public static let mapDiskSize = Self("MAP006")
}
