import BlockIO
import ByteCodec
import DiskModel
import Foundation
import Testing
import ToolTesting

@testable import ImageChain

/// What is said about chains in which a merge was interrupted. [MS-VHDX] 2.6.2.6.3
@Suite struct UnfinishedMergeTests {
    private let scratch = try! Scratch()

    private func diagnosis(_ path: String, _ options: OpenOptions = .init()) throws -> ChainDiagnosis {
        let links = try ImageChain.walk(path, options).links
        return try ChainDiagnosis(links, error: nil, options, CheckOptions()) { _, _ in }
    }

    /// Image `own`, a child of `parent`; where a merge into that was interrupted, it has a second id by now.
    private func child(
        _ name: String, _ own: UInt64, of parent: UInt64, _ parentName: String, second: GUID? = nil
    ) throws -> String {
        let pairs = [("relative_path", parentName)] + (second.map { [("parent_linkage2", $0.braced)] } ?? [])
        return try scratch.write(name, try ChainImages.vhdxChild(own, of: parent, pairs).allBytes)
    }

    private func base(_ name: String, _ own: UInt64) throws -> String {
        try scratch.write(name, try ChainImages.vhdxBase(own).allBytes)
    }

    @Test func intoTheParent() throws {
        let target = try base("base.vhdx", 5)
        let leaf = try child("leaf.vhdx", 2, of: 1, "base.vhdx", second: ChainImages.id(5))
        let result = try diagnosis(leaf)
        #expect(result.links[0].parent?.expected.map(\.field) == ["parent_linkage", "parent_linkage2"])
        #expect(result.links[0].parent?.expected.map(\.id) == [ChainImages.id(1), ChainImages.id(5)])
        #expect(result.links[0].parent?.outcome == .match)
        #expect(result.unfinishedMerge?.linkIndex == 0 && result.unfinishedMerge?.target == target)
        #expect(result.links[0].repairs.map(\.kind) == [.merge])
        #expect(result.links[0].repairs.map(\.command) == [["vhdmerge", leaf]])
        // These images are two disks by their ids, which is a warning, too.
        #expect(result.isWhole && result.errorCount == 0 && result.warningCount == 2)
    }

    /// Zero, as Windows has it at rest, and the same id twice: no merge.
    @Test(arguments: [GUID.zero, ChainImages.id(5)]) func atRest(_ second: GUID) throws {
        _ = try base("base.vhdx", 5)
        let result = try diagnosis(try child("leaf.vhdx", 2, of: 5, "base.vhdx", second: second))
        #expect(result.unfinishedMerge == nil && result.links[0].repairs.isEmpty && result.warningCount == 1)
    }

    /// The sign stands further down: the leaf that was named is merged, not the image that bears it.
    @Test func intoAnAncestor() throws {
        let target = try base("base.vhdx", 5)
        _ = try child("low.vhdx", 2, of: 1, "base.vhdx", second: ChainImages.id(5))
        _ = try child("mid.vhdx", 3, of: 2, "low.vhdx")
        let leaf = try child("leaf.vhdx", 4, of: 3, "mid.vhdx")
        let result = try diagnosis(leaf, OpenOptions(parentFolders: [scratch.folder]))
        #expect(result.unfinishedMerge?.linkIndex == 2)
        let repairs = result.links.map(\.repairs)
        #expect(repairs.map(\.count) == [0, 0, 1, 0])
        #expect(
            repairs[2].first?.command
                == ["vhdmerge", "--parent-dir", scratch.folder, "--into", target, leaf])
        #expect(repairs[2].first?.risk?.contains("started with an image above") == true)
    }

    /// Two of them: the lower one takes the upper one along.
    @Test func two() throws {
        let target = try base("base.vhdx", 5)
        _ = try child("low.vhdx", 2, of: 5, "base.vhdx", second: ChainImages.id(6))
        let leaf = try child("leaf.vhdx", 4, of: 9, "low.vhdx", second: ChainImages.id(2))
        let result = try diagnosis(leaf)
        let merges = result.links.flatMap(\.repairs).filter { $0.kind == .merge }
        #expect(merges.map(\.command) == [["vhdmerge", "--into", target, leaf]])
    }

    /// A parent that is missing further down comes first.
    @Test func missingBelow() throws {
        let target = try child("base.vhdx", 5, of: 8, "gone.vhdx")
        let leaf = try child("leaf.vhdx", 2, of: 1, "base.vhdx", second: ChainImages.id(5))
        let result = try diagnosis(leaf)
        #expect(!result.isWhole && result.links[0].repairs.isEmpty)
        #expect(result.links[1].repairs.map(\.kind) == [.nameFolder, .merge])
        #expect(result.links[1].repairs[1].command == ["vhdmerge", leaf])
        #expect(result.unfinishedMerge?.target == target)
    }

    /// So does the target itself; vhdrebase would take the sign away, and is not named.
    @Test(arguments: [true, false]) func missingTarget(_ hasOtherName: Bool) throws {
        if hasOtherName { _ = try base("renamed.vhdx", 5) }
        _ = try child("low.vhdx", 2, of: 1, "base.vhdx", second: ChainImages.id(5))
        let leaf = try child("leaf.vhdx", 4, of: 2, "low.vhdx")
        let result = try diagnosis(leaf)
        #expect(result.links[1].repairs.map(\.kind) == [.nameFolder, .merge])
        let renamed = scratch.path("renamed.vhdx")
        #expect(result.unfinishedMerge?.target == (hasOtherName ? renamed : nil))
        // The merge can be completed when the target has its name again.
        #expect(result.links[1].repairs[1].command.isEmpty)
        let back = ["mv", "-n", renamed, scratch.path("base.vhdx")]
        #expect(result.links[1].repairs[0].command == (hasOtherName ? back : []))
    }

    /// Another image in the target's place is not offered to be taken as it is.
    @Test func wrongTarget() throws {
        _ = try base("base.vhdx", 7)
        let result = try diagnosis(try child("leaf.vhdx", 2, of: 1, "base.vhdx", second: ChainImages.id(5)))
        #expect(result.links[0].parent?.outcome == .mismatch && result.unfinishedMerge?.target == nil)
        #expect(result.links[0].repairs.map(\.kind) == [.nameFolder, .merge])
        #expect(result.links[0].repairs.allSatisfy { $0.command.isEmpty })
    }
}
