import BlockIO
import ByteCodec
import DiskModel
import Testing

@testable import VHDX

/// A good image and one corruption of it, with what a checker has to say and what a repair has to do.
struct Planted: Sendable, CustomTestStringConvertible {
    /// What the disk shows after the repair.
    enum Outcome: Sendable {
        /// What the corrupt image showed; a reader must have been able to show it.
        case asBefore
        /// What the good image shows.
        case asGood
        /// What the good image shows, with zeros (the parent, in a child) over this range.
        case without(Range<UInt64>)
    }
    struct Mending: Sendable {
        var kind: RepairKind
        var outcome: Outcome
    }

    var name: String
    var code: FormatError.Code
    var severity: Finding.Severity
    var offset: UInt64
    var base: GoodImage.Kind
    var isDeep = false
    /// Each repair that mends it; empty: none does.
    var mendings: [Mending] = []
    /// Other errors that cannot but show, with the reason.
    var otherErrors: [FormatError.Code: String] = [:]
    /// Whether a reader that accepts nothing opens the corrupt image.
    var isReadable: Bool
    var corrupt: @Sendable (inout TinyImage) throws -> Void
    var testDescription: String { name }

    init(
        _ code: FormatError.Code, _ severity: Finding.Severity, _ name: String, at offset: UInt64,
        in base: GoodImage.Kind = .dynamic, isDeep: Bool = false, isReadable: Bool? = nil, _ mendings: [Mending] = [],
        _ corrupt: @escaping @Sendable (inout TinyImage) throws -> Void
    ) {
        (self.name, self.code, self.severity, self.offset) = ("\(code) \(name)", code, severity, offset)
        (self.base, self.isDeep, self.mendings, self.corrupt) = (base, isDeep, mendings, corrupt)
        self.isReadable = isReadable ?? (severity != .error)
    }

    func but(_ code: FormatError.Code, _ reason: String) -> Planted {
        var copy = self
        copy.otherErrors[code] = reason
        return copy
    }

    func image() throws -> TinyImage {
        var image = try GoodImage.make(base)
        try corrupt(&image)
        return image
    }
}

extension Planted.Mending {
    static func same(_ kind: RepairKind) -> Self { Self(kind: kind, outcome: .asBefore) }
    static func good(_ kind: RepairKind) -> Self { Self(kind: kind, outcome: .asGood) }
    static func without(_ kind: RepairKind, _ range: Range<UInt64>) -> Self {
        Self(kind: kind, outcome: .without(range))
    }
}

/// Small images with data, of each kind, in which the checker finds nothing.
enum GoodImage {
    enum Kind: String, Sendable, CaseIterable {
        case dynamic, fixed, differencing
        /// Fixed, with a last block that the disk does not fill.
        case fixedOdd
    }

    static let diskByteCount: UInt64 = 8 << 20
    static let oddByteCount: UInt64 = (7 << 20) + (1 << 19)
    static let block: UInt64 = 1 << 20
    static func byteCount(_ kind: Kind) -> UInt64 { kind == .fixedOdd ? oddByteCount : diskByteCount }

    static func make(_ kind: Kind) throws -> TinyImage {
        switch kind {
        case .fixed, .fixedOdd:
            var image = try TinyImage(type: .fixed, byteCount: byteCount(kind))
            for place: UInt64 in [0, 2, 5, 7] { fill(&image, (4 + place) << 20, UInt8(place + 1)) }
            return image
        case .dynamic:
            var image = try TinyImage(byteCount: diskByteCount)
            for place: UInt64 in [0, 2, 7] { image.setEntry(place, data(&image, UInt8(place + 1)) | 6) }
            image.setEntry(3, 2)
            image.setEntry(5, 3)
            return image
        case .differencing:
            var image = try TinyImage(byteCount: diskByteCount)
            image.makeDifferencing()
            image.setEntry(0, data(&image, 1) | 6)
            image.setEntry(1, data(&image, 2) | 7)
            image.setEntry(4, 2)
            let bitmap = image.append([], count: 1 << 20)
            // The first eight sectors, and the last four, of block 1.
            image.put([0xff], at: bitmap + 256)
            image.put([0xf0], at: bitmap + 511)
            image.setEntry(4096, bitmap | 6)
            return image
        }
    }

    /// Places of the blocks of the dynamic and the differencing image.
    static let firstData: UInt64 = 4 << 20
    static let bitmap: UInt64 = 6 << 20

    private static func data(_ image: inout TinyImage, _ value: UInt8) -> UInt64 {
        let offset = image.append([], count: block)
        fill(&image, offset, value)
        return offset
    }

    /// The first and the last 4096 bytes of a block, all of one value, with the sector's number in their midst.
    private static func fill(_ image: inout TinyImage, _ offset: UInt64, _ value: UInt8) {
        for start in [offset, offset + block - 4096] {
            var bytes = [UInt8](repeating: value, count: 4096)
            for sector in 0..<8 { bytes[sector * 512 + 100] = UInt8(sector) }
            image.put(bytes, at: start)
        }
    }

    /// Sums of the sectors of the disk that are not all zeros, zeros for the parent's; nil when a reader that accepts
    /// nothing cannot show it all.
    static func view(_ contents: MemoryFile.Contents, zeroing range: Range<UInt64> = 0..<0) -> [UInt64: UInt32]? {
        guard let layer = try? VHDXLayer(reading: MemoryFile(contents)), (try? layer.census()) != nil,
            let extents = try? layer.extents(in: 0..<layer.geometry.virtualByteCount, limit: 10_000)
        else { return nil }
        var sums: [UInt64: UInt32] = [:]
        for extent in extents {
            guard case .file(let start) = extent.source else { continue }
            var position = start
            let end = start + extent.byteCount
            while position < end {
                guard let data = try? layer.file.data(from: position), data.lowerBound < end else { break }
                position = max(position, data.lowerBound.roundedDown(to: 512))
                let count = min(end, data.upperBound.roundedUp(to: 512), position + 65536) - position
                guard let bytes = try? layer.file.bytes(at: position, count: Int(count)) else { return nil }
                if !isZero(bytes.rawBytes) { add(bytes, at: extent.offset + (position - start), &sums) }
                position += count
            }
        }
        return sums.filter { !range.contains($0.key * 512) }
    }

    private static func add(_ bytes: [UInt8], at offset: UInt64, _ sums: inout [UInt64: UInt32]) {
        for at in stride(from: 0, to: bytes.count, by: 512) {
            let sector = bytes.rawBytes.extracting(at..<min(at + 512, bytes.count))
            if !isZero(sector) { sums[(offset + UInt64(at)) / 512] = crc32c(sector) }
        }
    }
}
