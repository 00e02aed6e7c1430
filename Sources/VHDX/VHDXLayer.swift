public import BlockIO
public import ByteCodec
public import DiskModel
import Synchronization

public struct VHDXReadOptions: Sendable {
    /// Rules that may be broken: the reading goes on, and the finding is kept.
    public var accepted: Set<FormatError.Code> = []
    public init() {}
}

/// A VHDX image: fixed, dynamic or differencing. [MS-VHDX]
///
/// All calls are safe from several threads at once; one lock guards the tables, and is held while they are read or
/// written. Tables are read in pages of 4 KiB when they are asked for, at most 4 MiB of them are kept,
/// fewer in a deep chain.
public final class VHDXLayer: WritableDiskLayer, InspectableLayer {
    public let file: any BlockFile
    public let format = ImageFormat.vhdx
    public let type: ImageType
    public let geometry: DiskGeometry
    public let parentLink: ParentLink?
    public let hasReplayedLog: Bool
    public let virtualDiskID: GUID
    /// Key and value of every pair of the parent locator, as in the file.
    public let parentLocatorPairs: [(key: String, value: String)]
    let logReport: MetadataLogReport
    let metadata: Metadata
    let regions: RegionTable
    let state: Mutex<State>

    struct State: Sendable {
        var headers: HeaderPair
        var map: BlockMap
        var writer: Writer?
    }

    public var currentHeader: Header { state.withLock { $0.headers.current } }
    public var dataWriteGUID: GUID { currentHeader.dataWriteGUID }
    public var identity: DiskIdentity { DiskIdentity(format: .vhdx, id: dataWriteGUID) }
    public var unfinishedMerge: GUID? { metadata.unfinishedMerge }
    public func bears(merge id: GUID) -> Bool { id != .zero && metadata.parentLocator?.merge == id }
    /// What was noticed while opening and, once per rule, in table entries read since.
    public var findings: [Finding] { state.withLock { $0.map.findings.all } }

    /// Whether a file says that it is a VHDX image: by its identifier, or by two valid headers where that was
    /// overwritten.
    public static func recognises(_ file: any BlockFile) throws(IOError) -> Bool {
        guard try file.byteCount() >= Layout.headerSectionByteCount else { return false }
        let start = try file.bytes(at: 0, count: 8)
        if start.rawBytes.integer(at: 0, as: UInt64.self, .little) == FileTypeIdentifier.expectedSignature {
            return true
        }
        do {
            return try HeaderPair.copy(0, of: file).isValid && HeaderPair.copy(1, of: file).isValid
        } catch let error as IOError {
            throw error
        } catch {
            return false
        }
    }

    /// Opens for reading. The file is never written: a pending log is replayed in memory.
    /// - Throws: `DiskError` of kind `.format` with the rule's code, or `.io`.
    public convenience init(reading file: any BlockFile, options: VHDXReadOptions = .init()) throws(DiskError) {
        let opened = try Self.opened(file, options, replaysIntoFile: false)
        self.init(opened, writer: nil)
    }

    /// Opens for writing, the file being the caller's alone. A pending log is replayed into the file first; nothing
    /// else is written before the first change.
    /// - Parameter dataWriteGUID: the DataWriteGuid that the first change puts into the headers, for a caller who has
    ///   promised it to a child; nil for a random one.
    /// - Throws: as for reading; `.refused` for images that only open with accepted errors; `.format` also for a
    ///   partially present block without sector bitmap.
    public convenience init(
        writing file: any BlockFile, options: VHDXReadOptions = .init(), dataWriteGUID: GUID? = nil
    ) throws(DiskError) {
        let opened = try Self.opened(file, options, replaysIntoFile: true)
        var writer = try Writer(opened, path: file.path)
        writer.dataWriteGUID = dataWriteGUID
        self.init(opened, writer: writer)
    }

    private static func opened(
        _ file: any BlockFile, _ options: VHDXReadOptions, replaysIntoFile: Bool
    ) throws(DiskError) -> OpenedImage {
        do {
            return try diskErrors(file.path) { try OpenedImage(file, options, replaysIntoFile: replaysIntoFile) }
        } catch {
            guard error.formatError?.code == .vhdxNewerLogEntries else { throw error }
            var error = error
            error.hint = "read the older state with --accept VHDX080, or get a copy of the file from elsewhere"
            throw error
        }
    }

    private init(_ opened: OpenedImage, writer: Writer?) {
        let parameters = opened.metadata.fileParameters
        file = opened.file
        type = parameters.hasParent ? .differencing : parameters.leavesBlocksAllocated ? .fixed : .dynamic
        geometry = DiskGeometry(
            virtualByteCount: opened.metadata.virtualDiskSize,
            logicalSectorByteCount: Int(opened.metadata.logicalSectorSize),
            physicalSectorByteCount: Int(opened.metadata.physicalSectorSize),
            blockByteCount: UInt64(parameters.blockSize))
        parentLink = opened.metadata.parentLocator?.link
        parentLocatorPairs = opened.metadata.parentLocator?.pairs ?? []
        virtualDiskID = opened.metadata.virtualDiskID
        hasReplayedLog = opened.hasReplayedLog
        (logReport, metadata, regions) = (opened.log, opened.metadata, opened.regions)
        state = Mutex(State(headers: opened.headers, map: opened.map, writer: writer))
    }

    public func limitCache(to byteCount: Int) { state.withLock { $0.map.limitCache(to: byteCount) } }

    public func extents(in range: Range<UInt64>, limit: Int) throws(DiskError) -> [Extent] {
        try checkRange(range)
        guard !range.isEmpty, limit > 0 else { return [] }
        return try diskErrors(file.path, "reading the block allocation table") {
            try state.withLock { try $0.map.extents(in: range, limit: limit, file: file) }
        }
    }
}
