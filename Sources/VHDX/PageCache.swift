import BlockIO
import ByteCodec

/// A bounded number of 4 KiB pages of a file, the oldest replaced first.
struct PageCache: Sendable {
    static let pageByteCount = Int(Layout.pageByteCount)
    private var capacity: Int
    private var slots: [UInt64: Int] = [:]
    private var pages: [(offset: UInt64, bytes: [UInt8])] = []
    private var next = 0

    init(capacity: Int) { self.capacity = capacity }

    /// The page at a file offset, which is a multiple of the page size.
    mutating func page(at offset: UInt64, in file: any BlockFile) throws(IOError) -> [UInt8] {
        if let slot = slots[offset] { return pages[slot].bytes }
        let bytes = try file.bytes(at: offset, count: Self.pageByteCount)
        keep(bytes, at: offset)
        return bytes
    }

    /// Keeps no more than so many pages from now on, one at least; the capacity never grows.
    mutating func limit(to pageCount: Int) {
        capacity = min(capacity, max(1, pageCount))
        guard pages.count > capacity else { return }
        (slots, pages, next) = ([:], [], 0)
    }

    func holds(_ offset: UInt64) -> Bool { slots[offset] != nil }

    /// Puts a page that its owner knows to be the newest.
    mutating func keep(_ bytes: [UInt8], at offset: UInt64) {
        if let slot = slots[offset] { return pages[slot].bytes = bytes }
        if pages.count < capacity {
            slots[offset] = pages.count
            return pages.append((offset, bytes))
        }
        slots[pages[next].offset] = nil
        slots[offset] = next
        pages[next] = (offset, bytes)
        next = (next + 1) % capacity
    }
}
