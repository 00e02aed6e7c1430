import BlockIO
import ByteCodec
import DiskModel

extension EditSession {
    /// Whether a partially present block has no sector of the disk in this file.
    mutating func hasNoSectors(_ block: UInt64) throws -> Bool {
        let start = geometry.start(ofBlock: block)
        let extents = try map.extents(
            in: start..<start + geometry.usedByteCount(ofBlock: block), limit: 1, file: file)
        // Extents of one block that are not the parent's are in the file.
        return extents.count == 1 && extents[0].source == .parent
            && extents[0].byteCount == geometry.usedByteCount(ofBlock: block)
    }

    /// An entry of the table whose block moves.
    struct Owner {
        var index: UInt64
        var entry: TableEntry
        /// Index in the list of moves.
        var move: Int
    }

    /// Finds the entries whose blocks move, in the order of the table, by one walk over it.
    /// - Parameter moves: their sources descend.
    func owners(of moves: [CompactionSpace.Move]) throws -> [Owner] {
        guard let highest = moves.first?.source, let lowest = moves.last?.source else { return [] }
        var owners: [Owner] = []
        owners.reserveCapacity(moves.count)
        var map = map
        try map.forEachEntry(file) { map, use, entry in
            let offset: UInt64?
            switch use {
            case .payload(let block):
                let place = try map.check(entry, ofBlock: block)
                offset = place.state.isPresent ? place.fileOffset : nil
            case .bitmap(let chunk):
                offset = map.geometry.isDifferencing ? try map.bitmapOffset(entry, ofChunk: chunk) : nil
            }
            guard let offset, offset >= lowest, offset <= highest, let move = Self.index(of: offset, in: moves) else {
                return
            }
            let index =
                switch use {
                case .payload(let block): map.geometry.index(ofPayloadBlock: block)
                case .bitmap(let chunk): map.geometry.index(ofBitmapBlock: chunk)
                }
            owners.append(Owner(index: index, entry: entry, move: move))
        }
        guard owners.count == moves.count else {
            throw DiskError(
                .io, path: file.path, "the block allocation table changed while it was read",
                hint: "make sure that nothing else writes to the file")
        }
        return owners
    }

    private static func index(of source: UInt64, in moves: [CompactionSpace.Move]) -> Int? {
        var (low, high) = (0, moves.count)
        while low < high {
            let middle = (low + high) / 2
            if moves[middle].source <= source { high = middle } else { low = middle + 1 }
        }
        return low < moves.count && moves[low].source == source ? low : nil
    }
}

extension BlockFile {
    /// Copies a range of the file to free space of the file, which then reads the same. Holes stay holes, and runs of
    /// zeros become such.
    func copy(_ source: Range<UInt64>, to target: UInt64) throws(IOError) {
        let targetRange = target..<target + (source.upperBound - source.lowerBound)
        if try !isHole(targetRange) { try zero(targetRange) }
        let buffer = IOBuffer(byteCount: Int(Layout.mebibyte))
        var position = source.lowerBound
        var finder = DataFinder(self)
        while position < source.upperBound, let data = try finder.data(from: position),
            data.lowerBound < source.upperBound
        {
            position = max(position, data.lowerBound)
            let count = Int(min(data.upperBound, source.upperBound, position + UInt64(buffer.byteCount)) - position)
            try buffer.fill(count, from: self, at: position)
            let place = target + (position - source.lowerBound)
            let bytes = buffer.bytes(0..<count)
            try forEachNonzeroRun(in: bytes) { (run) throws(IOError) in
                try write(bytes.extracting(run), at: place + UInt64(run.lowerBound))
            }
            position += UInt64(count)
        }
    }
}
