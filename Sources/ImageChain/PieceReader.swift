import BlockIO
import ByteCodec
import DiskModel

/// Reads and compares the pieces of jobs; one thread's own, with its buffers.
struct PieceReader {
    private let observer: (any ComparisonObserver)?
    private let stopsAtFirst: Bool
    // Both fit the processor's second cache.
    private let mine = IOBuffer(byteCount: Int(ComparisonPlan.pieceByteCount))
    private let theirs = IOBuffer(byteCount: Int(ComparisonPlan.pieceByteCount))

    init(_ observer: (any ComparisonObserver)?, stopsAtFirst: Bool) {
        (self.observer, self.stopsAtFirst) = (observer, stopsAtFirst)
    }

    func compare(_ job: ComparisonJob, listLimit: Int) throws(DiskError) -> DifferenceTally {
        var tally = DifferenceTally(listLimit: listLimit)
        for piece in job.pieces {
            try compare(piece, &tally)
            if stopsAtFirst, tally.firstByte != nil { break }
        }
        return tally
    }

    private func compare(_ piece: ComparisonPiece, _ tally: inout DifferenceTally) throws(DiskError) {
        if piece.isZeroInBoth {
            observeZeros(piece)
            tally.zeroByteCount += piece.byteCount
            return
        }
        if piece.isShared {
            tally.sharedByteCount += piece.byteCount
            guard let observer else { return }
            let count = try fill(mine, from: piece.a, piece)
            observer.data(.a, mine.bytes(0..<count))
            return observer.data(.b, mine.bytes(0..<count))
        }
        var (a, b): (Int?, Int?) = (nil, nil)
        if case .file = piece.a { a = try fill(mine, from: piece.a, piece) }
        if case .file = piece.b { b = try fill(theirs, from: piece.b, piece) }
        if let observer {
            if let a { observer.data(.a, mine.bytes(0..<a)) }
            if let b { observer.data(.b, theirs.bytes(0..<b)) }
            observeZeros(piece)
        }
        let stored = a == nil ? theirs : mine
        let other = a == nil || b == nil ? nil : theirs
        compare(stored, with: other, piece, &tally)
    }

    private func compare(
        _ buffer: IOBuffer, with other: IOBuffer?, _ piece: ComparisonPiece, _ tally: inout DifferenceTally
    ) {
        let range = 0..<Int(piece.byteCount)
        guard let other else {
            return tally.compare(buffer.bytes(range), with: nil, at: piece.offset, stopsAtFirst: stopsAtFirst)
        }
        tally.compare(buffer.bytes(range), with: other.bytes(range), at: piece.offset, stopsAtFirst: stopsAtFirst)
    }

    private func observeZeros(_ piece: ComparisonPiece) {
        if case .zeros = piece.a { observer?.zeros(.a, piece.byteCount) }
        if case .zeros = piece.b { observer?.zeros(.b, piece.byteCount) }
    }

    private func fill(
        _ buffer: IOBuffer, from source: ComparisonPiece.Source, _ piece: ComparisonPiece
    ) throws(DiskError) -> Int {
        guard case .file(let file, let offset) = source else { return 0 }
        let count = Int(piece.byteCount)
        do { try buffer.fill(count, from: file, at: offset) } catch {
            throw DiskError(error, doing: "reading the disk at \(piece.offset)")
        }
        return count
    }
}
