import BlockIO
import ByteCodec

/// Zeros in a differencing image, which must hide the parent's bytes: steps 5 and 6.
extension Writer {
    /// - Parameter range: whole sectors of the disk.
    mutating func zeroOverParent(
        _ range: Range<UInt64>, _ headers: inout HeaderPair, _ map: inout BlockMap, _ file: any BlockFile
    ) throws {
        let geometry = map.geometry
        let wholeEnd =
            range.upperBound == geometry.virtualByteCount
            ? geometry.payloadBlockCount : geometry.block(at: range.upperBound)
        var position = range.lowerBound
        while position < range.upperBound {
            let block = geometry.block(at: position)
            let start = geometry.start(ofBlock: block)
            if position == start {
                let next = try zeroAbsent(block..<max(block, wholeEnd), &headers, &map, file)
                if next > block {
                    position = min(range.upperBound, geometry.start(ofBlock: next))
                    continue
                }
            }
            let end = min(range.upperBound, start + geometry.blockByteCount)
            let part = BlockPart(block: block, offset: position - start, byteCount: end - position)
            try zero(part, &headers, &map, file)
            position = end
        }
    }

    /// Makes blocks that show their parent state 2, and leaves those that are zeros already, from the first of a range to
    /// the first one that is present, or to the end of the page of the table.
    /// - Returns: the first block that is not done.
    private mutating func zeroAbsent(
        _ blocks: Range<UInt64>, _ headers: inout HeaderPair, _ map: inout BlockMap, _ file: any BlockFile
    ) throws -> UInt64 {
        guard let first = blocks.first else { return blocks.lowerBound }
        let firstIndex = map.geometry.index(ofPayloadBlock: first)
        let run = try map.table.run(at: firstIndex, in: file)
        let endIndex = min(run.endIndex, run.firstIndex + BlockTable.entriesPerPage)
        let end = min(blocks.upperBound, map.geometry.payloadBlockCount(beforeIndex: endIndex))
        var showingParent: [UInt64] = []
        var block = first
        while block < end {
            let index = map.geometry.index(ofPayloadBlock: block)
            let entry = run.entry(index)
            let state = entry == .absent ? .notPresent : try map.check(entry, ofBlock: block).state
            if state.isPresent { break }
            if state == .notPresent { showingParent.append(index) }
            block += 1
        }
        guard !showingParent.isEmpty else { return block }
        try begin(&headers, &map, file)
        try makeRoom(forPages: 1, &map, file)
        try map.table.set(TableEntry(.zero, fileOffset: 0), at: showingParent, onPageOf: firstIndex, in: file)
        return block
    }

    /// Zeros in a block that is present, or in part of one that is not.
    private mutating func zero(
        _ part: BlockPart, _ headers: inout HeaderPair, _ map: inout BlockMap, _ file: any BlockFile
    ) throws {
        let state = try map.block(part.block, in: file).state
        guard state.isPresent || state == .notPresent else { return }
        try begin(&headers, &map, file)
        try write(part, &map, file) { offset in
            // New space reads as zeros.
            if state.isPresent { try file.zero(offset..<offset + part.byteCount) }
        }
    }
}
