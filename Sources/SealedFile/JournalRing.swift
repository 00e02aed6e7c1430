import BlockIO
import ByteCodec

/// The journal's bytes: a ring, whose positions count on and on; a position's place is its remainder. What would pass the
/// end goes on at the start.
struct JournalRing: Sendable {
    let file: any BlockFile
    let layout: ImageLayout

    private func pieces(_ position: UInt64, _ count: Int) -> [(part: Range<Int>, offset: UInt64)] {
        let start = position % layout.journalByteCount
        let first = Int(min(UInt64(count), layout.journalByteCount - start))
        let head = (0..<first, ImageLayout.journalOffset + start)
        return first == count ? [head] : [head, (first..<count, ImageLayout.journalOffset)]
    }

    /// - Parameter bytes: no more than the ring has.
    func write(_ bytes: RawSpan, at position: UInt64) throws(IOError) {
        for (part, offset) in pieces(position, bytes.byteCount) where !part.isEmpty {
            try file.write(bytes.extracting(part), at: offset)
        }
    }

    func read(into bytes: inout MutableRawSpan, at position: UInt64) throws(IOError) {
        for (part, offset) in pieces(position, bytes.byteCount) where !part.isEmpty {
            try bytes.withPart(part) { (bytes) throws(IOError) in try file.read(into: &bytes, at: offset) }
        }
    }

    func bytes(at position: UInt64, count: Int) throws(IOError) -> [UInt8] {
        var result = [UInt8].zeros(count)
        var raw = result.mutableRawBytes
        try read(into: &raw, at: position)
        return result
    }
}
