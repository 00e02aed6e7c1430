import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing

@testable import VHDX

/// Bytes of the structures flipped, one at a time: a check always answers, and soon; the repairs that cost nothing never
/// make a readable image unreadable, nor change a byte of the disk.
@Suite struct CheckFlipsTests {
    struct Run: Sendable, CustomTestStringConvertible {
        var name: String
        var offset: UInt64
        var count: UInt64
        /// Whether checksums are put right, so that the flip gets past them.
        var isSealed = false
        var testDescription: String { name }
    }
    static let runs: [Run] =
        [
            ("header 1", UInt64(65536), UInt64(84)), ("header 2", 131072, 84), ("region table 1", 196608, 200),
            ("region table 2", 262144, 200),
        ]
        .flatMap { name, offset, count in
            [
                Run(name: name, offset: offset, count: count),
                Run(name: name + ", sealed", offset: offset, count: count, isSealed: true),
            ]
        } + [
            Run(name: "metadata table", offset: TinyImage.metadata, count: 32 + 6 * 32),
            Run(name: "metadata items", offset: TinyImage.metadata + 65536, count: 40),
            Run(name: "locator", offset: TinyImage.metadata + 0x20000, count: 200),
            Run(name: "table", offset: TinyImage.table, count: 72),
            Run(name: "bitmap entry", offset: TinyImage.table + 4096 * 8, count: 8),
        ]

    @Test(arguments: [GoodImage.Kind.dynamic, .differencing], runs)
    func flipped(_ kind: GoodImage.Kind, _ run: Run) throws { try Self.flip(kind, run) }

    /// What a fixed image has of its own.
    @Test(arguments: runs.filter { ["metadata items", "table"].contains($0.name) })
    func flippedFixed(_ run: Run) throws { try Self.flip(.fixed, run) }

    static func flip(_ kind: GoodImage.Kind, _ run: Run) throws {
        let good = try GoodImage.make(kind)
        var (readable, mended, longest) = (0, 0, Duration.zero)
        let clock = ContinuousClock()
        var random = SplitMix(seed: run.offset)
        for place in run.offset..<run.offset + run.count {
            for mask: UInt8 in [0xff, 1 << UInt8.random(in: 0..<8, using: &random)] {
                var image = good
                image.put([image.bytes(place, 1)[0] ^ mask], at: place)
                if run.isSealed { image.seal() }
                let before = GoodImage.view(image.contents)
                let start = clock.now
                let report = try check(image.contents, isDeep: true)
                #expect(report.isReadable == (before != nil), "byte \(place): \(report.lines())")
                let after = try Self.repaired(image.contents, report)
                longest = max(longest, clock.now - start)
                if let before {
                    readable += 1
                    #expect(GoodImage.view(after) == before, "byte \(place) ^ \(mask): \(report.lines())")
                } else if GoodImage.view(after) != nil {
                    mended += 1
                    #expect(GoodImage.view(after) == GoodImage.view(good.contents), "byte \(place): \(report.lines())")
                }
            }
        }
        print(
            "VHDX flips, \(kind.rawValue), \(run.name): \(2 * run.count), \(readable) readable, \(mended) mended, \(longest)"
        )
        #expect(longest < .seconds(20))
    }

    /// With all repairs that cost nothing; one that is refused leaves the file as it is.
    static func repaired(_ contents: MemoryFile.Contents, _ report: CheckReport) throws -> MemoryFile.Contents {
        let file = MemoryFile(contents)
        do throws(DiskError) {
            let actions = try VHDXChecker.repair(file, RepairKind.lossless, CheckOptions()) { _, _ in }
            if actions.isEmpty { #expect(areSame(file.contents, contents)) }
        } catch {
            #expect(error.kind == .refused, "\(error)")
            #expect(error.hint != nil)
            #expect(areSame(file.contents, contents))
        }
        return file.contents
    }
}
