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
        var findings = Findings(accepting: options.accepted)
        try Self.checkIdentifier(original, &findings)
        replayed = try Replayed(original, intoFile: replaysIntoFile, &findings)
        let (file, headers) = (replayed.file, replayed.headers)
        let logRange = headers.current.logLength > 0 ? headers.current.logRange : nil
        regions = try RegionTable(reading: file, log: logRange, &findings)
        metadata = try Metadata(reading: file, region: regions.metadata.range, &findings)
        let geometry = metadata.tableGeometry
        let table = regions.blockAllocationTable.range
        guard geometry.entryCount * TableEntry.byteCount <= table.upperBound - table.lowerBound else {
            throw FormatError(
                .vhdxTableTooSmall, field: "Length", offset: Layout.regionTableOffsets[regions.copy],
                "of the BAT region is \(table.upperBound - table.lowerBound), too short for \(geometry.entryCount) entries",
                section: "2.5")
        }
        map = BlockMap(
            regions: regions, geometry: geometry, log: logRange, fileByteCount: try file.byteCount(),
            findings: findings)
    }

    private static func checkIdentifier(_ file: any BlockFile, _ findings: inout Findings) throws {
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
    var log = MetadataLogReport(state: .clean)
    var isOverlay = false

    init(_ original: any BlockFile, intoFile: Bool, _ findings: inout Findings) throws {
        file = original
        headers = try HeaderPair(reading: original, &findings)
        try headers.current.check(at: Layout.headerOffsets[headers.slot], fileByteCount: try original.byteCount())
        guard headers.current.logGUID != .zero else { return }
        log = MetadataLogReport(state: .invalid, guid: headers.current.logGUID)
        guard let ring = try LogRing.pending(in: original, headers, &findings), let entries = ring.active else {
            return
        }
        log.state = .dirty
        (log.entryCount, log.sequenceNumber) = (entries.count, entries.last?.sequenceNumber)
        if intoFile {
            try replayIntoFile(ring, findings)
            findings.note(.information, dirty("was replayed into the file"))
            return
        }
        findings.warn(dirty("is pending, and was replayed in memory"))
        try ring.checkBoundsInMemory()
        let overlay = try OverlayFile(over: original)
        try ring.replay(into: overlay)
        (file, isOverlay) = (overlay, true)
    }

    private func dirty(_ what: String) -> FormatError {
        FormatError(
            .vhdxDirtyLog, field: "LogGuid", offset: Layout.headerOffsets[headers.slot] + 48,
            "says that the file was not closed: its log \(what)", section: "3.1.1")
    }

    /// 1. Both headers get a new FileWriteGuid, each flushed. 2. The entries are applied, and flushed. 3. Both
    /// headers get a zero LogGuid. A cut before 3 leaves the same log over targets that replay changes in the same
    /// way; DataWriteGuid stays, because what the disk shows does not change.
    private mutating func replayIntoFile(_ ring: LogRing, _ findings: Findings) throws {
        try Writer.checkWritable(headers, findings, path: file.path)
        try headers.update(on: file) { $0.fileWriteGUID = .random() }
        try ring.replay(into: file)
        try file.sync()
        try headers.update(on: file) { $0.logGUID = .zero }
    }
}
