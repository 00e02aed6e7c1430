import BlockIO
import ByteCodec
import DiskModel
import Foundation
import HRL
import ImageChain
import Testing
import ToolTesting
import VHD
import VHDX

/// The folder in which the examples of the manual pages and the README run.
enum ExampleFolder {
    static let byteCount: UInt64 = 64 << 20

    /// `disk.vhdx` (FAT inside), `disk.vhd`, `old.vhdx`, `new.vhdx`, `log1.hrl` and `log2.hrl` (which lead from old to
    /// new), `unclosed.hrl`; `worn.vhdx` of four blocks, the second of which was overwritten with zeros, and its child
    /// `snapshot.vhdx`, to which four sectors were written at 1 MiB; and `night.hrl`, six hours in which little is written,
    /// but for a minute after three o'clock.
    static func make() throws -> Scratch {
        let scratch = try Scratch()
        try makeDisk(scratch.path("disk.vhdx"), vhdx: true)
        try makeDisk(scratch.path("disk.vhd"), vhdx: false)
        if let mkfs = Peer.find("mkfs.fat") {
            let raw = scratch.path("fat.raw")
            try PosixFile(raw, .create).resize(to: byteCount)
            _ = try runProgram(mkfs, ["-n", "EXAMPLE", "-i", "1234abcd", raw])
            try write(raw, to: scratch.path("disk.vhdx"))
            try FileManager.default.removeItem(atPath: raw)
        }
        try makeLogs(scratch)
        try makeDisk(scratch.path("worn.vhdx"), vhdx: true)
        let blocks: [(UInt64, UInt8, Int)] = (0..<4).map { ($0 << 20, 0x99, 1 << 20) }
        try change(scratch.path("worn.vhdx"), blocks + [(1 << 20, 0, 1 << 20)])
        var chain = SmallChain(.vhdx, in: scratch, parent: "worn.vhdx")
        try chain.add("snapshot.vhdx", [(1 << 20, 0x77, 2048)])
        return scratch
    }

    private static func makeDisk(_ path: String, vhdx: Bool) throws {
        let file = try PosixFile(path, .create)
        if vhdx {
            try VHDXCreator.create(
                on: file, type: .dynamic, virtualByteCount: byteCount, blockByteCount: 1 << 20,
                logicalSectorByteCount: 512, physicalSectorByteCount: 4096)
        } else {
            try VHDCreator.create(
                on: file, type: .dynamic, virtualByteCount: byteCount, uniqueID: .random(),
                created: DiskTimestamp(rawValue: 800_000_000))
        }
    }

    /// Copies the data of a raw disk into an image.
    static func write(_ raw: String, to image: String) throws {
        let chain = try ImageChain.open(writing: image)
        let source = try PosixFile(raw)
        var position: UInt64 = 0
        while let data = try source.data(from: position) {
            for start in stride(from: data.lowerBound, to: data.upperBound, by: 1 << 16) {
                let count = Int(min(1 << 16, data.upperBound - start))
                try chain.write(try source.bytes(at: start, count: count), at: start)
            }
            position = data.upperBound
        }
        try chain.close()
    }

    private static func makeLogs(_ scratch: Scratch) throws {
        let (old, middle, new) = (scratch.path("old.vhdx"), scratch.path("middle.vhdx"), scratch.path("new.vhdx"))
        try makeDisk(old, vhdx: true)
        try change(old, [(0, 0x11, 1 << 16), (8 << 20, 0x22, 1 << 20)])
        try FileManager.default.copyItem(atPath: old, toPath: middle)
        try change(middle, [(4096, 0x33, 8192), (20 << 20, 0x44, 1 << 16)])
        try FileManager.default.copyItem(atPath: middle, toPath: new)
        try change(new, [(8192, 0x55, 4096), (20 << 20, 0x66, 4096), (40 << 20, 0x77, 512)])
        func diff(_ arguments: [String]) throws {
            let result = try runTool("hrl-diff", arguments, folder: scratch.folder)
            guard result.exit == 0 else { throw ProgramFailure(description: result.error) }
        }
        try diff(["old.vhdx", "middle.vhdx", "-o", "log1.hrl"])
        try diff(["--after", "log1.hrl", "middle.vhdx", "new.vhdx", "-o", "log2.hrl"])
        var bytes = try fileBytes(scratch.path("log1.hrl"))
        bytes.replaceSubrange(44..<52, with: [UInt8](repeating: 0, count: 8))
        _ = try scratch.write("unclosed.hrl", bytes)
        try makeNight(scratch.path("night.hrl"))
        try FileManager.default.removeItem(atPath: middle)
    }

    private static func makeNight(_ path: String) throws {
        let midnight = try #require(unixSeconds(rfc3339: "2026-11-22T00:00:00Z"))
        var options = LogWriter.Options()
        options.created = DiskTimestamp(unixSeconds: midnight)
        let writer = try LogWriter.create(on: try PosixFile(path, .create), options)
        func write(_ byteCount: Int, at offset: Int64, _ second: Int64) throws {
            try writer.append(
                [UInt8](repeating: 0x5a, count: byteCount), at: UInt64(offset),
                time: DiskTimestamp(unixSeconds: midnight + second))
        }
        for second in stride(from: Int64(0), to: 6 * 3600, by: 60) {
            try write(4096, at: (40 << 20) + second / 60 % 16 * 8192, second)
            // The burst, of 12 minutes past three.
            guard second == 3 * 3600 + 12 * 60 else { continue }
            for index: Int64 in 0..<59 { try write(65536, at: (8 << 20) + index * 65536, second + 1 + index) }
        }
        try writer.close(at: DiskTimestamp(unixSeconds: midnight + 6 * 3600))
    }

    private static func change(_ image: String, _ writes: [(offset: UInt64, value: UInt8, count: Int)]) throws {
        let chain = try ImageChain.open(writing: image)
        for (offset, value, count) in writes {
            try chain.write([UInt8](repeating: value, count: count), at: offset)
        }
        try chain.close()
    }
}
