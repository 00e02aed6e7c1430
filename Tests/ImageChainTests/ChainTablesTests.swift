import BlockIO
import ByteCodec
import DiskModel
import Testing
import ToolTesting

@testable import ImageChain

/// Damaged block tables are found before anything is made of a chain, wherever in it they are.
@Suite struct ChainTablesTests {
    private let scratch = try! Scratch()
    private static let vhdTable = 1536
    private static let vhdxTable = 3 << 20

    /// Four blocks of which three are in the file.
    private func vhd() -> [UInt8] {
        ChainImages.vhdChild(2, of: 1, [.relative("base.vhd")], name: "base.vhd", sectors: [0: 1, 8: 2, 16: 3])
    }

    private func vhdx() throws -> [UInt8] {
        try ChainImages.vhdxChild(2, of: 1, [("relative_path", "base.vhdx")], sectors: [0: 1, 4096: 2]).allBytes
    }

    /// Opens a child over it and its base, which opening does not mind, and checks the tables.
    private func check(_ bytes: [UInt8], _ ending: String, _ accepted: Set<FormatError.Code> = []) throws {
        _ = try scratch.write("middle.\(ending)", bytes)
        let leaf: String
        if ending == "vhd" {
            _ = try scratch.write("base.vhd", ChainImages.vhdBase(1))
            leaf = try scratch.write(
                "leaf.vhd", ChainImages.vhdChild(3, of: 2, [.relative("middle.vhd")], name: "middle.vhd"))
        } else {
            _ = try scratch.write("base.vhdx", ChainImages.vhdxBase(1).allBytes)
            leaf = try scratch.write(
                "leaf.vhdx", ChainImages.vhdxChild(3, of: 2, [("relative_path", "middle.vhdx")]).allBytes)
        }
        let chain = try ImageChain.open(leaf, OpenOptions(accepted: accepted))
        try ImageChain.checkTables(chain.layers, accepting: accepted)
    }

    private func setEntry(_ bytes: inout [UInt8], at offset: Int, _ entry: [UInt8]) {
        bytes.replaceSubrange(offset..<offset + entry.count, with: entry)
    }

    @Test func sound() throws {
        try check(vhd(), "vhd")
        try check(vhdx(), "vhdx")
    }

    @Test func entryPastTheEnd() throws {
        var bytes = vhd()
        setEntry(&bytes, at: Self.vhdTable + 12, [0, 0, 0xf0, 0])
        let error = try diskError(.format) { try check(bytes, "vhd") }
        #expect(error.formatError?.code.rawValue == "VHD020" && error.path == scratch.path("middle.vhd"))
        #expect(
            error.hint
                == "vhdcheck \(scratch.path("middle.vhd")) tells all that is wrong with it, and what mends it")
        bytes = try vhdx()
        // The third block at 1 GiB.
        setEntry(&bytes, at: Self.vhdxTable + 16, [6, 0, 0, 0x40, 0, 0, 0, 0])
        let other = try diskError(.format) { try check(bytes, "vhdx") }
        #expect(other.formatError?.code.rawValue == "VHDX020" && other.path == scratch.path("middle.vhdx"))
    }

    /// A block partly its own whose sector bitmap is not there.
    @Test func missingBitmap() throws {
        var bytes = try vhdx()
        setEntry(&bytes, at: Self.vhdxTable + 8 * 4096, [UInt8].zeros(8))
        let error = try diskError(.format) { try check(bytes, "vhdx") }
        #expect(error.formatError?.code.rawValue == "VHDX023")
    }

    /// Blocks that share space may be accepted; what else is wrong behind them may not.
    @Test func accepted() throws {
        var bytes = vhd()
        let first = Array(bytes[Self.vhdTable..<Self.vhdTable + 4])
        setEntry(&bytes, at: Self.vhdTable + 4, first)
        let overlap = try diskError(.format) { try check(bytes, "vhd") }
        let code = try #require(overlap.formatError?.code)
        try check(bytes, "vhd", [code])
        setEntry(&bytes, at: Self.vhdTable + 12, [0, 0, 0xf0, 0])
        let past = try diskError(.format) { try check(bytes, "vhd", [code]) }
        #expect(past.formatError?.code.rawValue == "VHD020" && past.hint?.hasPrefix("vhdcheck ") == true)
    }
}
