import BlockIO
import ByteCodec
import DiskModel
import HRL
import Synchronization

/// Pieces of logs on their way to a disk: those that stand one behind the other in a log are read in one go, and those
/// that lie one behind the other on the disk are written in one. Batches are read while those before are written.
struct WriteBatch {
    static let byteCount = 256 << 10
    /// Shorter holes are written as the zeros they are read as.
    static let leastHole: UInt64 = 64 << 10

    /// Bytes of a log that fill the buffer behind those of the source before.
    private struct Source {
        var logIndex: Int
        var offset: UInt64
        var byteCount: Int
    }

    private let logs: [any BlockFile]
    private let disk: any VirtualDisk
    private let writer: BatchWriter
    private var held = 0
    private var sources: [Source] = []
    private var targets: [BatchWriter.Target] = []
    private var places: [DataPlaces]

    init(_ logs: [any BlockFile], _ disk: any VirtualDisk) {
        (self.logs, self.disk) = (logs, disk)
        writer = BatchWriter(disk, byteCount: Self.byteCount)
        places = logs.map { DataPlaces($0, among: logs.count) }
    }

    /// Takes a piece; earlier ones may go to the disk now.
    mutating func add(_ piece: LogPiece) throws(DiskError) {
        var position = piece.dataOffset
        let end = piece.dataRange.upperBound
        while position < end {
            let diskOffset = piece.diskOffset + (position - piece.dataOffset)
            let data = try places[piece.logIndex].data(from: position)
            if data.lowerBound > position, min(data.lowerBound, end) - position >= Self.leastHole {
                let hole = min(data.lowerBound, end) - position
                try finish()
                try disk.writeZeroes(diskOffset..<diskOffset + hole)
                position += hole
                continue
            }
            // Up to the next hole worth it, which begins where this data ends.
            let stop = min(end, max(data.upperBound, position + Self.leastHole))
            let count = min(UInt64(Self.byteCount), stop - position)
            try hold(Source(logIndex: piece.logIndex, offset: position, byteCount: Int(count)), diskOffset)
            position += count
        }
    }

    /// Brings everything to the disk.
    mutating func finish() throws(DiskError) {
        try handOver()
        try writer.wait()
    }

    /// Reads what is held and hands it over to be written.
    private mutating func handOver() throws(DiskError) {
        guard held > 0 else { return }
        let (logs, sources) = (logs, sources)
        let slot = try writer.freeSlot()
        try slot.buffer.withLock { (buffer) throws(DiskError) in try Self.read(sources, of: logs, into: buffer) }
        try writer.write(targets, from: slot)
        held = 0
        self.sources.removeAll(keepingCapacity: true)
        targets.removeAll(keepingCapacity: true)
    }

    private static func read(
        _ sources: [Source], of logs: [any BlockFile], into buffer: IOBuffer
    ) throws(DiskError) {
        var start = 0
        for source in sources {
            let part = start..<start + source.byteCount
            do {
                try buffer.withMutableBytes(part) { (bytes) throws(IOError) in
                    try logs[source.logIndex].read(into: &bytes, at: source.offset)
                }
            } catch { throw DiskError(error, doing: "reading data") }
            start = part.upperBound
        }
    }

    private mutating func hold(_ source: Source, _ diskOffset: UInt64) throws(DiskError) {
        if held + source.byteCount > Self.byteCount { try handOver() }
        held += source.byteCount
        if let last = sources.last, last.logIndex == source.logIndex,
            last.offset + UInt64(last.byteCount) == source.offset
        {
            sources[sources.count - 1].byteCount += source.byteCount
        } else {
            sources.append(source)
        }
        if let last = targets.last, last.diskOffset + UInt64(last.byteCount) == diskOffset {
            targets[targets.count - 1].byteCount += source.byteCount
        } else {
            targets.append(BatchWriter.Target(diskOffset: diskOffset, byteCount: source.byteCount))
        }
    }
}
