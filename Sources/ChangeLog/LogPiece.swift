import HRL

/// A run of a disk with the place of its bytes in a log: a write, a part of one, or some that go on in each other.
public struct LogPiece: Sendable, Equatable {
    /// Offset on the virtual disk.
    public private(set) var diskOffset: UInt64
    /// Offset of the bytes in the log's file.
    public private(set) var dataOffset: UInt64
    // 24 bytes in all: millions of them are held.
    private var shortByteCount: UInt32
    private var shortLogIndex: UInt32

    /// - Parameter logIndex: of the write's log among those looked at, oldest first; below 2^32.
    init(_ write: LogWrite, logIndex: Int) {
        (diskOffset, dataOffset) = (write.diskOffset, write.dataOffset)
        // An entry's length has 32 bits.
        shortByteCount = UInt32(write.byteCount)
        shortLogIndex = UInt32(logIndex)
    }

    public var byteCount: UInt64 { UInt64(shortByteCount) }
    public var logIndex: Int { Int(shortLogIndex) }
    public var diskEnd: UInt64 { diskOffset + byteCount }
    public var diskRange: Range<UInt64> { diskOffset..<diskEnd }
    public var dataRange: Range<UInt64> { dataOffset..<dataOffset + byteCount }

    /// The part inside a range of the disk, which it overlaps.
    func clipped(to range: Range<UInt64>) -> LogPiece {
        var part = self
        let start = max(diskOffset, range.lowerBound)
        part.dataOffset += start - diskOffset
        part.diskOffset = start
        part.shortByteCount = UInt32(min(diskEnd, range.upperBound) - start)
        return part
    }

    /// Takes in a piece that goes on from this one, in the log as on the disk.
    /// - Returns: false for one that does not, or that makes it too long.
    mutating func join(_ next: LogPiece) -> Bool {
        guard next.diskOffset == diskEnd, next.dataOffset == dataOffset + byteCount,
            next.shortLogIndex == shortLogIndex
        else { return false }
        let (sum, isTooLong) = shortByteCount.addingReportingOverflow(next.shortByteCount)
        guard !isTooLong else { return false }
        shortByteCount = sum
        return true
    }

    /// Whether these bytes were logged after the other's: data stands in a log in the order of the writes.
    func isNewer(than other: LogPiece) -> Bool {
        (shortLogIndex, dataOffset) > (other.shortLogIndex, other.dataOffset)
    }
}
