import ByteCodec

/// What is dirty, and which log it belongs to: the contents of a dirty map, in memory.
///
/// Memory: 128 KiB a set, at most `maximumLogCount` and four more.
struct DirtyMapRegions: Sendable {
    /// Beyond so many unacknowledged logs the oldest are joined: the regions of both go when the younger is acknowledged.
    static let maximumLogCount = 16

    struct LogRegions: Sendable {
        var id: GUID
        var regions: RegionBits
    }

    var geometry: DirtyMapGeometry
    /// Logs begun since the map was opened and not acknowledged, oldest first. The last is being written.
    private(set) var logs: [LogRegions] = []
    /// From before the first log, and covered by logs before it: they become the first log's.
    private var early: RegionBits
    /// Covered by no log: only a resynchronisation clears them.
    private(set) var lost: RegionBits
    /// All of these together: what the file is to hold.
    private(set) var dirty: RegionBits
    /// What every image of the file says that a power cut could leave now.
    private(set) var durable: RegionBits
    /// Whether regions from before the first log are lost ones.
    private(set) var owesResynchronisation = false

    /// - Parameters:
    ///   - stored: what the file says.
    ///   - areLost: whether no log covers them.
    init(_ geometry: DirtyMapGeometry, stored: RegionBits, areLost: Bool) {
        self.geometry = geometry
        (dirty, durable, owesResynchronisation) = (stored, stored, areLost)
        let none = RegionBits(wordCount: geometry.wordCount)
        (lost, early) = areLost ? (stored, none) : (none, stored)
    }

    /// Gives regions to the log being written.
    mutating func insert(_ regions: Range<Int>) {
        dirty.insert(regions)
        if !logs.isEmpty {
            logs[logs.count - 1].regions.insert(regions)
        } else if owesResynchronisation {
            lost.insert(regions)
        } else {
            early.insert(regions)
        }
    }

    /// Those of the log being written, in one word.
    func current(word: Int) -> UInt64 {
        if let last = logs.last { return last.regions[word: word] }
        return owesResynchronisation ? lost[word: word] : early[word: word]
    }

    mutating func begin(_ id: GUID) {
        var regions = RegionBits(wordCount: geometry.wordCount)
        swap(&regions, &early)
        logs.append(LogRegions(id: id, regions: regions))
        guard logs.count > Self.maximumLogCount else { return }
        let oldest = logs.removeFirst()
        logs[0].regions.formUnion(oldest.regions)
    }

    /// Forgets a log and all before it.
    mutating func acknowledge(_ index: Int) {
        logs.removeFirst(index + 1)
        recount()
    }

    /// Forgets all but the logs from `index` on.
    mutating func clear(before index: Int) {
        logs.removeFirst(index)
        early = RegionBits(wordCount: geometry.wordCount)
        lost = early
        owesResynchronisation = false
        recount()
    }

    /// Forgets all regions of all logs. The one being written goes on.
    mutating func clearAll() {
        for index in logs.indices { logs[index].regions = RegionBits(wordCount: geometry.wordCount) }
        clear(before: max(0, logs.count - 1))
    }

    /// What the file is to hold no longer, it may hold no longer from now on.
    private mutating func recount() {
        dirty = lost
        dirty.formUnion(early)
        for log in logs { dirty.formUnion(log.regions) }
        durable.formIntersection(dirty)
    }

    /// A flush has ended: the regions of `written` are in the file whatever happens.
    mutating func settle(_ written: ArraySlice<UInt64>, words: Range<Int>) {
        for (word, bits) in zip(words, written) { durable[word: word] |= bits & dirty[word: word] }
    }

    /// Goes over to another layout, all of it in the file.
    mutating func fold(to new: DirtyMapGeometry) {
        let (shift, count) = (new.shift - geometry.shift, new.wordCount)
        geometry = new
        for index in logs.indices { logs[index].regions = logs[index].regions.folded(by: shift, wordCount: count) }
        early = early.folded(by: shift, wordCount: count)
        lost = lost.folded(by: shift, wordCount: count)
        // Smaller regions told less: until all is written, nothing is sure.
        durable = RegionBits(wordCount: count)
        recount()
    }

    /// Pages where two sets differ.
    static func pages(_ count: Int, from old: RegionBits, to new: RegionBits) -> [Int] {
        (0..<count).filter { page in
            DirtyMapPage.words(page).contains { old[word: $0] != new[word: $0] }
        }
    }
}
