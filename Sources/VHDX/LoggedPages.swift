import BlockIO
import ByteCodec

/// Pages of the file that change through the log only: kept as read, and as changed until the log has them.
struct LoggedPages: Sendable {
    private var clean: PageCache
    /// Changed pages by their offset in the file.
    private(set) var changed: [UInt64: [UInt8]] = [:]

    /// - Parameter capacity: unchanged pages kept at most.
    init(capacity: Int) { clean = PageCache(capacity: capacity) }

    /// Bounds the unchanged pages kept from now on.
    mutating func limit(to pageCount: Int) { clean.limit(to: pageCount) }

    /// Whether a page needs no reading.
    func holds(_ offset: UInt64) -> Bool { changed[offset] != nil || clean.holds(offset) }

    /// The page at a file offset, which is a multiple of the page size, as changed.
    mutating func page(at offset: UInt64, in file: any BlockFile) throws(IOError) -> [UInt8] {
        if let page = changed[offset] { return page }
        return try clean.page(at: offset, in: file)
    }

    /// Changes a page in memory.
    mutating func change(
        at offset: UInt64, in file: any BlockFile, _ body: (inout MutableRawSpan) -> Void
    ) throws(IOError) {
        // Taken out, so that it is not copied.
        var page: [UInt8]
        if let held = changed.removeValue(forKey: offset) {
            page = held
        } else {
            page = try clean.page(at: offset, in: file)
        }
        var raw = page.mutableRawBytes
        body(&raw)
        changed[offset] = page
    }

    /// The changed pages in the order of the file.
    var waiting: [(offset: UInt64, bytes: [UInt8])] {
        changed.sorted { $0.key < $1.key }.map { (offset: $0.key, bytes: $0.value) }
    }

    /// The changed pages have reached their places in the file.
    mutating func allWritten() {
        for (offset, page) in changed { clean.keep(page, at: offset) }
        changed = [:]
    }
}
