public import ByteCodec

/// One copy of one on-disk structure, as found.
public struct StructureReport: Sendable {
    /// The specification's name, with the copy where there are several: `Header 1`, `Footer (copy at 0)`.
    public var name: String
    /// Byte offset in the file.
    public var offset: UInt64
    public var byteCount: UInt64
    public var isValid: Bool
    /// Whether this copy is the one in use, and why or why not.
    public var isActive: Bool
    public var reason: String
    /// All fields, raw.
    public var fields: [FieldDump]

    public init(
        name: String, offset: UInt64, byteCount: UInt64, isValid: Bool, isActive: Bool, reason: String,
        fields: [FieldDump]
    ) {
        (self.name, self.offset, self.byteCount) = (name, offset, byteCount)
        (self.isValid, self.isActive, self.reason, self.fields) = (isValid, isActive, reason, fields)
    }
}

/// The state of an image's metadata log.
public struct MetadataLogReport: Sendable, Equatable {
    public enum State: String, Sendable {
        /// The format has no log.
        case none
        case clean, dirty, invalid
    }
    public var state: State
    public var guid: GUID?
    /// Entries that are replayed.
    public var entryCount: Int
    /// Sequence number of the last entry replayed.
    public var sequenceNumber: UInt64?
    public init(state: State, guid: GUID? = nil, entryCount: Int = 0, sequenceNumber: UInt64? = nil) {
        (self.state, self.guid, self.entryCount, self.sequenceNumber) = (state, guid, entryCount, sequenceNumber)
    }
}

/// What an image says about itself, beyond what reading needs.
public struct ImageReport: Sendable {
    /// Program that made it, as the file says; empty where it does not say.
    public var creator = ""
    public var created: DiskTimestamp?
    /// The disk's own identity: footer Unique ID (VHD), virtual disk ID (VHDX).
    public var diskID = GUID.zero
    /// Identities that change on writing, by the specification's name: FileWriteGuid, DataWriteGuid.
    public var writeIDs: [(name: String, id: GUID)] = []
    public var log = MetadataLogReport(state: .none)
    public var structures: [StructureReport] = []
    public init() {}
}

/// What walking the whole block allocation table tells.
public struct BlockCensus: Sendable {
    /// Blocks per state, in the order of the states, each state of the format present even when 0:
    /// `not_present`, `undefined`, `zero`, `unmapped`, `fully_present`, `partially_present` (VHDX);
    /// `not_allocated`, `allocated` (VHD).
    public var counts: [(state: String, count: UInt64)] = []
    /// Bytes of the file that hold payload blocks.
    public var allocatedByteCount: UInt64 = 0
    /// File ranges that no structure and no block claims, in order; the first `keptGapCount` of them.
    public var gaps: [Range<UInt64>] = []
    public var gapCount = 0
    public static let keptGapCount = 1000
    public init() {}

    public mutating func addGap(_ range: Range<UInt64>) {
        guard !range.isEmpty else { return }
        gapCount += 1
        if gaps.count < Self.keptGapCount { gaps.append(range) }
    }
}

/// A layer that can be looked into.
public protocol InspectableLayer: DiskLayer {
    func report() throws(DiskError) -> ImageReport
    /// Looks through the whole table for blocks that share space, which opening does not: such blocks show each other's
    /// bytes. Other breaches stop the reading where they are met.
    /// - Parameter accepted: codes of rules that may be broken.
    /// - Returns: what was accepted.
    /// - Throws: `.format`, with the rule's code, for the first such pair.
    func checkSharedSpace(accepting accepted: Set<FormatError.Code>) throws(DiskError) -> [Finding]
    /// Reads the whole table, in bounded memory (under 32 MB whatever the image).
    func census() throws(DiskError) -> BlockCensus
}
