import BlockIO
import ByteCodec
import DiskModel

extension TableGeometry {
    /// Whether anybody reads an entry.
    func isInUse(_ index: UInt64) -> Bool { index < entryCount && use(ofIndex: index) != nil }

    /// The first entry that may not be in use: from here on each has to be asked for.
    var firstDoubtfulIndex: UInt64 { min(entryCount, index(ofPayloadBlock: payloadBlockCount)) }
}

/// The entries of the table that resizing writes.
extension Resizing {
    /// The entry of a new block of a fixed image; else zero.
    private func newEntry(_ index: UInt64) -> TableEntry {
        guard let newBlocks, case .payload(let block)? = new.use(ofIndex: index), block >= old.payloadBlockCount else {
            return .absent
        }
        let offset = newBlocks.lowerBound + (block - old.payloadBlockCount) * new.blockByteCount
        return TableEntry(.fullyPresent, fileOffset: offset)
    }

    /// Steps 3 and 6: visits, in the table where it stands, the entries nobody reads that are not what they have to be.
    /// - Parameter body: told index and right entry; false ends the visit.
    /// - Returns: false when `body` ended it.
    @discardableResult
    mutating func tableChanges(
        keeping kept: TableGeometry,
        _ body: (inout Resizing, _ change: (index: UInt64, entry: TableEntry)) throws -> Bool
    ) throws -> Bool {
        let region = session.map.table.region
        let capacity = (region.upperBound - region.lowerBound) / TableEntry.byteCount
        let newEnd = newBlocks == nil ? 0 : min(new.entryCount, capacity)
        var index = kept.firstDoubtfulIndex
        while index < capacity {
            let run = try session.map.table.run(at: index, in: session.file)
            var end = min(run.endIndex, capacity)
            if run.page == nil {
                if index >= newEnd {
                    index = end
                    continue
                }
                end = min(end, newEnd)
            }
            while index < end {
                let right = newEntry(index)
                if !kept.isInUse(index), run.entry(index) != right, try !body(&self, (index, right)) { return false }
                index += 1
            }
        }
        return true
    }

    /// Steps 3 and 6 through the log.
    mutating func writeTable(keeping kept: TableGeometry, _ progress: EditProgress) throws {
        let total = session.map.table.region.upperBound - session.map.table.region.lowerBound
        var changeCount = 0
        try tableChanges(keeping: kept) { resizing, change in
            try resizing.session.set(change.entry, at: change.index)
            changeCount += 1
            if changeCount % 65536 == 0 { try progress(change.index * TableEntry.byteCount, total) }
            return true
        }
        try session.flush()
    }

    /// Step 3 at a new place, which reads as zeros: 1 MiB at a time.
    mutating func writeTable(at target: Range<UInt64>, _ progress: EditProgress) throws {
        let source = session.map.table.region
        let entriesPerPiece = Layout.mebibyte / TableEntry.byteCount
        let count = newBlocks == nil ? old.entryCount : new.entryCount
        let buffer = IOBuffer(byteCount: Int(Layout.mebibyte))
        for first in stride(from: 0, to: count, by: Int(entriesPerPiece)) {
            let start = source.lowerBound + first * TableEntry.byteCount
            let end = min(first + entriesPerPiece, count)
            if newBlocks == nil, try session.file.isHole(start..<start + Layout.mebibyte) { continue }
            try fill(buffer, first..<end, from: start)
            let bytes = buffer.bytes(0..<Int((end - first) * TableEntry.byteCount))
            try forEachNonzeroRun(in: bytes) { run in
                try session.file.write(
                    bytes.extracting(run), at: target.lowerBound + first * TableEntry.byteCount + UInt64(run.lowerBound)
                )
            }
            try progress(min(start, source.upperBound) - source.lowerBound, source.upperBound - source.lowerBound)
        }
    }

    /// The right entries of a range: old ones that are in use, new ones, zeros.
    private func fill(_ buffer: IOBuffer, _ entries: Range<UInt64>, from start: UInt64) throws {
        let region = session.map.table.region
        let byteCount = Int((entries.upperBound - entries.lowerBound) * TableEntry.byteCount)
        let oldByteCount = start < region.upperBound ? min(byteCount, Int(region.upperBound - start)) : 0
        if oldByteCount > 0 { try buffer.fill(oldByteCount, from: session.file, at: start) }
        buffer.withMutableBytes(0..<byteCount) { bytes in
            bytes.zero(oldByteCount..<byteCount)
            for index in max(entries.lowerBound, min(old.firstDoubtfulIndex, entries.upperBound))..<entries.upperBound
            where !old.isInUse(index) {
                bytes.store(
                    newEntry(index).rawValue, at: Int((index - entries.lowerBound) * TableEntry.byteCount), .little)
            }
        }
    }
}

extension BlockFile {
    /// Whether the file keeps nothing for a range, which then reads as zeros.
    func isHole(_ range: Range<UInt64>) throws(IOError) -> Bool {
        guard let data = try data(from: range.lowerBound) else { return true }
        return data.lowerBound >= range.upperBound
    }
}
