import BlockIO
import ByteCodec
import DiskModel

/// Reads and compares pieces of two disks; one thread's own, with its buffers.
struct DifferenceReader {
    private static let sectorByteCount = 512
    /// Equal stretches of this size are found by one comparison; sectors only where something differs.
    private static let unitByteCount = 4096

    // Both fit the processor's second cache.
    private let old = IOBuffer(byteCount: Int(ComparisonPlan.pieceByteCount))
    private let new = IOBuffer(byteCount: Int(ComparisonPlan.pieceByteCount))

    /// Reads a piece, unless its bytes are known to be the same.
    func differs(_ piece: ComparisonPiece) throws(DiskError) -> Bool {
        if piece.isZeroInBoth || piece.isShared { return false }
        try fill(old, from: piece.a, piece)
        try fill(new, from: piece.b, piece)
        return !isSame(0..<Int(piece.byteCount), piece)
    }

    /// Brings the sectors of the piece that was read last that differ to a log.
    func append(_ piece: ComparisonPiece, to writes: inout JoinedWrites) throws(DiskError) {
        let count = Int(piece.byteCount)
        var (start, position) = (0, 0)
        // From `start` to `position` all sectors differ.
        while position < count {
            let end = Self.end(of: Self.unitByteCount, at: position, piece)
            if isSame(position..<end, piece) {
                try append(start..<position, piece, &writes)
                (start, position) = (end, end)
                continue
            }
            while position < end {
                let next = Self.end(of: Self.sectorByteCount, at: position, piece)
                if isSame(position..<next, piece) {
                    try append(start..<position, piece, &writes)
                    start = next
                }
                position = next
            }
        }
        try append(start..<count, piece, &writes)
    }

    private func append(
        _ range: Range<Int>, _ piece: ComparisonPiece, _ writes: inout JoinedWrites
    ) throws(DiskError) {
        guard !range.isEmpty else { return }
        let offset = piece.offset + UInt64(range.lowerBound)
        guard case .file = piece.b else {
            return try writes.append(zeros: offset..<piece.offset + UInt64(range.upperBound))
        }
        let new = new
        try writes.append(new.bytes(range), at: offset)
    }

    /// Where the unit of the disk that holds a place of the piece ends, in the piece.
    private static func end(of byteCount: Int, at position: Int, _ piece: ComparisonPiece) -> Int {
        let inside = Int((piece.offset + UInt64(position)) % UInt64(byteCount))
        return min(Int(piece.byteCount), position + byteCount - inside)
    }

    private func isSame(_ range: Range<Int>, _ piece: ComparisonPiece) -> Bool {
        let (old, new) = (old, new)
        guard case .file = piece.b else { return isZero(old.bytes(range)) }
        guard case .file = piece.a else { return isZero(new.bytes(range)) }
        return bytesEqual(old.bytes(range), new.bytes(range))
    }

    private func fill(
        _ buffer: IOBuffer, from source: ComparisonPiece.Source, _ piece: ComparisonPiece
    ) throws(DiskError) {
        guard case .file(let file, let offset) = source else { return }
        do { try buffer.fill(Int(piece.byteCount), from: file, at: offset) } catch {
            throw DiskError(error, doing: "reading the disk at \(piece.offset)")
        }
    }
}
