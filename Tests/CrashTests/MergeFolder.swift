import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import VHD
import VHDX

@testable import ImageChain

/// A base, a child and a grandchild in memory, with partially present blocks on every level.
struct MergeFolder {
    var format: ImageFormat
    var files: [String: MemoryFile.Contents] = [:]
    /// Whether images are read that say that they hold a mixture.
    var ignoresSigns = false
    /// What the leaf shows.
    var expected: [UInt8] = []
    static let (base, middle, leaf) = ("base", "middle", "leaf")
    /// Another child of the one in the middle.
    static let other = "other"

    /// - Parameter leafByteCount: size of the leaf; the others have the usual one.
    init(
        _ format: ImageFormat, seed: UInt64, baseType: ImageType = .dynamic, leafByteCount: UInt64? = nil,
        hasOther: Bool = false
    ) throws {
        self.format = format
        var random = SplitMix(seed: seed)
        let size: UInt64 = format == .vhd ? 64 << 10 : 4 << 20
        let base = MemoryFile()
        if format == .vhd {
            try VHDCreator.create(
                on: base, type: baseType == .fixed ? .fixed : .dynamic, virtualByteCount: size, blockByteCount: 4096,
                uniqueID: .random(), created: DiskTimestamp(unixSeconds: 1_700_000_000))
        } else {
            try VHDXCreator.create(on: base, type: baseType, virtualByteCount: size, blockByteCount: 1 << 20)
        }
        files[Self.base] = base.contents
        try change(Self.base, &random)
        try addChild(Self.middle, of: Self.base)
        try change(Self.middle, &random)
        try addChild(Self.leaf, of: Self.middle)
        if let leafByteCount { try resizeLeaf(to: leafByteCount) }
        try change(Self.leaf, &random)
        expected = try contents(of: Self.leaf)
        if hasOther {
            try addChild(Self.other, of: Self.middle)
            try change(Self.other, &random)
        }
    }

    private mutating func addChild(_ name: String, of parent: String) throws {
        let file = MemoryFile()
        let layer = try layer(parent)
        let reference = ParentReference(identity: layer.identity, modified: 1_700_000_000, relativePath: parent)
        if let layer = layer as? VHDLayer {
            try VHDCreator.createChild(
                on: file, of: layer, named: reference, blockByteCount: 8192, uniqueID: .random(),
                created: DiskTimestamp(unixSeconds: 1_700_000_000))
        } else if let layer = layer as? VHDXLayer {
            try VHDXCreator.createChild(on: file, of: layer, named: reference, blockByteCount: 1 << 20)
        }
        files[name] = file.contents
    }

    private mutating func resizeLeaf(to byteCount: UInt64) throws {
        let file = MemoryFile(files[Self.leaf] ?? .init())
        if format == .vhd {
            _ = try VHDResizer.resize(file, to: byteCount) { _, _ in }
        } else {
            _ = try VHDXResizer.resize(file, to: byteCount) { _, _ in }
        }
        files[Self.leaf] = file.contents
    }

    /// Writes a few sectors and zeros, and part of a block more often than a whole one.
    private mutating func change(_ name: String, _ random: inout SplitMix) throws {
        let file = MemoryFile(files[name] ?? .init())
        let parents = try chain(name).layers.dropFirst()
        let leaf = try ImageOpener.layer(writing: file)
        let disk = try ImageChain(leafFirst: [leaf] + parents, writableLeaf: leaf)
        let size = disk.geometry.virtualByteCount
        for step in 0..<6 {
            let start = UInt64.random(in: 0..<size / 512, using: &random) * 512
            let count = min(size - start, UInt64.random(in: 1...12, using: &random) * 512)
            if step == 4 {
                try disk.writeZeroes(start..<start + count)
            } else {
                try disk.write(random.bytes(Int(count)), at: start)
            }
        }
        try disk.close()
        files[name] = file.contents
    }

    func layer(_ name: String) throws -> any DiskLayer {
        guard let contents = files[name] else { throw MissingFile(name: name) }
        return try ImageOpener.layer(reading: MemoryFile(contents, path: name))
    }
    struct MissingFile: Error { var name: String }

    /// Opens an image and its parents as a reader does: by the names in its locators, each with its identity checked.
    func chain(_ name: String) throws -> ImageChain {
        var layers = [try layer(name)]
        while let link = layers[layers.count - 1].parentLink {
            let names = link.locators.compactMap(ParentSearch.lastComponent)
            let found = names.lazy.compactMap { try? self.layer($0) }.first { $0.isNamed(by: link) }
            guard let found else { throw MissingFile(name: names.first ?? "?") }
            layers.append(found)
        }
        if !ignoresSigns { _ = try UnfinishedMerge.check(layers) }
        return try ImageChain(leafFirst: layers)
    }

    func contents(of name: String) throws -> [UInt8] {
        let chain = try chain(name)
        return try chain.bytes(at: 0, count: Int(chain.geometry.virtualByteCount))
    }

    // MARK: Merging

    /// The images a merge of the leaf into a target is about, as they stand.
    func links(into target: String) throws -> [String] {
        var names = [Self.leaf]
        while names.last != target, let last = names.last, let link = try layer(last).parentLink {
            let found = link.locators.compactMap(ParentSearch.lastComponent).first { files[$0] != nil }
            guard let found else { throw MissingFile(name: target) }
            names.append(found)
        }
        return names.dropLast()
    }

    /// What an interrupted merge left between the leaf and its parent, by the leaf's absolute path.
    private func leftovers(above target: String) throws -> [String] {
        let absolute = try layer(Self.leaf).parentLink?.locators.first { $0.kind == .absolute }
        guard var name = absolute.flatMap(ParentSearch.lastComponent), name != target, files[name] != nil else {
            return []
        }
        var names: [String] = []
        while name != target {
            names.append(name)
            guard let link = try layer(name).parentLink,
                let next = link.locators.compactMap(ParentSearch.lastComponent).first(where: {
                    (try? layer($0)).map { $0.isNamed(by: link) } ?? false
                })
            else { return [] }
            name = next
        }
        return names
    }

    /// A merge of the leaf into a target, on files that remember.
    func run(in folder: RecordedFolder, into target: String) throws -> MergeRun {
        let names = try links(into: target)
        let chain = try chain(Self.leaf)
        let below = Array(chain.layers.dropFirst(names.count + 1))
        var plan = MergePlan(
            format: format, links: names, target: target,
            oldVirtualByteCount: chain.layers[names.count].geometry.virtualByteCount,
            newVirtualByteCount: chain.geometry.virtualByteCount)
        try MergePlanner.measure(Array(chain.layers.prefix(names.count)), chain.layers[names.count], &plan)
        plan.pinsZeros = plan.newVirtualByteCount > plan.oldVirtualByteCount && !below.isEmpty
        plan.leftovers = try names.count == 1 ? leftovers(above: target) : []
        plan.resumes = !plan.leftovers.isEmpty
        func add(_ names: [String]) -> [any BlockFile] { names.map { folder.add($0, files[$0] ?? .init()) } }
        let recorded = FolderMergeFiles(
            folder: folder, links: add(names), leftovers: add(plan.leftovers), target: add([target])[0])
        let known = names + plan.leftovers + [target]
        for (name, contents) in files where !known.contains(name) { _ = folder.add(name, contents) }
        return MergeRun(format: format, files: recorded, below: below, plan: plan)
    }
}

struct FolderMergeFiles: MergeFiles {
    let folder: RecordedFolder
    let links: [any BlockFile]
    let leftovers: [any BlockFile]
    let target: any BlockFile

    func reference(to target: any DiskLayer, keepsTrace: Bool) throws(DiskError) -> ParentReference {
        let former = (links.dropFirst() + leftovers).first
        return ParentReference(
            identity: target.identity, modified: 1_700_000_000, relativePath: self.target.path,
            absolutePath: "\\" + ((keepsTrace ? former : nil) ?? self.target).path)
    }
    func checkTarget() {}
    func remove(_ file: any BlockFile) throws(IOError) { folder.remove(file.path) }
}
