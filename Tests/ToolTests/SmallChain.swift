import BlockIO
import ByteCodec
import DiskModel
import Foundation
import ImageChain
import ToolTesting
import VHD
import VHDX

/// Chains of images made for tests: each image names the one before as its parent.
struct SmallChain {
    let format: ImageFormat
    let byteCount: UInt64
    let blockByteCount: UInt64
    let scratch: Scratch
    /// Paths, base first.
    private(set) var paths: [String] = []

    init(
        _ format: ImageFormat, in scratch: Scratch, byteCount: UInt64 = 64 << 20, blockByteCount: UInt64? = nil
    ) {
        (self.format, self.scratch) = (format, scratch)
        // Small, and such as Windows takes.
        (self.byteCount, self.blockByteCount) = (byteCount, blockByteCount ?? (format == .vhd ? 512 << 10 : 1 << 20))
    }

    /// A chain that goes on from an image that is there.
    init(_ format: ImageFormat, in scratch: Scratch, parent: String) {
        self.init(format, in: scratch)
        paths = [scratch.path(parent)]
    }

    var leaf: String { paths[paths.count - 1] }

    /// Adds an image: a dynamic one first, then children.
    mutating func add(_ name: String) throws {
        let path = scratch.path(name)
        let file = try PosixFile(path, .create)
        guard let parent = paths.last else {
            try makeBase(file)
            return paths.append(path)
        }
        let parentFile = try PosixFile(parent)
        let parentName = URL(fileURLWithPath: parent).lastPathComponent
        let modified = Int64(try parentFile.status().st_mtim.tv_sec)
        switch try ImageOpener.layer(reading: parentFile) {
        case let layer as VHDLayer:
            let reference = ParentReference(identity: layer.identity, modified: modified, relativePath: parentName)
            try VHDCreator.createChild(
                on: file, of: layer, named: reference, blockByteCount: blockByteCount, uniqueID: .random(),
                created: DiskTimestamp(rawValue: 800_000_000))
        case let layer as VHDXLayer:
            let reference = ParentReference(identity: layer.identity, modified: modified, relativePath: parentName)
            try VHDXCreator.createChild(on: file, of: layer, named: reference, blockByteCount: blockByteCount)
        default: throw ProgramFailure(description: "\(parent) can have no child")
        }
        paths.append(path)
    }

    private func makeBase(_ file: PosixFile) throws {
        if format == .vhd {
            try VHDCreator.create(
                on: file, type: .dynamic, virtualByteCount: byteCount, blockByteCount: blockByteCount,
                uniqueID: .random(), created: DiskTimestamp(rawValue: 800_000_000))
        } else {
            try VHDXCreator.create(
                on: file, type: .dynamic, virtualByteCount: byteCount, blockByteCount: blockByteCount)
        }
    }

    /// Adds an image and writes into it.
    mutating func add(_ name: String, _ writes: [(offset: UInt64, value: UInt8, count: Int)]) throws {
        try add(name)
        let chain = try ImageChain.open(writing: leaf)
        for (offset, value, count) in writes {
            try chain.write([UInt8](repeating: value, count: count), at: offset)
        }
        try chain.close()
    }
}
