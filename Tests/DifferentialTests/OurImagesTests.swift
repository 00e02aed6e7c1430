import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import ImageChain
import Testing
import ToolTesting
import VHD
import VHDX

/// Images that we make and fill, judged by qemu, 7-Zip and libvhdi.
@Suite struct OurImagesTests {
    struct Kind: CustomStringConvertible, Sendable {
        var format: ImageFormat
        var type: ImageType
        var byteCount: UInt64
        var blockByteCount: UInt64
        var description: String { "\(format) \(type) \(byteCount) block \(blockByteCount)" }

        func create(_ path: String) throws {
            let file = try PosixFile(path, .create)
            if format == .vhd {
                try VHDCreator.create(
                    on: file, type: type == .fixed ? .fixed : .dynamic, virtualByteCount: byteCount,
                    blockByteCount: blockByteCount, uniqueID: .random(), created: DiskTimestamp(rawValue: 800_000_000))
            } else {
                try VHDXCreator.create(
                    on: file, type: type, virtualByteCount: byteCount, blockByteCount: blockByteCount)
            }
        }
    }

    static let kinds = [
        Kind(format: .vhd, type: .dynamic, byteCount: 20 << 20, blockByteCount: 2 << 20),
        // A size that is exact by geometry, and one that is none.
        Kind(format: .vhd, type: .dynamic, byteCount: 10_444_800, blockByteCount: 2 << 20),
        Kind(format: .vhd, type: .dynamic, byteCount: (7 << 20) + 512, blockByteCount: 512 << 10),
        Kind(format: .vhd, type: .fixed, byteCount: 8 << 20, blockByteCount: 2 << 20),
        Kind(format: .vhdx, type: .dynamic, byteCount: (12 << 20) + 512, blockByteCount: 1 << 20),
        Kind(format: .vhdx, type: .dynamic, byteCount: 24 << 20, blockByteCount: 8 << 20),
        Kind(format: .vhdx, type: .dynamic, byteCount: 33 << 20, blockByteCount: 32 << 20),
        Kind(format: .vhdx, type: .fixed, byteCount: 5 << 20, blockByteCount: 1 << 20),
    ]

    @Test(arguments: kinds) func judged(_ kind: Kind) throws {
        let scratch = try Scratch(inMemory: true)
        let (image, rawPath) = (scratch.path("image"), scratch.path("raw"))
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix(seed: seed)
        try kind.create(image)
        // Empty, filled by us, filled further by qemu, and by us again.
        for round in 0..<4 {
            let note = "\(kind), seed \(seed), round \(round)"
            let writes = round == 0 ? [] : PatternWrite.random(20, diskByteCount: kind.byteCount, using: &random)
            if round == 2 {
                guard let qemu = Qemu.find() else { continue }
                try qemu.write(image, kind.format, writes)
            } else if round > 0 {
                try PatternWrite.apply(writes, toImage: image)
            }
            try PatternWrite.apply(writes, toRaw: rawPath, byteCount: kind.byteCount)
            try expectSame(try ImageChain.open(image), as: rawPath, note)
            try judge(image, kind, rawPath, note)
        }
    }

    private func judge(_ image: String, _ kind: Kind, _ rawPath: String, _ note: String) throws {
        let expected = try fileBytes(rawPath)
        if let qemu = Qemu.find() {
            try qemu.check(image, kind.format)
            try qemu.compare(image, kind.format, raw: rawPath)
        }
        // 7-Zip opens no VHDX of a size that is not whole MiB, whoever made it.
        if kind.format == .vhd || kind.byteCount % (1 << 20) == 0, let sevenZip = Peer.find("7z") {
            let result = try runProgram(sevenZip, ["e", "-so", "-t\(kind.format.title)", image])
            let same = result.outputBytes == expected
            #expect(
                result.exit == 0 && same,
                "\(note): 7z \(result.exit), \(result.outputBytes.count) bytes \(result.error)")
        }
        if let info = Peer.find("vhdiinfo") {
            let result = try runProgram(info, [image])
            #expect(result.exit == 0, "\(note): \(result.error)")
            #expect(result.output.contains("(\(kind.byteCount) bytes)"), "\(note): \(result.output)")
            #expect(result.output.contains(kind.type == .fixed ? "Fixed" : "Dynamic"), "\(note): \(result.output)")
        }
    }

    /// An image that was never closed, as a killed process leaves it: qemu repairs or opens a copy, and finds our bytes.
    @Test(arguments: kinds) func notClosed(_ kind: Kind) throws {
        guard let qemu = Qemu.find() else { return }
        let scratch = try Scratch(inMemory: true)
        let (image, copy, rawPath) = (scratch.path("image"), scratch.path("copy"), scratch.path("raw"))
        var random = SplitMix(seed: 11)
        try kind.create(image)
        let writes = PatternWrite.random(20, diskByteCount: kind.byteCount, using: &random)
        let chain = try ImageChain.open(writing: image)
        for write in writes { try write.apply(to: chain) }
        try PatternWrite.apply(writes, toRaw: rawPath, byteCount: kind.byteCount)
        try chain.flush()
        try FileManager.default.copyItem(atPath: image, toPath: copy)
        try expectSame(try ImageChain.open(copy), as: rawPath, "\(kind)")
        if kind.format == .vhdx {
            try qemu.run(["check", "-q", "-r", "all", "-f", "vhdx", copy], expecting: [0, 2, 3])
            try qemu.check(copy, .vhdx)
        }
        try qemu.compare(copy, kind.format, raw: rawPath)
        try chain.close()
    }
}
