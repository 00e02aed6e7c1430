import BlockIO
import ByteCodec
import DiskModel

/// Changes an image in place, so that a power cut at any moment leaves one that opens, with every byte that was
/// flushed.
///
/// A session starts with the first change:
///  1. The file is brought to whole MiB and whole blocks, and flushed. *Cut: as before; at most the file is longer.*
///  2. An empty log entry under a fresh GUID is written, and flushed. *Cut: as before, no header names that GUID.*
///  3. Header by header, each flushed: LogGuid is that GUID, FileWriteGuid and DataWriteGuid are new. *Cut: either
///     header is valid; the newer one finds the entry of 2, whose replay changes nothing.*
///  4. A region table copy that is bad or differs is rewritten as in 8 to 10. *Cut: the good copy is there.*
///
/// Writing and flushing:
///  5. Bytes for sectors that the file has, those of blocks in state 6 and those whose bit is set in state 7, go to
///     their place. *Cut: old or new bytes, sector by sector.* Bytes for the other sectors of a block in state 7 go to
///     their place, too, and their bits are set in memory; where no bit is left clear, all are cleared, and the block's
///     entry becomes 6. *Cut: the bits are clear, and the parent's bytes show as before.*
///  6. Bytes for another block go to new space at the end of the file, which reads as zeros; the table entry changes
///     in memory. Part of a block that shows its parent becomes 7: its bits, which may be left from former times, are
///     cleared in memory, and those of the part set. A chunk without sector bitmap gets one: 1 MiB of zeros in front of
///     the block, whose entry changes in memory. *Cut: nothing points there. The next session appends behind it, so
///     leftovers are never shown.* A whole block of zeros over the parent only becomes state 2. *Cut: as before.*
///  7. On `flush`, or when no more pages would fit into one entry of the log, the file is flushed. *Cut: as 6; bytes of
///     sectors that the file had are durable.*
///  8. A log entry with all changed pages, of sector bitmaps and of the table, is written, and flushed. *Cut: the entry
///     is whole, and replay puts the pages in place, or it is not, and the entry before counts, whose pages step 7 made
///     durable.* So an entry in state 7 never counts without its bits or without its sector bitmap's entry, and bits
///     are never cleared without the 6 that replaces them.
///  9. The pages are written to their places. *Cut: replay of the entry of 8 writes them again.*
/// 10. They become durable with the next step 7 or 11.
///
/// Closing:
/// 11. A flush as in 7 to 9, then once more a flush of the file. *Cut: as 9.*
/// 12. Header by header, each flushed: LogGuid is zero. *Cut: replay of the last entry repeats what is there.*
///
/// After a failed flush, or a failure in 1 to 4 or 7 to 12, every further change is refused: what is durable
/// is no longer known, and the log brings the next opener to the last flush that succeeded.
struct Writer: Sendable {
    private(set) var log: LogWriter?
    private var hasFailed = false
    private var isClosed = false
    /// What the session's DataWriteGuid is to be; nil for a random one.
    var dataWriteGUID: GUID?
    let path: String
    /// Nil for repairs, which say for themselves what they change.
    private let regions: RegionTable?
    /// Where the last block ends, which may be behind the end of a file that some writers cut off there.
    private let blockEnd: UInt64

    /// For repairs: of an image with errors too, whose caller knows that a change leaves it no worse. Step 1 leaves the
    /// file's length alone, since zeros behind a block that was cut off would pass for its bytes.
    init(mending path: String) { (self.path, regions, blockEnd) = (path, nil, 0) }

    /// - Parameter writesPayload: whether bytes of the disk will be written, for which every sector bitmap that is needed
    ///   has to be there; not so for edits of structures and for moving blocks.
    init(_ opened: OpenedImage, path: String, writesPayload: Bool = true) throws(DiskError) {
        blockEnd = try diskErrors(path) {
            try Self.checkWritable(opened.headers, opened.map.findings, path: path)
            guard opened.headers.current.logLength > 0 else {
                throw DiskError(.refused, path: path, "the image has no log, which writing needs")
            }
            // Blocks that share space would be changed together.
            var map = opened.map
            return try map.walk(file: opened.file, reportsAnchors: false, checksBitmaps: writesPayload).blockEnd
        }
        self.path = path
        regions = opened.regions
    }

    static func checkWritable(_ headers: HeaderPair, _ findings: Findings, path: String) throws(DiskError) {
        guard !headers.isAmbiguous else {
            throw DiskError(
                .refused, path: path, "the two headers have the same sequence number and differ",
                hint: "copy the contents into a new image")
        }
        if let finding = findings.all.first(where: { $0.severity == .error }) {
            throw DiskError(
                .refused, path: path, "an image with errors is not written to (\(finding.detail))",
                hint: "copy the contents into a new image")
        }
    }

    func checkUsable() throws(DiskError) {
        guard !isClosed else { throw DiskError(.refused, path: path, "the image was closed") }
        guard !hasFailed else {
            throw DiskError(
                .refused, path: path, "writing failed before, and no further change is made",
                hint: "open the image again: it holds what was flushed")
        }
    }

    /// Runs a step after whose failure nothing may be changed any more.
    private mutating func decisive<Result>(_ body: (inout Writer) throws -> Result) throws -> Result {
        do { return try body(&self) } catch {
            hasFailed = true
            throw error
        }
    }

    // MARK: Session

    /// Steps 1 to 4, before the first change only.
    /// - Parameter changesData: whether a reader of the disk will see other bytes.
    mutating func begin(
        _ headers: inout HeaderPair, _ map: inout BlockMap, _ file: any BlockFile, changesData: Bool = true
    ) throws {
        try checkUsable()
        guard log == nil else { return }
        try decisive { writer in
            let rounded = max(map.fileByteCount, writer.blockEnd).roundedUp(to: Layout.mebibyte)
            if rounded > map.fileByteCount, writer.regions != nil {
                try file.resize(to: rounded)
                map.fileByteCount = rounded
            }
            try file.sync()
            let guid = GUID.random()
            var log = LogWriter(range: headers.current.logRange, guid: guid)
            try log.append([], fileByteCount: map.fileByteCount.roundedDown(to: Layout.mebibyte), to: file)
            try file.sync()
            try headers.update(on: file) {
                $0.logGUID = guid
                $0.logVersion = 0
                $0.fileWriteGUID = .random()
                if changesData { $0.dataWriteGUID = writer.dataWriteGUID ?? .random() }
            }
            writer.log = log
            try writer.repairRegionTable(map.fileByteCount, file)
        }
    }

    private mutating func repairRegionTable(_ fileByteCount: UInt64, _ file: any BlockFile) throws {
        guard let regions, regions.otherCopyDiffers else { return }
        let good = try RegionTable.bytes(ofCopy: regions.copy, in: file)
        let target = Layout.regionTableOffsets[1 - regions.copy]
        let pages = stride(from: 0, to: good.count, by: Int(Layout.pageByteCount)).map { at in
            (offset: target + UInt64(at), bytes: Array(good[at..<at + Int(Layout.pageByteCount)]))
        }
        try commit(pages, fileByteCount, file)
        try file.sync()
    }

    /// Steps 8 and 9 for at most `LogWriter.pagesPerEntry` pages.
    mutating func commit(
        _ pages: [(offset: UInt64, bytes: [UInt8])], _ fileByteCount: UInt64, _ file: any BlockFile
    ) throws {
        try log?.append(pages, fileByteCount: fileByteCount.roundedDown(to: Layout.mebibyte), to: file)
        try file.sync()
        for page in pages { try file.write(page.bytes, at: page.offset) }
    }

    // MARK: Structures

    /// Steps 7 to 9 for pages that are not the table's, all of them in one entry: each takes effect, or none.
    /// - Parameter pages: at most `LogWriter.pagesPerEntry`; none for an entry that only tells the file's length.
    mutating func replace(
        _ pages: [(offset: UInt64, bytes: [UInt8])], _ fileByteCount: UInt64, _ file: any BlockFile
    ) throws {
        try checkUsable()
        try decisive { writer in
            try file.sync()
            try writer.commit(pages, fileByteCount, file)
        }
    }

    /// A flush of what the caller wrote into free space, after whose failure nothing may be changed any more.
    mutating func sync(_ file: any BlockFile) throws {
        try checkUsable()
        try decisive { _ in try file.sync() }
    }

    // MARK: Flushing

    /// Flushes where so many more changed pages would not fit into one entry of the log, which makes them take effect
    /// together or not at all.
    mutating func makeRoom(forPages count: Int, _ map: inout BlockMap, _ file: any BlockFile) throws {
        if map.changedPageCount + count > LogWriter.pagesPerEntry { try flush(&map, file) }
    }

    /// Steps 7 to 9.
    mutating func flush(_ map: inout BlockMap, _ file: any BlockFile) throws {
        try checkUsable()
        guard log != nil else { return }
        try decisive { writer in
            try file.sync()
            let pages = map.bitmaps.pages.waiting + map.table.pages.waiting
            guard !pages.isEmpty else { return }
            try writer.commit(pages, map.fileByteCount, file)
            map.bitmaps.allWritten()
            map.table.allWritten()
        }
    }

    /// Steps 11 and 12.
    mutating func close(_ headers: inout HeaderPair, _ map: inout BlockMap, _ file: any BlockFile) throws {
        guard !isClosed else { return }
        try flush(&map, file)
        if log != nil {
            try decisive { _ in
                try file.sync()
                try headers.update(on: file) { $0.logGUID = .zero }
            }
        }
        isClosed = true
    }
}
