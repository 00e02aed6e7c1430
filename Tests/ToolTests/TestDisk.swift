import BlockIO
import ByteCodec
import Digest
import DiskModel
import Foundation
import ImageChain
import RawDisk
import ToolTesting
import VHD
import VHDX

/// The kinds of image that the tests of the editing tools go through.
enum TestImageKind: String, CaseIterable, Sendable, CustomStringConvertible {
    case raw, fixedVHD, dynamicVHD, fixedVHDX, dynamicVHDX
    var description: String { rawValue }
    var fileName: String {
        switch self {
        case .raw: "disk.raw"
        case .fixedVHD, .dynamicVHD: "disk.vhd"
        case .fixedVHDX, .dynamicVHDX: "disk.vhdx"
        }
    }
    var isDynamic: Bool { self == .dynamicVHD || self == .dynamicVHDX }
    /// What a tool's command line needs to open it.
    var options: [String] { self == .raw ? ["--format", "raw"] : [] }

    /// Makes an image whose disk holds these runs of bytes.
    func make(_ path: String, byteCount: UInt64, _ runs: [(offset: UInt64, bytes: [UInt8])] = []) throws {
        do {
            let file = try PosixFile(path, .create)
            switch self {
            case .raw: try file.resize(to: byteCount)
            case .fixedVHD, .dynamicVHD:
                try VHDCreator.create(
                    on: file, type: self == .fixedVHD ? .fixed : .dynamic, virtualByteCount: byteCount,
                    uniqueID: .random(), created: DiskTimestamp(rawValue: 800_000_000))
            case .fixedVHDX, .dynamicVHDX:
                try VHDXCreator.create(
                    on: file, type: self == .fixedVHDX ? .fixed : .dynamic, virtualByteCount: byteCount,
                    blockByteCount: 1 << 20)
            }
        }
        let chain = try ImageChain.open(writing: path, OpenOptions(format: self == .raw ? .raw : nil))
        for run in runs { try chain.write(run.bytes, at: run.offset) }
        try chain.close()
    }
}

/// What a disk should hold: runs of bytes in order, a later one over an earlier, and zeros elsewhere.
struct TestContents {
    var byteCount: UInt64
    var runs: [(offset: UInt64, bytes: [UInt8])]

    /// Runs of random bytes over the first part of a disk.
    init(byteCount: UInt64, within end: UInt64, runs count: Int, of runByteCount: Int, seed: UInt64) {
        self.byteCount = byteCount
        var random = TestRandom(state: seed)
        let base = (0..<runByteCount / 8).flatMap { _ in random.eightBytes() }
        runs = (0..<count).map { number in
            let offset = UInt64.random(in: 0...(end - UInt64(runByteCount)) / 512, using: &random) * 512
            // Turned, so that each has bytes of its own.
            return (offset, Array(base[(number * 8)...] + base[..<(number * 8)]))
        }
    }

    init(byteCount: UInt64, _ runs: [(offset: UInt64, bytes: [UInt8])] = []) {
        (self.byteCount, self.runs) = (byteCount, runs)
    }

    /// The same, cut or lengthened with zeros.
    func resized(to newByteCount: UInt64) -> Self {
        let kept: [(offset: UInt64, bytes: [UInt8])] = runs.compactMap { run in
            guard run.offset < newByteCount else { return nil }
            return (run.offset, Array(run.bytes.prefix(Int(min(UInt64(run.bytes.count), newByteCount - run.offset)))))
        }
        return Self(byteCount: newByteCount, kept)
    }

    /// A disk in memory that holds this.
    func disk() throws -> ImageChain {
        var contents = MemoryFile.Contents()
        contents.resize(to: byteCount)
        for run in runs { contents.write(run.bytes.rawBytes, at: run.offset) }
        return try ImageChain(leafFirst: [try RawLayer(MemoryFile(contents))])
    }

    /// How an image's disk differs, in words; nil when it does not.
    func difference(from path: String, _ kind: TestImageKind) throws -> String? {
        let chain = try ImageChain.open(path, OpenOptions(format: kind == .raw ? .raw : nil))
        guard chain.geometry.virtualByteCount == byteCount else {
            return "the disk has \(chain.geometry.virtualByteCount) bytes instead of \(byteCount)"
        }
        return try firstDifferingByte(between: chain, and: try disk()).map { "byte \($0) differs" }
    }
}

/// SHA-256 of a file.
func fileHash(_ path: String) throws -> [UInt8] {
    let digest = Digest(.sha256)
    let file = try PosixFile(path)
    let buffer = IOBuffer(byteCount: 1 << 20)
    var position: UInt64 = 0
    let end = try file.byteCount()
    while position < end {
        let count = Int(min(1 << 20, end - position))
        try buffer.fill(count, from: file, at: position)
        digest.update(buffer.bytes(0..<count))
        position += UInt64(count)
    }
    return digest.finish()
}

extension TestRandom {
    mutating func eightBytes() -> [UInt8] {
        let value = next()
        return (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }
}
