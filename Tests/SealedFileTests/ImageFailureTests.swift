import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Glibc
import Testing

@testable import SealedFile

/// Calls on the file that fail.
@Suite struct ImageFailureTests {
    /// Rounds of changes with a flush each. Notes the disk after each change, and how many of them a flush covered.
    private func work(_ image: SealedImage, _ states: inout [[UInt8]], _ flushedCount: inout Int) throws {
        var model = MemoryFile.Contents()
        var random = SplitMix(seed: 5)
        for round in UInt64(0)..<30 {
            for _ in 0..<4 {
                let start = UInt64.random(in: 0...20, using: &random) * 4096
                let bytes = stamped(4096, &random)
                model.write(bytes.rawBytes, at: start)
                states.append(fingerprint(model.allBytes))
                try image.write(bytes, at: start)
            }
            let range = round % 20 * 4096..<(round % 20 + 2) * 4096
            model.zero(range)
            states.append(fingerprint(model.allBytes))
            try image.zero(range)
            try image.sync()
            flushedCount = states.count
        }
        try image.close()
    }

    @Test(arguments: [EIO, ENOSPC]) func nothingCommittedIsLost(code: CInt) throws {
        let empty = MemoryFile()
        _ = try makeImage(on: empty)
        var failedCount = 0
        for after in 0..<400 {
            let file = MemoryFile(empty.contents)
            let failing = FailingFile(file, after: after, code: code, recovers: after % 2 == 0)
            let image = try SealedImage(writing: failing, secrets: [keyFile()], random: fixedRandom(3))
            var (states, flushedCount): ([[UInt8]], Int) = ([fingerprint([])], 1)
            var failure: (any Error)?
            do { try work(image, &states, &flushedCount) } catch { failure = error }
            let found = fingerprint(try openImage(file.contents).everything())
            try #require(states[(flushedCount - 1)...].contains(found), "call \(after)")
            guard let failure else { break }
            failedCount += 1
            let reason = (failure as? IOError)?.reason ?? (failure as? DiskError)?.ioError?.reason
            #expect(reason == .errno(code))
        }
        #expect(failedCount > 150 && failedCount < 400, "\(failedCount)")
    }

    @Test func afterAFailedFlushWritesAreRefused() throws {
        let empty = MemoryFile()
        _ = try makeImage(on: empty)
        for after in 1...3 {
            let file = MemoryFile(empty.contents)
            let failing = FailingFile(file, after: after, recovers: true)
            let image = try SealedImage(writing: failing, secrets: [keyFile()])
            let bytes = [UInt8](repeating: 9, count: 4096)
            try image.write(bytes, at: 0)
            #expect(throws: IOError.self) { try image.sync() }
            for _ in 0..<2 {
                let error = #expect(throws: IOError.self) { try image.write(bytes, at: 4096) }
                #expect(error?.reason == .readOnly)
                #expect(throws: IOError.self) { try image.sync() }
                #expect(throws: IOError.self) { try image.zero(0..<4096) }
                #expect(throws: IOError.self) { try image.resize(to: 0) }
            }
            // What was written can still be read.
            #expect(try image.bytes(at: 0, count: 4096) == bytes)
            let found = try openImage(file.contents).everything()
            #expect(found.isEmpty || found == bytes)
        }
    }

    @Test func readErrorsAreTold() throws {
        let file = MemoryFile()
        let image = try makeImage(on: file)
        try image.write([UInt8](repeating: 1, count: 400_000), at: 0)
        try image.close()
        var failed = 0
        for after in 0..<200 {
            let failing = FailingFile(file, after: after, failsReads: true)
            do {
                let reader = try SealedImage(reading: failing, secrets: [keyFile()])
                let found = try reader.everything()
                #expect(found == [UInt8](repeating: 1, count: 400_000))
            } catch { failed += 1 }
        }
        #expect(failed > 5 && failed < 200)
    }

    @Test func readingOnlyRefusesChanges() throws {
        let file = MemoryFile()
        let image = try makeImage(on: file)
        try image.write([1, 2, 3], at: 0)
        try image.close()
        for closed in [image, try openImage(file.contents)] {
            for change in [{ try closed.write([1], at: 0) }, { try closed.zero(0..<1) }, { try closed.resize(to: 9) }] {
                let error = #expect(throws: IOError.self) { try change() }
                #expect(error?.reason == .readOnly)
            }
            try closed.sync()
            try closed.close()
            #expect(try closed.everything() == [1, 2, 3])
        }
    }

    @Test func createRefusesWhatCannotBe() throws {
        for (chunk, journal) in [
            (4096, 100_000), (2048, 262_144), (12_288, 1 << 20), (131_072, 1 << 24), (65_536, 262_144),
        ] {
            let error = #expect(throws: DiskError.self) {
                try makeImage(on: MemoryFile(), chunk: chunk, journal: UInt64(journal))
            }
            #expect(error?.kind == .refused)
        }
        #expect(throws: DiskError.self) { try makeImage(on: MemoryFile([1])) }
        #expect(throws: DiskError.self) {
            try SealedImage.create(on: MemoryFile(), for: [], creationTime: 0)
        }
        let image = try makeImage(on: MemoryFile())
        let limit = ImageLayout.chunkLimit * 4096
        #expect(throws: IOError.self) { try image.write([1], at: limit) }
        #expect(throws: IOError.self) { try image.resize(to: limit + 1) }
        try image.write([5], at: limit - 1)
        try image.sync()
        #expect(try image.data(from: 0) == limit - 4096..<limit)
        #expect(try image.bytes(at: limit - 1, count: 1) == [5])
    }
}
