import BlockIO
import ByteCodec
import DiskModel
import Foundation
import ImageChain
import Testing
import ToolTesting

/// Chains as deep as they may be, with the built tools.
@Suite(.serialized) struct DeepChainTests {
    static let depth = 256

    /// A chain one deeper than allowed; every eighth image has a sector of its own.
    private func chain(_ format: ImageFormat, _ scratch: Scratch) throws -> SmallChain {
        var chain = SmallChain(format, in: scratch)
        try chain.add("0.img", [(0, 0xff, 4096)])
        for level in 1...Self.depth {
            if level % 8 == 0, level < Self.depth {
                try chain.add("\(level).img", [(UInt64(level) * 65536, UInt8(level / 8), 512)])
            } else {
                try chain.add("\(level).img")
            }
        }
        return chain
    }

    private func sectors(upTo level: Int) -> [(offset: Int, value: UInt8)] {
        stride(from: 8, through: level, by: 8).map { ($0 * 65536, UInt8($0 / 8)) }
    }

    @Test(arguments: [ImageFormat.vhd, .vhdx]) func everyTool(_ format: ImageFormat) throws {
        let scratch = try Scratch(inMemory: true)
        let chain = try chain(format, scratch)
        let deepest = chain.paths[Self.depth - 1]

        let contents = try runTool("vhdcat", [deepest])
        #expect(contents.exit == 0, "\(contents.error)")
        var expected = [UInt8](repeating: 0, count: 64 << 20)
        expected.replaceSubrange(0..<4096, with: [UInt8](repeating: 0xff, count: 4096))
        for (offset, value) in sectors(upTo: Self.depth - 1) {
            expected.replaceSubrange(offset..<offset + 512, with: [UInt8](repeating: value, count: 512))
        }
        #expect(contents.outputBytes == expected)
        let raw = try scratch.write("contents.raw", expected)
        #expect(try runTool("vhdcompare", ["--format", "raw", deepest, raw]).exit == 0)

        let map = try runTool(
            "vhdmap", ["--chain", "--tsv", "--columns", "start,layer", "--range", "64K+16M", deepest])
        let rows = map.output.split(separator: "\n").map(String.init)
        for (offset, _) in sectors(upTo: Self.depth - 1) where offset < 16 << 20 {
            #expect(rows.contains("\(offset)\t\(Self.depth - 1 - offset / 65536)"))
        }

        let info = try runTool("vhdinfo", ["--chain", deepest])
        #expect(info.exit == 0, "\(info.error)")
        let lines = info.output.split(separator: "\n")
        #expect(lines[0] == "\(deepest): chain of 256 images, leaf first")
        #expect(lines.last == "Verdict: whole chain, no warnings")
        #expect(lines.contains("255  \(chain.paths[0])"))

        try tooDeep(chain)
    }

    /// One more is refused; it is still told how far it goes.
    private func tooDeep(_ chain: SmallChain) throws {
        for (tool, arguments) in [
            ("vhdcat", [chain.leaf]), ("vhdmap", ["--chain", chain.leaf]), ("vhdcompare", [chain.leaf, chain.leaf]),
        ] {
            let result = try runTool(tool, arguments)
            #expect(result.exit == 2 && result.error.contains("deeper than 256 images"), "\(tool): \(result.error)")
            #expect(result.error.split(separator: "\n").count == 1)
        }
        let info = try runTool("vhdinfo", ["-q", "--chain", chain.leaf])
        #expect(info.exit == 3)
        #expect(info.output.hasSuffix("Verdict: the chain is deeper than 256 images, no warnings\n"))
    }

    /// Fewer files than images: said as what it is, with what to do.
    @Test func tooFewFiles() throws {
        let scratch = try Scratch()
        var chain = SmallChain(.vhd, in: scratch)
        for level in 0..<40 { try chain.add("\(level).vhd") }
        let result = try runProgram(
            "/bin/bash", ["-c", "ulimit -n 20; exec \"$0\" \"$1\"", toolPath("vhdcat"), chain.leaf])
        #expect(result.exit == 2)
        #expect(result.error.contains("Too many open files") && result.error.contains("ulimit -n"), "\(result.error)")
        #expect(result.error.split(separator: "\n").count == 1)
    }

    /// Layers with large tables, all of them gone through: together they keep no more than one would.
    @Test(arguments: [(ImageFormat.vhd, "vhdmap"), (.vhdx, "vhdinfo")])
    func memory(_ format: ImageFormat, _ tool: String) throws {
        guard Peer.find("python3") != nil else { return }
        let scratch = try Scratch(inMemory: true)
        // What the layers would keep together, each by itself: 80 and 120 MiB.
        let depth = format == .vhd ? 80 : 40
        var chain = SmallChain(
            format, in: scratch, byteCount: format == .vhd ? 512 << 30 : 384 << 30,
            blockByteCount: format == .vhd ? 2 << 20 : 1 << 20)
        for level in 0..<depth {
            try chain.add("\(level).img")
            if format == .vhdx { try noteZeroBlocks(chain.leaf) }
        }
        let program = """
            import os, sys
            pid = os.fork()
            if pid == 0:
                os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
                os.execv(sys.argv[1], sys.argv[1:])
            _, status, usage = os.wait4(pid, 0)
            print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)
            """
        let result = try runProgram(
            "/usr/bin/env", ["python3", "-c", program, toolPath(tool), "--chain", "-q", chain.leaf])
        let words = result.output.split(separator: " ").map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }
        let kibibytes = try #require(words.last.flatMap { Int($0) }, "\(result.error)")
        #expect(words.first == "0", "\(tool): \(result.error)")
        #expect(kibibytes < 64 << 10, "\(tool): \(kibibytes) KiB")
    }

    /// Makes each page of a VHDX's table hold something: one of its blocks is recorded as zeros.
    private func noteZeroBlocks(_ path: String) throws {
        let file = try PosixFile(path, .write)
        for page in 0..<UInt64(768) { try file.write([2], at: 3 << 20 + page * 4096 + 1600) }
    }
}
