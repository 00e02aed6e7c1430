import BlockIO
import ByteCodec
import DiskModel

/// Final pieces of logs on their way to another log. They are gathered in a window of the disk, so that what adjoins is
/// judged together, from whichever logs it comes.
struct MergeWindow {
    /// A multiple of the unit that zeros are looked for in. Fits the processor's second cache.
    static let byteCount: UInt64 = 256 << 10

    private let logs: [any BlockFile]
    private var places: [DataPlaces]
    private var writes: JoinedWrites
    private let buffer = IOBuffer(byteCount: Int(Self.byteCount))
    /// The run of the disk in the buffer, in one window; each byte stands there as far in as it does in its window.
    private var held: Range<UInt64> = 0..<0

    init(_ logs: [any BlockFile], _ writes: JoinedWrites) {
        (self.logs, self.writes) = (logs, writes)
        places = logs.map { DataPlaces($0, among: logs.count) }
    }

    /// Takes a piece that lies behind all before it on the disk.
    mutating func add(_ piece: LogPiece) throws(DiskError) {
        let end = piece.dataRange.upperBound
        var position = piece.dataOffset
        while position < end {
            let diskOffset = piece.diskOffset + (position - piece.dataOffset)
            let data = try places[piece.logIndex].data(from: position)
            if data.lowerBound > position {
                let count = min(data.lowerBound, end) - position
                try add(zeros: diskOffset..<diskOffset + count)
                position += count
            } else {
                let room = try room(at: diskOffset)
                let count = min(room, min(data.upperBound, end) - position)
                try fill(count, from: logs[piece.logIndex], at: position)
                position += count
            }
        }
    }

    /// Brings everything held to the log.
    /// - Returns: what was written.
    mutating func finish() throws(DiskError) -> JoinedWrites {
        try emit()
        try writes.finish()
        return writes
    }

    private mutating func add(zeros range: Range<UInt64>) throws(DiskError) {
        var position = range.lowerBound
        while position < range.upperBound {
            let room = try room(at: position)
            let rest = range.upperBound - position
            if room == Self.byteCount, rest >= room {
                // Whole windows need no look.
                let whole = rest.roundedDown(to: Self.byteCount)
                try writes.append(zeros: position..<position + whole)
                position += whole
            } else {
                let count = min(room, rest)
                let part = bufferRange(count)
                buffer.withMutableBytes(part) { $0.zero(0..<part.count) }
                held = held.lowerBound..<held.upperBound + count
                position += count
            }
        }
    }

    /// Makes ready for bytes of a disk offset.
    /// - Returns: how many the window has room for.
    private mutating func room(at diskOffset: UInt64) throws(DiskError) -> UInt64 {
        let inside = diskOffset % Self.byteCount
        if held.isEmpty || held.upperBound != diskOffset || inside == 0 {
            try emit()
            held = diskOffset..<diskOffset
        }
        return Self.byteCount - inside
    }

    private mutating func fill(_ count: UInt64, from log: any BlockFile, at offset: UInt64) throws(DiskError) {
        let part = bufferRange(count)
        do {
            try buffer.withMutableBytes(part) { (bytes) throws(IOError) in try log.read(into: &bytes, at: offset) }
        } catch { throw DiskError(error, doing: "reading data") }
        held = held.lowerBound..<held.upperBound + count
    }

    /// The place of the next bytes in the buffer.
    private func bufferRange(_ count: UInt64) -> Range<Int> {
        let start = Int(held.upperBound % Self.byteCount)
        return start..<start + Int(count)
    }

    private mutating func emit() throws(DiskError) {
        guard !held.isEmpty else { return }
        let start = Int(held.lowerBound % Self.byteCount)
        let buffer = buffer
        try writes.append(buffer.bytes(start..<start + held.count), at: held.lowerBound)
        held = held.upperBound..<held.upperBound
    }
}
