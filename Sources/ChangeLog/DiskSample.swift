import ByteCodec
import Digest
import DiskModel

/// Some sectors of a disk that logs do not write: a disk that shows others is another one, or was changed otherwise.
struct DiskSample: Equatable {
    /// So many at most.
    static let capacity = 256
    static let sectorByteCount: UInt64 = 512

    /// Places of the sectors on the disk, ascending.
    var offsets: [UInt64]
    /// SHA-256 of all of them, each with its place before it in 8 bytes.
    var digest: [UInt8]

    init(offsets: [UInt64], digest: [UInt8]) { (self.offsets, self.digest) = (offsets, digest) }

    /// Takes a sample.
    /// - Returns: nil where the disk ends before a sector.
    /// - Throws: the disk's own.
    init?(of disk: any VirtualDisk, at offsets: [UInt64]) throws(DiskError) {
        let digest = Digest(.sha256)
        var place = [UInt8].zeros(8)
        for offset in offsets {
            guard let end = offset.adding(Self.sectorByteCount), end <= disk.geometry.virtualByteCount else {
                return nil
            }
            var raw = place.mutableRawBytes
            raw.store(offset, at: 0, .little)
            digest.update(place.rawBytes)
            let sector = try disk.bytes(at: offset, count: Int(Self.sectorByteCount))
            digest.update(sector.rawBytes)
        }
        self.init(offsets: offsets, digest: digest.finish())
    }

    /// Whether a disk shows the same there.
    func isShown(by disk: any VirtualDisk) throws(DiskError) -> Bool {
        try DiskSample(of: disk, at: offsets) == self
    }
}

/// Chooses the sectors of a sample: some where partition tables and the first partition stand, the others evenly over what
/// the disk has allocated. Which they are is noted with the sample, since applying the logs allocates more.
struct SamplePlaces {
    /// So many runs of the disk are looked at.
    private static let runLimit = 1 << 16
    /// Sectors.
    private static let heads: [Range<UInt64>] = [0..<4, 2048..<2052]
    private static let spreadCapacity = DiskSample.capacity - 8

    private var extents: UndoExtents
    private var runCount = 0
    private var headSectors: [UInt64] = []
    /// Of the allocated sectors looked at, every so manieth; by number.
    private var spread: [UInt64] = []
    private var step: UInt64 = 1
    private var seenSectorCount: UInt64 = 0

    init(_ disk: any VirtualDisk) { extents = UndoExtents(disk) }

    /// Looks at a range that the logs do not write; in the order of the disk.
    mutating func look(at range: Range<UInt64>) throws(DiskError) {
        guard let sectors = Self.wholeSectors(range) else { return }
        for head in Self.heads { headSectors += sectors.clamped(to: head) }
        var position = sectors.lowerBound * DiskSample.sectorByteCount
        let end = sectors.upperBound * DiskSample.sectorByteCount
        while position < end, runCount < Self.runLimit {
            let run = try extents.run(at: position, upTo: end)
            runCount += 1
            if run.source != nil, let sectors = Self.wholeSectors(run.range) { take(sectors) }
            position = run.range.upperBound
        }
    }

    private static func wholeSectors(_ range: Range<UInt64>) -> Range<UInt64>? {
        let size = DiskSample.sectorByteCount
        let (first, end) = (range.lowerBound / size + (range.lowerBound % size == 0 ? 0 : 1), range.upperBound / size)
        return first < end ? first..<end : nil
    }

    private mutating func take(_ sectors: Range<UInt64>) {
        let end = seenSectorCount + (sectors.upperBound - sectors.lowerBound)
        var index = seenSectorCount.roundedUp(to: step)
        while index < end {
            if spread.count == Self.spreadCapacity {
                spread = stride(from: 0, to: spread.count, by: 2).map { spread[$0] }
                step *= 2
                index = index.roundedUp(to: step)
            } else {
                spread.append(sectors.lowerBound + (index - seenSectorCount))
                index += step
            }
        }
        seenSectorCount = end
    }

    /// Offsets on the disk, ascending.
    var offsets: [UInt64] { Set(headSectors + spread).sorted().map { $0 * DiskSample.sectorByteCount } }
}

extension SamplePlaces {
    /// The sectors to sample of a disk that logs will be applied to, and how many bytes of it their undo log holds.
    /// - Throws: as `LogEffect.forEachPiece`, and the disk's own.
    static func outside(
        _ effect: LogEffect, on disk: any VirtualDisk
    ) throws(DiskError) -> (offsets: [UInt64], undoByteCount: UInt64) {
        var places = SamplePlaces(disk)
        var (position, undoByteCount): (UInt64, UInt64) = (0, 0)
        let end = disk.geometry.virtualByteCount
        try effect.forEachUndoRange(diskByteCount: end) { (range) throws(DiskError) in
            try places.look(at: position..<range.lowerBound)
            position = range.upperBound
            undoByteCount += range.upperBound - range.lowerBound
        }
        if position < end { try places.look(at: position..<end) }
        return (places.offsets, undoByteCount)
    }
}
