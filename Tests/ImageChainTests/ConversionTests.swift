import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import ImageChain
import RawDisk
import Testing
import ToolTesting

/// New images: made, and filled from disks and streams, against a plain model of the bytes.
@Suite struct ConversionTests {
    struct Kind: CustomStringConvertible, Sendable {
        var format: ImageFormat
        var type: ImageType
        var blockByteCount: UInt64?
        var description: String { "\(format) \(type) \(blockByteCount ?? 0)" }

        func image(_ byteCount: UInt64?) -> NewImage {
            var image = NewImage(
                format: format, type: type, virtualByteCount: byteCount, diskID: GUID(1, 2, 3, 4),
                created: 1_750_000_000)
            image.blockByteCount = blockByteCount
            image.writeID = GUID(5, 6, 7, 8)
            return image
        }
    }

    static let kinds = [
        Kind(format: .raw, type: .fixed), Kind(format: .vhd, type: .fixed),
        Kind(format: .vhd, type: .dynamic, blockByteCount: 512 << 10),
        Kind(format: .vhd, type: .dynamic, blockByteCount: 2 << 20),
        Kind(format: .vhdx, type: .fixed, blockByteCount: 1 << 20),
        Kind(format: .vhdx, type: .dynamic, blockByteCount: 1 << 20),
        Kind(format: .vhdx, type: .dynamic, blockByteCount: 8 << 20),
    ]
    static let byteCounts: [UInt64] = [512, 4096, 512 << 10, (1 << 20) + 512, (2 << 20) - 512, (9 << 20) + 4608]

    /// Runs of data, of zeros that were written, and of nothing, of all sizes and at odd places.
    private func model(_ byteCount: UInt64, _ random: inout SplitMix) -> [UInt8] {
        var bytes = [UInt8].zeros(Int(byteCount))
        for _ in 0..<12 {
            let start = Int.random(in: 0..<bytes.count, using: &random)
            let count = min(bytes.count - start, [1, 512, 4096, 65536, 300_000].randomElement(using: &random)!)
            let value = UInt8.random(in: 0...255, using: &random)
            for index in start..<start + count { bytes[index] = value }
        }
        return bytes
    }

    private func open(_ file: any BlockFile, _ format: ImageFormat) throws -> ImageChain {
        try ImageChain(leafFirst: [try ImageOpener.layer(reading: file, OpenOptions(format: format))])
    }

    private func expect(_ file: any BlockFile, _ format: ImageFormat, _ model: [UInt8], _ note: String) throws {
        let chain = try open(file, format)
        #expect(chain.geometry.virtualByteCount == UInt64(model.count), "\(note)")
        let same = try chain.bytes(at: 0, count: model.count) == model
        #expect(same, "\(note): other bytes")
        #expect(chain.leaf.findings.allSatisfy { $0.severity == .information }, "\(note): \(chain.leaf.findings)")
        if let leaf = chain.leaf as? any InspectableLayer { _ = try leaf.census() }
    }

    @Test(arguments: kinds, byteCounts)
    func everyKindFromEveryKind(_ kind: Kind, _ byteCount: UInt64) throws {
        var random = SplitMix(seed: byteCount &* 31 &+ 7)
        let bytes = model(byteCount, &random)
        var disk = MemoryFile(MemoryFile.Contents(bytes)) as any BlockFile
        var format = ImageFormat.raw
        // A chain of conversions: the result of each is the source of the next.
        for next in [kind] + Self.kinds.shuffled(using: &random) {
            let source = try open(disk, format)
            let target = MemoryFile()
            let result = try fill(try next.image(byteCount).builder(on: target), from: source)
            try expect(target, next.format, bytes, "\(kind) \(byteCount) \(next)")
            #expect(
                result.copiedByteCount + result.zeroByteCount + result.skippedByteCount == byteCount
                    && result.clonedByteCount == 0)
            (disk, format) = (target, next.format)
        }
    }

    @Test(arguments: kinds, byteCounts)
    func streams(_ kind: Kind, _ byteCount: UInt64) throws {
        var random = SplitMix(seed: byteCount &* 17 &+ 3)
        let bytes = model(byteCount, &random)
        let target = MemoryFile()
        let stream = StreamFill(try kind.image(nil).builder(on: target), source: "stream", digests: true)
        var done = 0
        try stream.run { span in
            let count = min(span.byteCount, bytes.count - done)
            span.copy(bytes.rawBytes.extracting(done..<done + count), at: 0)
            done += count
            return count
        } progress: { _ in
        }
        try expect(target, kind.format, bytes, "\(kind) \(byteCount)")
        #expect(stream.digest?.finish() == (try ContentsDigest.of(try open(target, kind.format))))
        #expect(stream.position == byteCount)
    }

    /// The same disk gives the same file, whichever thread is faster, and whatever stored the source.
    @Test(arguments: kinds) func deterministic(_ kind: Kind) throws {
        var random = SplitMix(seed: 5)
        let bytes = model(20 << 20, &random)
        let source = try open(MemoryFile(MemoryFile.Contents(bytes)), .raw)
        var first: [UInt8]?
        for _ in 0..<4 {
            let target = MemoryFile()
            _ = try fill(try kind.image(20 << 20).builder(on: target), from: source)
            let made = try target.bytes(at: 0, count: Int(target.byteCount()))
            let isSame = first == nil || first == made
            #expect(isSame, "\(kind)")
            first = made
        }
    }

    /// Zero blocks are not allocated, nor is anything written for them.
    @Test func zerosAreLeftOut() throws {
        let bytes = [UInt8].zeros(8 << 20)
        let source = try open(MemoryFile(MemoryFile.Contents(bytes)), .raw)
        for kind in Self.kinds where kind.type == .dynamic {
            let (target, empty) = (MemoryFile(), MemoryFile())
            let result = try fill(try kind.image(8 << 20).builder(on: target), from: source)
            try kind.image(8 << 20).create(on: empty)
            #expect(target.byteCount() == empty.byteCount())
            #expect(result.copiedByteCount == 0)
        }
    }

    /// Every write that fails, and every read, ends the conversion with that error.
    @Test(arguments: kinds) func failures(_ kind: Kind) throws {
        var random = SplitMix(seed: 11)
        let bytes = model(3 << 20, &random)
        var failed = 0
        for after in 0..<60 {
            let target = FailingFile(MemoryFile(), after: after, code: 28)
            let source = try open(MemoryFile(MemoryFile.Contents(bytes)), .raw)
            do {
                _ = try fill(try kind.image(3 << 20).builder(on: target), from: source)
            } catch {
                #expect(error.ioError?.reason == .errno(28), "\(error)")
                failed += 1
            }
        }
        #expect(failed > 3)
        for after in 0..<12 {
            let broken = FailingFile(MemoryFile(MemoryFile.Contents(bytes)), after: after, code: 5, failsReads: true)
            let source = try ImageChain(leafFirst: [try RawLayer(broken)])
            #expect(throws: DiskError.self) {
                for _ in 0..<12 { _ = try fill(try kind.image(3 << 20).builder(on: MemoryFile()), from: source) }
            }
        }
    }

    @Test func whatCannotBe() throws {
        func refused(_ change: (inout NewImage) -> Void, _ format: ImageFormat = .vhdx) throws -> String {
            var image = Kind(format: format, type: .dynamic).image(1 << 20)
            change(&image)
            do { try image.create(on: MemoryFile()) } catch { return error.explanation }
            return "made"
        }
        #expect(try refused { $0.virtualByteCount = 1000 }.contains("whole sectors of 512"))
        #expect(try refused { $0.virtualByteCount = (64 << 40) + 512 }.contains("64 TiB"))
        #expect(try refused { $0.virtualByteCount = 0 }.contains("0 bytes"))
        #expect(try refused { $0.blockByteCount = 3 << 20 }.contains("a power of two from 1 MiB"))
        #expect(try refused { $0.logicalSectorByteCount = 520 }.contains("512 or 4096"))
        #expect(try refused({ $0.logicalSectorByteCount = 4096 }, .vhd).contains("sectors of 512"))
        #expect(try refused({ $0.blockByteCount = 1 << 20 }, .vhd).contains("512 KiB or 2 MiB"))
        #expect(try refused({ $0.virtualByteCount = (2040 << 30) + 512 }, .vhd).contains("2040 GiB"))
        #expect(try refused({ $0.diskID = .zero }, .vhd).contains("Unique ID"))
        #expect(try refused { $0.type = .differencing }.contains("differencing"))
        #expect(try refused { _ in } == "made")
        for (format, size) in [(ImageFormat.vhd, UInt64(2040 << 30)), (.vhdx, 64 << 40)] {
            let file = MemoryFile()
            try Kind(format: format, type: .dynamic).image(size).create(on: file)
            #expect(try open(file, format).geometry.virtualByteCount == size)
        }
    }

    /// Streams that are no raw disk.
    @Test func wrongStreams() throws {
        func run(_ bytes: [UInt8]) throws -> String {
            let builder = try Kind(format: .vhdx, type: .dynamic).image(nil).builder(on: MemoryFile())
            var done = false
            do {
                try StreamFill(builder, source: "stream", digests: false).run { span in
                    defer { done = true }
                    if done { return 0 }
                    span.copy(bytes.rawBytes, at: 0)
                    return bytes.count
                } progress: { _ in
                }
            } catch { return "\(error)" }
            return "made"
        }
        #expect(try run([]).contains("is empty"))
        #expect(try run([UInt8].zeros(1000)).contains("1000 bytes"))
        #expect(try run(Array("vhdxfile".utf8) + [UInt8].zeros(504)).contains("is a VHDX image"))
        #expect(try run(Array("conectix".utf8) + [UInt8].zeros(504)).contains("is a VHD image"))
        #expect(try run([UInt8].zeros(512) + Array("conectix".utf8) + [UInt8].zeros(504)).contains("fixed VHD"))
        #expect(try run([UInt8].zeros(1024)) == "made")
    }

    @Test func digestIsOfTheContents() throws {
        var random = SplitMix(seed: 23)
        let bytes = model(2 << 20, &random)
        let expected = try ContentsDigest.of(try open(MemoryFile(MemoryFile.Contents(bytes)), .raw))
        for step in [511, 4096, 100_000, 2 << 20] {
            let digest = ContentsDigest()
            for start in stride(from: 0, to: bytes.count, by: step) {
                let end = min(start + step, bytes.count)
                if step > 511 || !isZero(bytes.rawBytes.extracting(start..<end)) {
                    digest.update(UInt64(start), bytes.rawBytes.extracting(start..<end))
                }
            }
            #expect(digest.finish() == expected, "\(step)")
        }
        var changed = bytes
        changed[1_234_567] ^= 1
        #expect(try ContentsDigest.of(try open(MemoryFile(MemoryFile.Contents(changed)), .raw)) != expected)
    }
}
