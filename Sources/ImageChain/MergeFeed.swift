import BlockIO
import ByteCodec
import DiskModel

/// Gives out, in the order of the disk, what the links of a merge hold themselves: each sector once, from the link that
/// is nearest to the leaf.
struct MergeFeed {
    enum Source {
        case copy(any BlockFile, offset: UInt64)
        /// As `copy`, aligned so that a file system may share the blocks.
        case share(any BlockFile, offset: UInt64)
        case zero
    }
    struct Piece {
        var source: Source
        /// Whole sectors of the disk.
        var range: Range<UInt64>
        var byteCount: UInt64 { range.upperBound - range.lowerBound }
    }

    private static let copyByteCount: UInt64 = 256 << 10
    private static let shareUnit: UInt64 = 4096
    private static let largestShare: UInt64 = 16 << 20
    private static let largestZero: UInt64 = 1 << 30

    private let stack: ImageChain
    private let linkCount: Int
    private let end: UInt64
    /// The device on which blocks may be shared.
    private let shareDevice: UInt64?
    private var position: UInt64 = 0
    private var extents: ArraySlice<MappedExtent> = []
    /// The part of each link's file that is known to hold data: a file system may go through all of it to find its end.
    private var known: [ObjectIdentifier: Range<UInt64>] = [:]

    /// - Parameter links: leaf first.
    init(_ links: [any DiskLayer], shareDevice: UInt64?) throws(DiskError) {
        end = links[0].geometry.virtualByteCount
        stack = try ImageChain(leafFirst: links + [Ground(below: links[links.count - 1], byteCount: end)])
        linkCount = links.count
        self.shareDevice = shareDevice
    }

    /// The next piece; nil at the end of the disk.
    mutating func next() throws(DiskError) -> Piece? {
        while position < end {
            if extents.isEmpty { extents = try stack.extents(in: position..<end, limit: 1024)[...] }
            guard let mapped = extents.first else { return nil }
            let rest = position..<mapped.extent.end
            guard !rest.isEmpty else {
                extents.removeFirst()
                continue
            }
            guard mapped.layer < linkCount else {
                position = rest.upperBound
                continue
            }
            let piece = try piece(mapped, rest)
            position = piece.range.upperBound
            return piece
        }
        return nil
    }

    /// Visits the ranges from an offset on that no link holds, and that the target behind its end does not have.
    static func forEachUncovered(
        _ links: [any DiskLayer], from start: UInt64, _ body: (Range<UInt64>) throws(DiskError) -> Void
    ) throws(DiskError) {
        let end = links[0].geometry.virtualByteCount
        let stack = try ImageChain(leafFirst: links + [Ground(below: links[links.count - 1], byteCount: end)])
        var position = min(start, end)
        while position < end {
            for mapped in try stack.extents(in: position..<end, limit: 256) {
                if mapped.layer == links.count { try body(mapped.extent.range) }
                position = mapped.extent.end
            }
        }
    }

    private mutating func piece(_ mapped: MappedExtent, _ rest: Range<UInt64>) throws(DiskError) -> Piece {
        guard case .file(let start) = mapped.extent.source else { return zeros(rest) }
        let delta = start &- mapped.extent.offset
        let data: Range<UInt64>
        do {
            data = try dataRange(of: mapped.file, rest.lowerBound &+ delta..<rest.upperBound &+ delta)
        } catch { throw DiskError(error, doing: "seeking data") }
        // Whole sectors: a hole of the host file may begin inside one.
        let sector = UInt64(stack.geometry.logicalSectorByteCount)
        let dataStart = (data.lowerBound &- delta).roundedDown(to: sector)
        if dataStart > rest.lowerBound { return zeros(rest.lowerBound..<min(dataStart, rest.upperBound)) }
        let dataEnd = min((data.upperBound &- delta).roundedUp(to: sector), rest.upperBound)
        return stored(mapped.file, rest.lowerBound..<dataEnd, delta)
    }

    private func zeros(_ range: Range<UInt64>) -> Piece {
        let unit = Self.largestZero
        return Piece(
            source: .zero, range: range.lowerBound..<min(range.upperBound, (range.lowerBound / unit + 1) * unit))
    }

    /// The first piece of a run that stands in a file at disk offset + `delta`.
    private func stored(_ file: any BlockFile, _ range: Range<UInt64>, _ delta: UInt64) -> Piece {
        let canShare =
            shareDevice != nil && file.hostFile?.identity.device == shareDevice && delta % Self.shareUnit == 0
        let start = range.lowerBound
        if canShare, start % Self.shareUnit == 0, range.upperBound - start >= Self.shareUnit {
            let end = min(
                range.upperBound.roundedDown(to: Self.shareUnit), (start / Self.largestShare + 1) * Self.largestShare)
            return Piece(source: .share(file, offset: start &+ delta), range: start..<end)
        }
        // Up to a multiple, so that the pieces that follow are aligned.
        let unit = canShare ? Self.shareUnit : Self.copyByteCount
        let end = min(range.upperBound, (start / unit + 1) * unit)
        return Piece(source: .copy(file, offset: start &+ delta), range: start..<end)
    }

    /// The part of a file's range that comes first and may hold other bytes than zeros; empty at its end when there is none.
    private mutating func dataRange(of file: any BlockFile, _ range: Range<UInt64>) throws(IOError) -> Range<UInt64> {
        let name = ObjectIdentifier(file)
        if let known = known[name], known.contains(range.lowerBound) {
            return range.lowerBound..<min(range.upperBound, known.upperBound)
        }
        guard let data = try file.data(from: range.lowerBound), data.lowerBound < range.upperBound else {
            return range.upperBound..<range.upperBound
        }
        known[name] = data
        return data.clamped(to: range)
    }
}

/// Stands for the target of a merge below its links: says of everything that it is not theirs.
private final class Ground: DiskLayer {
    let file: any BlockFile
    let format: ImageFormat
    let type = ImageType.fixed
    let geometry: DiskGeometry
    let identity: DiskIdentity
    let parentLink: ParentLink? = nil
    let findings: [Finding] = []
    let hasReplayedLog = false

    init(below layer: any DiskLayer, byteCount: UInt64) {
        (file, format, identity) = (layer.file, layer.format, layer.identity)
        var geometry = layer.geometry
        geometry.virtualByteCount = byteCount
        self.geometry = geometry
    }

    func extents(in range: Range<UInt64>, limit: Int) throws(DiskError) -> [Extent] {
        [Extent(offset: range.lowerBound, byteCount: range.upperBound - range.lowerBound, source: .hole)]
    }
}
