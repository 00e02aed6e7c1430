import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import ImageChain
import Testing
import ToolTesting

/// qemu's programs; nil, with a loud line, where they are missing.
struct Qemu {
    let img: String
    let io: String

    static func find() -> Qemu? {
        guard let img = Peer.find("qemu-img"), let io = Peer.find("qemu-io") else { return nil }
        return Qemu(img: img, io: io)
    }

    /// qemu's name of a format.
    static func name(_ format: ImageFormat) -> String { format == .vhd ? "vpc" : format.rawValue }

    @discardableResult func run(_ arguments: [String], expecting codes: Set<Int32> = [0]) throws -> ProgramResult {
        let result = try runProgram(img, arguments)
        try #require(
            codes.contains(result.exit), "qemu-img \(arguments): \(result.exit) \(result.output)\(result.error)")
        return result
    }

    func create(_ path: String, _ format: ImageFormat, _ options: String, _ byteCount: UInt64) throws {
        try run(
            ["create", "-q", "-f", Self.name(format)] + (options.isEmpty ? [] : ["-o", options]) + [
                path, "\(byteCount)",
            ])
    }

    func toRaw(_ path: String, _ format: ImageFormat, _ raw: String) throws {
        try run(["convert", "-f", Self.name(format), "-O", "raw", path, raw])
    }

    /// Exit 63: qemu cannot check this format.
    func check(_ path: String, _ format: ImageFormat) throws {
        try run(["check", "-q", "-f", Self.name(format), path], expecting: format == .vhd ? [0, 63] : [0])
    }

    func compare(_ path: String, _ format: ImageFormat, raw: String) throws {
        try run(["compare", "-U", "-f", Self.name(format), "-F", "raw", path, raw])
    }

    /// Writes by qemu.
    func write(_ path: String, _ format: ImageFormat, _ writes: [PatternWrite]) throws {
        let result = try runProgram(io, ["-f", Self.name(format)] + writes.flatMap { ["-c", $0.command] } + [path])
        try #require(result.exit == 0 && !result.output.contains("failed"), "\(result.output)\(result.error)")
    }
}

/// A run of one byte; zeros when nil.
struct PatternWrite {
    var offset: UInt64
    var byteCount: UInt64
    var value: UInt8?

    var command: String {
        value.map { "write -q -P \($0) \(offset) \(byteCount)" } ?? "write -q -z \(offset) \(byteCount)"
    }

    /// Sector writes all over a disk: many small, some across blocks, the first and the last sector among them.
    static func random(_ count: Int, diskByteCount: UInt64, using random: inout SplitMix) -> [PatternWrite] {
        let sectors = diskByteCount / 512
        let edges = [
            PatternWrite(offset: 0, byteCount: 512, value: 0xf1),
            PatternWrite(offset: (sectors - 1) * 512, byteCount: 512, value: 0xf2),
        ]
        return edges
            + (0..<count).map { index in
                let start = UInt64.random(in: 0..<sectors, using: &random)
                let longest: UInt64 = index % 8 == 0 ? 6000 : 64
                let count = min(sectors - start, UInt64.random(in: 1...longest, using: &random))
                return PatternWrite(
                    offset: start * 512, byteCount: count * 512,
                    value: index % 5 == 4 ? nil : UInt8.random(in: 1...255, using: &random))
            }
    }

    func apply(to disk: any VirtualDisk) throws {
        guard let value else { return try disk.writeZeroes(offset..<offset + byteCount) }
        try disk.write([UInt8](repeating: value, count: Int(byteCount)), at: offset)
    }

    func apply(to raw: PosixFile) throws {
        try raw.write([UInt8](repeating: value ?? 0, count: Int(byteCount)), at: offset)
    }

    /// Applies to a raw file, made with its full size when it is not there; the file is not held open, for qemu to have it.
    static func apply(_ writes: [PatternWrite], toRaw path: String, byteCount: UInt64) throws {
        let raw = try PosixFile(path, FileManager.default.fileExists(atPath: path) ? .write : .create)
        try raw.resize(to: byteCount)
        for write in writes { try write.apply(to: raw) }
    }

    /// Applies by our writers, and lets go of the image.
    static func apply(_ writes: [PatternWrite], toImage path: String) throws {
        let chain = try ImageChain.open(writing: path)
        for write in writes { try write.apply(to: chain) }
        try chain.close()
    }
}

/// Expects a disk to hold exactly the bytes of a raw file, by the way tools read it and by plain reads.
func expectSame(
    _ disk: any VirtualDisk, as rawPath: String, _ note: String, sourceLocation: SourceLocation = #_sourceLocation
)
    throws
{
    let raw = try PosixFile(rawPath)
    let size = try raw.byteCount()
    try #require(disk.geometry.virtualByteCount == size, "\(note)", sourceLocation: sourceLocation)
    var position: UInt64 = 0
    try DiskStream(disk).run(disk.wholeRange) { offset, bytes in
        try #require(offset == position)
        let same = try raw.bytes(at: offset, count: bytes.byteCount) == [UInt8](copying: bytes)
        try #require(same, "\(note): other bytes at or after \(offset)", sourceLocation: sourceLocation)
        position += UInt64(bytes.byteCount)
    } zeros: { offset, count in
        try #require(offset == position)
        try #require(
            try raw.isZero(offset..<offset + count), "\(note): not zeros after \(offset)",
            sourceLocation: sourceLocation)
        position += count
    }
    #expect(position == size, sourceLocation: sourceLocation)
    for start in stride(from: UInt64(3), to: size, by: 1_048_573) {
        let count = Int(min(1000, size - start))
        #expect(try disk.bytes(at: start, count: count) == raw.bytes(at: start, count: count), "\(note), at \(start)")
    }
}
