import BlockIO
import ByteCodec
public import DiskModel

/// What a disk holds from an offset on at which it is to end: what making it smaller cuts off.
public struct TailUse: Sendable, Equatable {
    /// The bytes of the disk that go.
    public var range: Range<UInt64>
    /// How many of them the chain's files store, stored zeros included.
    public var storedByteCount: UInt64 = 0
    /// The disk's first byte in it that is not zero, the backup of an intact GPT aside.
    public var firstNonzero: UInt64?
    /// Partitions that reach into it, file systems on a disk without partitions, and with a GPT also partitions that
    /// leave no room for its backup at the new end.
    public var partitions: [PartitionEntry] = []
    /// What is odd about the partition table, in words: partitions may reach past the end that are not listed.
    public var remarks: [String] = []
    /// Whether the disk has a GPT, whose backup must be written anew at the new end.
    public var hasGPT = false

    /// Whether nothing of it is in use.
    public var isUnused: Bool { firstNonzero == nil && partitions.isEmpty && remarks.isEmpty }

    /// Looks at a disk from `newEnd` on: partition tables, extents, then bytes, up to the first that is not zero.
    /// - Parameter newEnd: inside the disk.
    /// - Throws: what reading throws, and what `progress` throws, which gets bytes done and their total.
    public init(of disk: any VirtualDisk, from newEnd: UInt64, progress: EditProgress) throws(DiskError) {
        range = newEnd..<disk.geometry.virtualByteCount
        let backup = try GPTBackup(of: disk)
        hasGPT = backup != nil
        let usableEnd = newEnd - min(newEnd, backup?.byteCount ?? 0)
        let glance = try PartitionGlance(disk)
        remarks = glance.remarks
        partitions = glance.entries.filter { entry in
            // What wraps reaches past everything.
            (checkedRange(entry.start, entry.byteCount)?.upperBound ?? .max) > usableEnd
        }
        var stored: UInt64 = 0
        try disk.forEachExtent(in: range) { (mapped) throws(DiskError) in
            if case .file = mapped.extent.source { stored += mapped.extent.byteCount }
        }
        storedByteCount = stored
        for piece in Self.pieces(of: range, without: backup?.places ?? []) {
            firstNonzero = try Self.firstNonzeroByte(of: disk, in: piece) { (position) throws(DiskError) in
                try progress(position - newEnd, range.upperBound - newEnd)
            }
            if firstNonzero != nil { return }
        }
    }

    /// What is left of a range without others, which are in order.
    private static func pieces(of range: Range<UInt64>, without holes: [Range<UInt64>]) -> [Range<UInt64>] {
        var result: [Range<UInt64>] = []
        var position = range.lowerBound
        for hole in holes where hole.upperBound > position && hole.lowerBound < range.upperBound {
            if hole.lowerBound > position { result.append(position..<hole.lowerBound) }
            position = min(hole.upperBound, range.upperBound)
        }
        if position < range.upperBound { result.append(position..<range.upperBound) }
        return result
    }

    private struct Found: Error { var offset: UInt64 }

    private static func firstNonzeroByte(
        of disk: any VirtualDisk, in range: Range<UInt64>, progress: (UInt64) throws(DiskError) -> Void
    ) throws(DiskError) -> UInt64? {
        do {
            try DiskStream(disk).run(range) { offset, bytes in
                if let place = firstNonzero(bytes) { throw Found(offset: offset + UInt64(place)) }
                try progress(offset + UInt64(bytes.byteCount))
            } zeros: { offset, count in
                try progress(offset + count)
            }
            return nil
        } catch let found as Found {
            return found.offset
        } catch {
            return try diskErrors(disk.path) { throw error }
        }
    }

    private static func firstNonzero(_ bytes: RawSpan) -> Int? {
        var first: Int?
        forEachNonzeroRun(in: bytes) { run in first = first ?? run.lowerBound }
        guard var place = first else { return nil }
        while bytes.integer(at: place, as: UInt8.self, .little) == 0 { place += 1 }
        return place
    }
}
