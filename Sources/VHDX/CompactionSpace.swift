import ByteCodec

/// The space of a file during compaction: what stands where, and what moves next. Two bits for each MiB of the file;
/// nothing here touches it.
struct CompactionSpace {
    enum Piece: Equatable { case payload, bitmap, region(GUID) }

    /// One piece of the file that moves down.
    struct Move: Equatable {
        var piece: Piece
        var source: UInt64
        var target: UInt64
        var byteCount: UInt64
    }

    private var used: UsedSpace
    /// The first MiB of every payload block: with it, what a used MiB belongs to needs no list of blocks.
    private var payloadStarts: UsedSpace
    private let blockByteCount: UInt64
    private let log: Range<UInt64>
    private var regions: [(guid: GUID, range: Range<UInt64>)]
    /// Everything from here on is free.
    private(set) var end: UInt64
    /// No gap for a block, or for a sector bitmap, starts below; gaps only ever get smaller.
    private var firstBlockGap = Layout.headerSectionByteCount
    private var firstBitmapGap = Layout.headerSectionByteCount

    /// - Parameter fileByteCount: at least the end of everything that will be claimed.
    init(fileByteCount: UInt64, blockByteCount: UInt64, log: Range<UInt64>, regions: RegionTable) {
        used = UsedSpace(fileByteCount: fileByteCount)
        payloadStarts = UsedSpace(fileByteCount: fileByteCount)
        (self.blockByteCount, self.log) = (blockByteCount, log)
        self.regions = regions.entries.map { ($0.guid, $0.range) }
        end = fileByteCount.roundedUp(to: Layout.mebibyte)
        _ = used.claim(0..<Layout.headerSectionByteCount)
        _ = used.claim(log)
        for region in self.regions { _ = used.claim(region.range) }
    }

    mutating func claimPayload(at offset: UInt64) {
        _ = used.claim(offset..<offset + blockByteCount)
        _ = payloadStarts.claim(offset..<offset + Layout.mebibyte)
    }

    mutating func claimBitmap(at offset: UInt64) { _ = used.claim(offset..<offset + Layout.bitmapBlockByteCount) }

    /// Bytes that stand behind where the file would end without gaps: about what will move.
    var byteCountToMove: UInt64 {
        var free: UInt64 = 0
        used.forEachGap { free += $0.upperBound - $0.lowerBound }
        // Gaps behind that place hold nothing that moves.
        let place = used.byteCount - min(free, used.byteCount)
        var freeBehind: UInt64 = 0
        used.forEachGap { freeBehind += max($0.upperBound, place) - max($0.lowerBound, place) }
        return used.byteCount - place - freeBehind
    }

    /// Takes what stands at the end of the file, and moves it into the first gap that holds it; nil when that cannot
    /// move. Then `end` is where the file ends.
    mutating func nextMove() -> Move? {
        end = used.end(below: end)
        guard let (piece, range) = lastPiece() else { return nil }
        let byteCount = range.upperBound - range.lowerBound
        guard let target = gap(for: piece, byteCount, below: range.lowerBound) else { return nil }
        used.release(range)
        _ = used.claim(target..<target + byteCount)
        switch piece {
        case .payload:
            payloadStarts.release(range.lowerBound..<range.lowerBound + Layout.mebibyte)
            _ = payloadStarts.claim(target..<target + Layout.mebibyte)
        case .region(let guid):
            for index in regions.indices where regions[index].guid == guid {
                regions[index].range = target..<target + byteCount
            }
        case .bitmap: break
        }
        return Move(piece: piece, source: range.lowerBound, target: target, byteCount: byteCount)
    }

    /// What ends at `end`; nil for the log and the start of the file, which never move.
    private func lastPiece() -> (Piece, Range<UInt64>)? {
        guard end > Layout.headerSectionByteCount, end != log.upperBound || log.isEmpty else { return nil }
        if let region = regions.first(where: { $0.range.upperBound == end }) {
            return (.region(region.guid), region.range)
        }
        let start = payloadStarts.end(below: end)
        if start > 0, start - Layout.mebibyte + blockByteCount == end {
            return (.payload, end - blockByteCount..<end)
        }
        return (.bitmap, end - Layout.bitmapBlockByteCount..<end)
    }

    private mutating func gap(for piece: Piece, _ byteCount: UInt64, below limit: UInt64) -> UInt64? {
        let from =
            switch piece {
            case .payload: firstBlockGap
            case .bitmap: firstBitmapGap
            case .region: Layout.headerSectionByteCount
            }
        let found = used.firstGap(of: byteCount / Layout.mebibyte, from: from, below: limit)
        switch piece {
        case .payload: firstBlockGap = found ?? limit
        case .bitmap: firstBitmapGap = found ?? limit
        case .region: break
        }
        return found
    }
}
