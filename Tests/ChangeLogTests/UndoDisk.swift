import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import HRL
import ImageChain
import Testing
import VHD
import VHDX

/// An image in memory, of any kind that logs are applied to, with its parent where it has one.
struct UndoDisk {
    enum Kind: String, CaseIterable, Sendable {
        case raw, fixedVHD, dynamicVHD, smallBlocksVHD, childVHD
        case fixedVHDX, dynamicVHDX, largeSectorsVHDX, childVHDX, largeSectorsChildVHDX

        var isVHD: Bool { [.fixedVHD, .dynamicVHD, .smallBlocksVHD, .childVHD].contains(self) }
        var isChild: Bool { [.childVHD, .childVHDX, .largeSectorsChildVHDX].contains(self) }
        var sectorByteCount: Int { [.largeSectorsVHDX, .largeSectorsChildVHDX].contains(self) ? 4096 : 512 }
    }

    let kind: Kind
    let byteCount: UInt64
    var leaf = MemoryFile.Contents()
    private var parent: MemoryFile.Contents?
    static let created = DiskTimestamp(rawValue: 700_000_000)

    /// An image with random contents in some places, data and zeros, in the parent as well.
    init(_ kind: Kind, byteCount: UInt64, _ random: inout SplitMix) throws {
        (self.kind, self.byteCount) = (kind, byteCount)
        let base = MemoryFile(path: "base")
        if kind == .raw {
            base.resize(to: byteCount)
        } else if kind.isVHD {
            try VHDCreator.create(
                on: base, type: kind == .fixedVHD ? .fixed : .dynamic, virtualByteCount: byteCount,
                blockByteCount: kind == .dynamicVHD ? 1 << 20 : 4096, uniqueID: .random(), created: Self.created)
        } else {
            try VHDXCreator.create(
                on: base, type: kind == .fixedVHDX ? .fixed : .dynamic, virtualByteCount: byteCount,
                blockByteCount: 1 << 20, logicalSectorByteCount: kind.sectorByteCount)
        }
        leaf = base.contents
        try fill(&random)
        guard kind.isChild else { return }
        try makeChild()
        try fill(&random)
    }

    private mutating func makeChild() throws {
        let file = MemoryFile(path: "child")
        let layer = try ImageOpener.layer(reading: MemoryFile(leaf, path: "base"))
        let reference = ParentReference(identity: layer.identity, modified: 1_700_000_000, relativePath: "base")
        if let layer = layer as? VHDLayer {
            try VHDCreator.createChild(
                on: file, of: layer, named: reference, blockByteCount: 8192, uniqueID: .random(), created: Self.created)
        } else if let layer = layer as? VHDXLayer {
            try VHDXCreator.createChild(on: file, of: layer, named: reference, blockByteCount: 1 << 20)
        }
        (parent, leaf) = (leaf, file.contents)
    }

    private mutating func fill(_ random: inout SplitMix) throws {
        let file = MemoryFile(leaf, path: "disk")
        let disk = try open(writing: file)
        for (offset, bytes, zeros) in undoWrites(&random, count: 12, diskByteCount: Int(byteCount)) {
            if let bytes { try disk.write(bytes, at: offset) } else { try disk.writeZeroes(offset..<offset + zeros) }
        }
        try disk.close()
        leaf = file.contents
    }

    private var options: OpenOptions { OpenOptions(format: kind == .raw ? .raw : nil) }

    private func parents() throws -> [any DiskLayer] {
        try parent.map { [try ImageOpener.layer(reading: MemoryFile($0, path: "base"))] } ?? []
    }

    func open(_ contents: MemoryFile.Contents? = nil) throws -> ImageChain {
        let layer = try ImageOpener.layer(reading: MemoryFile(contents ?? leaf, path: "disk"), options)
        return try ImageChain(leafFirst: [layer] + parents())
    }

    func open(writing file: any BlockFile) throws -> ImageChain {
        let layer = try ImageOpener.layer(writing: file, options)
        return try ImageChain(leafFirst: [layer] + parents(), writableLeaf: layer)
    }

    /// What the disk shows.
    func bytes() throws -> [UInt8] { try open().bytes(at: 0, count: Int(byteCount)) }
}

/// Random writes and zeros, many of them at places and of lengths that are no whole sectors.
func undoWrites(
    _ random: inout SplitMix, count: Int, diskByteCount: Int
) -> [(UInt64, [UInt8]?, UInt64)] {
    (0..<count).map { number in
        let unit = Bool.random(using: &random) ? 512 : 1
        let start = Int.random(in: 0..<diskByteCount / unit, using: &random) * unit
        let most = number % 5 == 0 ? diskByteCount / 3 : 6000
        let length = max(1, Int.random(in: 1...max(1, min(most, diskByteCount - start) / unit), using: &random)) * unit
        let fits = min(length, diskByteCount - start)
        if Int.random(in: 0..<4, using: &random) == 0 { return (UInt64(start), nil, UInt64(fits)) }
        let shift = Int.random(in: 0..<pattern.count - fits, using: &random)
        return (UInt64(start), Array(pattern[shift..<shift + fits]), 0)
    }
}
