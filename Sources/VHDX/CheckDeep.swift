import BlockIO
import ByteCodec
import DiskModel

/// The deep pass: whether every present block can be read, and the bits of sector bitmaps.
extension Check {
    /// - Parameter progress: told the bytes of the file gone through.
    /// - Throws: `IOError` for the first block that cannot be read.
    mutating func blocks(_ progress: (UInt64) throws -> Void) throws {
        guard var map = image.map else { return }
        let buffer = IOBuffer(byteCount: 1 << 20)
        try map.forEachEntry(image.file) { map, use, entry in
            switch use {
            case .payload(let block):
                let place = try? map.check(entry, ofBlock: block)
                _ = map.takeFindings()
                guard let place, place.state.isPresent else { return }
                let end = min(place.fileOffset + map.geometry.blockByteCount, map.fileByteCount)
                try diskErrors(image.file.path, "reading block \(block)") {
                    try read(place.fileOffset..<end, buffer, progress)
                }
            case .bitmap(let chunk):
                let offset = map.geometry.isDifferencing ? try? map.bitmapOffset(entry, ofChunk: chunk) : nil
                _ = map.takeFindings()
                guard let offset else { return }
                try diskErrors(image.file.path, "reading sector bitmap \(chunk)") {
                    try buffer.fill(buffer.byteCount, from: image.file, at: offset)
                    report.deepByteCount += UInt64(buffer.byteCount)
                    try bits(buffer, at: offset, ofChunk: chunk, &map)
                }
                try progress(report.deepByteCount)
            }
        }
    }

    /// Reads a run of the file; its holes need no reading.
    private mutating func read(
        _ range: Range<UInt64>, _ buffer: IOBuffer, _ progress: (UInt64) throws -> Void
    ) throws {
        let before = report.deepByteCount
        var position = range.lowerBound
        while position < range.upperBound {
            guard let data = try image.file.data(from: position), data.lowerBound < range.upperBound else { break }
            position = max(position, data.lowerBound)
            let count = min(UInt64(buffer.byteCount), min(data.upperBound, range.upperBound) - position)
            try buffer.fill(Int(count), from: image.file, at: position)
            position += count
            try progress(before + (position - range.lowerBound))
        }
        report.deepByteCount = before + (range.upperBound - range.lowerBound)
    }

    /// Bits of a chunk that mean nothing: behind the disk's end, and of blocks that are not in state 7. [MS-VHDX] 2.4
    private mutating func bits(
        _ bitmap: IOBuffer, at offset: UInt64, ofChunk chunk: UInt64, _ map: inout BlockMap
    ) throws {
        let geometry = map.geometry
        let first = chunk * geometry.chunkRatio
        let sectorsLeft = (geometry.virtualByteCount - geometry.start(ofBlock: first)) / geometry.logicalSectorByteCount
        let bitCount = UInt64(bitmap.byteCount) * 8
        if sectorsLeft < bitCount, let bit = Self.firstSetBit(bitmap, Int(sectorsLeft)..<Int(bitCount)) {
            add(
                .information,
                FormatError(
                    .vhdxBitsPastEnd, field: "Sector bitmap \(chunk)", offset: offset + UInt64(bit / 8),
                    "has bits set from sector \(bit) on, behind the disk's end", section: "2.4"))
        }
        let perBlock = Int(geometry.bitmapByteCountPerBlock) * 8
        let end = min(first + geometry.chunkRatio, geometry.payloadBlockCount)
        var (idle, example) = (0, UInt64(0))
        for block in first..<end {
            let start = Int(block - first) * perBlock
            let sectors = Int(geometry.usedByteCount(ofBlock: block) / geometry.logicalSectorByteCount)
            guard Self.firstSetBit(bitmap, start..<start + sectors) != nil else { continue }
            let entry = try map.table.entry(geometry.index(ofPayloadBlock: block), in: image.file)
            guard entry.state != .partiallyPresent else { continue }
            if idle == 0 { example = block }
            idle += 1
        }
        guard idle > 0 else { return }
        add(
            .information,
            FormatError(
                .vhdxIdleBits, field: "Sector bitmap \(chunk)",
                offset: offset + geometry.bitmapOffset(ofBlock: example),
                "has bits of \(idle) blocks that are not in state 7, the first being block \(example); ignored",
                section: "2.4"))
    }

    private static func firstSetBit(_ bitmap: IOBuffer, _ range: Range<Int>) -> Int? {
        var byte = range.lowerBound / 8
        let end = (range.upperBound + 7) / 8
        while byte < end {
            // Whole runs of zeros at once.
            let run = min(4096, end - byte)
            let bytes = bitmap.bytes(byte..<byte + run)
            if isZero(bytes) {
                byte += run
                continue
            }
            for bit in max(range.lowerBound, byte * 8)..<min(range.upperBound, (byte + run) * 8)
            where bytes.integer(at: bit / 8 - byte, as: UInt8.self, .little) >> (bit % 8) & 1 == 1 {
                return bit
            }
            byte += run
        }
        return nil
    }
}
