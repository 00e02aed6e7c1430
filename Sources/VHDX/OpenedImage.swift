import BlockIO
import ByteCodec
import DiskModel

/// Everything that opening a file finds out, in the order in which it has to be found out: identifier, headers, log,
/// regions, metadata, table.
struct OpenedImage {
    /// The file, or an overlay where a log was replayed in memory.
    var file: any BlockFile { replayed.file }
    var headers: HeaderPair { replayed.headers }
    var log: MetadataLogReport { replayed.log }
    var hasReplayedLog: Bool { replayed.isOverlay }
    private let replayed: Replayed
    let regions: RegionTable
    let metadata: Metadata
    let map: BlockMap

    /// - Parameter replaysIntoFile: whether a pending log is replayed into the file, which is then written.
    init(_ original: any BlockFile, _ options: VHDXReadOptions, replaysIntoFile: Bool) throws {
        var findings = Findings(accepting: options.accepted.intersection(.acceptableToVHDXReaders))
        try Self.checkIdentifier(original, &findings)
        replayed = try Replayed(original, intoFile: replaysIntoFile, &findings)
        let (file, logRange) = (replayed.file, replayed.logRange)
        regions = try RegionTable(reading: file, log: logRange, &findings)
        metadata = try Metadata(reading: file, region: regions.metadata.range, &findings)
        map = try BlockMap(metadata, regions, log: logRange, fileByteCount: try file.byteCount(), findings)
    }

    static func checkIdentifier(_ file: any BlockFile, _ findings: inout Findings) throws {
        let byteCount = try file.byteCount()
        guard byteCount >= Layout.headerSectionByteCount else {
            throw FormatError(
                .vhdxFileTooSmall, field: "File", offset: byteCount, "has \(byteCount) bytes, fewer than 1 MiB",
                section: "2.2")
        }
        let bytes = try file.bytes(at: 0, count: FileTypeIdentifier.byteCount)
        let identifier = try FileTypeIdentifier(parsing: bytes.rawBytes)
        guard identifier.signature != FileTypeIdentifier.expectedSignature else { return }
        try findings.refuse(
            FormatError(.vhdxIdentifier, field: "Signature", offset: 0, "is not \"vhdxfile\"", section: "2.2.1"))
    }
}

/// The file after replay of its log, if that had one.
private struct Replayed {
    var file: any BlockFile
    var headers: HeaderPair
    let logRange: Range<UInt64>?
    var log = MetadataLogReport(state: .clean)
    var isOverlay = false

    init(_ original: any BlockFile, intoFile: Bool, _ findings: inout Findings) throws {
        file = original
        headers = try HeaderPair(reading: original, &findings)
        logRange = try headers.current.checkedLogRange(
            at: Layout.headerOffsets[headers.slot], fileByteCount: try original.byteCount(), &findings)
        guard headers.current.logGUID != .zero else { return }
        log = MetadataLogReport(state: .invalid, guid: headers.current.logGUID)
        guard let ring = try LogRing.pending(in: original, headers, &findings), let entries = ring.active else {
            return
        }
        log.state = .dirty
        (log.entryCount, log.sequenceNumber) = (entries.count, entries.last?.sequenceNumber)
        if intoFile {
            try Writer.checkWritable(headers, findings, path: file.path)
            try ring.replayIntoFile(&headers)
            findings.note(.information, headers.dirtyLog("was replayed into the file"))
            return
        }
        findings.warn(headers.dirtyLog("is pending, and was replayed in memory"))
        try ring.checkBoundsInMemory()
        let overlay = try OverlayFile(over: original)
        try ring.replay(into: overlay)
        (file, isOverlay) = (overlay, true)
    }
}
