import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Synchronization
import Testing

@testable import SealedFile

/// Power cuts while an image is brought back from one, and while it is made.
@Suite struct ImageSecondCutTests {
    private static let chunk: UInt64 = 4096

    private struct Start {
        var contents: MemoryFile.Contents
        var disk: [UInt8]
    }

    /// Images that a cut left in the middle of a checkpoint which came because the journal was full.
    private static func cutCheckpoints() throws -> [Start] {
        let empty = MemoryFile()
        _ = try makeImage(on: empty)
        let file = RecordingFile(empty.contents)
        let image = try SealedImage(writing: file, secrets: [keyFile()], random: fixedRandom(9))
        var round = UInt8(0)
        while image.state.withLock({ $0.rootSequence }) < 6 {
            for index in UInt64(0)..<9 { try image.write([UInt8](repeating: round, count: 4096), at: index * 400_000) }
            try image.sync()
            round += 1
        }
        var starts: [Start] = []
        try PowerCuts(file.recording, imageLimit: 24).forEachImage { cut in
            let found = try openImage(cut.contents)
            guard found.state.withLock({ $0.mustCheckpoint }) else { return }
            starts.append(Start(contents: cut.contents, disk: try found.everything()))
        }
        return starts
    }

    /// What is written behind the first cut: over a chunk, and one that was free.
    private static func change(_ disk: [UInt8]) -> [UInt8] {
        let start = min(disk.count, 4000)
        return Array(disk[..<start]) + [UInt8](repeating: 0xee, count: 5000) + disk.dropFirst(start + 5000)
    }

    private static func goOn(_ start: Start, dropping: FlushedStep?) throws -> (file: RecordingFile, after: [UInt8]) {
        let file = RecordingFile(start.contents)
        let image = try SealedImage(
            writing: UnsyncedFile(file, dropping: dropping), secrets: [keyFile()], random: fixedRandom(10))
        try image.write([UInt8](repeating: 0xee, count: 5000), at: UInt64(min(start.disk.count, 4000)))
        try image.sync()
        file.mark(1)
        try image.close()
        return (file, change(start.disk))
    }

    /// Whether a cut has the disk as before the change, or as after it; after it when that was flushed.
    private static func isRight(_ cut: PowerCuts.Image, _ start: Start, _ after: [UInt8]) -> Bool {
        guard let found = try? openImage(cut.contents).everything() else { return false }
        return found == after || cut.marks.isEmpty && found == start.disk
    }

    @Test func cutAgainWhereACheckpointIsRepeated() throws {
        let starts = try Self.cutCheckpoints()
        var (images, still) = (0, 0)
        for (number, start) in starts.enumerated() where number % max(1, starts.count / 6) == 0 {
            let (file, after) = try Self.goOn(start, dropping: nil)
            try PowerCuts(file.recording, imageLimit: 12, seed: UInt64(number)).forEachImage { cut in
                images += 1
                try #require(Self.isRight(cut, start, after), "start \(number), \(cut.fates.prefix(300))")
                guard images % 4 == 0 else { return }
                // And a third time, to the end.
                let again = MemoryFile(cut.contents)
                let writer = try SealedImage(writing: again, secrets: [keyFile()])
                if writer.state.withLock({ $0.mustCheckpoint }) { still += 1 }
                let disk = try writer.everything()
                try writer.write([1, 2, 3], at: UInt64(disk.count))
                try writer.close()
                let isKept = try openImage(again.contents).everything() == disk + [1, 2, 3]
                try #require(isKept)
            }
        }
        print(
            "sealed image, cut again: \(starts.count) cut checkpoints, \(images) images, \(still) of every fourth cut again"
        )
        #expect(starts.count > 24 && images > 200 && still > 5)
    }

    /// Without the flush of what a repeated checkpoint puts in its place.
    @Test func theSecondCutsAreSeen() throws {
        var wrong = 0
        let starts = try Self.cutCheckpoints()
        for start in starts.suffix(3) {
            let (file, after) = try Self.goOn(start, dropping: .places)
            PowerCuts(file.recording, imageLimit: 24).forEachImage { cut in
                if !Self.isRight(cut, start, after) { wrong += 1 }
            }
        }
        print("sealed image, cut again without a flush: \(wrong) wrong")
        #expect(wrong > 0)
    }

    /// Half of a new container is none, and is refused in so many words.
    @Test func cutsWhileItIsMade() throws {
        let file = RecordingFile(MemoryFile.Contents())
        let image = try makeImage(on: file)
        file.mark(1)
        try image.write([5], at: 9)
        try image.close()
        var (refused, empty, written) = (0, 0, 0)
        let tally = try PowerCuts(file.recording, imageLimit: 256).forEachImage { cut in
            do {
                let found = try openImage(cut.contents).everything()
                try #require(found == [] || found == [0, 0, 0, 0, 0, 0, 0, 0, 0, 5])
                if found.isEmpty { empty += 1 } else { written += 1 }
            } catch let error as DiskError {
                try #require(cut.marks.isEmpty && isRefusal(error), "\(error)")
                refused += 1
            }
        }
        print("sealed image, cut while it is made: \(tally.imageCount) images, \(refused) are none")
        #expect(refused > 5 && empty > 5 && written > 5, "\(refused) \(empty) \(written) \(tally)")
    }
}
