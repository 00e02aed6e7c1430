import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Synchronization
import Testing

@testable import SealedFile

/// What a power cut leaves: the disk as it was after some change, no earlier than the last flush.
@Suite struct ImageCrashTests {
    /// Cuts at every flush: kept, lost, torn.
    @Test(arguments: [UInt64(21), 22]) func everyCutLeavesACommit(seed: UInt64) throws {
        let run = try CrashRun(seed: seed, dropping: nil)
        let cuts = PowerCuts(run.file.recording, imageLimit: 24, seed: seed)
        var recovered = 0
        let tally = try cuts.forEachImage { cut in
            let image = try openImage(cut.contents)
            try run.check(image, cut)
            if image.anchor.generation > 0 { recovered += 1 }
        }
        print("sealed image, cut: \(tally.imageCount) images of \(tally.momentCount) moments")
        #expect(tally.momentCount > 50 && recovered > 500, "\(tally) \(recovered)")
    }

    /// Cut, opened, changed on, cut again.
    @Test(arguments: [UInt64(31), 32]) func cutsAfterACut(seed: UInt64) throws {
        let run = try CrashRun(seed: seed, dropping: nil)
        var number = 0
        var again = 0
        try PowerCuts(run.file.recording, imageLimit: 12, seed: seed).forEachImage { cut in
            number += 1
            guard number % 30 == 0 else { return }
            let found = try openImage(cut.contents).everything()
            let second = try CrashRun(seed: seed + UInt64(number), dropping: nil, from: cut.contents, found, steps: 14)
            try PowerCuts(second.file.recording, imageLimit: 10, seed: seed).forEachImage { cut in
                again += 1
                try second.check(openImage(cut.contents), cut)
            }
        }
        print("sealed image, cut, changed and cut again: \(again) images")
        #expect(again > 300, "\(again)")
    }

    /// Where the journal was full when the checkpoint was cut off, another one finds room: each cut can be written on.
    @Test func everyCutGoesOn() throws {
        let empty = MemoryFile()
        _ = try makeImage(on: empty)
        let file = RecordingFile(empty.contents)
        let image = try SealedImage(writing: file, secrets: [keyFile()], random: fixedRandom(9))
        // The first sequence of root blocks beyond those of `create` means that the journal was full.
        var round = UInt8(0)
        while image.state.withLock({ $0.rootSequence }) < 6 {
            for index in UInt64(0)..<9 { try image.write([UInt8](repeating: round, count: 4096), at: index * 400_000) }
            try image.sync()
            round += 1
        }
        var number = 0
        try PowerCuts(file.recording, imageLimit: 16).forEachImage { cut in
            let again = MemoryFile(cut.contents)
            let writer = try SealedImage(writing: again, secrets: [keyFile()])
            let before = try writer.everything()
            try writer.write([UInt8](repeating: 200, count: 100), at: UInt64(before.count))
            try writer.sync()
            try writer.close()
            let found = try openImage(again.contents).everything()
            try #require(found == before + [UInt8](repeating: 200, count: 100), "\(cut.fates.prefix(200))")
            number += 1
        }
        print("sealed image, cut and written on: \(number) images")
        #expect(number > 200 && round > 3, "\(number) \(round)")
    }

    /// A flush left out of any step is found.
    @Test(arguments: [FlushedStep.chunks, .record, .images, .places]) func brokenControls(step: FlushedStep) throws {
        var (failures, images) = (0, 0)
        for seed in UInt64(41)..<43 {
            let run = try CrashRun(seed: seed, dropping: step)
            #expect(run.droppedCount > 0)
            PowerCuts(run.file.recording, imageLimit: 24, seed: seed).forEachImage { cut in
                images += 1
                do {
                    let image = try openImage(cut.contents)
                    try run.check(image, cut)
                } catch { failures += 1 }
            }
        }
        print("sealed image, \(step) not flushed: \(failures) of \(images) images wrong")
        #expect(failures > 0, "without the flush of \(step) nothing was lost")
    }
}

private struct Lost: Error, CustomStringConvertible { let description: String }

/// Changes to an image over a file that is recorded, and the disk after each.
private struct CrashRun {
    static let chunk: UInt64 = 4096
    let file: RecordingFile
    private(set) var droppedCount = 0
    /// The disk after each change, by its fingerprint.
    private var states: [[UInt8]] = []

    init(
        seed: UInt64, dropping: FlushedStep?, from start: MemoryFile.Contents? = nil, _ disk: [UInt8] = [],
        steps: Int = 60
    ) throws {
        var random = SplitMix(seed: seed)
        let empty = MemoryFile()
        if start == nil { _ = try makeImage(on: empty, seed: seed) }
        file = RecordingFile(start ?? empty.contents)
        let unsynced = UnsyncedFile(file, dropping: dropping)
        func open() throws -> SealedImage {
            try SealedImage(writing: unsynced, secrets: [keyFile()], random: fixedRandom(random.next()))
        }
        var image = try open()
        var model = MemoryFile.Contents(disk)
        states = [fingerprint(disk)]
        for step in 0..<steps {
            try change(image, &model, &random)
            states.append(fingerprint(model.allBytes))
            switch UInt64.random(in: 0...9, using: &random) {
            case 0..<4:
                try image.sync()
                file.mark(states.count - 1)
            case 4 where step % 3 == 0:
                try image.close()
                file.mark(states.count - 1)
                image = try open()
            default: break
            }
        }
        try image.close()
        file.mark(states.count - 1)
        droppedCount = unsynced.droppedCount.withLock { $0 }
    }

    /// One change, that no commit comes in the middle of.
    private func change(
        _ image: SealedImage, _ model: inout MemoryFile.Contents, _ random: inout SplitMix
    ) throws {
        // Two groups, the second far away.
        let place = UInt64.random(in: 0...30, using: &random)
        let index = place < 24 ? place : 84 + place
        switch UInt64.random(in: 0...9, using: &random) {
        case 0..<6:
            let count = UInt64.random(in: 1...8, using: &random) * 512
            let start = index * Self.chunk + (count == 4096 ? 0 : UInt64.random(in: 0...(4096 - count), using: &random))
            let bytes = stamped(Int(count), &random)
            try image.write(bytes, at: start)
            model.write(bytes.rawBytes, at: start)
        case 6..<9:
            let range = index * Self.chunk..<(index + UInt64.random(in: 1...4, using: &random)) * Self.chunk
            try image.zero(range)
            model.zero(range)
        default:
            let size = UInt64.random(in: 20 * Self.chunk...110 * Self.chunk, using: &random)
            try image.resize(to: size)
            model.resize(to: size)
        }
    }

    func check(_ image: SealedImage, _ cut: PowerCuts.Image) throws {
        let found = fingerprint(try image.everything())
        let first = cut.marks.last ?? 0
        guard states[first...].contains(found) else {
            let older = states[..<first].lastIndex(of: found)
            throw Lost(
                description: "after \(cut.operationCount) operations (\(cut.fates.prefix(300))): "
                    + (older.map { "state \($0), though \(first) was flushed" } ?? "no state there ever was"))
        }
    }
}
