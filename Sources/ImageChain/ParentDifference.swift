import BlockIO
import ByteCodec
import DiskModel

/// Bytes of a disk that a child has to hold itself, because its new parent does not show them.
public struct HeldByteCount: Sendable, Equatable {
    /// Written as data.
    public var copied: UInt64 = 0
    /// Marked as zeros, which takes no space where whole blocks are.
    public var zeroed: UInt64 = 0
    public init() {}
}

/// What two parents differ in where a child leaves its contents to them: what the child must hold itself to show over the
/// new parent what it shows over the old one. Past its end a parent shows zeros.
///
/// Goes by extents: what is zeros in both, or the same bytes of the same file, is not read. Memory: two buffers of 256 KiB,
/// and what the images keep of their tables.
struct ParentDifference {
    private let child: any DiskLayer
    private let old: any VirtualDisk
    private let new: any VirtualDisk
    private let sectorByteCount: UInt64
    private let mine: IOBuffer
    private let theirs: IOBuffer
    private var zeros: ZeroStretch
    /// Disk offset up to which sectors were looked at.
    private var done: UInt64 = 0

    typealias Copy = (_ offset: UInt64, _ bytes: RawSpan) throws(DiskError) -> Void
    typealias Zero = (_ range: Range<UInt64>) throws(DiskError) -> Void

    /// - Parameters:
    ///   - child: a differencing layer.
    ///   - old: the disk of the parent it has.
    ///   - new: the disk of the parent it is to get.
    init(of child: any DiskLayer, from old: any VirtualDisk, to new: any VirtualDisk) {
        (self.child, self.old, self.new) = (child, old, new)
        sectorByteCount = UInt64(child.geometry.logicalSectorByteCount)
        // A piece, and the rest of a sector at either end.
        let byteCount = Int(ComparisonPlan.pieceByteCount + 2 * sectorByteCount)
        (mine, theirs) = (IOBuffer(byteCount: byteCount), IOBuffer(byteCount: byteCount))
        zeros = ZeroStretch(blockByteCount: max(sectorByteCount, child.geometry.blockByteCount ?? sectorByteCount))
    }

    /// Goes through the disk once, in order. What `copy` and `zero` get may be written into the child at once.
    mutating func run(copy: Copy, zero: Zero, progress: EditProgress) throws(DiskError) -> HeldByteCount {
        var count = HeldByteCount()
        func copyCounted(_ offset: UInt64, _ bytes: RawSpan) throws(DiskError) {
            try copy(offset, bytes)
            count.copied += UInt64(bytes.byteCount)
        }
        func zeroCounted(_ range: Range<UInt64>) throws(DiskError) {
            try zero(range)
            count.zeroed += range.upperBound - range.lowerBound
        }
        let end = child.geometry.virtualByteCount
        var position: UInt64 = 0
        while position < end {
            let extents = try child.extents(in: position..<end, limit: 1024)
            for extent in extents where extent.source == .parent {
                try compare(extent.range, copy: copyCounted, zero: zeroCounted) { (done) throws(DiskError) in
                    try progress(done, end)
                }
                // What follows is the child's own.
                try zeros.finish(zeroCounted)
            }
            position = extents[extents.count - 1].end
            try progress(position, end)
        }
        return count
    }

    /// Compares a range that the child leaves to its parent, in whole sectors.
    private mutating func compare(
        _ range: Range<UInt64>, copy: Copy, zero: Zero, progress: (UInt64) throws(DiskError) -> Void
    ) throws(DiskError) {
        var plan = ComparisonPlan(old, new, range, readsShared: false)
        while let job = try plan.next() {
            for piece in job.pieces {
                let (start, end) = (piece.offset, piece.offset + piece.byteCount)
                if piece.isZeroInBoth {
                    let inner = max(done, start.roundedUp(to: sectorByteCount))
                    let innerEnd = end.roundedDown(to: sectorByteCount)
                    if inner < innerEnd { try zeros.add(inner..<innerEnd, isNeeded: false, zero) }
                } else if piece.isShared {
                    try zeros.finish(zero)
                } else {
                    // The child's extents are whole sectors, so that this stays inside the range.
                    let outer = max(done, start.roundedDown(to: sectorByteCount))
                    let outerEnd = end.roundedUp(to: sectorByteCount)
                    if outer < outerEnd { try compareSectors(outer..<outerEnd, copy: copy, zero: zero) }
                }
            }
            try progress(job.end)
        }
    }

    /// What the child needs of a sector.
    private enum Need: Equatable {
        /// The new parent shows it as the old one.
        case nothing
        /// Zeros; whether the new parent shows something else.
        case zeros(isNeeded: Bool)
        case bytes
    }

    private mutating func compareSectors(_ range: Range<UInt64>, copy: Copy, zero: Zero) throws(DiskError) {
        let (mine, theirs) = (self.mine, self.theirs)
        let (count, sector) = (Int(range.upperBound - range.lowerBound), Int(sectorByteCount))
        try Self.fill(mine, from: old, range)
        try Self.fill(theirs, from: new, range)
        done = range.upperBound
        if bytesEqual(mine.bytes(0..<count), theirs.bytes(0..<count)) {
            guard ByteCodec.isZero(mine.bytes(0..<count)) else { return try zeros.finish(zero) }
            return try zeros.add(range, isNeeded: false, zero)
        }
        var start = 0
        while start < count {
            let need = need(start)
            var end = start + sector
            while end < count, self.need(end) == need { end += sector }
            let offset = range.lowerBound + UInt64(start)
            switch need {
            case .nothing: try zeros.finish(zero)
            case .zeros(let isNeeded): try zeros.add(offset..<offset + UInt64(end - start), isNeeded: isNeeded, zero)
            case .bytes:
                try zeros.finish(zero)
                try copy(offset, mine.bytes(start..<end))
            }
            start = end
        }
    }

    /// Of the sector at a place in the buffers.
    private func need(_ place: Int) -> Need {
        let (mine, theirs) = (self.mine, self.theirs)
        let sector = place..<place + Int(sectorByteCount)
        let isEqual = bytesEqual(mine.bytes(sector), theirs.bytes(sector))
        if ByteCodec.isZero(mine.bytes(sector)) { return .zeros(isNeeded: !isEqual) }
        return isEqual ? .nothing : .bytes
    }

    /// The bytes of a range of a disk, zeros past its end.
    private static func fill(_ buffer: IOBuffer, from disk: any VirtualDisk, _ range: Range<UInt64>) throws(DiskError) {
        let count = Int(range.upperBound - range.lowerBound)
        let end = min(range.upperBound, max(range.lowerBound, disk.geometry.virtualByteCount))
        let inside = Int(end - range.lowerBound)
        try buffer.withMutableBytes(0..<count) { (bytes) throws(DiskError) in
            if inside > 0 {
                try bytes.withPart(0..<inside) { (part) throws(DiskError) in
                    try disk.read(into: &part, at: range.lowerBound)
                }
            }
            bytes.zero(inside..<count)
        }
    }
}
