import BlockIO
import DiskModel
import FaultInjection
import Foundation
import ImageChain
import Testing
import ToolTesting

/// Images made and filled by qemu, read by us.
@Suite struct TheirImagesTests {
    struct Kind: CustomStringConvertible, Sendable {
        var format: ImageFormat
        var options: String
        var byteCount: UInt64
        var description: String { "\(format) \(options) \(byteCount)" }
    }

    static let kinds = [
        Kind(format: .vhd, options: "", byteCount: 20 << 20),
        Kind(format: .vhd, options: "force_size=on", byteCount: (33 << 20) + 512),
        Kind(format: .vhd, options: "subformat=fixed", byteCount: 9 << 20),
        Kind(format: .vhd, options: "subformat=fixed,force_size=on", byteCount: (5 << 20) + 1536),
        Kind(format: .vhdx, options: "block_size=1M", byteCount: 17 << 20),
        Kind(format: .vhdx, options: "block_size=1M,block_state_zero=off,log_size=2M", byteCount: (5 << 20) + 512),
        Kind(format: .vhdx, options: "block_size=8M", byteCount: 24 << 20),
        Kind(format: .vhdx, options: "block_size=32M", byteCount: 34 << 20),
        Kind(format: .vhdx, options: "subformat=fixed,block_size=1M", byteCount: 6 << 20),
    ]

    @Test(arguments: kinds) func read(_ kind: Kind) throws {
        guard let qemu = Qemu.find() else { return }
        let scratch = try Scratch(inMemory: true)
        let (image, raw) = (scratch.path("image"), scratch.path("raw"))
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix(seed: seed)
        try qemu.create(image, kind.format, kind.options, kind.byteCount)
        let note = "\(kind), seed \(seed)"
        // As made, after some writes, and after more.
        for count in [0, 12, 30] {
            if count > 0 {
                let size = try ImageChain.open(image).geometry.virtualByteCount
                try qemu.write(image, kind.format, PatternWrite.random(count, diskByteCount: size, using: &random))
            }
            try qemu.toRaw(image, kind.format, raw)
            let before = try fileBytes(image)
            let chain = try ImageChain.open(image)
            #expect(chain.leaf.format == kind.format)
            #expect(chain.leaf.type == (kind.options.contains("fixed") ? .fixed : .dynamic))
            #expect(!chain.hasReplayedLog)
            try expectSame(chain, as: raw, note)
            #expect(try fileBytes(image) == before, "reading changed the file")
        }
    }

    /// We write into qemu's images; qemu reads, checks and writes on; we read that.
    @Test(arguments: kinds) func writeInto(_ kind: Kind) throws {
        guard let qemu = Qemu.find() else { return }
        let scratch = try Scratch(inMemory: true)
        let (image, rawPath) = (scratch.path("image"), scratch.path("raw"))
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix(seed: seed)
        try qemu.create(image, kind.format, kind.options, kind.byteCount)
        let size = try ImageChain.open(image).geometry.virtualByteCount
        for round in 0..<3 {
            let writes = PatternWrite.random(15, diskByteCount: size, using: &random)
            if round == 1 {
                try qemu.write(image, kind.format, writes)
            } else {
                try PatternWrite.apply(writes, toImage: image)
            }
            try PatternWrite.apply(writes, toRaw: rawPath, byteCount: size)
            let note = "\(kind), seed \(seed), round \(round)"
            try expectSame(try ImageChain.open(image), as: rawPath, note)
            try qemu.check(image, kind.format)
            try qemu.compare(image, kind.format, raw: rawPath)
        }
    }
}
