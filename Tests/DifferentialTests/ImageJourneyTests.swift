import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import ImageChain
import Testing
import ToolTesting

/// The life of an image, by the built tools, with qemu writing into it between all steps: made, filled, converted, grown,
/// shrunk, compacted, checked and compared.
@Suite struct ImageJourneyTests {
    struct Kind: CustomStringConvertible, Sendable {
        var format: ImageFormat
        var create: [String]
        var description: String { "\(format) \(create.joined(separator: " "))" }
    }

    static let kinds = [
        Kind(format: .vhd, create: []), Kind(format: .vhd, create: ["--block", "512K"]),
        Kind(format: .vhd, create: ["--fixed"]), Kind(format: .vhdx, create: []),
        Kind(format: .vhdx, create: ["--block", "1M"]), Kind(format: .vhdx, create: ["--fixed", "--block", "2M"]),
    ]
    private static let byteCount: UInt64 = 24 << 20

    /// The image under way, and the raw file that holds what it must hold.
    private final class Journey {
        let scratch: Scratch
        let qemu: Qemu
        let format: ImageFormat
        var random: SplitMix
        var size = ImageJourneyTests.byteCount
        let note: String
        var image: String { scratch.path("disk." + format.rawValue) }
        var raw: String { scratch.path("disk.raw") }

        init(_ kind: Kind, _ qemu: Qemu) throws {
            scratch = try Scratch(inMemory: true)
            let seed = UInt64.random(in: 0 ... .max)
            (self.qemu, format, random, note) = (qemu, kind.format, SplitMix(seed: seed), "\(kind), seed \(seed)")
            try PosixFile(raw, .create).resize(to: size)
        }

        func run(_ tool: String, _ arguments: [String], exit: Int32 = 0) throws {
            let result = try runTool(tool, arguments)
            try #require(result.exit == exit, "\(note): \(tool) \(arguments): \(result.output)\(result.error)")
        }

        /// Writes by qemu, and all readers see them.
        func writeAndJudge(_ count: Int = 12) throws {
            let writes = PatternWrite.random(count, diskByteCount: size, using: &random)
            try qemu.write(image, format, writes)
            try PatternWrite.apply(writes, toRaw: raw, byteCount: size)
            try judge()
        }

        func judge() throws {
            try run("vhdcompare", ["--format-b", "raw", image, raw])
            try qemu.compare(image, format, raw: raw)
            try qemu.check(image, format)
            let check = try runTool("vhdcheck", ["--deep", image])
            #expect([0, 3].contains(check.exit), "\(note): \(check.output)\(check.error)")
            #expect(!check.output.contains(" error "), "\(note): \(check.output)")
        }

        func resize(_ size: UInt64) throws {
            try run("vhdresize", ["-q", "--shrink", image, "\(size)"])
            self.size = size
            do { try PosixFile(raw, .write).resize(to: size) }
            try judge()
        }
    }

    @Test(arguments: kinds) func life(_ kind: Kind) throws {
        guard let qemu = Qemu.find() else { return }
        let journey = try Journey(kind, qemu)
        try journey.run("vhdcreate", ["-q"] + kind.create + [journey.image, "\(Self.byteCount)"])
        try journey.writeAndJudge()
        try journey.resize(Self.byteCount + (9 << 20) + 512)
        try journey.writeAndJudge()
        try journey.resize(17 << 20)
        try journey.writeAndJudge()
        if !kind.create.contains("--fixed") {
            // A run of blocks becomes zeros, so that there is something to drop and to move.
            let zeros = [PatternWrite(offset: 2 << 20, byteCount: 6 << 20, value: nil)]
            try qemu.write(journey.image, kind.format, zeros)
            try PatternWrite.apply(zeros, toRaw: journey.raw, byteCount: journey.size)
            let before = try PosixFile(journey.image).byteCount()
            try journey.run("vhdcompact", ["-q", journey.image])
            #expect(try PosixFile(journey.image).byteCount() <= before, "\(journey.note)")
            try journey.judge()
            try journey.writeAndJudge()
        }
        try journey.resize(200 << 20)
        try journey.writeAndJudge()
        let other: ImageFormat = kind.format == .vhd ? .vhdx : .vhd
        let copy = journey.scratch.path("copy." + other.rawValue)
        try journey.run("vhdconvert", ["-q", "--verify", journey.image, copy])
        let writes = PatternWrite.random(12, diskByteCount: journey.size, using: &journey.random)
        try qemu.write(copy, other, writes)
        try journey.run("vhdcompare", ["-q", journey.image, copy], exit: 1)
        try PatternWrite.apply(writes, toRaw: journey.raw, byteCount: journey.size)
        try journey.run("vhdconvert", ["-q", "-f", copy, journey.image])
        try journey.judge()
    }
}
