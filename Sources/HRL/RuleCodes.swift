public import ByteCodec

/// One code a rule; docs/formats/hrl.md explains each.
extension FormatError.Code {
    public static let hrlCookie = Self("HRL001")
    public static let hrlVersion = Self("HRL002")
    public static let hrlHeaderChecksum = Self("HRL003")
    public static let hrlNotClosed = Self("HRL004")
    public static let hrlEndOfLog = Self("HRL005")
    public static let hrlBytesPastEnd = Self("HRL006")
    public static let hrlMetadataSize = Self("HRL007")
    public static let hrlErrorCode = Self("HRL008")
    public static let hrlFileType = Self("HRL009")
    public static let hrlReserved = Self("HRL010")
    public static let hrlBackChain = Self("HRL011")
    public static let hrlBlockChecksum = Self("HRL012")
    public static let hrlValidEntries = Self("HRL013")
    public static let hrlUnusedSlots = Self("HRL014")
    public static let hrlEntry = Self("HRL015")
    public static let hrlDataChecksum = Self("HRL016")
    public static let hrlDataSum = Self("HRL017")
    public static let hrlAlignment = Self("HRL018")
    public static let hrlDiskRange = Self("HRL019")
    public static let hrlEntryTime = Self("HRL020")
    public static let hrlTotalEntries = Self("HRL021")
    public static let hrlCurrentSize = Self("HRL022")
    public static let hrlEmptyBlock = Self("HRL023")
    public static let hrlUniqueID = Self("HRL024")
    public static let hrlChain = Self("HRL025")
    public static let hrlDataWriteGUID = Self("HRL026")
    public static let hrlFileTooShort = Self("HRL040")
    public static let hrlByteOrder = Self("HRL041")
    public static let hrlReversePacked = Self("HRL042")
    public static let hrlDataLength = Self("HRL043")
    public static let hrlRecovery = Self("HRL044")
    public static let hrlNoBlocks = Self("HRL045")
    public static let hrlSuspectZeros = Self("HRL046")
    public static let hrlLostTail = Self("HRL047")
    public static let hrlUndoDisk = Self("HRL048")
    public static let hrlUndoContents = Self("HRL049")
    public static let hrlUndoWhole = Self("HRL050")
    public static let hrlUndoRecord = Self("HRL051")
}

/// The chapters of docs/formats/hrl.md that errors point to.
enum Chapter: String {
    case header = "hrl.md: File header"
    case block = "hrl.md: Metadata block"
    case entry = "hrl.md: Metadata entry"
    case layout = "hrl.md: Layout"
    case chain = "hrl.md: Chains"
    case recovery = "hrl.md: Recovery"
}
