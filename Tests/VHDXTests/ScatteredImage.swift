import BlockIO
import ByteCodec
import DiskModel
import FaultInjection

@testable import VHDX

/// An image with everything in it, anywhere in the file, and gaps with bytes of former times between.
struct ScatteredImage {
    enum Kind: CaseIterable {
        case data, zeros
        /// Partially present, with and without a sector in the file.
        case partial, empty
    }
    private enum Piece { case metadata, table, unknown, log, payload(UInt64), bitmap(UInt64) }

    private(set) var image: TinyImage
    /// What compaction cannot give up, the start of the file included.
    private(set) var usedByteCount: UInt64 = 1 << 20
    /// Where the log ends, which does not move.
    private(set) var logEnd: UInt64 = 2 << 20
    private(set) var table: UInt64 = 0
    /// Blocks that have space, with what they hold.
    private(set) var blocks: [UInt64: Kind] = [:]
    private let block: UInt64
    private let perChunk: UInt64
    private var random: SplitMix
    private var entries: [(index: UInt64, value: UInt64)] = []

    static let unknownRegion = GUID(42, 42, 42, 42)
    static let unknownBytes = [UInt8](repeating: 0x55, count: 20_000)

    /// - Parameters:
    ///   - count: blocks with space: the disk's first ones, and its last ones, which are in the second chunk.
    ///   - kinds: what these hold, in order; else by chance.
    init(
        seed: UInt64, count: UInt64 = 6, blockByteCount: UInt64 = 1 << 20, isDifferencing: Bool = false,
        movesLog: Bool = false, kinds: [Kind] = []
    ) throws {
        random = SplitMix(seed: seed)
        block = blockByteCount
        perChunk = (4 << 30) / block
        image = try TinyImage(byteCount: (4 << 30) + 16 * block - 1024, blockByteCount: block)
        if isDifferencing { image.makeDifferencing() }
        for number in 0..<count {
            let known = number < kinds.count ? kinds[Int(number)] : Kind.allCases.randomElement(using: &random)!
            let kind = isDifferencing ? known : known == .partial ? .data : known == .empty ? .zeros : known
            blocks[number < count / 2 ? number : perChunk + 16 - count + number] = kind
        }
        var pieces: [Piece] = [.metadata, .table, .unknown] + blocks.keys.sorted().map { .payload($0) }
        if movesLog { pieces.append(.log) }
        if isDifferencing { pieces += [.bitmap(0), .bitmap(1)] }
        pieces.shuffle(using: &random)
        place(pieces, movesLog)
        let states: [UInt64] = [2, 1, 3, 5 << 20 | 3, 6 << 20 | 1, 1 << 40 | 3, 0]
        for (index, value) in states.enumerated() { entries.append((count / 2 + UInt64(index), value)) }
        for entry in entries { image.put(entry.value, at: table + 8 * entry.index) }
    }

    private mutating func place(_ pieces: [Piece], _ movesLog: Bool) {
        let old = image
        image.contents.resize(to: 1 << 20)
        image.contents.resize(to: movesLog ? 1 << 20 : 2 << 20)
        if !movesLog { usedByteCount += 1 << 20 }
        for piece in pieces {
            let gap = UInt64.random(in: 0...2, using: &random)
            if gap > 0 { _ = image.append([UInt8](repeating: 0xee, count: 8192), count: gap << 20) }
            switch piece {
            case .metadata:
                image.inRegionTables(48 + 16, claim(old.bytes(TinyImage.metadata, 1 << 20)))
            case .table:
                table = claim([])
                image.inRegionTables(16 + 16, table)
            case .unknown:
                image.addRegion(Self.unknownRegion, claim(Self.unknownBytes), 1 << 20, required: false)
            case .log:
                let at = claim([])
                image.inHeaders(72, at)
                logEnd = at + (1 << 20)
            case .payload(let number): placeBlock(number)
            case .bitmap(let chunk): placeBitmap(chunk)
            }
        }
    }

    /// Space that stays in use.
    private mutating func claim(_ bytes: [UInt8], count: UInt64 = 1 << 20) -> UInt64 {
        usedByteCount += count
        return image.append(bytes, count: count)
    }

    private mutating func placeBlock(_ number: UInt64) {
        let kind = blocks[number]!
        let isKept = kind == .data || kind == .partial
        let at = isKept ? claim([], count: block) : image.append([], count: block)
        if isKept {
            image.put(random.bytes(1536), at: at)
            for _ in 0..<3 {
                image.put(random.bytes(512), at: at + 512 * UInt64.random(in: 8..<block / 512 - 2, using: &random))
            }
        }
        // What stands behind the disk's end, and in sectors that are not in the file, does not count.
        if kind == .empty { image.put(random.bytes(1024), at: at + 4096) }
        if number == perChunk + 15 { image.put(random.bytes(1024), at: at + block - 1024) }
        entries.append((number + number / perChunk, at | (kind == .partial || kind == .empty ? 7 : 6)))
    }

    /// Two sectors of each partially present block, and bits behind the disk's end.
    private mutating func placeBitmap(_ chunk: UInt64) {
        let perBlock = Int(block / 4096)
        var bits = [UInt8].zeros(1 << 20)
        let partial = blocks.filter { $0.key / perChunk == chunk && $0.value == .partial }.keys
        for number in partial { bits[Int(number % perChunk) * perBlock] = 0x05 }
        if chunk == 1 { bits[16 * perBlock - 1] |= 0xc0 }
        let at = partial.isEmpty ? image.append(bits) : claim(bits)
        entries.append((chunk * (perChunk + 1) + perChunk, at | 6))
    }

    var contents: MemoryFile.Contents { image.contents }
    /// Where the file ends when all gaps are of use.
    var smallestByteCount: UInt64 { max(usedByteCount, logEnd) }
}
