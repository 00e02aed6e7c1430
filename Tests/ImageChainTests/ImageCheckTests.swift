import BlockIO
import ByteCodec
import DiskModel
import Testing
import ToolTesting
import VHD

@testable import ImageChain

/// Whether an image can be read is also a matter of its parents.
@Suite struct ImageCheckTests {
    private let scratch = try! Scratch()

    private func check(_ path: String, _ options: OpenOptions = .init()) throws -> ImageCheck {
        let file = try PosixFile(path)
        return try ImageChecker.check(file, identity: file.identity, options, CheckOptions()) { _, _ in }
    }

    private func errors(_ check: ImageCheck) -> [String] {
        check.report.findings.filter { $0.finding.severity == .error }.map(\.finding.detail.code.rawValue)
    }

    @Test func vhdParents() throws {
        let leaf = try scratch.write("leaf.vhd", ChainImages.vhdChild(3, of: 2, [.relative("mid.vhd")]))
        let lonely = try check(leaf)
        #expect(!lonely.report.isReadable && errors(lonely) == ["VHD029"] && lonely.parentPath == nil)

        // The parent is there, and its own is not.
        let middle = try scratch.write("mid.vhd", ChainImages.vhdChild(2, of: 1, [.relative("base.vhd")]))
        let orphaned = try check(leaf)
        #expect(!orphaned.report.isReadable && errors(orphaned) == ["VHD029"] && orphaned.parentPath == middle)

        _ = try scratch.write("base.vhd", ChainImages.vhdBase(7))
        let wrong = try check(leaf)
        #expect(!wrong.report.isReadable && errors(wrong) == ["VHD029"])

        _ = try scratch.write("base.vhd", ChainImages.vhdBase(1))
        let whole = try check(leaf)
        #expect(whole.report.isReadable && errors(whole).isEmpty, "\(whole.report.findings)")
        #expect(try check(middle).report.isReadable)
    }

    @Test func vhdxParents() throws {
        let leaf = try scratch.write(
            "leaf.vhdx", ChainImages.vhdxChild(3, of: 1, [("relative_path", "base.vhdx")]).allBytes)
        let lonely = try check(leaf)
        #expect(!lonely.report.isReadable && errors(lonely) == ["VHDX029"])
        _ = try scratch.write("base.vhdx", ChainImages.vhdxBase(7).allBytes)
        let wrong = try check(leaf)
        #expect(!wrong.report.isReadable && errors(wrong) == ["VHDX029"])
        _ = try scratch.write("base.vhdx", ChainImages.vhdxBase(1).allBytes)
        let whole = try check(leaf)
        #expect(whole.report.isReadable && errors(whole).isEmpty, "\(whole.report.findings)")
    }

    /// A file cut inside its last block opens, and reading that block is refused.
    @Test func missingTail() throws {
        var bytes = ChainImages.vhdChild(3, of: 1, [.relative("base.vhd")], sectors: [31: 5])
        _ = try scratch.write("base.vhd", ChainImages.vhdBase(1))
        #expect(try check(try scratch.write("leaf.vhd", bytes)).report.isReadable)
        bytes.removeLast(600)
        let leaf = try scratch.write("leaf.vhd", bytes)
        let cut = try check(leaf)
        #expect(!cut.report.isReadable && Set(errors(cut)).isSuperset(of: ["VHD020"]), "\(cut.report.findings)")
        let chain = try ImageChain.open(leaf)
        #expect(throws: DiskError.self) { try chain.bytes(at: 31 * 512, count: 512) }
    }
}
