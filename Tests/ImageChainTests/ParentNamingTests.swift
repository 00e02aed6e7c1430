import BlockIO
import ByteCodec
import DiskModel
import Foundation
import Testing
import ToolTesting
import VHD
import VHDX

@testable import ImageChain

/// What a child is told about its parent.
@Suite struct ParentNamingTests {
    private let scratch = try! Scratch()

    private func reference(
        _ child: String, _ parent: String, _ naming: ParentNaming = .init()
    ) throws -> ParentReference {
        for path in [child, parent] {
            try FileManager.default.createDirectory(
                atPath: splitPath(scratch.path(path)).folder, withIntermediateDirectories: true)
        }
        if !FileManager.default.fileExists(atPath: scratch.path(parent)) {
            _ = try scratch.write(
                parent, parent.hasSuffix("x") ? try ChainImages.vhdxBase(1).allBytes : try ChainImages.vhdBase(1))
        }
        let file = try PosixFile(scratch.path(parent))
        return try naming.reference(
            for: scratch.path(child), to: try ImageOpener.layer(reading: file), in: file)
    }

    @Test(arguments: [
        ("child.vhd", "base.vhd", "base.vhd", ".\\base.vhd", true),
        ("child.vhd", "below/base.vhd", "below/base.vhd", ".\\below\\base.vhd", true),
        ("a/child.vhd", "base.vhd", "../base.vhd", "..\\base.vhd", true),
        ("a/child.vhd", "b/base.vhd", "../b/base.vhd", "..\\b\\base.vhd", true),
        ("a/b/child.vhd", "base.vhd", "../../base.vhd", "..\\..\\base.vhd", false),
        ("a/b/child.vhd", "a/c/base.vhd", "../c/base.vhd", "..\\c\\base.vhd", true),
        ("a/child.vhd", "a/child.vhd/../base.vhd", "base.vhd", ".\\base.vhd", true),
    ])
    func ways(_ child: String, _ parent: String, _ way: String, _ windows: String, _ inReach: Bool) throws {
        let parent = parent.replacingOccurrences(of: "child.vhd/../", with: "")
        let reference = try reference(child, parent)
        #expect(reference.relativePath == way)
        #expect(reference.windowsRelativePath == windows)
        #expect(ParentNaming.isInReach(reference.relativePath) == inReach)
        #expect(reference.identity == DiskIdentity(format: .vhd, id: ChainImages.id(1)))
        let real = try ParentNaming.realPath(scratch.path(parent))
        #expect(reference.absolutePath == real.replacingOccurrences(of: "/", with: "\\"))
        #expect(reference.volumePath == nil)
    }

    /// A reader that follows the way as written finds the parent, and only then is it in reach.
    @Test(arguments: ["base.vhd", "x/base.vhd", "x/y/base.vhd", "a/base.vhd", "a/b/base.vhd", "a/b/c/d/base.vhd"])
    func readersFindIt(_ place: String) throws {
        let reference = try reference("a/b/child.vhd", place)
        let locator = ChainImages.Locator.relative(reference.windowsRelativePath)
        _ = try scratch.write("a/b/child.vhd", ChainImages.vhdChild(2, of: 1, [locator]))
        let found = (try? ImageChain.open(scratch.path("a/b/child.vhd")))?.layers.count == 2
        #expect(found == ParentNaming.isInReach(reference.relativePath))
    }

    /// Links are followed on both sides: the way is between the real places.
    @Test func links() throws {
        _ = try reference("real/child.vhd", "images/base.vhd")
        try FileManager.default.createSymbolicLink(
            atPath: scratch.path("folder"), withDestinationPath: scratch.path("real"))
        try FileManager.default.createSymbolicLink(
            atPath: scratch.path("base.vhd"), withDestinationPath: scratch.path("images/base.vhd"))
        #expect(try reference("folder/child.vhd", "base.vhd").relativePath == "../images/base.vhd")
    }

    @Test func timeOfTheParent() throws {
        _ = try reference("child.vhd", "base.vhd")
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: 1_700_000_000)], ofItemAtPath: scratch.path("base.vhd"))
        #expect(try reference("child.vhd", "base.vhd").modified == 1_700_000_000)
    }

    @Test func pathsOfOtherMachines() throws {
        let volume = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\base.vhdx"
        for path in ["C:\\base.vhdx", "\\\\server\\share\\base.vhdx"] {
            let reference = try reference(
                "child.vhdx", "base.vhdx", ParentNaming(windowsPath: path, volumePath: volume))
            #expect(reference.absolutePath == path && reference.volumePath == volume)
        }
    }

    @Test(arguments: [
        "base.vhdx", "/images/base.vhdx", "C:base.vhdx", "C:\\", "C:\\folder\\", "C:\\a\nb", "\\\\s\u{85}",
    ])
    func refusedWindowsPaths(_ path: String) throws {
        let error = try diskError(.refused) {
            _ = try reference("child.vhdx", "base.vhdx", ParentNaming(windowsPath: path))
        }
        #expect(error.explanation.contains("is no path of Windows to a file"))
    }

    @Test func refusedVolumePaths() throws {
        let volume = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\base.vhd"
        try diskError(.refused) { _ = try reference("c.vhd", "base.vhd", ParentNaming(volumePath: volume)) }
        for path in ["C:\\base.vhdx", volume + "\\", "\\\\?\\Volume\\base.vhdx"] {
            try diskError(.refused) { _ = try reference("c.vhdx", "base.vhdx", ParentNaming(volumePath: path)) }
        }
    }

    @Test(arguments: ["ba\nse.vhd", "ba\\se.vhd", "ba\u{7f}se.vhd", "ba\u{90}se.vhd", "fol\\der/base.vhd"])
    func refusedNames(_ name: String) throws {
        let error = try diskError(.refused) { _ = try reference("child.vhd", name) }
        #expect(error.explanation.contains("which holds a "))
    }

    /// Above the folder that both share a name does not matter to the way; the absolute path is left out then.
    @Test func backslashAbove() throws {
        let reference = try reference("fol\\der/child.vhd", "fol\\der/base.vhd")
        #expect(reference.relativePath == "base.vhd" && reference.absolutePath == nil)
    }

    @Test func tooFar() throws {
        let deep = (0..<64).map { _ in "d" }.joined(separator: "/") + "/base.vhd"
        #expect(try diskError(.refused) { _ = try reference("child.vhd", deep) }.explanation.contains("65 steps"))
    }

    @Test func missingFolder() throws {
        let file = try PosixFile(try scratch.write("base.vhd", ChainImages.vhdBase(1)))
        try diskError(.io) {
            _ = try ParentNaming().reference(
                for: scratch.path("none/child.vhd"), to: try ImageOpener.layer(reading: file), in: file)
        }
    }
}
