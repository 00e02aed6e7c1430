import BlockIO
import DiskModel
import HRL

/// Whether an undo log covers all sectors that logs write, and may have been saved from this disk before they were applied.
struct UndoCover {
    /// 32 bytes each.
    static let usualCapacity = 1 << 18

    private let undo: LogReader
    private var witness: UndoWitness
    /// The next parts that it shall hold: ascending, disjoint.
    private var parts: [UndoPart] = []

    private init(_ undo: LogReader, _ witness: UndoWitness) { (self.undo, self.witness) = (undo, witness) }

    /// - Parameter capacity: how many parts are held at a time.
    /// - Throws: `.refused` where it does not cover, where its writes are not in the order of the disk, as ours are, and
    ///   where the disk shows bytes that are neither the undo log's nor the logs'.
    static func check(
        _ undo: LogReader, _ effect: LogEffect, _ disk: any VirtualDisk, capacity: Int = usualCapacity
    ) throws(DiskError) {
        var cover = UndoCover(undo, UndoWitness(undo, effect, disk))
        try effect.forEachUndoPart(diskByteCount: disk.geometry.virtualByteCount) { (part) throws(DiskError) in
            cover.parts.append(part)
            if cover.parts.count == capacity { try cover.checkHeld() }
        }
        try cover.checkHeld()
        try cover.witness.finish()
    }

    private mutating func checkHeld() throws(DiskError) {
        guard let first = parts.first else { return }
        var index = 0
        // Up to here all is covered.
        var position = first.range.lowerBound
        var undoEnd: UInt64 = 0
        try undo.forEachWrite(verifyingData: false) { (write) throws(DiskError) in
            guard write.diskOffset >= undoEnd else {
                throw DiskError(
                    .refused, path: undo.file.path,
                    "exists and is no undo log as made here: its writes are not in the order of the disk")
            }
            undoEnd = write.diskRange.upperBound
            while index < parts.count, position < undoEnd, write.diskOffset <= position {
                let part = parts[index]
                let range = position..<min(undoEnd, part.range.upperBound)
                try witness.look(at: range, write, part)
                position = range.upperBound
                guard position == part.range.upperBound else { return }
                index += 1
                if index < parts.count { position = parts[index].range.lowerBound }
            }
        }
        guard index == parts.count else {
            throw DiskError(
                .refused, path: undo.file.path,
                "exists and does not cover all sectors that will be written: byte \(position) of the disk is missing",
                hint: "it was made with another --until, or by applying other logs")
        }
        parts.removeAll(keepingCapacity: true)
    }
}
