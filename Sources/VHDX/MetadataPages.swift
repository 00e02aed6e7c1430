import BlockIO
import ByteCodec

/// Pages of the metadata region with changes, to be put into the log. The caller keeps their number small.
struct MetadataPages {
    private let file: any BlockFile
    private var changed: [UInt64: [UInt8]] = [:]

    init(_ file: any BlockFile) { self.file = file }

    var isEmpty: Bool { changed.isEmpty }
    /// In the order of the file.
    var sorted: [(offset: UInt64, bytes: [UInt8])] {
        changed.sorted { $0.key < $1.key }.map { (offset: $0.key, bytes: $0.value) }
    }

    /// Changes bytes; the rest of their pages stays as it is in the file.
    mutating func put(_ bytes: [UInt8], at offset: UInt64) throws(IOError) {
        var done = 0
        while done < bytes.count {
            let place = offset + UInt64(done)
            let page = place.roundedDown(to: Layout.pageByteCount)
            let at = Int(place - page)
            let count = min(bytes.count - done, Int(Layout.pageByteCount) - at)
            var held: [UInt8]
            if let before = changed[page] {
                held = before
            } else {
                held = try file.bytes(at: page, count: Int(Layout.pageByteCount))
            }
            var raw = held.mutableRawBytes
            raw.copy(bytes.rawBytes.extracting(done..<done + count), at: at)
            changed[page] = held
            done += count
        }
    }
}
