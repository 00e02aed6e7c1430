import BlockIO
import ByteCodec
import DiskModel

/// A run of a disk's stored bytes, small enough to be moved at once.
struct Piece {
    enum Way { case copy, clone }
    var way: Way
    /// Offset on the disk.
    var offset: UInt64
    var byteCount: UInt64
    var file: any BlockFile
    var fileOffset: UInt64
}

/// Gives out a disk's stored bytes in pieces, in order; what is not stored is passed over, also where the host file has
/// holes inside a block.
struct PieceFeed {
    /// Copied at a time: fits a core's second cache beside what else is there.
    static let copyByteCount: UInt64 = 256 << 10
    /// File systems share whole blocks of this size.
    static let cloneUnit: UInt64 = 4096
    private static let largestClone: UInt64 = 64 << 20

    private let disk: any VirtualDisk
    private let end: UInt64
    /// Pieces lie within one run of the target.
    private let runByteCount: UInt64
    /// Where blocks may be shared.
    private let cloneDevice: UInt64?
    private var position: UInt64 = 0
    private var extents: ArraySlice<MappedExtent> = []
    /// Part of a file known to hold data.
    private var known: (file: any BlockFile, range: Range<UInt64>)?
    /// What was passed over so far.
    private(set) var skippedByteCount: UInt64 = 0

    init(_ disk: any VirtualDisk, runByteCount: UInt64, cloneDevice: UInt64?) {
        (self.disk, self.runByteCount, self.cloneDevice) = (disk, runByteCount, cloneDevice)
        end = disk.geometry.virtualByteCount
    }

    /// The next piece; nil at the end of the disk.
    mutating func next() throws(DiskError) -> Piece? {
        while position < end {
            if extents.isEmpty {
                extents = try disk.extents(in: position..<end, limit: 1024)[...]
            }
            guard let mapped = extents.first else { return nil }
            guard case .file(let start) = mapped.extent.source else {
                skip(to: mapped.extent.end)
                extents.removeFirst()
                continue
            }
            let delta = start &- mapped.extent.offset
            let data: Range<UInt64>
            do { data = try dataRange(of: mapped.file, at: position &+ delta, end: mapped.extent.end &+ delta) } catch {
                throw DiskError(error, doing: "seeking data")
            }
            skip(to: data.lowerBound &- delta)
            if position < mapped.extent.end, !data.isEmpty {
                let piece = piece(mapped.file, data, delta)
                position += piece.byteCount
                if position == mapped.extent.end { extents.removeFirst() }
                return piece
            }
            if position == mapped.extent.end { extents.removeFirst() }
        }
        return nil
    }

    private mutating func skip(to offset: UInt64) {
        skippedByteCount += offset - position
        position = offset
    }

    /// The part of a file's range, from `offset` on, that comes first and may hold other bytes than zeros; empty at `end`
    /// when there is none.
    private mutating func dataRange(of file: any BlockFile, at offset: UInt64, end: UInt64) throws(IOError)
        -> Range<UInt64>
    {
        if let known, known.file === file, known.range.contains(offset) {
            return offset..<min(end, known.range.upperBound)
        }
        guard let data = try file.data(from: offset), data.lowerBound < end else { return end..<end }
        known = (file, data)
        return max(offset, data.lowerBound)..<min(end, data.upperBound)
    }

    /// The first piece of a run of data that stands in a file at disk offset + `delta`.
    private func piece(_ file: any BlockFile, _ data: Range<UInt64>, _ delta: UInt64) -> Piece {
        let start = data.lowerBound &- delta
        let left = data.upperBound - data.lowerBound
        let untilRun = runByteCount - start % runByteCount
        func piece(_ way: Piece.Way, _ byteCount: UInt64) -> Piece {
            Piece(way: way, offset: start, byteCount: byteCount, file: file, fileOffset: data.lowerBound)
        }
        let canClone =
            cloneDevice != nil && file.hostFile?.identity.device == cloneDevice && delta % Self.cloneUnit == 0
        if canClone, start % Self.cloneUnit == 0, left >= Self.cloneUnit {
            return piece(.clone, min(left.roundedDown(to: Self.cloneUnit), untilRun, Self.largestClone))
        }
        // Up to a multiple, so that the pieces that follow are aligned.
        let unit = canClone ? Self.cloneUnit : Self.copyByteCount
        return piece(.copy, min(left, untilRun, unit - start % unit))
    }
}
