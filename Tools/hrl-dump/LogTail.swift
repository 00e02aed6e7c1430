import BlockIO
import ByteCodec
import DiskModel
import HRL

/// Finds the blocks of a log that is still being written, each once, as they appear behind the last one known.
///
/// A block is taken when it points back to the last one taken, its header and entries hold, and its data fills the gap
/// exactly. Places that hold zeros, or a block in part, are looked at again the next time.
final class LogTail {
    private static let step: UInt64 = 512
    private static let chunkByteCount = 1 << 20
    private static let checksumOffset = 12
    private static let entryChecksumOffset = 8

    let file: any BlockFile
    /// End of the last block taken.
    private(set) var end = UInt64(LogHeader.byteCount)
    private let metadataSize: UInt64
    /// Offset of the last block taken.
    private(set) var lastBlock: UInt64?
    private var resume = UInt64(LogHeader.byteCount)
    /// Writes visited.
    private(set) var writeCount: UInt64 = 0
    private let chunk = IOBuffer(byteCount: LogTail.chunkByteCount)
    private let block: IOBuffer
    private let data: WriteData

    /// - Throws: HRL007 for a block size that cannot be.
    init(_ file: any BlockFile, _ header: LogHeader) throws {
        guard LogHeader.metadataSizes.contains(header.metadataSize), header.metadataSize % 32 == 0 else {
            throw DiskError(
                FormatError(
                    .hrlMetadataSize, field: "MetadataSize", offset: 56,
                    "is \(header.metadataSize), which is not usable",
                    section: "hrl.md: File header"), path: file.path)
        }
        self.file = file
        metadataSize = UInt64(header.metadataSize)
        block = IOBuffer(byteCount: Int(header.metadataSize))
        data = WriteData(file)
    }

    /// Visits the writes of the blocks found in the file's first `limit` bytes, behind those found before.
    func advance(to limit: UInt64, _ body: (WriteRecord) throws -> Void) throws {
        while let offset = try nextBlock(limit) {
            let entries = try entries()
            var dataOffset = end
            for (slot, entry) in entries.enumerated() {
                writeCount += 1
                var write = WriteRecord(
                    number: writeCount, slot: slot, blockOffset: offset, dataOffset: dataOffset,
                    diskOffset: entry.byteOffset, byteCount: UInt64(entry.dataLength),
                    timestamp: DiskTimestamp(rawValue: entry.timeStamp), checksumOK: true, dataChecksum: .none)
                if entry.dataChecksum != 0 {
                    write.dataChecksum = try data.matches(checksum: entry.dataChecksum, write) ? .ok : .bad
                }
                try body(write)
                dataOffset += write.byteCount
            }
            (lastBlock, end, resume) = (offset, offset + metadataSize, offset + metadataSize)
        }
    }

    /// Offset of the next block; nil when there is none yet.
    private func nextBlock(_ limit: UInt64) throws -> UInt64? {
        // The first place that may yet become a block.
        var waiting: UInt64?
        var position = resume.roundedUp(to: Self.step)
        let chunk = self.chunk
        while position + metadataSize <= limit {
            guard let held = try file.data(from: position), held.lowerBound < limit else { break }
            if held.lowerBound.roundedDown(to: Self.step) > position {
                waiting = waiting ?? position
                position = held.lowerBound.roundedDown(to: Self.step)
            }
            let count = Int(min(UInt64(Self.chunkByteCount), limit - position))
            try chunk.fill(count, from: file, at: position)
            let bytes = chunk.bytes(0..<count)
            var start = 0
            while start + MetadataHeader.byteCount <= count, position + UInt64(start) + metadataSize <= limit {
                let offset = position + UInt64(start)
                let back = bytes.integer(at: start, as: UInt64.self, .little)
                let sum = bytes.integer(at: start + Self.checksumOffset, as: UInt32.self, .little)
                if back == lastBlock.map({ offset - $0 }) ?? 0, sum != 0 {
                    if try isBlock(at: offset) { return offset }
                    waiting = waiting ?? offset
                } else if back == 0, sum == 0 {
                    waiting = waiting ?? offset
                }
                start += Int(Self.step)
            }
            guard start > 0 else { break }
            position += UInt64(start)
        }
        resume = waiting ?? position
        return nil
    }

    /// Whether there is a whole block here that goes on from the last one; leaves it in `block`.
    private func isBlock(at offset: UInt64) throws -> Bool {
        let block = self.block
        try block.fill(Int(metadataSize), from: file, at: offset)
        let head = block.bytes(0..<MetadataHeader.byteCount)
        let header = try MetadataHeader(parsing: head)
        let slots = (metadataSize - UInt64(MetadataHeader.byteCount)) / UInt64(MetadataEntry.byteCount)
        guard header.reservedIsZero, UInt64(header.validMetadataEntries) <= slots,
            header.checksum == complementedByteSum(head, skippingField: Self.checksumOffset)
        else { return false }
        var total: UInt64 = 0
        for slot in 0..<Int(header.validMetadataEntries) {
            let start = MetadataHeader.byteCount + slot * MetadataEntry.byteCount
            let entryBytes = block.bytes(start..<start + MetadataEntry.byteCount)
            let entry = try MetadataEntry(parsing: entryBytes)
            total += UInt64(entry.dataLength)
            guard entry.metaOperation == MetadataEntry.write, entry.dataLength > 0,
                entry.dataLength <= MetadataEntry.maximumDataLength, entry.location == 0, entry.reservedIsZero,
                entry.checksum == complementedByteSum(entryBytes, skippingField: Self.entryChecksumOffset)
            else { return false }
        }
        return total == offset - end
    }

    /// The entries of the block in `block`, which holds.
    private func entries() throws -> [MetadataEntry] {
        let block = self.block
        let header = try MetadataHeader(parsing: block.bytes(0..<MetadataHeader.byteCount))
        return try (0..<Int(header.validMetadataEntries)).map { slot in
            let start = MetadataHeader.byteCount + slot * MetadataEntry.byteCount
            return try MetadataEntry(parsing: block.bytes(start..<start + MetadataEntry.byteCount))
        }
    }
}
