/// State of a payload block: bits 0 to 2 of its table entry. [MS-VHDX] 2.5.1.1
public enum BlockState: UInt8, Sendable, CaseIterable {
    case notPresent = 0
    case undefined = 1
    case zero = 2
    case unmapped = 3
    case fullyPresent = 6
    case partiallyPresent = 7

    /// The specification's name in lower case.
    public var name: String {
        switch self {
        case .notPresent: "not_present"
        case .undefined: "undefined"
        case .zero: "zero"
        case .unmapped: "unmapped"
        case .fullyPresent: "fully_present"
        case .partiallyPresent: "partially_present"
        }
    }

    var isPresent: Bool { self == .fullyPresent || self == .partiallyPresent }
}

/// One entry of the block allocation table, for a payload block or a sector bitmap block. [MS-VHDX] 2.5.1
struct TableEntry: Equatable, Sendable {
    var rawValue: UInt64

    static let byteCount: UInt64 = 8
    static let absent = TableEntry(rawValue: 0)

    init(rawValue: UInt64) { self.rawValue = rawValue }
    init(_ state: BlockState, fileOffset: UInt64) { rawValue = fileOffset & ~0xf_ffff | UInt64(state.rawValue) }

    var stateBits: UInt8 { UInt8(rawValue & 7) }
    var state: BlockState? { BlockState(rawValue: stateBits) }
    /// A multiple of 1 MiB.
    var fileOffset: UInt64 { rawValue & ~0xf_ffff }
    var reservedIsZero: Bool { rawValue & 0xf_fff8 == 0 }
}
