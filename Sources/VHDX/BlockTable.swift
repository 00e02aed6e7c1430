import BlockIO
import ByteCodec

/// The block allocation table, read page by page; changed pages stay here until the log has them. [MS-VHDX] 2.5
struct BlockTable: Sendable {
    let geometry: TableGeometry
    let region: Range<UInt64>
    private(set) var pages = LoggedPages(capacity: Self.cachedPageCount)
    /// A range of the file known to hold data; asking again for each page would double the system calls.
    private var knownData: Range<UInt64> = 0..<0

    static let entriesPerPage = Layout.pageByteCount / TableEntry.byteCount
    /// 3 MiB.
    static let cachedPageCount = 768

    init(_ geometry: TableGeometry, region: Range<UInt64>) {
        (self.geometry, self.region) = (geometry, region)
    }

    /// Changed pages by their offset in the file.
    var dirty: [UInt64: [UInt8]] { pages.changed }

    /// Bounds the pages kept that are not changed.
    mutating func limitCache(to byteCount: Int) { pages.limit(to: byteCount / PageCache.pageByteCount) }

    /// Where an entry stands in the file.
    func fileOffset(ofIndex index: UInt64) -> UInt64 { region.lowerBound + index * TableEntry.byteCount }

    /// Entries that follow each other in the table.
    struct Run {
        /// The page they stand on; nil when all of them are zero.
        var page: [UInt8]?
        /// First entry of the page.
        var firstIndex: UInt64
        /// Behind the last entry of the run.
        var endIndex: UInt64

        func entry(_ index: UInt64) -> TableEntry {
            guard let page else { return .absent }
            return TableEntry(
                rawValue: page.rawBytes.integer(at: Int((index - firstIndex) * TableEntry.byteCount), .little))
        }
    }

    /// The run of entries from `index` on: up to the page's end, or over a hole of the file.
    mutating func run(at index: UInt64, in file: any BlockFile) throws(IOError) -> Run {
        let firstIndex = index.roundedDown(to: Self.entriesPerPage)
        let offset = fileOffset(ofIndex: firstIndex)
        let endIndex = firstIndex + Self.entriesPerPage
        if let page = dirty[offset] { return Run(page: page, firstIndex: firstIndex, endIndex: endIndex) }
        if !pages.holds(offset), !knownData.contains(offset) {
            let data = try file.data(from: offset)
            let dataStart = min(data?.lowerBound ?? region.upperBound, region.upperBound)
            let end = dataStart.roundedDown(to: Layout.pageByteCount)
            if end > offset { return hole(firstIndex: firstIndex, from: offset, to: end) }
            knownData = data ?? 0..<0
        }
        let page = try pages.page(at: offset, in: file)
        return Run(page: isZero(page.rawBytes) ? nil : page, firstIndex: firstIndex, endIndex: endIndex)
    }

    /// A hole of the file, cut at the first changed page.
    private func hole(firstIndex: UInt64, from offset: UInt64, to end: UInt64) -> Run {
        let firstDirty = dirty.keys.filter { $0 > offset && $0 < end }.min() ?? end
        return Run(page: nil, firstIndex: firstIndex, endIndex: (firstDirty - region.lowerBound) / TableEntry.byteCount)
    }

    mutating func entry(_ index: UInt64, in file: any BlockFile) throws(IOError) -> TableEntry {
        try run(at: index, in: file).entry(index)
    }

    /// Changes an entry in memory.
    mutating func set(_ entry: TableEntry, at index: UInt64, in file: any BlockFile) throws(IOError) {
        try set(entry, at: CollectionOfOne(index), onPageOf: index, in: file)
    }

    /// Changes entries of one page in memory, all of them to the same.
    mutating func set(
        _ entry: TableEntry, at indexes: some Sequence<UInt64>, onPageOf first: UInt64, in file: any BlockFile
    ) throws(IOError) {
        let firstIndex = first.roundedDown(to: Self.entriesPerPage)
        try pages.change(at: fileOffset(ofIndex: firstIndex), in: file) { page in
            for index in indexes {
                page.store(entry.rawValue, at: Int((index - firstIndex) * TableEntry.byteCount), .little)
            }
        }
    }

    /// The changed pages have reached their places in the file.
    mutating func allWritten() { pages.allWritten() }
}
