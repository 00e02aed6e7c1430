import BlockIO
import ByteCodec
import Dispatch
import FaultInjection
import Foundation
import Synchronization
import Testing

@testable import SealedFile

/// Several threads at once.
@Suite struct ImageThreadTests {
    /// Each writer has regions of its own; readers look at what nobody changes, and at what is changed: there each sector is
    /// whole, old or new.
    @Test(arguments: [4096, 16_384]) func readersAndWriters(chunk: Int) throws {
        let file = MemoryFile()
        let image = try makeImage(on: file, chunk: chunk, journal: 524_288)
        let regionByteCount: UInt64 = 200_000
        let still = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 * 7) }
        try image.write(still, at: 0)
        try image.resize(to: 4 * regionByteCount)
        let models = Mutex<[Int: MemoryFile.Contents]>([:])
        let failures = Mutex<[String]>([])
        let isDone = Atomic(false)
        DispatchQueue.concurrentPerform(iterations: 5) { part in
            do {
                if part < 3 {
                    let model = try Self.write(image, from: UInt64(part + 1) * regionByteCount, regionByteCount, part)
                    models.withLock { $0[part] = model }
                    if models.withLock({ $0.count }) == 3 { isDone.store(true, ordering: .relaxed) }
                } else {
                    var random = SplitMix(seed: UInt64(part))
                    var count = 0
                    while !isDone.load(ordering: .relaxed) || count < 50 {
                        let start = Int.random(in: 0..<90_000, using: &random)
                        let found = try image.bytes(at: UInt64(start), count: 10_000)
                        guard found == Array(still[start..<start + 10_000]) else { throw Wrong() }
                        let other = UInt64.random(in: 1...3, using: &random) * regionByteCount
                        _ = try image.bytes(at: other, count: 100_000)
                        _ = try image.data(from: other)
                        count += 1
                    }
                }
            } catch {
                failures.withLock { $0.append("\(error)") }
                isDone.store(true, ordering: .relaxed)
            }
        }
        let all = failures.withLock { $0 }
        #expect(all.isEmpty, "\(all)")
        try image.close()
        let reader = try openImage(file.contents)
        for (part, model) in models.withLock({ $0 }) {
            let found = try reader.bytes(at: UInt64(part + 1) * regionByteCount, count: Int(regionByteCount))
            #expect(found == model.bytes(0..<regionByteCount), "writer \(part)")
        }
    }

    private struct Wrong: Error {}

    private static func write(
        _ image: SealedImage, from start: UInt64, _ byteCount: UInt64, _ part: Int
    ) throws -> MemoryFile.Contents {
        var random = SplitMix(seed: UInt64(100 + part))
        var model = MemoryFile.Contents()
        model.resize(to: byteCount)
        for step in 0..<400 {
            let count = UInt64.random(in: 1...20_000, using: &random)
            let offset = UInt64.random(in: 0...byteCount - count, using: &random)
            if step % 5 == 4 {
                try image.zero(start + offset..<start + offset + count)
                model.zero(offset..<offset + count)
            } else {
                let bytes = stamped(Int(count), &random)
                try image.write(bytes, at: start + offset)
                model.write(bytes.rawBytes, at: offset)
            }
            if step % 11 == 0 { try image.sync() }
            if step % 7 == 0 {
                guard try image.bytes(at: start + offset, count: Int(count)) == model.bytes(offset..<offset + count)
                else {
                    throw Wrong()
                }
            }
        }
        return model
    }

    /// No nonce serves twice, not for what is written over before a commit either. `SEALED_NONCES=1000000` for a million chunks.
    @Test func noncesAreUnique() throws {
        let count = Int(ProcessInfo.processInfo.environment["SEALED_NONCES"] ?? "") ?? 20_000
        let image = try SealedImage.create(on: MemoryFile(), for: [keyFile()], chunkByteCount: 4096, creationTime: 0)
        var seen: Set<[UInt64]> = []
        let bytes = [UInt8](repeating: 1, count: 64 * 4096)
        func note(_ indices: Range<UInt64>) throws {
            for index in indices {
                let contents = try image.state.withLock { try $0.contents(index) }
                guard case .sealed(let entry, _) = contents else { continue }
                try #require(seen.insert((0..<3).map { entry.nonceAndTag[$0] }).inserted, "chunk \(index)")
            }
        }
        var round: UInt64 = 0
        while seen.count < count {
            // In place at first; what follows goes into the journal, some of it written twice before its commit.
            let indices = round % 16 * 64..<(round % 16 + 1) * 64
            try image.write(bytes, at: indices.lowerBound * 4096)
            if round < 16 { try note(indices) }
            if round % 3 == 0 { try image.write(bytes, at: indices.lowerBound * 4096) }
            try image.sync()
            // Those enciphered into their places before, and not again.
            if round >= 16 || round % 3 == 0 { try note(indices) }
            round += 1
        }
        print("sealed image, nonces: \(seen.count) different ones in \(round) commits")
        #expect(seen.count >= count && round > 16)
    }

    /// What is zeros takes no space, in the file and in what is told.
    @Test func spaceIsGivenBack() throws {
        let file = MemoryFile()
        let image = try makeImage(on: file, chunk: 16_384)
        try image.write([UInt8](repeating: 1, count: 1 << 20), at: 0)
        try image.sync()
        let full = file.contents.pages.pageCount
        try image.zero(0..<(1 << 20) - 16_384)
        try image.sync()
        #expect(full - file.contents.pages.pageCount > 240)
        #expect(try image.data(from: 0) == (1 << 20) - 16_384..<1 << 20)
        #expect(try image.data(from: 1 << 20) == nil)
        // Far away, and a long hole between.
        try image.write([1], at: 1 << 42)
        try image.close()
        let reader = try openImage(file.contents)
        #expect(try reader.data(from: 1 << 20) == 1 << 42..<(1 << 42) + 1)
        #expect(file.contents.pages.pageCount < 300)
    }
}
