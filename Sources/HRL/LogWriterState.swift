import BlockIO
import ByteCodec

extension LogWriter {
    /// A metadata block that is not in the file yet.
    struct Block: Sendable {
        var offset: UInt64
        /// Bytes back to the block before; 0 for the first.
        var previous: UInt64
        var entries: [MetadataEntry]

        func bytes(byteCount: Int) -> [UInt8] {
            var head = MetadataHeader()
            head.previousMetadataLocation = previous
            head.validMetadataEntries = UInt32(entries.count)
            var bytes = [UInt8].zeros(byteCount)
            var target = bytes.mutableRawBytes
            let sealed = head.sealed()
            target.copy(sealed.rawBytes, at: 0)
            for (slot, entry) in entries.enumerated() {
                entry.storeSealed(into: &target, at: MetadataHeader.byteCount + slot * MetadataEntry.byteCount)
            }
            return bytes
        }
    }

    /// Where everything goes; changed under the writer's lock only. Moves no data but into buffers.
    struct State: Sendable {
        /// Blocks are held back until their data is durable, up to so many bytes of them before somebody sees to it.
        static let heldBlockByteCount = 2 << 20
        /// A buffer stays in the processor's second cache between its filling and its writing; there are enough of them
        /// for who fills them to be ahead of who writes them by some.
        static let bufferByteCount = 256 << 10
        static let bufferCount = 8
        /// Room is made for so many entries at once.
        private static let usualSlotCount = Int(LogHeader.usualMetadataSize) / MetadataEntry.byteCount

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
        /// Finished blocks not yet in the file.
        var held: [Block] = []
        var entryCount: UInt64 = 0
        private(set) var lastTime: UInt32 = 0
        /// Counted pages end here.
        private var occupiedEnd: UInt64 = 0
        private(set) var occupiedByteCount: UInt64 = 0

        /// The buffer being filled, those that wait to be written, oldest first, and those at rest.
        var filling: LogBuffer?
        var queued: [(buffer: LogBuffer, ticket: UInt64)] = []
        var free: [LogBuffer] = []
        var bufferCount = 0
        /// Whether the queue was told of buffers that wait, and whether it is writing one.
        private var isQueueCalled = false
        private(set) var isQueueWriting = false
        /// Writes of data under way, by ticket, ascending.
        var underWay: [UInt64] = []
        var nextTicket: UInt64 = 0

        /// Entries that a flush has made durable.
        var durableEntryCount: UInt64 = 0
        var isCommitting = false
        var unflushedByteCount: UInt64 = 0
        var dirtySince: ContinuousClock.Instant?
        var waiting = WaitingThreads()

        var isFull = false
        /// Set when `close` begins, and when it has ended.
        var isEnding = false
        var isClosed = false
        var failure: IOError?

        init(_ options: Options) {
            precondition(
                LogHeader.metadataSizes.contains(options.metadataSize) && options.metadataSize % 512 == 0
                    && options.creatorApplication.count == 4 && options.maximumEntryByteCount >= 512
                    && options.maximumEntryByteCount <= Int(MetadataEntry.maximumDataLength))
            self.options = options
            slotCount = (Int(options.metadataSize) - MetadataHeader.byteCount) / MetadataEntry.byteCount
            header.timeStamp = options.created.rawValue
            header.lastModifiedTimeStamp = options.created.rawValue
            header.creatorApplication = options.creatorApplication
            header.creatorVersion = options.creatorVersion
            header.originalSize = options.originalSize
            header.metadataSize = options.metadataSize
            (header.uniqueID, header.previousUniqueID) = (options.uniqueID, options.previousUniqueID)
            header.vhd2DataWriteGUID = options.dataWriteGUID
            if options.keepsTimesAscending { lastTime = options.created.rawValue }
            occupy(0..<UInt64(LogHeader.byteCount))
        }

        /// Takes over where a closed log ended.
        mutating func goOn(_ header: LogHeader, _ summary: LogSummary) {
            self.header = header
            self.header.eolLocation = 0
            (entryCount, durableEntryCount) = (summary.writeCount, summary.writeCount)
            position = summary.endOfLog
            lastBlock = summary.blockCount == 0 ? nil : position - UInt64(header.metadataSize)
            occupiedByteCount = 0
            occupiedEnd = 0
            occupy(0..<position)
        }

        var endIfClosed: UInt64 {
            pending.isEmpty && lastBlock != nil ? position : position + UInt64(options.metadataSize)
        }

        /// Blocks held are so many that somebody must write them; and so many that nobody may add any.
        var holdsManyBlocks: Bool { held.count * Int(options.metadataSize) >= Self.heldBlockByteCount }
        var holdsTooManyBlocks: Bool { held.count * Int(options.metadataSize) >= 2 * Self.heldBlockByteCount }

        // MARK: Space

        private static let page: UInt64 = 4096

        /// Counts the pages of a range; ranges come in the order of the file.
        private mutating func occupy(_ range: Range<UInt64>) {
            let start = max(range.lowerBound.roundedDown(to: Self.page), occupiedEnd)
            let end = range.upperBound.roundedUp(to: Self.page)
            guard start < end else { return }
            occupiedByteCount += end - start
            occupiedEnd = end
        }

        /// Whether the limit leaves space for so many bytes of data and the block behind them. False ever after.
        mutating func takesSpace(for byteCount: UInt64) -> Bool {
            guard let limit = options.occupiedByteLimit, !isFull else { return !isFull }
            let need = byteCount + UInt64(options.metadataSize) + 2 * Self.page
            isFull = occupiedByteCount + need > limit
            return !isFull
        }

        // MARK: Entries

        /// Bytes that the last entry can take, if a write here goes on from it.
        func roomInLastEntry(at diskOffset: UInt64, _ time: UInt32) -> Int {
            guard let last = pending.last, !lastIsZeros, last.timeStamp == time,
                last.byteOffset + UInt64(last.dataLength) == diskOffset
            else { return 0 }
            return max(0, options.maximumEntryByteCount - Int(last.dataLength))
        }

        /// Gives the next bytes of the file to data of the last entry.
        /// - Parameter sum: the data's byte sum, where checksums are computed.
        mutating func extendLastEntry(by count: Int, sum: UInt32?) {
            pending[pending.count - 1].dataLength += UInt32(count)
            if let sum { pending[pending.count - 1].dataChecksum &-= sum }
            occupy(position..<position + UInt64(count))
            advance(UInt64(count))
        }

        /// Gives the next bytes of the file to a new entry; for zeros they stay a hole.
        mutating func addEntry(
            at diskOffset: UInt64, _ count: UInt64, time: UInt32, dataChecksum: UInt32, isZeros: Bool = false
        ) {
            var entry = MetadataEntry()
            (entry.byteOffset, entry.dataLength) = (diskOffset, UInt32(count))
            entry.timeStamp = options.keepsTimesAscending ? max(time, lastTime) : time
            entry.dataChecksum = dataChecksum
            lastTime = max(lastTime, entry.timeStamp)
            pending.append(entry)
            entryCount += 1
            lastIsZeros = isZeros
            if !isZeros { occupy(position..<position + count) }
            advance(count)
        }

        private mutating func advance(_ count: UInt64) {
            position += count
            // `dirtySince` goes with it, but asking for an instant costs more than for a number.
            if unflushedByteCount == 0 { dirtySince = .now }
            unflushedByteCount += count
            if pending.count == slotCount { finishBlock() }
        }

        /// Makes a block of the pending entries and keeps its place in the file.
        mutating func finishBlock(evenEmpty: Bool = false) {
            guard evenEmpty || !pending.isEmpty else { return }
            held.append(Block(offset: position, previous: lastBlock.map { position - $0 } ?? 0, entries: pending))
            lastBlock = position
            occupy(position..<position + UInt64(options.metadataSize))
            position += UInt64(options.metadataSize)
            pending = []
            pending.reserveCapacity(min(slotCount, Self.usualSlotCount))
        }

        mutating func takeBlocks() -> [Block] {
            defer { held = [] }
            return held
        }

        mutating func sealHeader(at time: UInt32) {
            header.eolLocation = position
            header.currentSize = position
            header.totalMetadataEntries = entryCount
            header.lastModifiedTimeStamp = options.keepsTimesAscending ? max(time, lastTime) : time
        }

        // MARK: Buffers

        /// Whether there is a buffer being filled that takes so many bytes, which are no more than an empty one takes. A
        /// full one is put away, and one at rest taken instead.
        mutating func hasBuffer(for byteCount: Int) -> Bool {
            if let filling, !filling.hasRoom(for: byteCount) { _ = queueBuffer() }
            if filling != nil { return true }
            if let buffer = free.popLast() {
                filling = buffer
            } else if bufferCount < Self.bufferCount {
                filling = LogBuffer(byteCount: Self.bufferByteCount)
                bufferCount += 1
            }
            return filling != nil
        }

        /// Puts the buffer away to be written by whoever comes to it first.
        /// - Returns: false when there is nothing in it.
        mutating func queueBuffer() -> Bool {
            guard let buffer = filling, !buffer.isEmpty else { return false }
            filling = nil
            queued.append((buffer, begin()))
            return true
        }

        /// Whether the queue has to be told that a buffer waits.
        mutating func callsQueue() -> Bool {
            guard !queued.isEmpty, !isQueueCalled else { return false }
            isQueueCalled = true
            return true
        }

        /// The oldest buffer that waits, for a thread that needs it written. Nil where there is none, and where the queue
        /// is writing: then it comes to this one soon, and two threads would only wait for each other at the file.
        mutating func takeQueued() -> (buffer: LogBuffer, ticket: UInt64)? {
            queued.isEmpty || isQueueWriting ? nil : queued.removeFirst()
        }

        /// The oldest buffer that waits, for the queue; nil when its work is done.
        mutating func takeQueuedOnQueue() -> (buffer: LogBuffer, ticket: UInt64)? {
            isQueueWriting = !queued.isEmpty && failure == nil
            if !isQueueWriting { isQueueCalled = false }
            return isQueueWriting ? queued.removeFirst() : nil
        }

        // MARK: Data under way

        mutating func begin() -> UInt64 {
            nextTicket += 1
            underWay.append(nextTicket)
            return nextTicket
        }

        mutating func end(_ ticket: UInt64, giving buffer: LogBuffer? = nil) {
            underWay.removeAll { $0 == ticket }
            if let buffer {
                buffer.empty()
                free.append(buffer)
            }
            waiting.wakeAll()
        }
    }
}
