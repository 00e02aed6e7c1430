import BlockIO
import ByteCodec
public import DiskModel

extension LogReader {
    /// Visits the writes newest first, as undoing and looking for the last write of a place want them.
    ///
    /// The log is first walked as `forEachWrite` does, so that errors come before the first visit and the findings are the
    /// same; then its blocks are gone through from the end. Memory: one block, and a segment of the chain of blocks.
    /// - Parameter verifyingData: whether to read data that carries a checksum and to compare.
    /// - Returns: totals and findings.
    /// - Throws: `DiskError`: the first error not accepted, or what `body` threw.
    @discardableResult
    public func forEachWriteBackward(
        verifyingData: Bool, _ body: (LogWrite) throws(DiskError) -> Void
    ) throws(DiskError) -> LogSummary {
        // Whether there was data that was accepted although its checksum does not hold: then sums are taken again.
        var hasBadData = false
        let summary = try forEachWrite(verifyingData: verifyingData) { (write) in
            if write.dataChecksum == .bad { hasBadData = true }
        }
        // Judged just now.
        var judged = LogFindings(path: file.path, accepted: [.hrlBlockChecksum])
        let chain = try BlockChain(file, metadataSize: UInt64(header.metadataSize), endOfLog: endOfLog, &judged)
        guard chain.blockCount == summary.blockCount else { throw changed }
        let buffer = IOBuffer(byteCount: chain.blockCount == 0 ? 0 : Int(header.metadataSize))
        var left = summary.writeCount
        for segment in chain.segmentEnds.indices {
            let blocks = try chain.blocks(ofSegment: segment)
            for block in blocks.reversed() {
                let writes = try writes(of: block, before: left, buffer, verified: verifyingData)
                for write in writes.reversed() {
                    var write = write
                    if hasBadData, write.dataChecksum == .ok { write.dataChecksum = try judge(write) }
                    try body(write)
                }
                left -= UInt64(writes.count)
            }
        }
        guard left == 0 else { throw changed }
        return summary
    }

    /// The writes of a block, oldest first.
    /// - Parameter count: number of the block's last write.
    private func writes(
        of block: BlockChain.Block, before count: UInt64, _ buffer: IOBuffer, verified: Bool
    ) throws(DiskError) -> [LogWrite] {
        guard UInt64(block.validCount) <= count else { throw changed }
        do { try buffer.fill(Int(header.metadataSize), from: file, at: block.offset) } catch {
            throw DiskError(error, doing: "reading a metadata block")
        }
        var dataOffset =
            block.previous == 0
            ? UInt64(LogHeader.byteCount) : block.offset - block.previous + UInt64(header.metadataSize)
        var result: [LogWrite] = []
        for slot in 0..<block.validCount {
            let start = MetadataHeader.byteCount + slot * MetadataEntry.byteCount
            let bytes = buffer.bytes(start..<start + MetadataEntry.byteCount)
            let entry: MetadataEntry
            do { entry = try MetadataEntry(parsing: bytes) } catch { throw DiskError(error, path: file.path) }
            guard UInt64(entry.dataLength) <= block.offset - dataOffset else { throw changed }
            result.append(
                LogWrite(
                    number: count - UInt64(block.validCount - 1 - slot), slot: slot, blockOffset: block.offset,
                    dataOffset: dataOffset, diskOffset: entry.byteOffset, byteCount: UInt64(entry.dataLength),
                    timestamp: DiskTimestamp(rawValue: entry.timeStamp),
                    checksumOK: complementedByteSum(bytes, skippingField: MetadataEntry.checksumOffset)
                        == entry.checksum,
                    dataChecksum: entry.dataChecksum == 0 ? .none : verified ? .ok : .unverified))
            dataOffset += UInt64(entry.dataLength)
        }
        return result
    }

    /// Compares data with the checksum in its entry.
    private func judge(_ write: LogWrite) throws(DiskError) -> LogWrite.DataChecksum {
        try diskErrors(file.path, "reading data") {
            let bytes = try file.bytes(at: write.entryOffset, count: MetadataEntry.byteCount)
            let entry = try MetadataEntry(parsing: bytes.rawBytes)
            var sum: UInt32 = 0
            try forEachDataPiece(of: file, in: write.dataRange, IOBuffer(byteCount: 64 << 10)) { (bytes, _) in
                sum &+= byteSum(bytes)
            }
            return ~sum == entry.dataChecksum ? .ok : .bad
        }
    }

    private var changed: DiskError { DiskError(.io, path: file.path, "the log changed while it was being read") }
}
