import BlockIO
import ByteCodec
import DiskModel
import HRL

/// Whether a disk can be what an undo log was saved from and logs were then applied to, in part or whole: where they write,
/// each byte is the saved one or one that they write there; in the rest of those sectors it is the saved one.
///
/// A disk that was changed otherwise since, such as taken back and then used, shows others: its undo log is another one.
struct UndoWitness {
    private static let pieceByteCount: UInt64 = 128 << 10
    /// What neither the undo log nor the final bytes explain is looked for in all writes, up to so many runs; where there
    /// are more, the others are not looked at.
    static let heldRunCount = 1 << 12
    private static let runByteCount = 512

    /// Bytes of the disk that are not explained yet.
    private struct Run {
        var offset: UInt64
        var bytes: [UInt8]
        var isExplained: [Bool]
        var end: UInt64 { offset + UInt64(bytes.count) }
    }

    private let undo: any BlockFile
    private let effect: LogEffect
    private let shown = Self.buffer()
    private let saved = Self.buffer()
    private let logged = Self.buffer()
    private var extents: UndoExtents
    private var savedData: DataPlaces
    private var strange: [Run] = []

    init(_ undo: LogReader, _ effect: LogEffect, _ disk: any VirtualDisk) {
        (self.undo, self.effect) = (undo.file, effect)
        extents = UndoExtents(disk)
        savedData = DataPlaces(undo.file)
    }

    private static func buffer() -> IOBuffer { IOBuffer(byteCount: Int(pieceByteCount)) }

    /// Looks at a range of the disk that lies in a write of the undo log and in a part of what it shall hold; in order.
    mutating func look(at range: Range<UInt64>, _ write: LogWrite, _ part: UndoPart) throws(DiskError) {
        var position = range.lowerBound
        while position < range.upperBound, strange.count < Self.heldRunCount {
            let run = try extents.run(at: position, upTo: range.upperBound)
            let savedOffset = write.dataOffset + (position - write.diskOffset)
            if run.source == nil {
                // Zeros: those that are holes in the undo log need no look.
                let dataStart = try savedData.data(from: savedOffset).lowerBound
                let hole = min(run.range.upperBound - position, max(dataStart, savedOffset) - savedOffset)
                guard hole == 0 else {
                    position += hole
                    continue
                }
            }
            let end = min(run.range.upperBound, position + Self.pieceByteCount)
            try run.read(position..<end, into: shown)
            try compare(position..<end, savedOffset, part)
            position = end
        }
    }

    /// Compares what stands at the start of the buffer `shown`.
    private mutating func compare(
        _ range: Range<UInt64>, _ savedOffset: UInt64, _ part: UndoPart
    ) throws(DiskError) {
        let (shown, saved) = (shown, saved)
        let count = Int(range.upperBound - range.lowerBound)
        try fill(saved, count, from: undo, at: savedOffset)
        guard !bytesEqual(shown.bytes(0..<count), saved.bytes(0..<count)) else { return }
        // In the rest of a sector there is nothing else that it may be.
        var other = saved
        if let place = part.logged {
            other = logged
            let offset = place.dataOffset + (range.lowerBound - part.range.lowerBound)
            try fill(other, count, from: effect.logs[Int(place.shortLogIndex)].file, at: offset)
            guard !bytesEqual(shown.bytes(0..<count), other.bytes(0..<count)) else { return }
        }
        for start in stride(from: 0, to: count, by: Self.runByteCount) {
            let run = start..<min(count, start + Self.runByteCount)
            hold(
                shown.bytes(run), at: range.lowerBound + UInt64(start), saved: saved.bytes(run),
                logged: other.bytes(run))
        }
    }

    private func fill(_ buffer: IOBuffer, _ count: Int, from file: any BlockFile, at offset: UInt64) throws(DiskError) {
        do { try buffer.fill(count, from: file, at: offset) } catch { throw DiskError(error, doing: "reading data") }
    }

    /// Keeps bytes of which some are neither the saved nor the logged ones.
    private mutating func hold(_ shown: RawSpan, at offset: UInt64, saved: RawSpan, logged: RawSpan) {
        guard strange.count < Self.heldRunCount, !bytesEqual(shown, saved), !bytesEqual(shown, logged) else { return }
        let (now, old, new) = ([UInt8](copying: shown), [UInt8](copying: saved), [UInt8](copying: logged))
        let isExplained = now.indices.map { now[$0] == old[$0] || now[$0] == new[$0] }
        guard isExplained.contains(false) else { return }
        strange.append(Run(offset: offset, bytes: now, isExplained: isExplained))
    }

    /// Looks for what is left in all the writes: applied in turn, they leave bytes that later ones overwrite.
    /// - Throws: `.refused` for a byte that nothing explains.
    mutating func finish() throws(DiskError) {
        guard !strange.isEmpty else { return }
        try effect.forEachWrite { (piece) throws(DiskError) in
            var index = firstRun(endingBehind: piece.diskOffset)
            while index < strange.count, strange[index].offset < piece.diskEnd {
                try explain(index, by: piece)
                index += 1
            }
        }
        for run in strange {
            guard let index = run.isExplained.firstIndex(of: false) else { continue }
            throw DiskError(
                .refused, path: undo.path,
                "exists and is of another time: byte \(run.offset + UInt64(index)) of the disk is neither what it saved "
                    + "nor what the logs write",
                hint: "choose another name, or apply it to go back")
        }
    }

    private mutating func explain(_ index: Int, by piece: LogPiece) throws(DiskError) {
        let run = strange[index]
        let part = max(run.offset, piece.diskOffset)..<min(run.end, piece.diskEnd)
        let bytes: [UInt8]
        do {
            bytes = try effect.logs[piece.logIndex].file.bytes(
                at: piece.dataOffset + (part.lowerBound - piece.diskOffset),
                count: Int(part.upperBound - part.lowerBound))
        } catch { throw DiskError(error, doing: "reading data") }
        let start = Int(part.lowerBound - run.offset)
        for (place, byte) in bytes.enumerated() where run.bytes[start + place] == byte {
            strange[index].isExplained[start + place] = true
        }
    }

    /// Index of the first held run that ends behind an offset; they are in the order of the disk.
    private func firstRun(endingBehind offset: UInt64) -> Int {
        var (low, high) = (0, strange.count)
        while low < high {
            let middle = (low + high) / 2
            if strange[middle].end <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
