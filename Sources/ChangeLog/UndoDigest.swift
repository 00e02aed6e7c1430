import BlockIO
import ByteCodec
import Digest
import DiskModel
import HRL

/// The SHA-256 of bytes and their places on a disk, whatever pieces they come in, and whether zeros come as bytes or as such:
/// a copy of a log may have lost its holes. docs/formats/hrl.md, Undo logs.
///
/// The message is, of each longest run of sectors that all hold zeros, or that all hold something else, the bytes of the
/// latter, then 17 bytes: the run's place on the disk and its length, little-endian, and 1 for bytes, 0 for zeros.
struct UndoDigest {
    private static let sectorByteCount = 512
    /// Handed to the hashing thread at once.
    private static let messageByteCount = 256 << 10

    private let hashing = HashingThread([.sha256])
    private var message: [UInt8] = []
    /// The run so far: sectors that are whole, or end a range of the disk.
    private var run: Range<UInt64> = 0..<0
    private var isRunZeros = true
    /// What has come of the sector behind it.
    private var sector: [UInt8] = []

    /// Continues with bytes of the disk; an offset other than the last end begins a range.
    mutating func append(_ bytes: RawSpan, at offset: UInt64) {
        begin(at: offset)
        var start = 0
        while start < bytes.byteCount {
            let left = bytes.byteCount - start
            if !isAligned || left < Self.sectorByteCount {
                let count = min(left, roomInSector)
                addToSector([UInt8](copying: bytes.extracting(start..<start + count)))
                start += count
            } else {
                let end = Self.endOfRun(in: bytes, from: start)
                take(bytes.extracting(start..<end.offset), isZeros: end.isZeros)
                start = end.offset
            }
        }
    }

    /// Continues with zeros.
    mutating func append(zeros range: Range<UInt64>) {
        begin(at: range.lowerBound)
        var left = range.upperBound - range.lowerBound
        if !isAligned {
            let count = min(left, UInt64(roomInSector))
            addToSector(.zeros(Int(count)))
            left -= count
        }
        let rest = left % UInt64(Self.sectorByteCount)
        if left > rest { goOn(isZeros: true, byteCount: left - rest) }
        if rest > 0 { addToSector(.zeros(Int(rest))) }
    }

    mutating func finish() -> [UInt8] {
        endRange()
        flush()
        return hashing.finish()[0].bytes
    }

    // MARK: Sectors

    private var isAligned: Bool { sector.isEmpty && run.upperBound % UInt64(Self.sectorByteCount) == 0 }
    private var roomInSector: Int {
        Self.sectorByteCount - Int((run.upperBound + UInt64(sector.count)) % UInt64(Self.sectorByteCount))
    }

    private mutating func begin(at offset: UInt64) {
        guard offset != run.upperBound + UInt64(sector.count) else { return }
        endRange()
        run = offset..<offset
    }

    private mutating func addToSector(_ bytes: [UInt8]) {
        let endsSector = bytes.count == roomInSector
        sector += bytes
        if endsSector { takeSector() }
    }

    private mutating func takeSector() {
        let bytes = sector
        sector = []
        take(bytes.rawBytes, isZeros: isZero(bytes.rawBytes))
    }

    /// Where the sectors from `start` on end that are all zeros, or that all are not; one at least is there.
    private static func endOfRun(in bytes: RawSpan, from start: Int) -> (offset: Int, isZeros: Bool) {
        let isZeros = isZero(bytes.extracting(start..<start + sectorByteCount))
        var end = start + sectorByteCount
        while end + sectorByteCount <= bytes.byteCount,
            isZero(bytes.extracting(end..<end + sectorByteCount)) == isZeros
        { end += sectorByteCount }
        return (end, isZeros)
    }

    // MARK: Runs

    private mutating func take(_ bytes: RawSpan, isZeros: Bool) {
        goOn(isZeros: isZeros, byteCount: UInt64(bytes.byteCount))
        if !isZeros { add(bytes) }
    }

    private mutating func goOn(isZeros: Bool, byteCount: UInt64) {
        if isZeros != isRunZeros { endRun() }
        isRunZeros = isZeros
        run = run.lowerBound..<run.upperBound + byteCount
    }

    private mutating func endRange() {
        if !sector.isEmpty { takeSector() }
        endRun()
    }

    private mutating func endRun() {
        guard !run.isEmpty else { return }
        var tail = [UInt8].zeros(17)
        var raw = tail.mutableRawBytes
        raw.store(run.lowerBound, at: 0, .little)
        raw.store(run.upperBound - run.lowerBound, at: 8, .little)
        raw.store(UInt8(isRunZeros ? 0 : 1), at: 16, .little)
        add(tail.rawBytes)
        run = run.upperBound..<run.upperBound
    }

    private mutating func add(_ bytes: RawSpan) {
        if message.count + bytes.byteCount > Self.messageByteCount { flush() }
        guard bytes.byteCount < Self.messageByteCount else { return hashing.update(bytes) }
        message += [UInt8](copying: bytes)
    }

    private mutating func flush() {
        let whole = message
        if !whole.isEmpty { hashing.update(whole.rawBytes) }
        message.removeAll(keepingCapacity: true)
    }
}

extension UndoDigest {
    /// Of all that a log writes, in its order. Memory: 3 MiB.
    /// - Throws: as `LogReader.forEachWrite`.
    static func of(_ log: LogReader) throws(DiskError) -> [UInt8] {
        var digest = UndoDigest()
        var places = DataPlaces(log.file)
        var window = LogWindow(log)
        try log.forEachWrite(verifyingData: false) { (write) throws(DiskError) in
            var done: UInt64 = 0
            while done < write.byteCount {
                let (place, left) = (write.dataOffset + done, write.byteCount - done)
                let data = try places.data(from: place)
                let hole = min(left, data.lowerBound - place)
                if hole > 0 {
                    digest.append(zeros: write.diskOffset + done..<write.diskOffset + done + hole)
                    done += hole
                } else {
                    let part = try window.part(at: place, most: left, dataEnd: data.upperBound)
                    digest.append(window.buffer.bytes(part), at: write.diskOffset + done)
                    done += UInt64(part.count)
                }
            }
        }
        return digest.finish()
    }
}

/// A part of a log's file in memory: the data of entries stands back to back there, and is read together.
private struct LogWindow {
    private static let byteCount = 1 << 20

    private let log: LogReader
    let buffer = IOBuffer(byteCount: Self.byteCount)
    private var range: Range<UInt64> = 0..<0

    init(_ log: LogReader) { self.log = log }

    /// Where in the buffer the bytes of the file from a place on are: at least one, at most so many. Data stands there up
    /// to `dataEnd`.
    mutating func part(at place: UInt64, most: UInt64, dataEnd: UInt64) throws(DiskError) -> Range<Int> {
        if !range.contains(place) {
            range = 0..<0
            let count = min(UInt64(Self.byteCount), min(dataEnd, log.endOfLog) - place)
            do { try buffer.fill(Int(count), from: log.file, at: place) } catch {
                throw DiskError(error, doing: "reading data")
            }
            range = place..<place + count
        }
        let start = Int(place - range.lowerBound)
        return start..<start + Int(min(most, range.upperBound - place))
    }
}
