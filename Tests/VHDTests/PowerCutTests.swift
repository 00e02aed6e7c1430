import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing
import VHD

/// Everything a power cut can leave of a session of writing: it opens, holds what was flushed, and shows in every sector
/// something that was there or was written there.
@Suite struct PowerCutTests {
    struct Session {
        var recording: RecordingFile.Recording
        /// Every value a sector has had, by the number of flushes acknowledged when it was written; index 0 is the
        /// sector before the session.
        var history: [[(flushes: Int, value: UInt8)]]
    }

    struct Counts {
        var images = 0
        var unreadable = 0
        var lost = 0
        var stray = 0
    }

    /// - Parameter dropsPayloadSync: a broken control, in which the first sync of each `flush` is left out.
    static func session(
        _ initial: MemoryFile.Contents, seed: UInt64, steps: Int, parent: VHDLayer? = nil,
        dropsPayloadSync: Bool = false
    ) throws -> Session {
        var random = SplitMix(seed: seed)
        let reader = try VHDLayer(reading: MemoryFile(initial))
        let before = try contents(reader, parent: parent)
        let sectors = before.count / 512
        var history = (0..<sectors).map { [(flushes: 0, value: before[$0 * 512])] }
        let file = RecordingFile(initial)
        let dropping = DroppingFile(file)
        let disk = try VHDLayer(writing: dropping)
        var flushes = 0
        for step in 0..<steps {
            let start = Int.random(in: 0..<sectors, using: &random)
            let count = Int.random(in: 1...min(sectors - start, 5), using: &random)
            let range = UInt64(start) * 512..<UInt64(start + count) * 512
            switch Int.random(in: 0..<6, using: &random) {
            case 0..<4:
                let value = UInt8(step % 255 + 1)
                try disk.write([UInt8](repeating: value, count: count * 512).rawBytes, at: range.lowerBound)
                for sector in start..<start + count { history[sector].append((flushes, value)) }
            case 4:
                try disk.writeZeroes(range)
                for sector in start..<start + count { history[sector].append((flushes, 0)) }
            default:
                if dropsPayloadSync { dropping.dropNextSync() }
                try disk.flush()
                flushes += 1
                file.mark(flushes)
            }
        }
        try disk.close()
        file.mark(flushes + 1)
        return Session(recording: file.recording, history: history)
    }

    static func count(_ session: Session, imageLimit: Int, seed: UInt64, parent: VHDLayer? = nil) -> Counts {
        var counts = Counts()
        PowerCuts(session.recording, imageLimit: imageLimit, seed: seed).forEachImage { image in
            counts.images += 1
            do {
                let layer = try VHDLayer(reading: MemoryFile(image.contents))
                _ = try layer.census()
                let found = try contents(layer, parent: parent)
                let acknowledged = image.marks.last ?? 0
                for (sector, values) in session.history.enumerated() {
                    let value = found[sector * 512]
                    guard isFilled(found, sector, with: value) else {
                        counts.stray += 1
                        continue
                    }
                    // The newest value that was acknowledged, and every later one, may be there.
                    let floor = values.lastIndex { $0.flushes < acknowledged } ?? 0
                    if values[floor...].contains(where: { $0.value == value }) { continue }
                    if values.contains(where: { $0.value == value }) { counts.lost += 1 } else { counts.stray += 1 }
                }
            } catch {
                counts.unreadable += 1
            }
        }
        return counts
    }

    private static func isFilled(_ bytes: [UInt8], _ sector: Int, with value: UInt8) -> Bool {
        let raw = bytes.rawBytes
        let word = UInt64(value) * 0x0101_0101_0101_0101
        return stride(from: sector * 512, to: sector * 512 + 512, by: 8).allSatisfy {
            raw.integer(at: $0, as: UInt64.self, .little) == word
        }
    }

    static func fresh() throws -> MemoryFile.Contents { try newImage(.dynamic, 20 * 4096 + 512, block: 4096) }

    /// Blocks with clear bits over bytes that must never show, no trailing footer, and a table of four entries.
    static func old() -> MemoryFile.Contents {
        var image = TinyImage()
        image.addBlock(2, bits: 0b0101_0000, fill: 0xf0)
        image.addBlock(0, bits: 0, fill: 0xe0)
        image.end = [UInt8](repeating: 0xc7, count: 512)
        return MemoryFile.Contents(image.bytes)
    }

    @Test func nothingIsLost() throws {
        var total = Counts()
        for seed in UInt64(1)...3 {
            for initial in [try Self.fresh(), Self.old(), try newImage(.dynamic, 40 * 512, block: 512)] {
                let session = try Self.session(initial, seed: seed, steps: 40)
                let counts = Self.count(session, imageLimit: 48, seed: seed)
                #expect(counts.unreadable == 0 && counts.lost == 0 && counts.stray == 0, "seed \(seed): \(counts)")
                total.images += counts.images
                total.unreadable += counts.unreadable
                total.lost += counts.lost + counts.stray
            }
        }
        print("PowerCutTests: VHD dynamic: \(total.images) images, unreadable \(total.unreadable), lost \(total.lost)")
    }

    @Test func fixedDisks() throws {
        let session = try Self.session(try newImage(.fixed, 40 * 512), seed: 5, steps: 40)
        let counts = Self.count(session, imageLimit: 64, seed: 5)
        print("PowerCutTests: VHD fixed: \(counts.images) images, unreadable \(counts.unreadable), lost \(counts.lost)")
        #expect(counts.unreadable == 0 && counts.lost == 0 && counts.stray == 0, "\(counts)")
    }

    /// A writer that enters blocks and sets bits before their payload is flushed, made by leaving those flushes out.
    @Test func tableBeforePayloadIsCaught() throws {
        // With new blocks alone it goes well even so: their bitmaps and data are zeros until they are written.
        var session = try Self.session(Self.old(), seed: 3, steps: 40)
        session.recording.operations = Self.withoutPayloadFlushes(session.recording.operations)
        let counts = Self.count(session, imageLimit: 64, seed: 3)
        print(
            "PowerCutTests: control without payload flushes: \(counts.stray) sectors stray in \(counts.images) images")
        #expect(counts.stray > 0)
    }

    /// A writer that acknowledges what it has not flushed.
    @Test func missingFlushesAreCaught() throws {
        var session = try Self.session(try Self.fresh(), seed: 2, steps: 40)
        session.recording.operations.removeAll { if case .sync = $0 { true } else { false } }
        let counts = Self.count(session, imageLimit: 64, seed: 2)
        print("PowerCutTests: control without flushes: lost \(counts.lost) sectors in \(counts.images) images")
        #expect(counts.lost > 0)
    }

    /// A writer that overwrites the only good footer first: of a file whose copy at 0 is damaged and was not repaired.
    @Test func overwrittenFooterIsCaught() throws {
        var session = try Self.session(try Self.fresh(), seed: 4, steps: 40)
        session.recording.initial.write([UInt8].zeros(512).rawBytes, at: 0)
        session.recording.operations.removeAll { if case .sync = $0 { true } else { false } }
        let counts = Self.count(session, imageLimit: 96, seed: 4)
        print("PowerCutTests: control without footers' order: unreadable \(counts.unreadable) of \(counts.images)")
        #expect(counts.unreadable > 0)
    }

    /// Leaves out the syncs that come right before writes of at most a sector into the table or over an old bitmap.
    private static func withoutPayloadFlushes(_ all: [RecordingFile.Operation]) -> [RecordingFile.Operation] {
        all.enumerated().filter { index, operation in
            guard case .sync = operation, index + 1 < all.count else { return true }
            if case .write(let offset, _) = all[index + 1], offset < 2048 + 16 * 4608 { return offset < 1536 }
            return true
        }.map(\.element)
    }
}
