import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing
import VHD

/// A change of an image in its own file, and everything a power cut can leave of it.
struct EditCuts {
    struct Counts: CustomStringConvertible {
        var images = 0
        /// Images that do not open.
        var unreadable = 0
        /// Images that show other bytes than the disk held, or another size than before or after.
        var wrong = 0
        /// Images where doing it again is refused, or leaves something else than without the cut.
        var stuck = 0
        var isClean: Bool { unreadable == 0 && wrong == 0 && stuck == 0 && images > 0 }
        var description: String {
            "\(images) images, unreadable \(unreadable), wrong \(wrong), not completed by another run \(stuck)"
        }
        static func += (a: inout Counts, b: Counts) {
            (a.images, a.unreadable) = (a.images + b.images, a.unreadable + b.unreadable)
            (a.wrong, a.stuck) = (a.wrong + b.wrong, a.stuck + b.stuck)
        }
    }

    let initial: MemoryFile.Contents
    let before: [UInt8]
    let newSize: UInt64
    let change: (any BlockFile) throws -> Void
    let finalByteCount: UInt64

    init(_ initial: MemoryFile.Contents, newSize: UInt64? = nil, _ change: @escaping (any BlockFile) throws -> Void)
        throws
    {
        (self.initial, self.change) = (initial, change)
        before = try contents(try VHDLayer(reading: MemoryFile(initial)))
        self.newSize = newSize ?? UInt64(before.count)
        let file = MemoryFile(initial)
        try change(file)
        finalByteCount = file.byteCount()
    }

    static func resize(_ initial: MemoryFile.Contents, to size: UInt64) throws -> EditCuts {
        try EditCuts(initial, newSize: size) { _ = try VHDResizer.resize($0, to: size, progress: quiet) }
    }

    static func compact(_ initial: MemoryFile.Contents) throws -> EditCuts {
        try EditCuts(initial) { _ = try VHDCompactor.compact($0, progress: quiet) }
    }

    /// The change as it is; or after the program was killed at its n-th call, and run again without a power cut.
    func recording(killedAfter calls: Int? = nil) throws -> RecordingFile.Recording {
        let file = RecordingFile(initial)
        if let calls { do { try change(FailingFile(file, after: calls)) } catch {} }
        try change(file)
        return file.recording
    }

    func count(_ recording: RecordingFile.Recording, imageLimit: Int, seed: UInt64 = 1) -> Counts {
        var counts = Counts()
        PowerCuts(recording, imageLimit: imageLimit, seed: seed).forEachImage { image in
            counts.images += 1
            do {
                let layer = try VHDLayer(reading: MemoryFile(image.contents))
                _ = try layer.census()
                if try !isRight(layer) { counts.wrong += 1 }
            } catch { return counts.unreadable += 1 }
            do {
                let file = MemoryFile(image.contents)
                try change(file)
                if try !isComplete(file) { counts.stuck += 1 }
            } catch { counts.stuck += 1 }
        }
        return counts
    }

    private func isRight(_ layer: VHDLayer) throws -> Bool {
        let size = layer.geometry.virtualByteCount
        guard size == UInt64(before.count) || size == newSize else { return false }
        return try contents(layer) == resized(before, to: size)
    }

    private func isComplete(_ file: MemoryFile) throws -> Bool {
        let layer = try VHDLayer(reading: file)
        let complaints = layer.findings.filter {
            $0.detail.code != .vhdUnusualBlockSize && $0.severity > .information
        }
        let end = file.byteCount()
        let hasBothFooters =
            try layer.type == .fixed || file.bytes(at: 0, count: 512) == file.bytes(at: end - 512, count: 512)
        return try isRight(layer) && layer.geometry.virtualByteCount == newSize && complaints.isEmpty
            && hasBothFooters && end <= finalByteCount
    }

    /// Without the flushes right before operations of a kind: a program that has their order wrong.
    static func withoutFlushes(
        _ recording: RecordingFile.Recording, before matches: (RecordingFile.Operation) -> Bool
    ) -> RecordingFile.Recording {
        var result = recording
        let all = recording.operations
        result.operations = all.enumerated().filter { index, operation in
            guard case .sync = operation, index + 1 < all.count else { return true }
            return !matches(all[index + 1])
        }.map(\.element)
        return result
    }
}

@Suite struct ResizePowerCutTests {
    struct Scenario: Sendable, CustomStringConvertible {
        var description: String
        var make: @Sendable () throws -> MemoryFile.Contents
        var size: UInt64
    }

    /// Blocks of a sector, more of them than the table's first sector has entries where `blocks` is above 128.
    static func used(_ blocks: UInt64, seed: UInt64 = 1) throws -> MemoryFile.Contents {
        try scribble(try newImage(.dynamic, blocks * 512, block: 512), seed: seed, writes: 8)
    }

    /// A block of others, with data past the disk's end.
    static func untidy(_ type: UInt32) -> MemoryFile.Contents {
        var image = TinyImage(type)
        if type == DiskTypeCode.differencing { image.addLocator(0, "W2ru", Array("p.vhd".utf8).flatMap { [$0, 0] }) }
        image.footer.currentSize = 3 * 4096 + 1024
        image.footer.geometry = .maximum
        image.addBlock(3, bits: 0b1110_1111, fill: 0x50)
        image.addBlock(0, bits: 0b1000_0001, fill: 0x60)
        return MemoryFile.Contents(image.bytes)
    }

    static let scenarios: [Scenario] = [
        Scenario(
            description: "fixed, longer", make: { try scribble(try newImage(.fixed, 6 * 512), seed: 2, writes: 4) },
            size: 20 * 512),
        Scenario(
            description: "fixed, shorter", make: { try scribble(try newImage(.fixed, 20 * 512), seed: 2, writes: 4) },
            size: 6 * 512),
        Scenario(
            description: "fixed, a sector more",
            make: { try scribble(try newImage(.fixed, 6 * 512), seed: 2, writes: 4) }, size: 7 * 512),
        Scenario(
            description: "dynamic, in place", make: { untidy(DiskTypeCode.dynamic) }, size: 100 * 4096 + 512),
        Scenario(
            description: "dynamic, in place, empty", make: { try newImage(.dynamic, 512, block: 512) }, size: 700 * 512),
        Scenario(description: "dynamic, table moved", make: { try used(100) }, size: 300 * 512),
        Scenario(
            description: "dynamic, table moved again",
            make: { try scribble(try checkResize(try used(100), to: 200 * 512).contents, seed: 4, writes: 3) },
            size: 900 * 512),
        Scenario(description: "dynamic, shorter", make: { try used(200, seed: 3) }, size: 30 * 512),
        Scenario(
            description: "dynamic, shorter, within a block", make: { untidy(DiskTypeCode.dynamic) }, size: 4096 - 512),
        Scenario(
            description: "differencing, in place", make: { untidy(DiskTypeCode.differencing) }, size: 4 * 4096),
        Scenario(
            description: "differencing, table moved", make: { untidy(DiskTypeCode.differencing) }, size: 200 * 4096),
        Scenario(
            description: "XenServer, table moved",
            make: { MemoryFile.Contents(ResizeTests.blocks(ResizeTests.xenImage(), shift: 0).bytes) },
            size: 130 * 4096),
        Scenario(
            description: "XenServer, shorter",
            make: { MemoryFile.Contents(ResizeTests.blocks(ResizeTests.xenImage(), shift: 0).bytes) }, size: 2 * 4096),
    ]

    @Test(arguments: scenarios) func everyCut(_ scenario: Scenario) throws {
        let cuts = try EditCuts.resize(try scenario.make(), to: scenario.size)
        let counts = cuts.count(try cuts.recording(), imageLimit: 200)
        print("ResizePowerCutTests: \(scenario): \(counts)")
        #expect(counts.isClean, "\(counts)")
    }

    /// A program that is killed leaves what it wrote in the host's cache: another run must not take that for durable.
    @Test(arguments: scenarios) func killedAndRunAgain(_ scenario: Scenario) throws {
        let cuts = try EditCuts.resize(try scenario.make(), to: scenario.size)
        var total = EditCuts.Counts()
        for calls in 0..<30 {
            total += cuts.count(try cuts.recording(killedAfter: calls), imageLimit: 8, seed: UInt64(calls))
        }
        print("ResizePowerCutTests: \(scenario), killed before: \(total)")
        #expect(total.isClean, "\(total)")
    }

    // MARK: Broken controls

    private static func isHeader(_ operation: RecordingFile.Operation) -> Bool {
        if case .write(512, let bytes) = operation { bytes.count == 512 } else { false }
    }

    @Test func headerBeforeTableIsCaught() throws {
        let cuts = try EditCuts.resize(try Self.used(100), to: 300 * 512)
        let recording = EditCuts.withoutFlushes(try cuts.recording(), before: Self.isHeader)
        let counts = cuts.count(recording, imageLimit: 200)
        print("ResizePowerCutTests: control, header before table: \(counts)")
        #expect(counts.unreadable > 0)
    }

    /// Old padding becomes entries.
    @Test func headerBeforeEntriesIsCaught() throws {
        var image = TinyImage()
        image.addBlock(3, bits: 0xff, fill: 0x50)
        image.table += [UInt32](repeating: 0, count: 124)
        let cuts = try EditCuts.resize(MemoryFile.Contents(image.bytes), to: 100 * 4096)
        var recording = EditCuts.withoutFlushes(try cuts.recording(), before: Self.isHeader)
        // Not even before the footers.
        recording.operations.removeAll { if case .sync = $0 { true } else { false } }
        let counts = cuts.count(recording, imageLimit: 200)
        print("ResizePowerCutTests: control, footers before entries: \(counts)")
        #expect(counts.unreadable > 0)
    }

    @Test func footersBeforeHeaderAreCaught() throws {
        let cuts = try EditCuts.resize(Self.untidy(DiskTypeCode.dynamic), to: 100 * 4096)
        let end = cuts.finalByteCount - 512
        let recording = EditCuts.withoutFlushes(try cuts.recording()) {
            if case .write(end, _) = $0 { true } else { false }
        }
        let counts = cuts.count(recording, imageLimit: 200)
        print("ResizePowerCutTests: control, footers before header: \(counts)")
        #expect(counts.unreadable > 0)
    }

    @Test func sizeBeforeZerosIsCaught() throws {
        let cuts = try EditCuts.resize(try Self.scenarios[0].make(), to: Self.scenarios[0].size)
        let recording = EditCuts.withoutFlushes(try cuts.recording()) {
            if case .write(20 * 512, _) = $0 { true } else { false }
        }
        let counts = cuts.count(recording, imageLimit: 200)
        print("ResizePowerCutTests: control, fixed, size before zeros: \(counts)")
        #expect(counts.wrong > 0)
    }
}
