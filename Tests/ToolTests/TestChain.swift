import BlockIO
import ByteCodec
import DiskModel
import Foundation
import ImageChain
import ToolTesting

/// A chain of images in a folder, each with changes of its own, and what its disk shows.
struct TestChain {
    let folder: String
    let kind: TestImageKind
    /// Base first, by name.
    private(set) var names: [String] = []
    private(set) var contents: TestContents
    private var seed: UInt64

    var leaf: String { names[names.count - 1] }
    var leafPath: String { "\(folder)/\(leaf)" }
    private var ending: String { kind.fileName.contains("vhdx") ? "vhdx" : "vhd" }

    /// - Parameter children: how many images are made on top of the base.
    init(
        _ kind: TestImageKind, in folder: String, byteCount: UInt64 = 24 << 20, children: Int, runs: Int = 20,
        of runByteCount: Int = 24 << 10, seed: UInt64 = 1
    ) throws {
        (self.kind, self.folder, self.seed) = (kind, folder, seed)
        contents = TestContents(byteCount: byteCount, within: byteCount, runs: runs, of: runByteCount, seed: seed)
        names = ["base.\(ending)"]
        try kind.make("\(folder)/\(names[0])", byteCount: byteCount, contents.runs)
        for _ in 0..<children { try addChild(runs: runs, of: runByteCount) }
    }

    /// A child of the leaf, with random runs and a stretch of zeros.
    /// - Parameter byteCount: of its disk; nil for that of the others.
    mutating func addChild(runs: Int = 20, of runByteCount: Int = 24 << 10, byteCount: UInt64? = nil) throws {
        if let byteCount { resize(to: byteCount) }
        let name = "snap\(names.count).a\(ending)"
        try Self.makeChild(name, of: leaf, in: folder)
        names.append(name)
        seed += 1
        var own = TestContents(
            byteCount: contents.byteCount, within: contents.byteCount, runs: runs, of: runByteCount, seed: seed)
        own.runs.append((UInt64(seed % 7) << 20, [UInt8](repeating: 0, count: (1 << 20) + 1536)))
        let chain = try ImageChain.open(writing: leafPath)
        for run in own.runs.dropLast() { try chain.write(run.bytes, at: run.offset) }
        if let zeros = own.runs.last { try chain.writeZeroes(zeros.offset..<zeros.offset + UInt64(zeros.bytes.count)) }
        try chain.close()
        contents.runs += own.runs
    }

    /// The disk got another size.
    mutating func resize(to byteCount: UInt64) { contents = contents.resized(to: byteCount) }

    static func makeChild(_ name: String, of parent: String, in folder: String) throws {
        let path = "\(folder)/\(name)"
        let snapshot = try Snapshot(of: "\(folder)/\(parent)", as: path)
        try snapshot.create(on: try PosixFile(path, .create), created: 1_700_000_000)
    }

    /// How the disk of an image in the folder differs from that of the leaf; nil when it does not.
    func difference(_ name: String) throws -> String? {
        do { return try contents.difference(from: "\(folder)/\(name)", kind) } catch { return "\(name): \(error)" }
    }
}
