import BlockIO
import ByteCodec
public import DiskModel
import Synchronization

/// Writing; the order of what reaches the file is told at `Writer`.
extension VHDXLayer {
    /// Writes whole logical sectors, allocating blocks where needed.
    /// - Throws: `.outOfRange`; `.io`, such as a full disk, after which the image is as it was and stays usable;
    ///   `.refused` for an image open for reading, and after a failed flush.
    public func write(_ bytes: RawSpan, at offset: UInt64) throws(DiskError) {
        guard let range = checkedRange(offset, UInt64(bytes.byteCount)) else {
            throw DiskError(.outOfRange, path: file.path, "offset \(offset) is too large")
        }
        try write(range) { (part, fileOffset) throws(DiskError) in
            let bytes = bytes.extracting(Int(part.lowerBound - offset)..<Int(part.upperBound - offset))
            do throws(IOError) { try file.write(bytes, at: fileOffset) } catch {
                throw DiskError(error, doing: "writing")
            }
        }
    }

    /// As the other, the payload being moved by the caller.
    public func write(_ range: Range<UInt64>, by move: PayloadMove) throws(DiskError) {
        try checkSectors(range)
        guard !range.isEmpty else { return }
        try change("writing") { state, writer in
            try writer.begin(&state.headers, &state.map, file)
            var position = range.lowerBound
            while position < range.upperBound {
                let block = state.map.geometry.block(at: position)
                let blockStart = state.map.geometry.start(ofBlock: block)
                let end = min(range.upperBound, blockStart + state.map.geometry.blockByteCount)
                let part = BlockPart(block: block, offset: position - blockStart, byteCount: end - position)
                try writer.write(part, &state.map, file) { fileOffset in try move(position..<end, fileOffset) }
                position = end
            }
        }
    }

    /// Makes whole logical sectors read as zeros. Blocks that do so without space in the file stay as they are; the space
    /// of others is given back to the host where it can be, and stays theirs. Over a parent, a block that is covered
    /// whole takes no space; one that is covered in part does.
    public func writeZeroes(_ range: Range<UInt64>) throws(DiskError) {
        try checkSectors(range)
        try change("writing zeros") { state, writer in
            try writer.checkUsable()
            if state.map.geometry.isDifferencing {
                return try writer.zeroOverParent(range, &state.headers, &state.map, file)
            }
            var position = range.lowerBound
            while position < range.upperBound {
                let extents = try state.map.extents(in: position..<range.upperBound, limit: 256, file: file)
                for extent in extents {
                    if case .file(let offset) = extent.source {
                        try writer.begin(&state.headers, &state.map, file)
                        try file.zero(offset..<offset + extent.byteCount)
                    }
                    position = extent.end
                }
            }
        }
    }

    /// Does what the first change would do before it, and nothing else: when it returns, the headers have their new
    /// FileWriteGuid and DataWriteGuid, durable. After a first change it does nothing.
    /// - Throws: `.io`; `.refused` for an image open for reading, and after a failed flush.
    public func beginSession() throws(DiskError) {
        try change("starting to write") { state, writer in try writer.begin(&state.headers, &state.map, file) }
    }

    /// Returns when everything written before is durable: one flush of the file, and one more where blocks were
    /// allocated.
    public func flush() throws(DiskError) {
        try change("flushing") { state, writer in try writer.flush(&state.map, file) }
    }

    /// Flushes, and marks the log as empty. A file open for reading is left alone.
    public func close() throws(DiskError) {
        try diskErrors(file.path, "closing") {
            try state.withLock { state in
                try state.writer?.close(&state.headers, &state.map, file)
            }
        }
    }

    private func checkSectors(_ range: Range<UInt64>) throws(DiskError) {
        try checkRange(range)
        let sector = UInt64(geometry.logicalSectorByteCount)
        guard range.lowerBound % sector == 0, range.upperBound % sector == 0 else {
            throw DiskError(
                .outOfRange, path: file.path,
                "bytes \(range.lowerBound) to \(range.upperBound) are not whole sectors of \(sector) bytes")
        }
    }

    private func change(
        _ doing: String, _ body: (inout State, inout Writer) throws -> Void
    ) throws(DiskError) {
        try diskErrors(file.path, doing) {
            try state.withLock { state in
                guard var writer = state.writer else {
                    throw DiskError(.refused, path: file.path, "the image is open for reading only")
                }
                defer { state.writer = writer }
                try body(&state, &writer)
            }
        }
    }
}
