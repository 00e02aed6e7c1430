import BlockIO
import DiskModel
import Testing
import ToolTesting

/// Nothing is made to stand on a chain that cannot be read to its end.
@Suite struct DamagedTableTests {
    private let scratch = try! Scratch()

    private func run(_ tool: String, _ arguments: String...) throws -> ProgramResult {
        try runTool(tool, arguments, folder: scratch.folder)
    }

    /// Lets a block of an image lie past the file's end.
    private func damage(_ path: String, _ format: ImageFormat) throws {
        let file = try PosixFile(path, .write)
        if format == .vhd {
            try file.write([0, 0xf0, 0, 0], at: 1536 + 4 * 20)
        } else {
            try file.write([6, 0, 0, 0, 0x40, 0, 0, 0], at: 3 << 20 + 8 * 20)
        }
    }

    private func chain(_ format: ImageFormat) throws -> SmallChain {
        var chain = SmallChain(format, in: scratch)
        for (index, name) in ["base", "middle", "leaf"].enumerated() {
            try chain.add(name, [(UInt64(index) << 20, UInt8(index + 1), 4096)])
        }
        return chain
    }

    @Test(arguments: [ImageFormat.vhd, .vhdx], 0..<3) func snapshots(_ format: ImageFormat, _ damaged: Int) throws {
        let chain = try chain(format)
        #expect(try run("vhdsnap", "-q", "--dry-run", "leaf", "child").exit == 0)
        try damage(chain.paths[damaged], format)
        #expect(try run("vhdcat", "-o", "/dev/null", "-f", "leaf").exit == 2)
        let before = try fileHash(chain.leaf)
        let refused = try run("vhdsnap", "leaf", "child")
        #expect(refused.exit == 2, "\(refused)")
        #expect(refused.error.hasPrefix("vhdsnap: \(["base", "middle", "leaf"][damaged]): "), "\(refused.error)")
        #expect(refused.error.contains(format == .vhd ? "VHD020" : "VHDX020"), "\(refused.error)")
        #expect(try scratch.names() == ["base", "leaf", "middle"])
        #expect(try fileHash(chain.leaf) == before)
    }

    /// The new parent's chain, and with --safe also the old one.
    @Test(arguments: [ImageFormat.vhd, .vhdx]) func rebasing(_ format: ImageFormat) throws {
        let chain = try chain(format)
        try damage(chain.paths[1], format)
        let before = try fileHash(chain.leaf)
        for arguments in [["--parent", "middle", "leaf"], ["--safe", "--parent", "base", "leaf"]] {
            let refused = try runTool("vhdrebase", arguments, folder: scratch.folder)
            #expect(refused.exit == 2, "\(refused)")
            #expect(refused.error.hasPrefix("vhdrebase: middle: "), "\(refused.error)")
            #expect(try fileHash(chain.leaf) == before)
        }
    }
}
