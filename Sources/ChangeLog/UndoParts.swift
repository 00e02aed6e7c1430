import ByteCodec
import DiskModel

/// A run of a disk in an undo log, which holds whole sectors: what logs write there last, or the rest of a sector of which
/// they write a part.
struct UndoPart {
    static let sectorByteCount: UInt64 = 512

    // 32 bytes in all: hundreds of thousands are held.
    let range: Range<UInt64>
    /// Place of the first byte that is written; nil for the rest of a sector, which stays as it is.
    let logged: (dataOffset: UInt64, shortLogIndex: UInt32)?

    /// The rest of a sector.
    init(rest range: Range<UInt64>) { (self.range, logged) = (range, nil) }

    init(_ piece: LogPiece) {
        range = piece.diskRange
        logged = (piece.dataOffset, UInt32(piece.logIndex))
    }
}

extension LogEffect {
    /// Visits the sectors that are written, whole or in part, in the order of the disk: disjoint and without gaps in a
    /// sector, as far as the disk goes.
    /// - Throws: as `forEachPiece`.
    func forEachUndoPart(
        diskByteCount: UInt64, _ body: (UndoPart) throws(DiskError) -> Void
    ) throws(DiskError) {
        let sector = UndoPart.sectorByteCount
        func addRest(_ range: Range<UInt64>) throws(DiskError) {
            if !range.isEmpty { try body(UndoPart(rest: range)) }
        }
        // End of the last piece, and of its sector.
        var end: UInt64 = 0
        var sectorEnd: UInt64 { min(end.roundedUp(to: sector), max(end, diskByteCount)) }
        try forEachPiece { (piece) throws(DiskError) in
            let sectorStart = piece.diskOffset.roundedDown(to: sector)
            if sectorEnd < sectorStart {
                try addRest(end..<sectorEnd)
                try addRest(sectorStart..<piece.diskOffset)
            } else {
                try addRest(end..<piece.diskOffset)
            }
            try body(UndoPart(piece))
            end = piece.diskEnd
        }
        try addRest(end..<sectorEnd)
    }

    /// Visits the same sectors in runs that do not adjoin.
    /// - Throws: as `forEachPiece`.
    func forEachUndoRange(
        diskByteCount: UInt64, _ body: (Range<UInt64>) throws(DiskError) -> Void
    ) throws(DiskError) {
        var run: Range<UInt64> = 0..<0
        try forEachUndoPart(diskByteCount: diskByteCount) { (part) throws(DiskError) in
            if part.range.lowerBound == run.upperBound, !run.isEmpty {
                return run = run.lowerBound..<part.range.upperBound
            }
            if !run.isEmpty { try body(run) }
            run = part.range
        }
        if !run.isEmpty { try body(run) }
    }
}
