public import BlockIO
public import ByteCodec
public import DiskModel
import Synchronization

/// Appends writes to a new log, or to a closed one opened again.
///
/// **Order of writes.** After a power cut the file holds the log up to some block whose data is whole, and every write
/// that `flush` returned for; a reader finds it not closed, and `recover` gives that prefix back.
///
/// 1. Create: the file is emptied; header with EOLLocation 0, and an empty first block; flush file and folder.
///    A cut before leaves no log, or one without writes.
/// 2. Append: data goes to the file at once, behind the place kept for the block before; the entries stay in memory.
///    A cut leaves data that no block describes, which recovery reports as lost.
/// 3. Blocks: when enough of them are full, or at `flush`: flush the data, then write the blocks, oldest first. A block
///    in the file therefore never describes missing data. A cut between blocks leaves those that form a chain from the
///    first one on; one behind a missing one counts for nothing.
/// 4. `flush` then flushes the blocks. A cut after it loses nothing before it.
/// 5. `close`: steps 3 and 4, cut the file at the last block's end, flush, then one write of the header with EOLLocation,
///    CurrentSize, TotalMetadataEntries and LastModifiedTimeStamp; flush. What changes lies in the header's first 512
///    bytes, so a cut leaves the old header or the new one.
/// 6. Reopening: header with EOLLocation 0 and its right checksum, flush, cut what follows the end, go on with step 2.
///    Blocks are never changed.
///
/// After an error nothing more is written and EOLLocation stays 0.
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
        /// Bytes of a metadata block: a multiple of 512 in `LogHeader.metadataSizes`.
        public var metadataSize = LogHeader.usualMetadataSize
        /// Whether the log begins with an empty block, as Hyper-V's do.
        public var beginsWithEmptyBlock = true
        /// Whether entries carry the checksum of their data; Hyper-V leaves it out.
        public var computesDataChecksums = false
        /// Longer writes are split; at most `MetadataEntry.maximumDataLength`.
        public var maximumEntryByteCount = 8 << 20
        public init() {}
    }

    public let file: any BlockFile
    private let state: Mutex<State>

    /// Starts a log in an empty or new file. Traps on options outside the bounds they name.
    /// - Throws: `DiskError` when the file cannot be written.
    public static func create(on file: any BlockFile, _ options: Options) throws(DiskError) -> LogWriter {
        let writer = LogWriter(file, State(file, options))
        try writer.perform { (state) throws(IOError) in try state.begin() }
        return writer
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
        options.metadataSize = reader.header.metadataSize
        options.maximumEntryByteCount = maximumEntryByteCount
        options.computesDataChecksums = computesDataChecksums
        var state = State(file, options)
        state.header = reader.header
        state.entryCount = summary.writeCount
        state.position = reader.endOfLog
        state.lastBlock = summary.blockCount == 0 ? nil : reader.endOfLog - UInt64(reader.header.metadataSize)
        let writer = LogWriter(file, state)
        try writer.perform { (state) throws(IOError) in try state.openAgain() }
        return writer
    }

    private init(_ file: any BlockFile, _ state: State) {
        self.file = file
        self.state = Mutex(state)
    }

    /// Header fields as they stand; EOLLocation is 0 until `close`.
    public var header: LogHeader { state.withLock { $0.header } }
    /// Writes so far, and their bytes.
    public var writeCount: UInt64 { state.withLock { $0.entryCount } }
    /// Where the log would end if it were closed now.
    public var byteCount: UInt64 { state.withLock { $0.endIfClosed } }

    /// Appends a write of any length at any disk offset; the bytes are in the file when it returns.
    /// - Parameter joining: whether it may become one entry with the write before, where it goes on from it on the disk
    ///   at the same time.
    /// - Throws: `.outOfRange` past 64 TiB, `.io`.
    public func append(
        _ bytes: RawSpan, at diskOffset: UInt64, time: DiskTimestamp, joining: Bool = false
    ) throws(DiskError) {
        try checkRange(diskOffset, UInt64(bytes.byteCount))
        try perform { (state) throws(IOError) in
            try state.append(bytes, at: diskOffset, time: time.rawValue, joining: joining)
        }
    }

    /// Appends a write of an array's bytes.
    public func append(_ bytes: [UInt8], at diskOffset: UInt64, time: DiskTimestamp) throws(DiskError) {
        try append(bytes.rawBytes, at: diskOffset, time: time)
    }

    /// Appends a write of zeros, in entries of up to 2 GiB whose data is a hole in the log.
    /// - Throws: `.outOfRange` past 64 TiB, `.io`.
    public func appendZeroes(_ range: Range<UInt64>, time: DiskTimestamp) throws(DiskError) {
        try checkRange(range.lowerBound, range.upperBound - range.lowerBound)
        try perform { (state) throws(IOError) in try state.appendZeroes(range, time: time.rawValue) }
    }

    /// Returns when everything appended before is durable and described.
    public func flush() throws(DiskError) {
        try perform { (state) throws(IOError) in
            guard state.isDirty else { return }
            state.finishBlock()
            try state.writeBlocks()
            try state.file.sync()
            state.isDirty = false
        }
    }

    /// Ends the log; no further use.
    public func close(at time: DiskTimestamp) throws(DiskError) {
        try perform { (state) throws(IOError) in try state.close(time: time.rawValue) }
    }

    private func checkRange(_ offset: UInt64, _ count: UInt64) throws(DiskError) {
        guard let end = offset.adding(count), end <= MetadataEntry.maximumEnd else {
            throw DiskError(
                .outOfRange, path: file.path,
                "a write of \(count) bytes at \(offset) ends past \(MetadataEntry.maximumEnd)")
        }
    }

    private func perform(_ body: (inout sending State) throws(IOError) -> Void) throws(DiskError) {
        try state.withLock { (state) throws(DiskError) in
            if let failure = state.failure { throw DiskError(failure, doing: "the log stopped after a failure") }
            guard !state.isClosed else {
                throw DiskError(.refused, path: file.path, "the log is closed")
            }
            do throws(IOError) { try body(&state) } catch {
                state.failure = error
                throw DiskError(error, doing: "writing the log")
            }
        }
    }
}

extension LogWriter {
    struct State: Sendable {
        /// Blocks are held back until their data is durable, up to so many bytes of them.
        static let heldBlockByteCount = 256 << 10

        let file: any BlockFile
        let options: Options
        let slotCount: Int
        var header = LogHeader()
        /// Where the next data goes.
        var position = UInt64(LogHeader.byteCount)
        /// Offset of the last block, written or held.
        var lastBlock: UInt64?
        /// Entries of the block to come.
        var pending: [MetadataEntry] = []
        var lastIsZeros = false
        /// Finished blocks not yet in the file, with their offsets.
        var held: [(offset: UInt64, bytes: [UInt8])] = []
        var entryCount: UInt64 = 0
        var isDirty = false
        var isClosed = false
        var failure: IOError?

        init(_ file: any BlockFile, _ options: Options) {
            precondition(
                LogHeader.metadataSizes.contains(options.metadataSize) && options.metadataSize % 512 == 0
                    && options.creatorApplication.count == 4 && options.maximumEntryByteCount >= 512
                    && options.maximumEntryByteCount <= Int(MetadataEntry.maximumDataLength))
            (self.file, self.options) = (file, options)
            slotCount = (Int(options.metadataSize) - MetadataHeader.byteCount) / MetadataEntry.byteCount
            header.timeStamp = options.created.rawValue
            header.lastModifiedTimeStamp = options.created.rawValue
            header.creatorApplication = options.creatorApplication
            header.creatorVersion = options.creatorVersion
            header.metadataSize = options.metadataSize
            (header.uniqueID, header.previousUniqueID) = (options.uniqueID, options.previousUniqueID)
            header.vhd2DataWriteGUID = options.dataWriteGUID
        }

        var endIfClosed: UInt64 {
            pending.isEmpty && lastBlock != nil ? position : position + UInt64(options.metadataSize)
        }

        mutating func begin() throws(IOError) {
            if try file.byteCount() > 0 { try file.resize(to: 0) }
            try file.write(header.sealed(), at: 0)
            if options.beginsWithEmptyBlock {
                finishBlock(evenEmpty: true)
                try writeBlocks(syncing: false)
            }
            try file.sync()
            if let path = file.hostFile?.path { try syncFolder(of: path) }
        }

        mutating func openAgain() throws(IOError) {
            header.eolLocation = 0
            try file.write(header.sealed(), at: 0)
            try file.sync()
            try file.resize(to: position)
        }

        mutating func append(
            _ bytes: RawSpan, at diskOffset: UInt64, time: UInt32, joining: Bool
        ) throws(IOError) {
            var done = 0
            while done < bytes.byteCount {
                let target = diskOffset + UInt64(done)
                let room = joining ? roomInLastEntry(at: target, time) : 0
                let count = min(bytes.byteCount - done, room > 0 ? room : options.maximumEntryByteCount)
                let piece = bytes.extracting(done..<done + count)
                isDirty = true
                try file.write(piece, at: position)
                let sum = options.computesDataChecksums ? byteSum(piece) : nil
                if room > 0 {
                    extendLastEntry(by: count, sum)
                } else {
                    add(target, count, time, dataChecksum: sum.map { ~$0 } ?? 0)
                }
                lastIsZeros = false
                position += UInt64(count)
                done += count
                try finishFullBlock()
            }
        }

        mutating func appendZeroes(_ range: Range<UInt64>, time: UInt32) throws(IOError) {
            var start = range.lowerBound
            while start < range.upperBound {
                let count = min(UInt64(MetadataEntry.maximumDataLength), range.upperBound - start)
                isDirty = true
                // Nothing was ever written past `position`: the data is a hole, or the zeros a cut file grows with.
                add(start, Int(count), time, dataChecksum: options.computesDataChecksums ? .max : 0)
                lastIsZeros = true
                position += count
                start += count
                try finishFullBlock()
            }
        }

        /// Bytes that the last entry can take, if a write here goes on from it.
        private func roomInLastEntry(at diskOffset: UInt64, _ time: UInt32) -> Int {
            guard let last = pending.last, !lastIsZeros, last.timeStamp == time,
                last.byteOffset + UInt64(last.dataLength) == diskOffset
            else { return 0 }
            return max(0, options.maximumEntryByteCount - Int(last.dataLength))
        }

        private mutating func extendLastEntry(by count: Int, _ sum: UInt32?) {
            pending[pending.count - 1].dataLength += UInt32(count)
            if let sum { pending[pending.count - 1].dataChecksum &-= sum }
        }

        private mutating func add(_ diskOffset: UInt64, _ count: Int, _ time: UInt32, dataChecksum: UInt32) {
            var entry = MetadataEntry()
            (entry.byteOffset, entry.dataLength) = (diskOffset, UInt32(count))
            (entry.timeStamp, entry.dataChecksum) = (time, dataChecksum)
            pending.append(entry)
            entryCount += 1
        }

        private mutating func finishFullBlock() throws(IOError) {
            guard pending.count == slotCount else { return }
            finishBlock()
            if held.count * Int(options.metadataSize) >= Self.heldBlockByteCount { try writeBlocks() }
        }

        /// Makes a block of the pending entries and keeps its place in the file.
        mutating func finishBlock(evenEmpty: Bool = false) {
            guard evenEmpty || !pending.isEmpty else { return }
            var head = MetadataHeader()
            head.previousMetadataLocation = lastBlock.map { position - $0 } ?? 0
            head.validMetadataEntries = UInt32(pending.count)
            var bytes = head.sealed()
            bytes.reserveCapacity(Int(options.metadataSize))
            for entry in pending { bytes += entry.sealed() }
            bytes += repeatElement(0, count: Int(options.metadataSize) - bytes.count)
            held.append((position, bytes))
            lastBlock = position
            position += UInt64(options.metadataSize)
            pending.removeAll(keepingCapacity: true)
        }

        /// Writes the held blocks behind their data.
        mutating func writeBlocks(syncing: Bool = true) throws(IOError) {
            guard !held.isEmpty else { return }
            if syncing { try file.sync() }
            for block in held { try file.write(block.bytes, at: block.offset) }
            held.removeAll(keepingCapacity: true)
        }

        mutating func close(time: UInt32) throws(IOError) {
            finishBlock(evenEmpty: lastBlock == nil)
            try writeBlocks()
            if try file.byteCount() != position { try file.resize(to: position) }
            try file.sync()
            header.eolLocation = position
            header.currentSize = position
            header.totalMetadataEntries = entryCount
            header.lastModifiedTimeStamp = time
            try file.write(header.sealed(), at: 0)
            try file.sync()
            isClosed = true
        }
    }
}
