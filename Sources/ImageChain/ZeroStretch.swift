/// A run of the disk that is to read as zeros, inside one block: when any sector of it has to be stored as zeros, all of it
/// is, so that a whole block becomes a block of zeros and takes no space.
///
/// Ranges come in the order of the disk, in whole sectors.
struct ZeroStretch {
    private let blockByteCount: UInt64
    private var range: Range<UInt64>?
    private var isNeeded = false

    init(blockByteCount: UInt64) { self.blockByteCount = blockByteCount }

    /// Adds a run that is to read as zeros.
    /// - Parameters:
    ///   - isNeeded: whether it would read as something else.
    ///   - body: gets a run that is to be zeroed, once its block or the stretch has ended.
    mutating func add<Failure: Error>(
        _ added: Range<UInt64>, isNeeded: Bool, _ body: (Range<UInt64>) throws(Failure) -> Void
    ) throws(Failure) {
        var position = added.lowerBound
        while position < added.upperBound {
            let blockStart = position / blockByteCount * blockByteCount
            let (sum, overflow) = blockStart.addingReportingOverflow(blockByteCount)
            let blockEnd = overflow ? UInt64.max : sum
            let end = min(added.upperBound, blockEnd)
            if let held = range, held.upperBound == position, position > blockStart {
                range = held.lowerBound..<end
            } else {
                try finish(body)
                range = position..<end
            }
            self.isNeeded = self.isNeeded || isNeeded
            if end == blockEnd { try finish(body) }
            position = end
            // Blocks in between that need nothing.
            let lastBlock = added.upperBound / blockByteCount * blockByteCount
            if !isNeeded, position < lastBlock { position = lastBlock }
        }
    }

    /// Ends the stretch.
    mutating func finish<Failure: Error>(_ body: (Range<UInt64>) throws(Failure) -> Void) throws(Failure) {
        defer { (range, isNeeded) = (nil, false) }
        if isNeeded, let range { try body(range) }
    }
}
