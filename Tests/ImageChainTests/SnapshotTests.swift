import BlockIO
import ByteCodec
import DiskModel
import Foundation
import Testing
import ToolTesting
import VHD
import VHDX

@testable import ImageChain

/// Children made of images.
@Suite struct SnapshotTests {
    private let scratch = try! Scratch()

    private func base(_ name: String, size: UInt64 = 5 << 20, sector: Int = 512) throws -> String {
        let file = try PosixFile(scratch.path(name), .create)
        if name.hasSuffix("x") {
            try VHDXCreator.create(
                on: file, type: .dynamic, virtualByteCount: size, blockByteCount: 1 << 20,
                logicalSectorByteCount: sector)
        } else {
            try VHDCreator.create(
                on: file, type: .dynamic, virtualByteCount: size, uniqueID: .random(),
                created: DiskTimestamp(rawValue: 0))
        }
        return scratch.path(name)
    }

    @discardableResult private func snap(
        _ parent: String, _ child: String, block: UInt64? = nil
    ) throws -> Snapshot {
        let snapshot = try Snapshot(of: scratch.path(parent), as: scratch.path(child), blockByteCount: block)
        try snapshot.create(on: try PosixFile(scratch.path(child), .create), created: 1_700_000_000)
        return snapshot
    }

    /// A child shows its parent's bytes, takes writes of its own, and leaves its parent alone.
    @Test(arguments: [("base.vhd", 512), ("base.vhdx", 512), ("base.vhdx", 4096)])
    func threeLayers(_ name: String, _ sector: Int) throws {
        let ending = name.hasSuffix("x") ? ".avhdx" : ".avhd"
        let path = try base(name, sector: sector)
        func write(_ path: String, _ value: UInt8, _ range: Range<Int>) throws {
            let chain = try ImageChain.open(writing: path)
            try chain.write([UInt8](repeating: value, count: range.count), at: UInt64(range.lowerBound))
            try chain.close()
        }
        try write(path, 1, 0..<3_000_000)
        var frozen = [try fileBytes(path)]
        try snap(name, "one" + ending)
        try write(scratch.path("one" + ending), 2, 1_000_000..<2_000_000)
        frozen.append(try fileBytes(scratch.path("one" + ending)))
        let snapshot = try snap("one" + ending, "two" + ending, block: name.hasSuffix("x") ? 1 << 20 : 512 << 10)
        #expect(snapshot.depth == 3 && snapshot.parentType == .differencing)
        try write(scratch.path("two" + ending), 3, 1_500_000..<2_500_000)
        let chain = try ImageChain.open(scratch.path("two" + ending))
        #expect(chain.layers.count == 3)
        var expected = [UInt8](repeating: 0, count: 5 << 20)
        for (value, range) in [(1, 0..<3_000_000), (2, 1_000_000..<2_000_000), (3, 1_500_000..<2_500_000)] {
            expected.replaceSubrange(range, with: repeatElement(UInt8(value), count: range.count))
        }
        #expect(try chain.bytes(at: 0, count: 5 << 20) == expected)
        #expect(try fileBytes(path) == frozen[0] && fileBytes(scratch.path("one" + ending)) == frozen[1])
    }

    @Test func geometry() throws {
        _ = try base("base.vhdx", size: (3 << 20) + 4096, sector: 4096)
        let snapshot = try snap("base.vhdx", "child.vhdx", block: 4 << 20)
        let child = try ImageOpener.layer(reading: try PosixFile(scratch.path("child.vhdx")))
        let parent = try ImageOpener.layer(reading: try PosixFile(scratch.path("base.vhdx")))
        #expect(child.geometry == snapshot.geometry && child.type == .differencing)
        #expect(child.geometry.virtualByteCount == (3 << 20) + 4096 && child.geometry.logicalSectorByteCount == 4096)
        #expect(child.geometry.blockByteCount == 4 << 20)
        #expect(
            (child as? VHDXLayer)?.virtualDiskID == (parent as? VHDXLayer)?.virtualDiskID)
        #expect(child.parentLink?.identities == [parent.identity])
    }

    /// 256 images are the most, and the message says so.
    @Test(arguments: ["vhd", "vhdx"]) func depth(_ ending: String) throws {
        _ = try base("0.\(ending)", size: 3 << 20)
        for number in 1..<ImageChain.depthLimit - 1 { try addChild(number, ending) }
        let last = "\(ImageChain.depthLimit - 1).\(ending)"
        #expect(try snap("\(ImageChain.depthLimit - 2).\(ending)", last).depth == 256)
        #expect(try ImageChain.open(scratch.path(last)).layers.count == 256)
        let error = try diskError(.chain) { _ = try Snapshot(of: scratch.path(last), as: scratch.path("c")) }
        #expect(error.explanation.contains("a chain of 256 images"))
    }

    /// A child of the one before, without looking at those below.
    private func addChild(_ number: Int, _ ending: String) throws {
        let parent = "\(number - 1).\(ending)"
        let layer = try ImageOpener.layer(reading: try PosixFile(scratch.path(parent)))
        let reference = ParentReference(identity: layer.identity, modified: 0, relativePath: parent)
        let file = try PosixFile(scratch.path("\(number).\(ending)"), .create)
        switch layer {
        case let layer as VHDXLayer: try VHDXCreator.createChild(on: file, of: layer, named: reference)
        case let layer as VHDLayer:
            try VHDCreator.createChild(
                on: file, of: layer, named: reference, uniqueID: .random(), created: DiskTimestamp(rawValue: 0))
        default: break
        }
    }

    @Test func refusals() throws {
        _ = try base("base.vhdx")
        _ = try base("base.vhd")
        func refused(
            _ kind: DiskError.Kind, _ parent: String, _ child: String, block: UInt64? = nil,
            _ naming: ParentNaming = .init()
        ) throws -> String {
            try diskError(kind) {
                _ = try Snapshot(
                    of: scratch.path(parent), as: scratch.path(child), blockByteCount: block, naming: naming)
            }.explanation
        }
        _ = try scratch.write("raw.img", [UInt8](repeating: 1, count: 8192))
        #expect(try refused(.refused, "raw.img", "c.vhd").contains("a raw disk is no parent"))
        #expect(try refused(.refused, "base.vhdx", "c.avhd").contains(".avhd says otherwise"))
        #expect(try refused(.refused, "base.vhd", "c.VHDX").contains(".vhdx says otherwise"))
        #expect(try refused(.refused, "base.vhd", "c.vhd", block: 1 << 20).contains("512 KiB or 2 MiB"))
        #expect(try refused(.refused, "base.vhdx", "c.vhdx", block: 3 << 20).contains("a power of two"))
        #expect(try refused(.io, "none.vhdx", "c.vhdx").contains("No such file"))
        #expect(try refused(.refused, "base.vhd", "c.vhd", ParentNaming(volumePath: "x")).contains("only a VHDX"))
        // A parent whose own parent is gone.
        try snap("base.vhdx", "middle.vhdx")
        try FileManager.default.removeItem(atPath: scratch.path("base.vhdx"))
        #expect(try refused(.parentMissing, "middle.vhdx", "c.vhdx").contains("was not found"))
    }

    /// Nobody may be writing the parent, and several may make children of it.
    @Test func busyParent() throws {
        let path = try base("base.vhdx")
        let first = try Snapshot(of: path, as: scratch.path("a.vhdx"))
        let second = try Snapshot(of: path, as: scratch.path("b.vhdx"))
        #expect(throws: IOError.self) { _ = try PosixFile(path, .write) }
        #expect(first.depth == second.depth)
    }

    @Test func writtenParent() throws {
        let path = try base("base.vhdx")
        do {
            let writer = try PosixFile(path, .write)
            try diskError(.busy) { _ = try Snapshot(of: path, as: scratch.path("a.vhdx")) }
            _ = try writer.byteCount()
        }
        _ = try Snapshot(of: path, as: scratch.path("a.vhdx"))
    }

    /// A log pending in the parent is replayed in memory only, and the child goes on to find its parent.
    @Test func pendingLog() throws {
        let path = try base("base.vhdx")
        let chain = try ImageChain.open(writing: path)
        try chain.write([UInt8](repeating: 5, count: 4096), at: 8192)
        try chain.flush()
        // As a kill leaves it.
        _ = try scratch.write("dirty.vhdx", try fileBytes(path))
        let before = try fileBytes(scratch.path("dirty.vhdx"))
        let snapshot = try snap("dirty.vhdx", "child.vhdx")
        #expect(snapshot.replayedPaths == [scratch.path("dirty.vhdx")])
        #expect(try fileBytes(scratch.path("dirty.vhdx")) == before)
        #expect(try ImageChain.open(scratch.path("child.vhdx")).bytes(at: 8192, count: 1) == [5])
    }
}
