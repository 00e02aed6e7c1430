import BlockIO
import ByteCodec
public import DiskModel
import Synchronization

/// Writing in whole sectors; Writer.swift says in which order the file is written.
extension VHDLayer {
    public func write(_ bytes: RawSpan, at offset: UInt64) throws(DiskError) {
        let range = try checkedSectors(offset, UInt64(bytes.byteCount))
        try write(range) { (part, fileOffset) throws(DiskError) in
            let bytes = bytes.extracting(Int(part.lowerBound - offset)..<Int(part.upperBound - offset))
            do throws(IOError) { try file.write(bytes, at: fileOffset) } catch {
                throw DiskError(error, doing: "writing")
            }
        }
    }

    public func write(_ range: Range<UInt64>, by move: PayloadMove) throws(DiskError) {
        let range = try checkedSectors(range.lowerBound, range.upperBound - range.lowerBound)
        guard !range.isEmpty else { return }
        try writing("writing") { (writer, map) in
            guard map != nil else { return try move(range, range.lowerBound) }
            var position = range.lowerBound
            while position < range.upperBound {
                let (block, inside) = Self.piece(of: position..<range.upperBound, map!.layout)
                let part = position..<position + UInt64(inside.count)
                try writer.write(inside, ofBlock: block, &map!) { fileOffset in try move(part, fileOffset) }
                position = part.upperBound
            }
        }
    }

    public func writeZeroes(_ range: Range<UInt64>) throws(DiskError) {
        let range = try checkedSectors(range.lowerBound, range.upperBound - range.lowerBound)
        try writing("writing zeros") { (writer, map) in
            guard map != nil else { return try file.zero(range) }
            var position = range.lowerBound
            while position < range.upperBound {
                let (block, inside) = Self.piece(of: position..<range.upperBound, map!.layout)
                let needed = range.upperBound.dividedRoundingUp(by: map!.layout.blockByteCount) - block
                try writer.zero(inside, ofBlock: block, needed: needed, &map!)
                position += UInt64(inside.count)
            }
        }
    }

    public func flush() throws(DiskError) {
        try writing("flushing") { (writer, map) in
            if map == nil { try writer.sync() } else { try writer.flush(&map!) }
        }
    }

    public func close() throws(DiskError) {
        try writing("closing") { (writer, map) in try writer.close(&map) }
    }

    /// The first block of a range, and what of its data the range has, in bytes from the data's beginning.
    private static func piece(
        of range: Range<UInt64>, _ layout: SparseLayout
    ) -> (block: UInt64, inside: Range<UInt64>) {
        let block = range.lowerBound / layout.blockByteCount
        let start = block * layout.blockByteCount
        let end = min(range.upperBound, start + layout.blockByteCount)
        return (block, range.lowerBound - start..<end - start)
    }

    private func checkedSectors(_ offset: UInt64, _ byteCount: UInt64) throws(DiskError) -> Range<UInt64> {
        guard let range = checkedRange(offset, byteCount) else {
            throw DiskError(.outOfRange, path: file.path, "offset \(offset) is too large")
        }
        try checkRange(range)
        guard range.lowerBound % sectorByteCount == 0, range.upperBound % sectorByteCount == 0 else {
            throw DiskError(
                .refused, path: file.path,
                "bytes \(range.lowerBound) to \(range.upperBound) are no whole sectors of 512 bytes")
        }
        return range
    }

    /// Runs `body` with the writer, alone.
    private func writing(
        _ doing: String, _ body: (inout Writer, inout BlockMap?) throws -> Void
    ) throws(DiskError) {
        try state.withLock { (state) throws(DiskError) in
            guard var writer = state.writer else {
                throw DiskError(.refused, path: file.path, "the image is open for reading only")
            }
            try writer.checkUsable()
            // Taken out while in use: one owner, no copies of the tables.
            state.writer = nil
            var map = state.map.take()
            defer { (state.writer, state.map) = (writer, map) }
            try diskErrors(file.path, doing) { try body(&writer, &map) }
        }
    }
}
