/// Of many writes the parts that no later one overwrites, in the order of the disk; in bounded memory, whatever the writes.
///
/// Writes are collected, and when there are too many, what is overwritten is dropped. Where too many remain, those of the
/// upper part of the disk are dropped, too, and left to another pass over the same writes, and so on until none was:
///
///     repeat {
///         for each write, in order { latest.add(write) }
///         latest.endPass()
///         use(latest.pieces)
///     } while latest.beginPass()
struct LatestPieces {
    /// Memory is 24 bytes for each, 8 more while they are sorted, and 24 for each that is kept.
    static let usualCapacity = 1 << 19

    private let capacity: Int
    /// How many are kept of a full collection; the rest is room for those to come.
    private var keptCount: Int { capacity / 3 * 2 }
    /// The part of the disk that this pass is about.
    private var window: Range<UInt64> = 0 ..< .max
    /// After `endPass` those of its part of the disk: disjoint and ascending.
    private(set) var pieces: [LogPiece] = []
    /// So many at the start are disjoint and ascending already.
    private var settledCount = 0

    /// - Parameter capacity: how many pieces are held at most; 8 or more.
    init(capacity: Int = Self.usualCapacity) { self.capacity = capacity }

    mutating func add(_ piece: LogPiece) {
        guard piece.diskOffset < window.upperBound, piece.diskEnd > window.lowerBound, piece.byteCount > 0 else {
            return
        }
        let part = piece.clipped(to: window)
        let last = pieces.count - 1
        if last >= settledCount, pieces[last].join(part) { return }
        if pieces.count == capacity { settle() }
        // The window may be smaller now.
        guard part.diskOffset < window.upperBound else { return }
        pieces.append(part.clipped(to: window))
    }

    mutating func endPass() { settle() }

    /// Whether the pass that has ended reached the end of the disk.
    var isLast: Bool { window.upperBound == .max }

    /// Begins the pass after one that left some out.
    /// - Returns: false when none was left out.
    mutating func beginPass() -> Bool {
        guard !isLast else { return false }
        window = window.upperBound ..< .max
        pieces.removeAll(keepingCapacity: true)
        settledCount = 0
        return true
    }

    /// Drops what is overwritten, and the upper part of the window where too much remains.
    private mutating func settle() {
        guard settledCount < pieces.count else { return }
        if !isAscending() {
            var sweep = PieceSweep(pieces)
            var kept: [LogPiece] = []
            kept.reserveCapacity(min(keptCount, pieces.count))
            while let piece = sweep.next() {
                if let last = kept.indices.last, kept[last].join(piece) { continue }
                if kept.count == keptCount {
                    window = window.lowerBound..<piece.diskOffset
                    break
                }
                kept.append(piece)
            }
            pieces = kept
        } else if pieces.count > keptCount {
            window = window.lowerBound..<pieces[keptCount].diskOffset
            pieces.removeSubrange(keptCount...)
        }
        settledCount = pieces.count
    }

    private func isAscending() -> Bool {
        for index in pieces.indices.dropFirst() where pieces[index - 1].diskEnd > pieces[index].diskOffset {
            return false
        }
        return true
    }
}

/// Goes once along a disk, through pieces that may overlap, in any order: at each place the newest.
struct PieceSweep {
    private let pieces: [LogPiece]
    /// By their place on the disk.
    private let order: [UInt32]
    /// Of the order: the first piece that begins behind the position.
    private var index = 0
    private var position: UInt64 = 0
    /// A heap of those at the position, the newest on top. Some may have ended already.
    private var open: [LogPiece] = []

    init(_ pieces: [LogPiece]) {
        self.pieces = pieces
        var order = KeyOrder(count: pieces.count)
        order.sort { pieces[$0].diskOffset }
        self.order = order.indices
    }

    /// The first piece behind the position; nil when there is none.
    private var upcoming: LogPiece? { index < order.count ? pieces[Int(order[index])] : nil }

    /// The next run, joined with nothing; nil at the end.
    mutating func next() -> LogPiece? {
        while let top = open.first, top.diskEnd <= position { pop() }
        if open.isEmpty {
            guard let piece = upcoming else { return nil }
            position = max(position, piece.diskOffset)
        }
        while let piece = upcoming, piece.diskOffset <= position {
            push(piece)
            index += 1
        }
        guard let top = open.first else { return next() }
        let start = position
        position = top.diskEnd
        // Up to where a newer one begins; older ones that this one hides are passed over, the others wait.
        while let piece = upcoming, piece.diskOffset < top.diskEnd {
            if piece.isNewer(than: top) {
                position = piece.diskOffset
                break
            }
            push(piece)
            index += 1
        }
        return top.clipped(to: start..<position)
    }

    private mutating func push(_ piece: LogPiece) {
        guard piece.diskEnd > position else { return }
        if let top = open.first, top.isNewer(than: piece), piece.diskEnd <= top.diskEnd { return }
        open.append(piece)
        var child = open.count - 1
        while child > 0, open[child].isNewer(than: open[(child - 1) / 2]) {
            open.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func pop() {
        open.swapAt(0, open.count - 1)
        open.removeLast()
        var parent = 0
        while true {
            var newest = parent
            let (left, right) = (2 * parent + 1, 2 * parent + 2)
            if left < open.count, open[left].isNewer(than: open[newest]) { newest = left }
            if right < open.count, open[right].isNewer(than: open[newest]) { newest = right }
            guard newest != parent else { return }
            open.swapAt(parent, newest)
            parent = newest
        }
    }
}
