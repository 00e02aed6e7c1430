/// Logs to begin with, made by hand after docs/formats/hrl.md and not by our writer: one of each kind.
public struct HRLSample: Sendable {
    public private(set) var file = SectorFile(byteCount: 4096)
    public private(set) var blockOffsets: [UInt64] = []
    public private(set) var entryOffsets: [UInt64] = []
    public let metadataSize: UInt32
    private var position: UInt64 = 4096
    private var writeCount: UInt64 = 0

    public static let kindCount = 13
    /// Made once.
    static let all = (0..<kindCount).map { HRLSample(kind: $0) }

    public init(kind: Int) {
        switch kind {
        case 0: self = Self.workedExample()
        case 1: self = Self.rounds(metadataSize: 512, [[], Array(repeating: 512, count: 15), [4096], [512, 1024]])
        case 2: self = Self.rounds(metadataSize: 4096, [[512, 4096], [8192], [512, 512, 512]])
        case 3: self = Self.rounds(metadataSize: 512, [[512], [1024, 100], [7]], slack: 3)
        case 4: self = Self.rounds(metadataSize: 544, [[], [512, 512], [1024]])
        case 5: self = Self.rounds(metadataSize: 1024, [[], [512, 100], [4096, 512]], hasChecksums: true)
        case 6: self = Self.rounds(metadataSize: 512, [[], [512], [512, 2048]], version: 0x0001_0000)
        case 7: self = Self.rounds(metadataSize: 512, [[], [512, 512], [1024], [512]], isClosed: false, tail: 5000)
        case 8: self = Self.rounds(metadataSize: 512, [[], [1 << 31, 512], [1 << 30, 1 << 31]])
        case 9: self = Self.rounds(metadataSize: 4096, [])
        case 10: self = Self.rounds(metadataSize: 8192, [[], [512], [], [512]], tail: 700)
        case 11: self = Self.forged(isClosed: false)
        default: self = Self.forged(isClosed: true)
        }
    }

    private init(metadataSize: UInt32) { self.metadataSize = metadataSize }

    private static func rounds(
        metadataSize: UInt32, _ rounds: [[UInt64]], slack: UInt64 = 0, hasChecksums: Bool = false,
        version: UInt32 = 0x0002_0000, isClosed: Bool = true, tail: UInt64 = 0
    ) -> HRLSample {
        var sample = HRLSample(metadataSize: metadataSize)
        for (index, lengths) in rounds.enumerated() {
            let writes = lengths.enumerated().map { slot, length in
                (offset: UInt64(index * 16 + slot) << 33, length: length, time: UInt32(1000 + index))
            }
            sample.append(writes, slack: slack, hasChecksums: hasChecksums)
        }
        sample.finish(version: version, isClosed: isClosed, times: (1000, 1000 + UInt32(rounds.count)))
        sample.file.resize(to: sample.position + tail)
        return sample
    }

    /// The data of a write holds what would be a block if it stood in the chain: there are two possible ends.
    private static func forged(isClosed: Bool) -> HRLSample {
        var sample = HRLSample(metadataSize: 512)
        sample.append([])
        let start = sample.position
        sample.append([(offset: 0, length: 512, time: 1000)])
        let forgery = sample.file.read(start + 512, 512)
        sample.position = start
        sample.blockOffsets.removeLast()
        sample.entryOffsets.removeLast()
        sample.writeCount = 0
        sample.file.resize(to: start)
        sample.append([(offset: 0, length: 2048, time: 1000)])
        sample.file.write(forgery, at: start + 512)
        sample.append([(offset: 4096, length: 512, time: 1001)])
        sample.finish(version: 0x0002_0000, isClosed: isClosed, times: (1000, 1001))
        return sample
    }

    /// One round: data, then its block.
    private mutating func append(
        _ writes: [(offset: UInt64, length: UInt64, time: UInt32)], slack: UInt64 = 0, hasChecksums: Bool = false
    ) {
        var entries: [UInt8] = []
        for write in writes {
            writeCount += 1
            let filler = UInt8(truncatingIfNeeded: writeCount)
            // Longer data is left a hole.
            let data = [UInt8](repeating: filler, count: write.length <= 16384 ? Int(write.length) : 0)
            file.write(data, at: position)
            let sum = hasChecksums ? ~UInt32(truncatingIfNeeded: UInt64(filler) * UInt64(data.count)) : 0
            var entry = little(write.offset, 8) + little(0, 4) + little(write.length, 4) + little(UInt64(write.time), 4)
            entry += [1] + little(UInt64(sum), 4) + [UInt8](repeating: 0, count: 7)
            entries += entry
            position += write.length
        }
        position += slack
        let back = blockOffsets.last.map { position - $0 } ?? 0
        let head = little(back, 8) + little(UInt64(writes.count), 4) + [UInt8](repeating: 0, count: 20)
        file.write(head + entries, at: position)
        file.resize(to: position + UInt64(metadataSize))
        blockOffsets.append(position)
        file.seal(position, 32, at: 12)
        for slot in writes.indices {
            entryOffsets.append(position + 32 + 32 * UInt64(slot))
            file.seal(entryOffsets[entryOffsets.count - 1], 32, at: 8)
        }
        position += UInt64(metadataSize)
    }

    private mutating func finish(version: UInt32, isClosed: Bool, times: (created: UInt32, modified: UInt32)) {
        let end = isClosed ? position : 0
        var header = Array("msctlog ".utf8) + little(UInt64(version), 4) + little(UInt64(times.created), 4)
        header += Array("ct  ".utf8) + little(0x000A_0000, 4) + little(0, 8) + little(end, 8) + little(0, 4)
        header += little(end, 8) + little(0, 4) + little(UInt64(metadataSize), 4)
        header += [UInt8](1...16) + [UInt8](17...32) + little(UInt64(times.modified), 4)
        header += little(isClosed ? writeCount : 0, 8)
        file.write(header, at: 0)
        file.seal(0, 4096, at: 40)
    }

    /// The specification's, with holes for its data.
    private static func workedExample() -> HRLSample {
        var sample = HRLSample(metadataSize: 4096)
        sample.append([])
        // Offset and length in sectors.
        let writes: [(UInt64, UInt64)] = [
            (7_082_712, 8), (15_677_512, 8), (7_226_168, 8), (7_228_136, 8), (8_031_024, 8), (272_396, 4),
            (288_940, 4), (15_220_008, 8), (7_226_232, 8), (7_246_056, 8), (7_270_592, 8), (7_082_704, 8),
            (15_220_024, 8), (7_226_368, 8), (7_293_808, 8), (7_226_480, 24), (7_299_440, 8), (7_312_400, 8),
            (270_814, 1), (271_599, 1), (7_338_848, 16), (7_343_888, 8), (264_192, 2), (7_366_312, 16),
            (7_366_336, 8), (270_814, 1), (271_599, 1), (7_371_616, 32), (7_371_696, 8), (7_371_800, 8),
            (7_082_840, 16), (7_377_024, 8), (7_408_096, 16), (7_082_720, 8), (7_408_488, 16), (7_408_552, 8),
            (7_181_503, 1), (7_408_696, 8), (7_411_104, 8), (7_175_260, 61), (7_082_848, 8), (7_175_321, 61),
            (7_082_720, 8), (7_082_848, 8), (7_216_616, 8), (7_227_448, 16), (7_082_720, 8), (7_235_520, 8),
            (7_299_424, 16), (7_409_160, 8), (19_898_800, 8), (7_087_632, 8), (7_082_840, 8), (7_082_696, 8),
            (7_087_640, 8), (7_082_712, 16), (7_082_704, 8), (7_082_696, 8),
        ]
        let round = writes.enumerated().map { index, write in
            (offset: write.0 * 512, length: write.1 * 512, time: UInt32(539_842_381 + (index < 22 ? 0 : 1)))
        }
        sample.append(round)
        sample.finish(version: 0x0002_0000, isClosed: true, times: (539_842_380, 539_842_384))
        return sample
    }
}

func little(_ value: UInt64, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
}
