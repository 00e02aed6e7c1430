/// How long writes are: a class for each power of two.
public struct WriteSizes: Sendable {
    /// Writes of `lowerBound` bytes and more, but less than twice as many.
    public struct Class: Sendable, Equatable {
        public var lowerBound: UInt64
        public var writeCount: UInt64
        public var byteCount: UInt64
    }

    private var all = (0..<64).map { Class(lowerBound: 1 << UInt64($0), writeCount: 0, byteCount: 0) }

    public init() {}

    /// - Parameter byteCount: of a write; not 0.
    mutating func add(_ byteCount: UInt64) {
        let power = 63 - byteCount.leadingZeroBitCount
        all[power].writeCount += 1
        all[power].byteCount &+= byteCount
    }

    /// Those with writes, the shortest first.
    public var classes: [Class] { all.filter { $0.writeCount > 0 } }
}
