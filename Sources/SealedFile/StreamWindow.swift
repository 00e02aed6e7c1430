import BlockIO
import ByteCodec

/// The bytes of a file from wherever its reader moves to. What is read in order is fetched some KiB ahead; right after a
/// move only what is asked for, since little of a long frame is looked at while its end is searched for.
final class StreamWindow {
    private static let capacity = 16 << 10

    private let file: any BlockFile
    private let byteCount: UInt64
    private let buffer = IOBuffer(byteCount: capacity)
    /// Bytes of the file that the buffer has.
    private var held: Range<UInt64> = 0..<0
    private var offset: UInt64 = 0
    private var isMoved = false

    /// Of a file from its start to where it ends now.
    init(_ file: any BlockFile) throws(IOError) {
        (self.file, byteCount) = (file, try file.byteCount())
    }

    func move(to offset: UInt64) { (self.offset, isMoved) = (offset, true) }

    /// - Returns: how many bytes; 0 at the end.
    func read(into bytes: inout MutableRawSpan) throws(IOError) -> Int {
        guard offset < byteCount else { return 0 }
        let wanted = Int(min(UInt64(bytes.byteCount), byteCount - offset))
        let count: Int
        if held.contains(offset) {
            count = copy(wanted, &bytes)
        } else if isMoved || wanted >= Self.capacity {
            try bytes.withPart(0..<wanted) { (part) throws(IOError) in try file.read(into: &part, at: offset) }
            count = wanted
        } else {
            held = 0..<0
            let ahead = min(UInt64(Self.capacity), byteCount - offset)
            try buffer.fill(Int(ahead), from: file, at: offset)
            held = offset..<offset + ahead
            count = copy(wanted, &bytes)
        }
        isMoved = false
        offset += UInt64(count)
        return count
    }

    private func copy(_ wanted: Int, _ bytes: inout MutableRawSpan) -> Int {
        let start = Int(offset - held.lowerBound)
        let count = min(wanted, Int(held.upperBound - offset))
        let buffer = buffer
        bytes.copy(buffer.bytes(start..<start + count), at: 0)
        return count
    }
}
