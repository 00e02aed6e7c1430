import BlockIO
import ByteCodec
import DiskModel

/// The search for metadata blocks in a log whose end is unknown.
///
/// Looked for at every multiple of 512, forward: a block counts when its header and all its entries hold, and its data
/// fills exactly the gap to the file header (first block) or to the end of a block that counts. So each counted block has
/// one chain to a first block, and what a guest wrote into its disk passes only if it was made for this very place.
///
/// Work is bounded: the bytes that make a block header cannot be an entry (its MetaOperation would be 0), so the entries
/// looked at for one place end before the next place that looks like a header. Memory: 17 bytes a counted block.
struct RecoveryScan {
    static let step = 512
    static let maximumBlockCount = 1 << 21
    private static let chunkByteCount = 1 << 20
    private static let entryPieceByteCount = 4096
    /// The least checksum that 32 bytes can have: all of them 255 but the field's own.
    private static let minimumChecksum = ~UInt32(28 * 255)

    let file: any BlockFile
    let metadataSize: UInt64
    let fileByteCount: UInt64
    /// Offsets of the counted blocks, ascending.
    private(set) var offsets: [UInt64] = []
    /// Writes of each one's chain, itself included.
    private(set) var writeCounts: [UInt64] = []
    private(set) var hasChild: [Bool] = []

    private let entries = IOBuffer(byteCount: Self.entryPieceByteCount)

    init(_ file: any BlockFile, metadataSize: UInt32, fileByteCount: UInt64) {
        (self.file, self.metadataSize, self.fileByteCount) = (file, UInt64(metadataSize), fileByteCount)
    }

    mutating func run(_ progress: (UInt64, UInt64) throws(DiskError) -> Void) throws(DiskError) {
        let first = UInt64(LogHeader.byteCount)
        guard fileByteCount >= first + metadataSize else { return }
        let last = fileByteCount - metadataSize
        let chunk = IOBuffer(byteCount: Self.chunkByteCount)
        var position = first
        try diskErrors(file.path, "looking for metadata blocks") {
            while position <= last, let data = try file.data(from: position), data.lowerBound <= last {
                position = max(position, data.lowerBound.roundedDown(to: UInt64(Self.step)))
                while position < data.upperBound, position <= last {
                    let stop = min(fileByteCount, data.upperBound.roundedUp(to: UInt64(Self.step)))
                    let count = Int(min(UInt64(Self.chunkByteCount), stop - position))
                    try chunk.fill(count, from: file, at: position)
                    try search(chunk, count, at: position, last)
                    position += UInt64(count)
                    try progress(min(position, fileByteCount), fileByteCount)
                }
            }
        }
    }

    private mutating func search(_ chunk: IOBuffer, _ count: Int, at position: UInt64, _ last: UInt64) throws {
        var start = 0
        while start + MetadataHeader.byteCount <= count, position + UInt64(start) <= last {
            let bytes = chunk.bytes(start..<start + MetadataHeader.byteCount)
            let header = try MetadataHeader(parsing: bytes)
            let offset = position + UInt64(start)
            if looksRight(header, at: offset),
                header.checksum == complementedByteSum(bytes, skippingField: MetadataHeader.checksumOffset)
            {
                try consider(header, at: offset)
            }
            start += Self.step
        }
    }

    /// The checks that need no further reading, the ones that fail most first.
    private func looksRight(_ header: MetadataHeader, at offset: UInt64) -> Bool {
        let slots = (metadataSize - UInt64(MetadataHeader.byteCount)) / UInt64(MetadataEntry.byteCount)
        let back = header.previousMetadataLocation
        return header.checksum >= Self.minimumChecksum && header.reservedIsZero
            && UInt64(header.validMetadataEntries) <= slots
            && (back == 0 || (back >= metadataSize && back <= offset - UInt64(LogHeader.byteCount)))
    }

    private mutating func consider(_ header: MetadataHeader, at offset: UInt64) throws {
        let back = header.previousMetadataLocation
        let parent = back == 0 ? nil : index(of: offset - back)
        guard back == 0 || parent != nil else { return }
        let gap = back == 0 ? offset - UInt64(LogHeader.byteCount) : back - metadataSize
        guard try entriesHold(Int(header.validMetadataEntries), at: offset, filling: gap) else { return }
        guard offsets.count < Self.maximumBlockCount else {
            throw FormatError(
                .hrlRecovery, field: "metadata blocks", offset: offset, "are more than \(Self.maximumBlockCount)",
                section: Chapter.recovery.rawValue)
        }
        offsets.append(offset)
        writeCounts.append((parent.map { writeCounts[$0] } ?? 0) + UInt64(header.validMetadataEntries))
        hasChild.append(false)
        if let parent { hasChild[parent] = true }
    }

    /// Whether all entries hold and describe exactly `gap` bytes.
    private func entriesHold(_ count: Int, at offset: UInt64, filling gap: UInt64) throws -> Bool {
        var total: UInt64 = 0
        var done = 0
        let perPiece = Self.entryPieceByteCount / MetadataEntry.byteCount
        while done < count {
            let pieceCount = min(perPiece, count - done)
            let place = offset + UInt64(MetadataHeader.byteCount + done * MetadataEntry.byteCount)
            try entries.fill(pieceCount * MetadataEntry.byteCount, from: file, at: place)
            for index in 0..<pieceCount {
                let start = index * MetadataEntry.byteCount
                let bytes = entries.bytes(start..<start + MetadataEntry.byteCount)
                let entry = try MetadataEntry(parsing: bytes)
                total += UInt64(entry.dataLength)
                guard entry.metaOperation == MetadataEntry.write, entry.dataLength > 0,
                    entry.dataLength <= MetadataEntry.maximumDataLength, entry.location == 0, entry.reservedIsZero,
                    entry.checksum == complementedByteSum(bytes, skippingField: MetadataEntry.checksumOffset),
                    total <= gap
                else { return false }
            }
            done += pieceCount
        }
        return total == gap
    }

    private func index(of offset: UInt64) -> Int? {
        var (low, high) = (0, offsets.count)
        while low < high {
            let middle = (low + high) / 2
            if offsets[middle] < offset { low = middle + 1 } else { high = middle }
        }
        return low < offsets.count && offsets[low] == offset ? low : nil
    }
}
