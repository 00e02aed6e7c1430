import BlockIO
import ByteCodec
import DiskModel
import HRL

/// Writes of a log on their way to a disk: those that stand one behind the other in the log are read in one piece, and
/// those that also lie one behind the other on the disk are written in one.
struct WriteBatch {
    static let byteCount = 256 << 10
    /// Shorter holes are written as the zeros they are read as.
    static let leastHole: UInt64 = 64 << 10

    private struct Piece {
        var diskOffset: UInt64
        var byteCount: Int
    }

    private let log: any BlockFile
    private let disk: any VirtualDisk
    private let buffer = IOBuffer(byteCount: Self.byteCount)
    /// What is to be read: `held` bytes from `logOffset`.
    private var logOffset: UInt64 = 0
    private var held = 0
    private var pieces: [Piece] = []
    /// The stretch of the log up to `knownEnd` has data from `dataStart` to `dataEnd` and a hole before.
    private var dataStart: UInt64 = 0
    private var dataEnd: UInt64 = 0
    private var knownFrom: UInt64 = .max

    init(_ log: any BlockFile, _ disk: any VirtualDisk) { (self.log, self.disk) = (log, disk) }

    /// Takes a write; earlier ones may go to the disk now.
    mutating func add(_ write: LogWrite) throws(DiskError) {
        var position = write.dataOffset
        let end = write.dataRange.upperBound
        while position < end {
            let diskOffset = write.diskOffset + (position - write.dataOffset)
            try look(at: position)
            if dataStart > position, min(dataStart, end) - position >= Self.leastHole {
                let hole = min(dataStart, end) - position
                try finish()
                try disk.writeZeroes(diskOffset..<diskOffset + hole)
                position += hole
                continue
            }
            // Up to the next hole worth it, which begins where this data ends.
            let stop = min(end, max(dataEnd, position + Self.leastHole))
            let count = min(UInt64(Self.byteCount), stop - position)
            try hold(Int(count), from: position, to: diskOffset)
            position += count
        }
    }

    /// Brings everything held to the disk.
    mutating func finish() throws(DiskError) {
        guard held > 0 else { return }
        do { try buffer.fill(held, from: log, at: logOffset) } catch { throw DiskError(error, doing: "reading data") }
        var start = 0
        for piece in pieces {
            try disk.write(buffer.bytes(start..<start + piece.byteCount), at: piece.diskOffset)
            start += piece.byteCount
        }
        held = 0
        pieces.removeAll(keepingCapacity: true)
    }

    private mutating func hold(_ count: Int, from position: UInt64, to diskOffset: UInt64) throws(DiskError) {
        if held > 0, position != logOffset + UInt64(held) || held + count > Self.byteCount { try finish() }
        if held == 0 { logOffset = position }
        held += count
        if let last = pieces.last, last.diskOffset + UInt64(last.byteCount) == diskOffset {
            pieces[pieces.count - 1].byteCount += count
        } else {
            pieces.append(Piece(diskOffset: diskOffset, byteCount: count))
        }
    }

    /// Learns where the log has data at or after a position, unless that is known.
    private mutating func look(at position: UInt64) throws(DiskError) {
        guard position < knownFrom || position >= dataEnd else { return }
        let data: Range<UInt64>?
        do { data = try log.data(from: position) } catch { throw DiskError(error, doing: "reading data") }
        (knownFrom, dataStart, dataEnd) = (position, data?.lowerBound ?? .max, data?.upperBound ?? .max)
    }
}
