/// The order of elements by a number of each, found by their digits instead of by comparing. Elements with equal numbers
/// stay as they were.
///
/// Work is the number of elements, times the digits of 11 bits in which numbers differ; memory 8 bytes for each element.
struct KeyOrder {
    private static let digitBitCount = 11

    /// Which element comes first, which next.
    private(set) var indices: [UInt32]
    private var scratch: [UInt32] = []

    /// - Parameter count: of the elements, at most 2^32.
    init(count: Int) { indices = (0..<count).map { UInt32($0) } }

    mutating func sort(by key: (Int) -> UInt64) {
        var (common, any) = (UInt64.max, UInt64(0))
        for index in indices.indices {
            let key = key(index)
            (common, any) = (common & key, any | key)
        }
        let differing = any ^ common
        guard !indices.isEmpty, differing != 0 else { return }
        scratch = [UInt32](repeating: 0, count: indices.count)
        var shift = differing.trailingZeroBitCount
        while shift < 64, differing >> UInt64(shift) != 0 {
            deal(by: UInt64(shift), key)
            shift += Self.digitBitCount
        }
        scratch = []
    }

    /// Puts the elements in the order of one digit.
    private mutating func deal(by shift: UInt64, _ key: (Int) -> UInt64) {
        let mask = (UInt64(1) << UInt64(Self.digitBitCount)) - 1
        var starts = [Int](repeating: 0, count: 1 << Self.digitBitCount)
        for index in indices { starts[Int(key(Int(index)) >> shift & mask)] += 1 }
        var sum = 0
        for digit in starts.indices { (starts[digit], sum) = (sum, sum + starts[digit]) }
        for index in indices {
            let digit = Int(key(Int(index)) >> shift & mask)
            scratch[starts[digit]] = index
            starts[digit] += 1
        }
        swap(&indices, &scratch)
    }
}
