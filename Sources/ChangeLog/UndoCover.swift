import BlockIO
import DiskModel
import HRL

/// Whether an undo log covers all that logs write, and may have been saved from this disk before they were applied.
struct UndoCover {
    /// 24 bytes each.
    static let usualCapacity = 1 << 18

    private let undo: LogReader
    private var witness: UndoWitness
    /// The next pieces that are written: ascending, disjoint.
    private var pieces: [LogPiece] = []

    private init(_ undo: LogReader, _ witness: UndoWitness) { (self.undo, self.witness) = (undo, witness) }

    /// - Parameter capacity: how many pieces are held at a time.
    /// - Throws: `.refused` where it does not cover, where its writes are not in the order of the disk, as ours are, and
    ///   where the disk shows bytes that are neither the undo log's nor the logs'.
    static func check(
        _ undo: LogReader, _ effect: LogEffect, _ disk: any VirtualDisk, capacity: Int = usualCapacity
    ) throws(DiskError) {
        var cover = UndoCover(undo, UndoWitness(undo, effect, disk))
        try effect.forEachPiece { (piece) throws(DiskError) in
            cover.pieces.append(piece)
            if cover.pieces.count == capacity { try cover.checkHeld() }
        }
        try cover.checkHeld()
        try cover.witness.finish()
    }

    private mutating func checkHeld() throws(DiskError) {
        guard let first = pieces.first else { return }
        var index = 0
        // Up to here all that is written is covered.
        var position = first.diskOffset
        var undoEnd: UInt64 = 0
        try undo.forEachWrite(verifyingData: false) { (write) throws(DiskError) in
            guard write.diskOffset >= undoEnd else {
                throw DiskError(
                    .refused, path: undo.file.path,
                    "exists and is no undo log as made here: its writes are not in the order of the disk")
            }
            undoEnd = write.diskRange.upperBound
            while index < pieces.count, position < undoEnd, write.diskOffset <= position {
                let part = position..<min(undoEnd, pieces[index].diskEnd)
                try witness.look(at: part, write, pieces[index])
                position = part.upperBound
                guard position == pieces[index].diskEnd else { return }
                index += 1
                if index < pieces.count { position = pieces[index].diskOffset }
            }
        }
        guard index == pieces.count else {
            throw DiskError(
                .refused, path: undo.file.path,
                "exists and does not cover all that will be written: byte \(position) of the disk is missing",
                hint: "it was made with another --until, or by applying other logs")
        }
        pieces.removeAll(keepingCapacity: true)
    }
}
