/// Numbers of blocks put in in ascending order, one bit each.
public struct BlockSet: Sendable {
    private var words: [UInt64] = []
    /// How many there are.
    public private(set) var count: UInt64 = 0
    /// The largest; nil when there is none.
    public private(set) var last: UInt64?

    public init() {}

    /// Puts in a number above all others. Memory: a byte for every eight numbers up to it.
    public mutating func append(_ block: UInt64) {
        precondition(last.map { $0 < block } ?? true)
        let word = Int(block / 64)
        if word >= words.count { words.append(contentsOf: repeatElement(0, count: word + 1 - words.count)) }
        words[word] |= 1 << (block % 64)
        (count, last) = (count + 1, block)
    }

    public func contains(_ block: UInt64) -> Bool {
        block / 64 < UInt64(words.count) && words[Int(block / 64)] & (1 << (block % 64)) != 0
    }

    /// Visits those of a range, ascending.
    public func forEach<Failure: Error>(
        in range: Range<UInt64>, _ body: (UInt64) throws(Failure) -> Void
    ) throws(Failure) {
        guard let last, range.lowerBound <= last else { return }
        let end = min(range.upperBound, last + 1)
        var block = range.lowerBound
        while block < end {
            let rest = words[Int(block / 64)] >> (block % 64)
            guard rest != 0 else {
                block = (block / 64 + 1) * 64
                continue
            }
            block += UInt64(rest.trailingZeroBitCount)
            guard block < end else { return }
            try body(block)
            block += 1
        }
    }
}
