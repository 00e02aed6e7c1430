import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import Testing
import VHD

/// What qemu-img says about images we wrote.
@Suite struct QemuTests {
    static let program: String? = {
        for path in ["/usr/bin/qemu-img", "/usr/local/bin/qemu-img"]
        where FileManager.default.isExecutableFile(atPath: path) {
            return path
        }
        print("SKIPPED: no qemu-img here: our VHD images are not compared with it")
        return nil
    }()

    static func run(_ arguments: [String]) throws -> Int32 {
        guard let program else { return 0 }
        // Copies: the writers' locks on the originals would stop it.
        var arguments = arguments
        var copies: [String] = []
        for index in arguments.indices where arguments[index].hasPrefix("/") && arguments[0] != "create" {
            let copy = arguments[index] + ".copy"
            try FileManager.default.copyItem(atPath: arguments[index], toPath: copy)
            copies.append(copy)
            arguments[index] = copy
        }
        defer { for copy in copies { try? FileManager.default.removeItem(atPath: copy) } }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus
    }

    @Test(
        arguments: [(VHDCreator.NewType.fixed, 4 << 20), (.dynamic, 11 << 20), (.dynamic, (64 << 20) + 512)]
            as [(VHDCreator.NewType, UInt64)])
    func writtenImages(_ kind: (type: VHDCreator.NewType, byteCount: UInt64)) throws {
        guard Self.program != nil else { return }
        let folder = NSTemporaryDirectory() + "/vhdtests-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (image, raw) = (folder + "/a.vhd", folder + "/a.raw")
        let file = try PosixFile(image, .create)
        try VHDCreator.create(
            on: file, type: kind.type, virtualByteCount: kind.byteCount, uniqueID: .random(),
            created: DiskTimestamp(rawValue: 1))
        let plain = try PosixFile(raw, .create)
        try plain.resize(to: kind.byteCount)
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix(seed: seed)
        let disk = try VHDLayer(writing: file)
        for _ in 0..<60 {
            let start = UInt64.random(in: 0..<kind.byteCount / 512, using: &random) * 512
            let count = min(kind.byteCount - start, UInt64.random(in: 1...200, using: &random) * 512)
            if UInt8.random(in: 0..<4, using: &random) == 0 {
                try disk.writeZeroes(start..<start + count)
                try plain.zero(start..<start + count)
            } else {
                let bytes = random.bytes(Int(count))
                try disk.write(bytes.rawBytes, at: start)
                try plain.write(bytes, at: start)
            }
        }
        try disk.flush()
        // As a killed process leaves it, and then closed.
        #expect(try Self.run(["compare", "-f", "vpc", "-F", "raw", image, raw]) == 0, "seed \(seed)")
        try disk.close()
        #expect(try Self.run(["compare", "-f", "vpc", "-F", "raw", image, raw]) == 0, "seed \(seed)")
        // 63: this version cannot check the format.
        let check = try Self.run(["check", "-f", "vpc", image])
        #expect(check == 0 || check == 63, "seed \(seed): \(check)")
    }

    @Test func theirImagesWrittenByUs() throws {
        guard Self.program != nil else { return }
        let folder = NSTemporaryDirectory() + "/vhdtests-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (image, raw) = (folder + "/q.vhd", folder + "/q.raw")
        #expect(try Self.run(["create", "-q", "-f", "vpc", "-o", "force_size=on", image, "100M"]) == 0)
        let file = try PosixFile(image, .write)
        let disk = try VHDLayer(writing: file)
        #expect(disk.geometry.virtualByteCount == 100 << 20)
        let plain = try PosixFile(raw, .create)
        try plain.resize(to: 100 << 20)
        for offset in [0, 4096 * 512, 50 << 20, (100 << 20) - 512] as [UInt64] {
            let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: offset >> 20) | 1, count: 512)
            try disk.write(bytes.rawBytes, at: offset)
            try plain.write(bytes, at: offset)
        }
        try disk.close()
        #expect(try Self.run(["compare", "-f", "vpc", "-F", "raw", image, raw]) == 0)
    }
}
