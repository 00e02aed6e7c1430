import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Synchronization
import Testing
import VHD

/// Everything a power cut can leave of a session of writing into a child: it opens, holds what was flushed, and shows in
/// every sector its own bytes, old or new, or the parent's where it had none.
@Suite struct DifferencingPowerCutTests {
    /// A parent shorter than the child.
    static func parent(_ contents: MemoryFile.Contents) throws -> VHDLayer {
        let byteCount = try VHDLayer(reading: MemoryFile(contents)).geometry.virtualByteCount
        return try parentLayer(parentBytes(Int(byteCount) - 1024))
    }

    static func images() -> [MemoryFile.Contents] {
        [
            newChild(20 * 4096 + 512, block: 4096), MemoryFile.Contents(oldChild().bytes),
            newChild(40 * 512, block: 512),
            newChild(40 * 512, block: 1024),
        ]
    }

    @Test func nothingIsLost() throws {
        var total = PowerCutTests.Counts()
        for seed in UInt64(1)...3 {
            for initial in Self.images() {
                let parent = try Self.parent(initial)
                let session = try PowerCutTests.session(initial, seed: seed, steps: 40, parent: parent)
                let counts = PowerCutTests.count(session, imageLimit: 48, seed: seed, parent: parent)
                #expect(counts.unreadable == 0 && counts.lost == 0 && counts.stray == 0, "seed \(seed): \(counts)")
                total.images += counts.images
                total.unreadable += counts.unreadable
                total.lost += counts.lost + counts.stray
            }
        }
        print(
            "DifferencingPowerCutTests: \(total.images) images, unreadable \(total.unreadable), lost \(total.lost)")
    }

    // MARK: Broken controls

    /// A file that leaves out the first flush of each `flush`: bitmaps and table go before the payload is durable.
    @Test func bitmapsBeforePayloadAreCaught() throws {
        for (index, initial) in Self.images().enumerated() {
            let parent = try Self.parent(initial)
            let session = try PowerCutTests.session(initial, seed: 3, steps: 40, parent: parent, dropsPayloadSync: true)
            let counts = PowerCutTests.count(session, imageLimit: 64, seed: 3, parent: parent)
            print(
                "DifferencingPowerCutTests: control \(index) without payload flushes: "
                    + "\(counts.stray) sectors stray in \(counts.images) images")
            #expect(counts.stray > 0)
        }
    }

    /// The first sector of every block of 1024 bytes, with a flush after each. The bitmap of every block that is the first
    /// in newly reserved space comes to stand where the old footer stood, whose second bit is set.
    static func firstSectors(_ initial: MemoryFile.Contents, _ parent: VHDLayer) throws -> PowerCutTests.Session {
        let before = try contents(try VHDLayer(reading: MemoryFile(initial)), parent: parent)
        var history = (0..<before.count / 512).map { [(flushes: 0, value: before[$0 * 512])] }
        let file = RecordingFile(initial)
        let disk = try VHDLayer(writing: file)
        for block in 0..<before.count / 1024 {
            try disk.write([UInt8](repeating: UInt8(block + 1), count: 512).rawBytes, at: UInt64(block) * 1024)
            history[2 * block].append((block, UInt8(block + 1)))
            try disk.flush()
            file.mark(block + 1)
        }
        return PowerCutTests.Session(recording: file.recording, history: history)
    }

    @Test func bitmapsWhereFootersStood() throws {
        let initial = newChild(40 * 512, block: 1024)
        let parent = try Self.parent(initial)
        var session = try Self.firstSectors(initial, parent)
        let counts = PowerCutTests.count(session, imageLimit: 64, seed: 1, parent: parent)
        #expect(counts.unreadable == 0 && counts.lost == 0 && counts.stray == 0, "\(counts)")
        // A file that does not zero.
        session.recording.operations.removeAll { if case .zero = $0 { true } else { false } }
        let control = PowerCutTests.count(session, imageLimit: 64, seed: 1, parent: parent)
        print(
            "DifferencingPowerCutTests: control without zeroing: "
                + "\(control.stray) sectors stray in \(control.images) images")
        #expect(control.stray > 0)
    }

    /// A writer that acknowledges what it has not flushed.
    @Test func missingFlushesAreCaught() throws {
        let initial = newChild(20 * 4096 + 512, block: 4096)
        let parent = try Self.parent(initial)
        var session = try PowerCutTests.session(initial, seed: 2, steps: 40, parent: parent)
        session.recording.operations.removeAll { if case .sync = $0 { true } else { false } }
        let counts = PowerCutTests.count(session, imageLimit: 64, seed: 2, parent: parent)
        print("DifferencingPowerCutTests: control without flushes: lost \(counts.lost) sectors")
        #expect(counts.lost > 0)
    }

    // MARK: Large blocks

    /// Sectors of a block of 16 MiB at the edges of its eight bitmap sectors, which are torn each by itself.
    static let edges: [Range<UInt64>] = [
        0..<1, 4090..<4100, 8191..<8193, 12288..<12290, 20000..<20001, 32766..<32770, 36863..<36866,
    ]

    struct Edge {
        var flushes: Int
        var value: UInt8
    }

    /// Two rounds over the edges, with a flush after each; the second zeroes some of them.
    static func largeSession(dropsPayloadSync: Bool = false) throws -> (RecordingFile.Recording, [UInt64: [Edge]]) {
        let file = RecordingFile(newChild(20 << 20, block: 16 << 20))
        let dropping = DroppingFile(file)
        let disk = try VHDLayer(writing: dropping)
        var history: [UInt64: [Edge]] = [:]
        for round in 0..<2 {
            for (index, sectors) in edges.enumerated() where round == 0 || index % 2 == 0 {
                let range = sectors.lowerBound * 512..<sectors.upperBound * 512
                let value = index % 4 == 2 && round == 1 ? 0 : UInt8(index + 1 + 16 * round)
                if value == 0 {
                    try disk.writeZeroes(range)
                } else {
                    let bytes = [UInt8](repeating: value, count: range.count)
                    try disk.write(bytes.rawBytes, at: range.lowerBound)
                }
                for sector in sectors { history[sector, default: []].append(Edge(flushes: round, value: value)) }
            }
            if dropsPayloadSync { dropping.dropNextSync() }
            try disk.flush()
            file.mark(round + 1)
        }
        return (file.recording, history)
    }

    static func countLarge(_ recording: RecordingFile.Recording, _ history: [UInt64: [Edge]]) -> PowerCutTests.Counts {
        var counts = PowerCutTests.Counts()
        let probes = Set(history.keys).union(edges.flatMap { [$0.lowerBound &- 1, $0.upperBound] }).filter {
            $0 < 40960
        }
        // 0 to 2 sectors of the parent are distinguished from what is written by a byte of their own.
        let parent: UInt8 = 0xee
        PowerCuts(recording, imageLimit: 96, seed: 7).forEachImage { image in
            counts.images += 1
            do {
                let layer = try VHDLayer(reading: MemoryFile(image.contents))
                let acknowledged = image.marks.last ?? 0
                for sector in probes {
                    let range = sector * 512..<sector * 512 + 512
                    let isParent = try layer.extents(in: range, limit: 1)[0].source == .parent
                    let found = isParent ? [UInt8](repeating: parent, count: 512) : try contents(layer, range)
                    let values = [Edge(flushes: 0, value: parent)] + (history[sector] ?? [])
                    let floor = values.lastIndex { $0.value != parent && $0.flushes < acknowledged } ?? 0
                    guard found.allSatisfy({ $0 == found[0] }), values.contains(where: { $0.value == found[0] }) else {
                        counts.stray += 1
                        continue
                    }
                    if !values[floor...].contains(where: { $0.value == found[0] }) { counts.lost += 1 }
                }
            } catch { counts.unreadable += 1 }
        }
        return counts
    }

    @Test func bitmapsOfSeveralSectors() throws {
        let (recording, history) = try Self.largeSession()
        let counts = Self.countLarge(recording, history)
        print("DifferencingPowerCutTests: 16 MiB blocks: \(counts.images) images, unreadable \(counts.unreadable)")
        #expect(counts.unreadable == 0 && counts.lost == 0 && counts.stray == 0, "\(counts)")
        let (broken, brokenHistory) = try Self.largeSession(dropsPayloadSync: true)
        let control = Self.countLarge(broken, brokenHistory)
        print("DifferencingPowerCutTests: 16 MiB blocks: control: \(control.stray) sectors stray")
        #expect(control.stray > 0)
    }
}

/// For broken controls: a file that answers a sync without passing it on when it is told to.
final class DroppingFile: BlockFile {
    private let base: RecordingFile
    private let drops = Mutex(false)
    init(_ base: RecordingFile) { self.base = base }

    func dropNextSync() { drops.withLock { $0 = true } }

    var path: String { base.path }
    func byteCount() -> UInt64 { base.byteCount() }
    func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        try base.read(into: &buffer, at: offset)
    }
    func write(_ bytes: RawSpan, at offset: UInt64) { base.write(bytes, at: offset) }
    func resize(to byteCount: UInt64) { base.resize(to: byteCount) }
    func zero(_ range: Range<UInt64>) { base.zero(range) }
    func data(from offset: UInt64) -> Range<UInt64>? { base.data(from: offset) }
    func sync() {
        let isDropped = drops.withLock { drops in
            defer { drops = false }
            return drops
        }
        if !isDropped { base.sync() }
    }
}
