public import ByteCodec

/// What may be put right in an image, each only when asked for. The names are those of `vhdcheck --repair`.
public enum RepairKind: String, Sendable, CaseIterable, Comparable {
    /// VHDX: the file type identifier, where both headers are valid.
    case identifier
    /// VHDX: a bad header from the current one; two that contradict each other under one sequence number.
    case headers
    /// VHD: a bad footer from its copy, the copy from the footer, a short footer.
    case footer
    /// VHD: checksums of footers and header, where everything else in them is right.
    case checksums
    /// Reserved bytes, flags and constants that carry no information.
    case fields
    /// VHD: cylinders, heads and sectors from the size.
    case geometry
    /// VHD: the mark of a saved machine.
    case savedState = "saved-state"
    /// VHD: a new Unique ID for an image without.
    case id
    /// VHDX: replay of the log.
    case log
    /// VHDX: a log that cannot be replayed is given up.
    case dropLog = "drop-log"
    /// VHDX: a bad region table from its copy, the Required bits.
    case regions
    /// VHDX: flags and reserved bytes of the metadata table.
    case metadata
    /// Entries of the block table that can be put right from what is there; nothing anybody reads changes.
    case bat
    /// Blocks that stand where none can be are given up.
    case dropBlocks = "drop-blocks"
    /// A file that ends too early is lengthened with zeros.
    case tails
    /// VHD: bits of sectors that hold data are set.
    case setBits = "set-bits"
    /// VHD: sectors whose bits are clear are zeroed.
    case zeroSectors = "zero-sectors"
    /// VHDX: sector bitmaps that no block uses are given up.
    case bitmaps
    /// VHD: XenServer's map of full blocks is cleared.
    case batmap
    /// VHDX: blocks that a fixed image lacks are allocated.
    case allocate

    public static func < (a: Self, b: Self) -> Bool { a.rank < b.rank }
    private var rank: Int { Self.allCases.firstIndex(of: self)! }

    /// What it can cost; nil for a repair after which everybody reads the same bytes as before, or right ones instead of
    /// none.
    public var loss: String? {
        switch self {
        case .geometry: "programs that go by the geometry see another size"
        case .savedState: "a machine saved with this disk can no longer be resumed"
        case .id: "children made before do not find this image as their parent"
        case .dropLog: "changes of the block table that stand only in the log"
        case .dropBlocks: "what those blocks held: they read as zeros, or as the parent"
        case .tails: "what stood past the end: it reads as zeros"
        case .setBits: "programs that go by the bitmap, Windows among them, see data where they saw zeros"
        case .zeroSectors: "the data under clear bits, which programs that ignore the bitmap see"
        case .allocate: "space: the file grows to its full length"
        default: nil
        }
    }

    /// The repairs that can cost nothing.
    public static let lossless = Set(allCases.filter { $0.loss == nil })
}

/// One breach of a rule, and what would put it right.
public struct CheckFinding: Sendable, Equatable {
    public var finding: Finding
    /// Any one of these mends it; empty: nothing here can.
    public var repairs: [RepairKind]
    public init(_ finding: Finding, repairs: [RepairKind] = []) { (self.finding, self.repairs) = (finding, repairs) }
}

/// What a check found.
public struct CheckReport: Sendable {
    public private(set) var findings: [CheckFinding] = []
    /// Findings beyond `keptCount` of one code are counted and not kept.
    public private(set) var droppedCount = 0
    public static let keptCount = 100
    private var counts: [FormatError.Code: Int] = [:]
    /// Whether a reader that accepts nothing opens the image and can read all that the disk shows; of a differencing
    /// image that was checked with its parents, also whether these are found.
    public var isReadable = true
    /// What the deep pass went through, in bytes of the file.
    public var deepByteCount: UInt64 = 0

    public init() {}

    public mutating func add(_ severity: Finding.Severity, _ detail: FormatError, repairs: [RepairKind] = []) {
        // Before the search, which a million breaches of one rule would make slow.
        guard counts[detail.code, default: 0] < Self.keptCount else { return droppedCount += 1 }
        // Opening and walking may come across the same breach.
        guard
            !findings.contains(where: {
                $0.finding.detail.code == detail.code && $0.finding.detail.offset == detail.offset
            })
        else { return }
        counts[detail.code, default: 0] += 1
        findings.append(CheckFinding(Finding(severity, detail), repairs: repairs))
    }

    public func count(_ severity: Finding.Severity) -> Int { findings.count { $0.finding.severity == severity } }
    /// The worst severity; nil when nothing was found.
    public var worst: Finding.Severity? { findings.map(\.finding.severity).max() }
}

public struct CheckOptions: Sendable {
    /// Whether payload is read as well: bitmaps against data, whether every block can be read.
    public var isDeep = false
    /// Seconds since 1970; nil leaves out the rule about times in the future.
    public var now: Int64?
    public init() {}
}

/// One thing a repair did.
public struct RepairAction: Sendable, Equatable {
    public var kind: RepairKind
    /// The rule whose breach it mends.
    public var code: FormatError.Code
    /// Byte offset in the file of what was changed.
    public var offset: UInt64
    /// In words: `footer written again from its copy at 0`.
    public var what: String
    public init(_ kind: RepairKind, _ code: FormatError.Code, at offset: UInt64, _ what: String) {
        (self.kind, self.code, self.offset, self.what) = (kind, code, offset, what)
    }
}
