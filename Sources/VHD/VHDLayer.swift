public import BlockIO
public import ByteCodec
public import DiskModel
import Synchronization

public struct VHDReadOptions: Sendable {
    /// Rules whose breach is noted instead of stopping the reading.
    public var accepted: Set<FormatError.Code> = []
    /// Dynamic images only: take every sector of an allocated block from the file, whatever its bit says, as some
    /// other readers do.
    public var ignoresBitmaps = false
    public init() {}
}

/// A VHD image, fixed, dynamic or differencing, for reading or for writing. Writer.swift says in which order it writes.
/// A differencing image knows nothing of its parent but its name: `.parent` extents are for others to look up.
public final class VHDLayer: WritableDiskLayer, InspectableLayer {
    public let file: any BlockFile
    public let format = ImageFormat.vhd
    public let type: ImageType
    public let geometry: DiskGeometry
    public let parentLink: ParentLink?
    public let findings: [Finding]
    public let hasReplayedLog = false
    /// The footer in use.
    public let footer: Footer
    /// Nil for fixed disks.
    public let header: DynamicHeader?

    let footers: FooterCopies
    let layout: SparseLayout?
    let batmap: (header: BatmapHeader, offset: UInt64)?

    struct State: Sendable {
        /// Nil for fixed disks.
        var map: BlockMap?
        /// Nil when open for reading.
        var writer: Writer?
    }
    let state: Mutex<State>

    public var identity: DiskIdentity { DiskIdentity(format: .vhd, id: footer.uniqueID) }
    private var mergeMark: MergeMark? { MergeMark(in: footers.active.bytes) }
    public var unfinishedMerge: GUID? { mergeMark?.leafID }
    public func bears(merge id: GUID) -> Bool { footer.uniqueID == id }
    public var formerIdentity: DiskIdentity? {
        guard let mark = mergeMark, mark.stage == .renaming else { return nil }
        return DiskIdentity(format: .vhd, id: mark.formerID)
    }

    /// Opens an image for reading; the file is not changed. Sizes are the footer's Current Size, whoever made the image.
    /// - Throws: `DiskError` with a `FormatError` for a broken rule, or an I/O error.
    public convenience init(reading file: any BlockFile, options: VHDReadOptions = .init()) throws(DiskError) {
        try self.init(try Self.parse(file, options), options)
    }

    /// Opens an image for writing, after checking that no two blocks overlap; repairs a damaged copy of the footer first.
    /// A differencing image is opened without its parent, and goes on naming the same one. The caller sees to it that
    /// nobody else writes the file.
    /// - Throws: as for reading; `.refused` for what may only be read: saved machines, images whose footers contradict
    ///   each other, images opened by way of `accepted`, structures of which one stands where another is written,
    ///   differencing images whose batmap calls blocks full that are not there.
    public convenience init(writing file: any BlockFile, options: VHDReadOptions = .init()) throws(DiskError) {
        try Repair.prepare(file, try Self.parse(file, options), accepting: options.accepted)
        try self.init(try Self.parse(file, options), options)
        let writer = Writer(file, footer: footers.trailing.bytes, footerOffset: footers.trailing.offset)
        state.withLock { $0.writer = writer }
    }

    private init(_ parser: ImageParser, _ options: VHDReadOptions) throws(DiskError) {
        file = parser.file
        footer = parser.footer
        header = parser.header
        (footers, layout, batmap) = (parser.footers, parser.layout, parser.batmap)
        findings = parser.findings.all
        let type: ImageType =
            switch parser.footer.diskType {
            case DiskTypeCode.fixed: .fixed
            case DiskTypeCode.dynamic: .dynamic
            default: .differencing
            }
        self.type = type
        geometry = DiskGeometry(
            virtualByteCount: parser.virtualByteCount, blockByteCount: parser.layout?.blockByteCount)
        let parentID = parser.header?.parentUniqueID ?? .zero
        parentLink =
            type != .differencing
            ? nil
            : ParentLink(
                identities: [DiskIdentity(format: parentID == .zero ? .raw : .vhd, id: parentID)],
                locators: parser.locators)
        let file = parser.file
        let map = parser.layout.map {
            BlockMap(
                file, $0, isDifferencing: type == .differencing, ignoresBitmaps: options.ignoresBitmaps,
                acceptsMissingTails: options.accepted.contains(.vhdBlockPastEnd))
        }
        state = Mutex(State(map: map))
    }

    static func parse(_ file: any BlockFile, _ options: VHDReadOptions) throws(DiskError) -> ImageParser {
        do {
            return try diskErrors(file.path) { try ImageParser(file, accepting: options.accepted) }
        } catch {
            guard error.formatError?.code == .vhdTrailingFooter else { throw error }
            var error = error
            error.hint = "if pieces .v01, .v02 … stand beside it, it is a split image: join them in order into one file"
            throw error
        }
    }

    /// Whether the file looks like a VHD: a footer's cookie at its end, also of a short footer, or at its start. Reads
    /// two sectors.
    public static func recognises(_ file: any BlockFile) throws(IOError) -> Bool {
        let byteCount = try file.byteCount()
        guard byteCount >= 511 else { return false }
        let cookies = [Footer.cookie, Array("v_poison".utf8)]
        for offset in [byteCount - (byteCount % 512 == 511 ? 511 : 512), 0] {
            if cookies.contains(try file.bytes(at: offset, count: 8)) { return true }
        }
        return false
    }

    public func limitCache(to byteCount: Int) {
        state.withLock { $0.map?.limitCache(to: byteCount, isForReading: $0.writer == nil) }
    }

    public func extents(in range: Range<UInt64>, limit: Int) throws(DiskError) -> [Extent] {
        try checkRange(range)
        guard layout != nil else { return try holesAndData(of: file, in: range, fileOffset: 0, limit: limit) }
        return try state.withLock { (state) throws(DiskError) in
            try diskErrors(file.path, "reading the block table") {
                try state.map?.extents(in: range, limit: limit) ?? []
            }
        }
    }
}
