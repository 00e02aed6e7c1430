public import ByteCodec

/// The rules of the format by code; docs/formats/vhd.md lists them with their severities.
extension FormatError.Code {
    /// The footer at the end of the file is missing or damaged.
    public static let vhdTrailingFooter = Self("VHD001")
    /// The footer's copy at offset 0 is missing or damaged.
    public static let vhdFooterCopy = Self("VHD002")
    /// The two copies of the footer differ.
    public static let vhdFootersDiffer = Self("VHD003")
    /// A footer of 511 bytes.
    public static let vhdShortFooter = Self("VHD004")
    /// Only the checksum of a footer or of the dynamic header is wrong. May be accepted.
    public static let vhdChecksum = Self("VHD005")
    public static let vhdFeatures = Self("VHD006")
    public static let vhdFormatVersion = Self("VHD007")
    /// The footer's Data Offset does not lead to a dynamic header.
    public static let vhdDataOffset = Self("VHD008")
    public static let vhdUniqueID = Self("VHD009")
    public static let vhdReserved = Self("VHD010")
    public static let vhdGeometry = Self("VHD011")
    /// The image says that it was made in the future.
    public static let vhdTimestamp = Self("VHD012")
    public static let vhdSavedState = Self("VHD013")
    /// The length of a fixed disk's file is not its size and a footer.
    public static let vhdFixedLength = Self("VHD014")
    /// Version, next pointer or reserved bytes of the dynamic header.
    public static let vhdHeader = Self("VHD015")
    /// A block size that Windows does not use.
    public static let vhdUnusualBlockSize = Self("VHD016")
    public static let vhdMaxTableEntries = Self("VHD017")
    public static let vhdTableOffset = Self("VHD018")
    /// What fills the block table's last sector.
    public static let vhdTablePadding = Self("VHD019")
    /// A block that lies, in whole or in part, past the end of the blocks' region. May be accepted where only a tail is
    /// missing.
    public static let vhdBlockPastEnd = Self("VHD020")
    /// A block that lies over a structure.
    public static let vhdBlockOverMetadata = Self("VHD021")
    /// Two blocks that overlap.
    public static let vhdBlocksOverlap = Self("VHD022")
    /// A dynamic disk with data in sectors that its bitmap calls unwritten: programs read it differently.
    public static let vhdDataUnderClearBits = Self("VHD023")
    /// Bits of sectors past the end of the disk.
    public static let vhdBitsPastEnd = Self("VHD024")
    /// Space that nothing uses.
    public static let vhdOrphanedSpace = Self("VHD025")
    /// A dynamic disk with fields of a parent.
    public static let vhdStrayParent = Self("VHD026")
    /// A differencing disk without its parent's identity or without a place to look for it.
    public static let vhdParentIdentity = Self("VHD027")
    /// A parent locator or the parent's name is malformed.
    public static let vhdParentLocator = Self("VHD028")
    /// The parent that was found is another disk than the one named.
    public static let vhdParentMismatch = Self("VHD029")
    /// The parent's file was changed since the child was made, or copied.
    public static let vhdParentModified = Self("VHD030")
    /// The parent's size is another than the child's.
    public static let vhdParentSize = Self("VHD031")
    /// The batmap is malformed, its checksum is wrong, or it calls blocks full that are not.
    public static let vhdBatmap = Self("VHD032")
    /// Too short to be an image.
    public static let vhdTooShort = Self("VHD040")
    /// Deliberately disabled, or in the middle of a resize.
    public static let vhdDisabled = Self("VHD041")
    /// Format 0.1 of XenServer.
    public static let vhdOldTap = Self("VHD042")
    public static let vhdCurrentSize = Self("VHD043")
    public static let vhdBlockSize = Self("VHD044")
    public static let vhdUnknownLocator = Self("VHD045")
    public static let vhdDiskType = Self("VHD046")
    /// Encrypted by XenServer.
    public static let vhdEncrypted = Self("VHD047")
    /// The size by geometry is another than the size.
    public static let vhdGeometrySize = Self("VHD048")
    /// The length of the file is no whole number of sectors.
    public static let vhdTrailingBytes = Self("VHD049")
    /// The footer bears the mark of a merge that was interrupted.
    public static let vhdUnfinishedMerge = Self("VHD050")
}
