/// A log made from a sample by a few changes, which bytes name: what fuzzing and the tests invent.
///
/// The first bytes say: 0 the sample (200 and more: the rest of the input is the file itself); 1 flags; 2 the codes to
/// accept; 3 the size of the disk. Each four after them are one change. Flags: 1, 2 and 4 put right the checksums of the
/// header, of the blocks on the chain from the end, and of their entries; 8 gives the size of a disk; 16 takes the end of
/// the log away.
public struct HRLRecipe {
    public private(set) var file: SectorFile
    public private(set) var diskByteCount: UInt64?
    public private(set) var accepted: Set<String> = []

    static let acceptableCodes = ["HRL003", "HRL012", "HRL015", "HRL016", "HRL024", "HRL017", "HRL008", "HRL002"]
    private static let maximumChangeCount = 16

    private var sample: HRLSample?
    private var endOfSample: UInt64

    /// Nil for inputs too short to have a head.
    public init?(_ input: [UInt8]) {
        guard input.count >= 4 else { return nil }
        let flags = input[1]
        for (bit, code) in Self.acceptableCodes.enumerated() where input[2] >> UInt8(bit) & 1 != 0 {
            accepted.insert(code)
        }
        let rest = Array(input[4...])
        if input[0] >= 200 {
            file = SectorFile(rest)
            endOfSample = file.byteCount
        } else {
            let sample = HRLSample.all[Int(input[0]) % HRLSample.kindCount]
            (self.sample, file) = (sample, sample.file)
            endOfSample = sample.blockOffsets.last.map { $0 + UInt64(sample.metadataSize) } ?? 4096
            for start in stride(from: 0, to: min(rest.count, 4 * Self.maximumChangeCount) - 3, by: 4) {
                change(Array(rest[start..<start + 4]))
            }
        }
        guard file.byteCount >= 4096 else { return }
        if flags & 16 != 0 { file.write(little(0, 8), at: 44) }
        if flags & 6 != 0 { correctBlocks(headers: flags & 2 != 0, entries: flags & 4 != 0) }
        if flags & 1 != 0 { file.seal(0, 4096, at: 40) }
        if flags & 8 != 0 { diskByteCount = diskSize(input[3]) }
    }

    /// Offsets and lengths of the header's fields.
    private static let headerFields: [(Int, Int)] = [
        (0, 1), (6, 1), (7, 1), (8, 4), (8, 1), (10, 1), (12, 4), (16, 4), (24, 8), (32, 8), (40, 4), (44, 8), (44, 8),
        (52, 4), (56, 4), (56, 4), (60, 8), (68, 8), (76, 8), (92, 4), (96, 8), (104, 4), (108, 2), (110, 8), (126, 1),
        (4095, 1),
    ]
    private static let blockFields: [(Int, Int)] = [(0, 8), (0, 8), (8, 4), (8, 4), (12, 4), (16, 1), (31, 1)]
    private static let entryFields: [(Int, Int)] = [
        (0, 8), (0, 8), (8, 4), (12, 4), (12, 4), (16, 4), (20, 1), (21, 4), (25, 1), (26, 1), (31, 1),
    ]

    /// What, which one, field, and value.
    private mutating func change(_ bytes: [UInt8]) {
        guard let sample else { return }
        let which = Int(bytes[1])
        switch bytes[0] % 8 {
        case 0, 1: change(Self.headerFields, of: 0, bytes)
        case 2, 3:
            guard !sample.blockOffsets.isEmpty else { return }
            change(Self.blockFields, of: sample.blockOffsets[which % sample.blockOffsets.count], bytes)
        case 4, 5:
            guard !sample.entryOffsets.isEmpty else { return }
            change(Self.entryFields, of: sample.entryOffsets[which % sample.entryOffsets.count], bytes)
        case 6:
            let size = changed(file.byteCount, around: endOfSample, by: bytes[3])
            if size <= 1 << 40 { file.resize(to: size) }
        default: changeBytes(which, bytes)
        }
    }

    private mutating func change(_ fields: [(Int, Int)], of start: UInt64, _ bytes: [UInt8]) {
        let (offset, count) = fields[Int(bytes[2]) % fields.count]
        let place = start + UInt64(offset)
        guard place + 8 <= file.byteCount else { return }
        let old = file.read(place, count).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        file.write(little(changed(old, around: start, by: bytes[3]), count), at: place)
    }

    /// One byte anywhere in the sectors that hold something, a sector copied to the place of another, an entry made
    /// empty, or the log's identity spoilt.
    private mutating func changeBytes(_ which: Int, _ bytes: [UInt8]) {
        let held = file.sectors.keys.sorted()
        guard let sample, !held.isEmpty else { return }
        let source = held[which % held.count] * 512
        switch bytes[0] >> 3 % 4 {
        case 0:
            let target = held[Int(bytes[2]) % held.count] * 512
            guard target + 512 <= file.byteCount else { return }
            file.write(file.read(source, 512), at: target)
        case 1:
            guard !sample.entryOffsets.isEmpty else { return }
            let place = sample.entryOffsets[which % sample.entryOffsets.count]
            if place + 32 <= file.byteCount { file.write([UInt8](repeating: 0, count: 32), at: place) }
        case 2:
            guard file.byteCount >= 4096 else { return }
            file.write(bytes[3] % 2 == 0 ? [UInt8](repeating: 0, count: 16) : file.read(76, 16), at: 60)
        default:
            let place = source + UInt64(bytes[2]) * 2 + UInt64(bytes[1] & 1)
            if place < file.byteCount { file.write([bytes[3]], at: place) }
        }
    }

    /// A number near to one that a bound is about.
    private func changed(_ old: UInt64, around start: UInt64, by selector: UInt8) -> UInt64 {
        let size = UInt64(sample?.metadataSize ?? 4096)
        let steps: [UInt64] = [1, 31, 32, 512, 4095, 4096, 4097, size - 1, size, size + 1]
        let bounds: [UInt64] = [
            0, 1, 15, 16, 32, 127, 128, 480, 512, 544, 4096, 4096 + size, size, start, start &- 4096, file.byteCount,
            1 << 24,
            1 << 31, 1 << 32 - 1, 1 << 46, 1 << 63, 0x0001_0000, 0x0002_0000, 0x0000_0200, 0x0003_0000, 0x0002_0001,
        ]
        let choice = Int(selector)
        if choice < 2 * steps.count {
            return choice % 2 == 0 ? old &+ steps[choice / 2] : old &- steps[choice / 2]
        }
        let rest = choice - 2 * steps.count
        if rest < 5 * bounds.count {
            let offsets: [UInt64] = [0, 1, .max, 512, UInt64(0) &- 512]
            return bounds[rest / 5] &+ offsets[rest % 5]
        }
        return old ^ 1 << UInt64(rest % 64)
    }

    /// Puts right the checksums along the chain from the end of the log.
    private mutating func correctBlocks(headers: Bool, entries: Bool) {
        let size = UInt64(word(file.read(56, 4), 0))
        let stated = long(file.read(44, 8), 0)
        let end = stated == 0 || stated > file.byteCount ? endOfSample : stated
        guard size >= 64, size <= 65536, end >= size + 4096 else { return }
        var offset = end - size
        for _ in 0..<16 {
            guard offset >= 4096, offset + size <= file.byteCount else { return }
            let valid = min(UInt64(word(file.read(offset + 8, 4), 0)), (size - 32) / 32)
            for slot in 0..<valid where entries {
                let place = offset + 32 + 32 * slot
                file.seal(place, 32, at: 8)
            }
            if headers { file.seal(offset, 32, at: 12) }
            let back = long(file.read(offset, 8), 0)
            guard back > 0, back < offset else { return }
            offset -= back
        }
    }

    /// Around the end of the last entry's write, or anything.
    private func diskSize(_ selector: UInt8) -> UInt64 {
        let entries = sample?.entryOffsets.suffix(3).map { file.read($0, 32) } ?? []
        let ends = entries.map { long($0, 0) &+ UInt64(word($0, 12)) }
        guard !ends.isEmpty, selector < 240 else { return UInt64(selector) << 36 }
        let offsets: [UInt64] = [0, 1, .max, 512, UInt64(0) &- 512]
        return ends[Int(selector) % ends.count] &+ offsets[Int(selector / 3) % offsets.count]
    }
}
