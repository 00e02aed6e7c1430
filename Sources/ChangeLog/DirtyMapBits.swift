import ByteCodec
import Synchronization

/// A set of regions, one bit each.
struct RegionBits: Equatable, Sendable {
    private(set) var words: [UInt64]

    init(wordCount: Int) { words = [UInt64](repeating: 0, count: wordCount) }

    /// - Parameter first: so many, from the first on.
    init(wordCount: Int, first count: Int) {
        self.init(wordCount: wordCount)
        insert(0..<count)
    }

    subscript(word index: Int) -> UInt64 {
        get { words[index] }
        set { words[index] = newValue }
    }

    /// The words of a part, apart from the rest.
    func copy(of part: Range<Int>) -> [UInt64] { Array(words[part]) }

    var isEmpty: Bool { words.allSatisfy { $0 == 0 } }
    var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    mutating func insert(_ regions: Range<Int>) {
        forEachWord(of: regions) { index, mask in words[index] |= mask }
    }

    func containsAll(_ regions: Range<Int>) -> Bool {
        var all = true
        forEachWord(of: regions) { index, mask in all = all && words[index] & mask == mask }
        return all
    }

    mutating func formUnion(_ other: RegionBits) {
        for index in words.indices { words[index] |= other.words[index] }
    }

    mutating func formIntersection(_ other: RegionBits) {
        for index in words.indices { words[index] &= other.words[index] }
    }

    /// The same parts of a disk in regions larger by a power of two.
    func folded(by shift: Int, wordCount: Int) -> RegionBits {
        var result = RegionBits(wordCount: wordCount)
        forEachRun { run in result.insert(run.lowerBound >> shift..<((run.upperBound - 1) >> shift) + 1) }
        return result
    }

    /// Visits the runs of regions in the set, in order.
    func forEachRun<Failure: Error>(_ body: (Range<Int>) throws(Failure) -> Void) throws(Failure) {
        var position = 0
        let end = words.count * 64
        while let start = next(from: position, set: true, end: end) {
            let stop = next(from: start, set: false, end: end) ?? end
            try body(start..<stop)
            position = stop
        }
    }

    /// The first region from `position` on that is in the set, or out of it.
    private func next(from position: Int, set: Bool, end: Int) -> Int? {
        var position = position
        while position < end {
            let word = set ? words[position / 64] : ~words[position / 64]
            let rest = word >> UInt64(position % 64)
            if rest != 0 { return position + rest.trailingZeroBitCount }
            position = (position / 64 + 1) * 64
        }
        return nil
    }
}

/// Visits the words that hold the bits of a range, with the range's bits in each.
@inline(__always)
func forEachWord(of regions: Range<Int>, _ body: (_ word: Int, _ mask: UInt64) -> Void) {
    var position = regions.lowerBound
    while position < regions.upperBound {
        let index = position / 64
        let end = min(regions.upperBound, (index + 1) * 64)
        let low = UInt64.max << UInt64(position % 64)
        let high = UInt64.max >> UInt64(63 - (end - 1) % 64)
        body(index, low & high)
        position = end
    }
}

/// A set of regions that any thread may ask, without a lock. Whoever changes it holds the map's lock.
@safe final class SharedRegionBits: @unchecked Sendable {
    // SAFETY: every access is atomic; the memory is this object's, of fixed size, until it goes.
    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    private let wordCount: Int

    init(wordCount: Int) {
        self.wordCount = wordCount
        // SAFETY: an atomic integer is that integer in memory.
        let memory = UnsafeMutablePointer<UInt64>.allocate(capacity: wordCount)
        unsafe memory.initialize(repeating: 0, count: wordCount)
        unsafe words = UnsafeMutableRawPointer(memory).bindMemory(to: Atomic<UInt64>.self, capacity: wordCount)
    }

    deinit {
        _ = unsafe words.deinitialize(count: wordCount)
        unsafe words.deallocate()
    }

    /// Whether all of a range are in the set. Traps outside it.
    @inline(__always)
    func containsAll(_ regions: Range<Int>) -> Bool {
        precondition(regions.lowerBound >= 0 && regions.upperBound <= wordCount * 64)
        var all = true
        forEachWord(of: regions) { index, mask in
            all = unsafe all && (words[index].load(ordering: .acquiring) & mask == mask)
        }
        return all
    }

    func insert(_ mask: UInt64, word index: Int) {
        precondition(index < wordCount)
        _ = unsafe words[index].bitwiseOr(mask, ordering: .releasing)
    }

    func store(_ value: UInt64, word index: Int) {
        precondition(index < wordCount)
        unsafe words[index].store(value, ordering: .releasing)
    }
}
