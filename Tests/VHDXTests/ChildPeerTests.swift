import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import Testing

@testable import VHDX

/// Children that we made or named again, as 7-Zip and libvhdi see them. qemu opens no image that has a parent.
@Suite(.serialized) struct ChildPeerTests {
    private static let missed = "children we made were not shown to it"
    private static let sevenZip = PeerProgram.find("7z", missed)
    private static let vhdiinfo = PeerProgram.find("vhdiinfo", missed)

    private static func makeFolder(_ path: String) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    /// Lets 7-Zip find a parent: it looks in the child's folder, under the relative path without its `.\` and with
    /// backslashes as they are. On this host these are no separators, so a link of that name leads to the parent.
    private static func linkForSevenZip(_ child: String, _ parent: String) throws {
        let path = try #require(VHDXLayer(reading: try PosixFile(child)).parentLink?.locators.first?.path)
        let name = path.hasPrefix(".\\") ? String(path.dropFirst(2)) : path
        guard name.contains("\\") else { return }
        let link = (child as NSString).deletingLastPathComponent + "/" + name
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: parent)
    }

    /// That 7-Zip reads the bytes expected through the chain.
    private static func expectSevenZip(_ path: String, _ expected: [UInt8], _ name: String) throws {
        guard let sevenZip else { return }
        let result = try PeerProgram.output(sevenZip, ["e", "-so", "-tVHDX", path])
        let same = [UInt8](result.bytes) == expected
        #expect(result.status == 0 && same, "\(name): 7z gives \(result.status) and \(result.bytes.count) bytes")
    }

    /// That 7-Zip tells of a parent that is not there, as a control of the reading of chains.
    private static func expectSevenZipMisses(_ parent: String, _ path: String) throws {
        guard let sevenZip else { return }
        let result = try PeerProgram.output(sevenZip, ["t", "-tVHDX", path])
        let text = String(decoding: result.bytes, as: UTF8.self)
        #expect(result.status != 0 && text.contains("Missing parent VHDX file : \(parent)"), "\(text)")
    }

    /// - Parameter name: the absolute path, which is the only one that libvhdi tells.
    private static func expectLibvhdi(_ path: String, _ parent: VHDXLayer, name: String?) throws {
        guard let vhdiinfo else { return }
        let result = try PeerProgram.output(vhdiinfo, [path])
        let text = String(decoding: result.bytes, as: UTF8.self)
        #expect(result.status == 0, "\(text)")
        for line in ["Disk type\t\t: Differential", "Parent identifier\t: \(parent.identity)"] {
            #expect(text.contains(line + "\n"), "no \"\(line)\" in \(text)")
        }
        #expect(text.contains("Parent filename") == (name != nil), "\(text)")
        if let name { #expect(text.contains("Parent filename\t\t: \(name)\n"), "\(text)") }
        #expect(text.contains("(\(parent.geometry.virtualByteCount) bytes)"), "\(text)")
    }

    /// A parent of 12 MiB with some random sectors.
    private static func makeParent(_ path: String, _ random: inout SplitMix) throws {
        let file = try PosixFile(path, .create)
        try VHDXCreator.create(on: file, type: .dynamic, virtualByteCount: 12 << 20, blockByteCount: 1 << 20)
        let layer = try VHDXLayer(writing: file)
        for _ in 0..<30 {
            let sector = UInt64.random(in: 0..<(12 << 20) / 512, using: &random)
            try layer.write(random.bytes(512).rawBytes, at: sector * 512)
        }
        try layer.close()
    }

    /// Puts a whole block and one with a bitmap into a child, by hand, and gives what it shows.
    private static func fill(_ path: String, _ parent: [UInt8], _ random: inout SplitMix) throws -> [UInt8] {
        let file = try PosixFile(path, .write)
        let end = try file.byteCount()
        try file.resize(to: end + (3 << 20))
        let (whole, partial) = (random.bytes(1 << 20), random.bytes(1 << 20))
        try file.write(whole, at: end)
        try file.write(partial, at: end + (1 << 20))
        // Of block 3, sectors 8 to 15: bits 8 to 15 of the chunk's third run of 2048 bits.
        try file.write([0xff], at: end + (2 << 20) + 3 * 256 + 1)
        try file.write(little(end | 6), at: TinyImage.table + 8 * 1)
        try file.write(little((end + (1 << 20)) | 7), at: TinyImage.table + 8 * 3)
        try file.write(little((end + (2 << 20)) | 6), at: TinyImage.table + 8 * 4096)
        var expected = parent
        expected.replaceSubrange(1 << 20..<2 << 20, with: whole)
        expected.replaceSubrange((3 << 20) + 4096..<(3 << 20) + 8192, with: partial[4096..<8192])
        return expected
    }

    private static func bytes(_ path: String, parent: VHDXLayer? = nil) throws -> [UInt8] {
        let layer = try VHDXLayer(reading: try PosixFile(path))
        return try contents(of: layer, 0..<layer.geometry.virtualByteCount, parent: parent)
    }

    @Test(
        .enabled(if: sevenZip != nil || vhdiinfo != nil),
        arguments: ["base.vhdx", "../base.vhdx", "../images/deep/a base.vhdx", "under/b\u{e4}se.vhdx"])
    func ourChildren(_ relativePath: String) throws {
        var random = SplitMix(seed: 11)
        try QemuTests.withFolder { folder in
            let home = folder + "/kids"
            let parentPath = URL(fileURLWithPath: home + "/" + relativePath).standardizedFileURL.path
            try Self.makeFolder(home)
            try Self.makeFolder((parentPath as NSString).deletingLastPathComponent)
            try Self.makeParent(parentPath, &random)
            let parent = try VHDXLayer(reading: try PosixFile(parentPath))
            let child = home + "/child.vhdx"
            try VHDXCreator.createChild(
                on: try PosixFile(child, .create), of: parent,
                named: ParentReference(to: parent, relativePath, absolutePath: "C:\\images\\base.vhdx"),
                blockByteCount: 1 << 20)
            let above = try Self.bytes(parentPath)
            #expect(above.contains { $0 != 0 })
            try Self.linkForSevenZip(child, parentPath)
            try Self.expectSevenZip(child, above, "an empty child")
            let expected = try Self.fill(child, above, &random)
            #expect(try Self.bytes(child, parent: parent) == expected)
            #expect(expected != above)
            try Self.expectSevenZip(child, expected, "a child with blocks")
            try Self.expectLibvhdi(child, parent, name: "C:\\images\\base.vhdx")
            // A second generation beside the first, and the parent under another name.
            let layer = try VHDXLayer(reading: try PosixFile(child))
            let next = home + "/next.vhdx"
            try VHDXCreator.createChild(
                on: try PosixFile(next, .create), of: layer, named: ParentReference(to: layer, "child.vhdx"))
            try Self.expectSevenZip(next, expected, "a grandchild")
            try Self.expectLibvhdi(next, layer, name: nil)
            let other = folder + "/another name.vhdx"
            try FileManager.default.moveItem(atPath: parentPath, toPath: other)
            try Self.expectSevenZipMisses(layer.parentLink!.locators[0].path, child)
            try VHDXLinkEditor.relink(
                try PosixFile(child, .write), to: ParentReference(to: parent, "../another name.vhdx"),
                changesData: false)
            try Self.linkForSevenZip(child, other)
            try Self.expectSevenZip(child, expected, "a child named again")
            try Self.expectSevenZip(next, expected, "a grandchild, its parent named again")
            try Self.expectLibvhdi(child, parent, name: nil)
        }
    }

    @Test(.enabled(if: CorpusTests.folder != nil)) func childOfWindows() throws {
        let expectation = try #require(CorpusTests.expectations.first { $0.file == "fat-differential.vhdx" })
        try QemuTests.withFolder { folder in
            try Self.makeFolder(folder + "/base")
            let (child, base) = (folder + "/child.vhdx", folder + "/base/p.vhdx")
            try QemuTests.store(try CorpusTests.image("fat-differential.vhdx").contents, child)
            try QemuTests.store(try CorpusTests.image("fat-parent.vhdx").contents, base)
            let parent = try VHDXLayer(reading: try PosixFile(base))
            let long = "C:\\" + String(repeating: "long\\", count: 800) + "p.vhdx"
            try Self.expectSevenZipMisses(".\\fat-parent.vhdx", child)
            // In place, at another place, and back to a short one.
            for (step, absolutePath) in [nil, long, "D:\\p.vhdx"].enumerated() {
                let reference = ParentReference(to: parent, "base/p.vhdx", absolutePath: absolutePath)
                try VHDXLinkEditor.relink(try PosixFile(child, .write), to: reference, changesData: false)
                if step == 0 { try Self.linkForSevenZip(child, base) }
                try VHDXLinkEditor.setSecondLinkage(try PosixFile(child, .write), to: step == 1 ? testGUID : nil)
                let layer = try VHDXLayer(reading: try PosixFile(child))
                #expect(layer.findings.isEmpty, "\(layer.findings)")
                #expect(VHDXChecker.checkParent(child: layer, parent: parent).isEmpty)
                #expect(try CorpusTests.hash(layer, parent: parent) == expectation.hash)
                try Self.expectSevenZip(child, try Self.bytes(child, parent: parent), "step \(step)")
                try Self.expectLibvhdi(child, parent, name: absolutePath)
            }
            let file = try PosixFile(child, .write)
            try VHDXLinkEditor.setSecondLinkage(file, to: nil, first: parent.identity.id)
            try Self.expectLibvhdi(child, parent, name: "D:\\p.vhdx")
        }
    }
}
