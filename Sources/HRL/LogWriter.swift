public import BlockIO
public import ByteCodec
public import DiskModel
import Dispatch
import Synchronization

/// Appends writes to a new log, or to a closed one opened again; from several threads at once.
///
/// Small writes gather in eight buffers of 256 KiB, which a thread of the log's brings to the file as they fill; large ones
/// go there directly, each from its own thread. Threads that ask for a flush while one runs share the next one. Memory: the
/// buffers, and the entries of blocks that wait for their data to be durable (2 MiB, 4 MiB at most).
///
/// **Order of writes.** The order of the entries is that in which the appends took their places, and so is the order of
/// the data in the file. After a power cut the file holds the log up to some block whose data is whole, and every write
/// that `flush` returned for; a reader finds it not closed, and `recover` gives that prefix back.
///
/// 1. Create: the file is emptied; header with EOLLocation 0, and an empty first block; flush file and folder.
///    A cut before leaves no log, or one without writes.
/// 2. Append: data goes to a buffer or to the file, behind the place kept for the block before; the entries stay in
///    memory. A cut leaves data that no block describes, which recovery reports as lost.
/// 3. Blocks: when enough of them are full, or at `flush`: wait until all data placed so far is in the file, flush the
///    data, then write the blocks, oldest first. A block in the file therefore never describes missing data. A cut
///    between blocks leaves those that form a chain from the first one on; one behind a missing one counts for nothing.
/// 4. `flush` then flushes the blocks. A cut after it loses nothing before it.
/// 5. `close`: steps 3 and 4, cut the file at the last block's end, write there what is to follow it, flush, then one
///    write of the header with EOLLocation, CurrentSize, TotalMetadataEntries and LastModifiedTimeStamp; flush. What
///    changes lies in the header's first 512 bytes, so a cut leaves the old header or the new one. A closed log is
///    followed by all that was to follow it; one that is not, perhaps by a part.
/// 6. Reopening: header with EOLLocation 0 and its right checksum, flush, cut what follows the end, go on with step 2.
///    Blocks are never changed.
///
/// After an error nothing more is described and EOLLocation stays 0.
public final class LogWriter: Sendable {
    public struct Options: Sendable {
        public var uniqueID = GUID.random()
        /// Identity of the log before this one; zero for the first.
        public var previousUniqueID = GUID.zero
        /// DataWriteGuid of the VHDX whose writes are logged; zero for other images.
        public var dataWriteGUID = GUID.zero
        public var created = DiskTimestamp(rawValue: 0)
        /// Four characters.
        public var creatorApplication: [UInt8] = Array("vhdt".utf8)
        public var creatorVersion: UInt32 = 0x0001_0000
        /// Informational.
        public var originalSize: UInt64 = 0
        /// Bytes of a metadata block: a multiple of 512 in `LogHeader.metadataSizes`.
        public var metadataSize = LogHeader.usualMetadataSize
        /// Whether the log begins with an empty block, as Hyper-V's do.
        public var beginsWithEmptyBlock = true
        /// Whether entries carry the checksum of their data; Hyper-V leaves it out.
        public var computesDataChecksums = false
        /// Longer writes are split; at most `MetadataEntry.maximumDataLength`.
        public var maximumEntryByteCount = 8 << 20
        /// Whether an entry's time is never before that of the one before it, in whatever order threads took their times.
        public var keepsTimesAscending = false
        /// Appends that would make the log occupy more than this are refused, and all after them; nil for no limit.
        public var occupiedByteLimit: UInt64?
        public var flushPolicy = FlushPolicy()
        public init() {}
    }

    /// When a log is flushed without being asked to.
    public struct FlushPolicy: Sendable {
        /// After so many bytes of data and zeros; the thread whose write passes the mark does it.
        public var flushesAfterByteCount: UInt64?
        /// So long after the first write that is not yet durable, when `flushIfDue` is called.
        public var flushesAfter: Duration?
        public init() {}
    }

    public let file: any BlockFile
    let options: Options
    let state: Mutex<State>
    /// Writes full buffers, so that who fills one need not wait for the file. Nothing runs on it after `close`.
    let queue = DispatchQueue(label: "log data")
    /// Writes blocks when they have become many, likewise.
    let blockQueue = DispatchQueue(label: "log blocks")

    /// Starts a log in an empty or new file. Traps on options outside the bounds they name.
    /// - Throws: `DiskError` when the file cannot be written.
    public static func create(on file: any BlockFile, _ options: Options) throws(DiskError) -> LogWriter {
        let state = State(options)
        do throws(IOError) {
            if try file.byteCount() > 0 { try file.resize(to: 0) }
            try file.write(state.header.sealed(), at: 0)
            var state = state
            if options.beginsWithEmptyBlock {
                state.finishBlock(evenEmpty: true)
                for block in state.takeBlocks() {
                    try file.write(block.bytes(byteCount: Int(options.metadataSize)), at: block.offset)
                }
            }
            try file.sync()
            if let path = file.hostFile?.path { try syncFolder(of: path) }
            return LogWriter(file, options, state)
        } catch { throw DiskError(error, doing: "writing the log") }
    }

    /// Starts a log in an empty or new file, with the usual options.
    public static func create(
        on file: any BlockFile, uniqueID: GUID = .random(), previousUniqueID: GUID = .zero, dataWriteGUID: GUID = .zero,
        created: DiskTimestamp
    ) throws(DiskError) -> LogWriter {
        var options = Options()
        (options.uniqueID, options.previousUniqueID) = (uniqueID, previousUniqueID)
        (options.dataWriteGUID, options.created) = (dataWriteGUID, created)
        return try create(on: file, options)
    }

    /// Goes on with a closed log of version 2, after checking all of it.
    /// - Throws: `DiskError` as `LogReader` and its `checkApplicable`; `.refused` for odd block sizes.
    public static func reopen(
        _ file: any BlockFile, maximumEntryByteCount: Int = 8 << 20, computesDataChecksums: Bool = false
    ) throws(DiskError) -> LogWriter {
        let reader = try LogReader(file)
        try reader.checkApplicable()
        guard reader.header.metadataSize % 512 == 0 else {
            throw DiskError(
                .refused, path: file.path,
                "has metadata blocks of \(reader.header.metadataSize) bytes, no multiple of 512; it can only be read")
        }
        let summary = try reader.validate()
        var options = Options()
        options.uniqueID = reader.header.uniqueID
        options.metadataSize = reader.header.metadataSize
        options.maximumEntryByteCount = maximumEntryByteCount
        options.computesDataChecksums = computesDataChecksums
        var state = State(options)
        state.goOn(reader.header, summary)
        do throws(IOError) {
            try file.write(state.header.sealed(), at: 0)
            try file.sync()
            try file.resize(to: state.position)
        } catch { throw DiskError(error, doing: "writing the log") }
        return LogWriter(file, options, state)
    }

    private init(_ file: any BlockFile, _ options: Options, _ state: State) {
        (self.file, self.options) = (file, options)
        self.state = Mutex(state)
    }

    /// Header fields as they stand; EOLLocation is 0 until `close`.
    public var header: LogHeader { state.withLock { $0.header } }
    public var uniqueID: GUID { options.uniqueID }
    /// Writes so far, and their bytes.
    public var writeCount: UInt64 { state.withLock { $0.entryCount } }
    /// Where the log would end if it were closed now.
    public var byteCount: UInt64 { state.withLock { $0.endIfClosed } }
    /// Bytes that the log occupies, in whole pages of 4096, or will once it is flushed: holes cost nothing.
    public var occupiedByteCount: UInt64 { state.withLock { $0.occupiedByteCount } }
    public var occupiedByteLimit: UInt64? { options.occupiedByteLimit }
    /// Whether an append was refused because of `occupiedByteLimit`. What is in the log can still be flushed.
    public var isFull: Bool { state.withLock { $0.isFull } }

    /// Returns when everything appended before is durable and described. Nothing to do after `close`.
    public func flush() throws(DiskError) { try commit(.durable) }

    /// Flushes when the oldest write that is not durable has waited as long as `flushPolicy` lets it.
    /// - Returns: whether it did.
    @discardableResult
    public func flushIfDue(now: ContinuousClock.Instant = .now) throws(DiskError) -> Bool {
        let isDue = state.withLock { state in
            guard let patience = options.flushPolicy.flushesAfter, let since = state.dirtySince else { return false }
            return since.duration(to: now) >= patience
        }
        if isDue { try flush() }
        return isDue
    }

    /// Ends the log, after which `append` and `close` are refused.
    /// - Parameter tail: bytes that follow the log's end in the file, where readers of logs do not look.
    public func close(at time: DiskTimestamp, followedBy tail: [UInt8] = []) throws(DiskError) {
        try state.withLock { (state) throws(DiskError) in
            try check(state)
            guard !state.isFull else { throw limitError }
            state.isEnding = true
        }
        try commit(.whole)
        let (header, end) = state.withLock { state in
            state.sealHeader(at: time.rawValue)
            return (state.header, state.position)
        }
        do throws(IOError) {
            if try file.byteCount() != end { try file.resize(to: end) }
            if !tail.isEmpty { try file.write(tail, at: end) }
            try file.sync()
            try file.write(header.sealed(), at: 0)
            try file.sync()
        } catch { throw fail(error) }
        state.withLock { $0.isClosed = true }
    }

    // MARK: Errors

    /// Throws where nothing can be appended any more.
    func check(_ state: borrowing State) throws(DiskError) {
        if let failure = state.failure { throw DiskError(failure, doing: "the log stopped after a failure") }
        if state.isEnding { throw DiskError(.refused, path: file.path, "the log is closed") }
    }

    var limitError: DiskError {
        DiskError(
            .refused, path: file.path, doing: "writing the log",
            cause: .message("its quota of \(options.occupiedByteLimit ?? 0) bytes is used up"),
            hint: "send the logs more often, or allow more")
    }

    /// Notes the first failure and wakes those who wait.
    func fail(_ error: IOError) -> DiskError {
        state.withLock { state in
            if state.failure == nil { state.failure = error }
            state.waiting.wakeAll()
        }
        return DiskError(error, doing: "writing the log")
    }
}
