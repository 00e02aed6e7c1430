import BlockIO
import ByteCodec
import DiskModel
import Foundation
import ImageChain
import Testing
import ToolTesting

/// The built vhdsnap.
@Suite struct VHDSnapTests {
    private let scratch = try! Scratch()

    private func run(_ tool: String = "vhdsnap", _ arguments: String...) throws -> ProgramResult {
        try runTool(tool, arguments, folder: scratch.folder)
    }

    private func write(_ name: String, _ value: UInt8, _ range: Range<Int>) throws {
        let chain = try ImageChain.open(writing: scratch.path(name))
        try chain.write([UInt8](repeating: value, count: range.count), at: UInt64(range.lowerBound))
        try chain.close()
    }

    private static let frozen =
        "from now on nothing may write to it: what is written there makes the child wrong"

    @Test(arguments: [("vhd", "VHD"), ("vhdx", "VHDX")]) func snapshotOfEachType(_ ending: String, _ title: String)
        throws
    {
        for type in ["--fixed", "--dynamic"] {
            let (base, child) = ("base.\(ending)", "child.a\(ending)")
            #expect(try run("vhdcreate", "-f", type, base, "8M").exit == 0)
            try write(base, 1, 100..<3_000_000)
            let before = try fileHash(scratch.path(base))
            let made = try run("vhdsnap", "-f", base, child)
            #expect(made.exit == 0 && made.error == "vhdsnap: \(base): \(Self.frozen)\n", "\(made)")
            let lines = made.output.split(separator: "\n")
            #expect(lines.count == 2)
            #expect(lines.first == "\(child): made \(title), differencing, 8 MiB (8388608 bytes), blocks of 2 MiB")
            #expect(lines.last?.hasPrefix("  parent: \(base), \(type.dropFirst(2)), id ") == true)
            #expect(lines.last?.hasSuffix("; a chain of 2 images") == true)
            #expect(try run("vhdcompare", "-q", base, child).exit == 0)
            try write(child, 9, 2_000_000..<5_000_000)
            #expect(try fileHash(scratch.path(base)) == before)
            #expect(try ImageChain.open(scratch.path(child)).bytes(at: 1_999_999, count: 2) == [1, 9])
            #expect(try run("vhdcheck", "--deep", "-q", child).exit == 0)
        }
        #expect(try scratch.names() == ["base.\(ending)", "child.a\(ending)"])
    }

    /// Other programs see a child with its parent.
    @Test func peers() throws {
        #expect(try run("vhdcreate", "base.vhd", "8M").exit == 0)
        #expect(try run("vhdcreate", "base.vhdx", "8M").exit == 0)
        for ending in ["vhd", "vhdx"] {
            #expect(try run("vhdsnap", "-q", "base.\(ending)", "child.\(ending)").exit == 0)
            if let info = Peer.find("vhdiinfo") {
                let seen = try runProgram(info, [scratch.path("child.\(ending)")])
                #expect(seen.output.contains("Differential"), "\(seen.output)\(seen.error)")
                #expect(seen.output.contains("base.\(ending)"), "\(seen.output)")
            }
        }
    }

    @Test func refusals() throws {
        #expect(try run("vhdcreate", "base.vhdx", "8M").exit == 0)
        _ = try scratch.write("there.vhdx", [1])
        _ = try scratch.write("raw.img", [UInt8](repeating: 1, count: 8192))
        let names = try scratch.names()
        func expect(_ arguments: [String], _ line: String, exit: Int32 = 2) throws {
            for dry in [[], ["--dry-run"]] {
                let result = try runTool("vhdsnap", dry + arguments, folder: scratch.folder)
                #expect(result.exit == exit && result.output.isEmpty, "\(arguments): \(result)")
                #expect(exit == 64 || result.error == "vhdsnap: \(line)\n", "\(result.error)")
                #expect(try scratch.names() == names)
            }
        }
        try expect(["base.vhdx", "there.vhdx"], "there.vhdx: create: File exists; use -f to replace it")
        try expect(
            ["-f", "base.vhdx", "base.vhdx"],
            "base.vhdx: the output is part of the chain below it; choose another output file")
        try expect(
            ["raw.img", "c.vhd"],
            "raw.img: neither a VHD nor a VHDX image, and a raw disk is no parent; it has no id, so that nothing could "
                + "tell whether it is the right one: vhdconvert makes an image of it")
        try expect(
            ["base.vhdx", "c.vhd"],
            "c.vhd: the child of a VHDX is a VHDX, and .vhd says otherwise; let its name end with .vhdx or .avhdx")
        try expect(
            ["--block", "3M", "base.vhdx", "c.vhdx"],
            "c.vhdx: a block of 3145728 bytes: a VHDX image has a power of two from 1 MiB to 256 MiB")
        try expect(
            ["--windows-path", "/base.vhdx", "base.vhdx", "c.vhdx"],
            "c.vhdx: \"/base.vhdx\" is no path of Windows to a file; such are C:\\images\\base.vhdx and "
                + "\\\\server\\images\\base.vhdx")
        try expect(["none.vhdx", "c.vhdx"], "none.vhdx: open: No such file or directory")
        try expect(["base.vhdx", "none/c.vhdx"], "none: realpath: No such file or directory")
        try expect(["base.vhdx"], "", exit: 64)
        try expect(["--format", "raw", "base.vhdx", "c.vhdx"], "", exit: 64)
        let raw = try run("vhdsnap", "--format", "raw", "base.vhdx", "c.vhdx")
        #expect(raw.error.hasPrefix("Error: --format raw: a raw disk has no id, and so can have no children"))
        try expect(["--block", "x", "base.vhdx", "c.vhdx"], "", exit: 64)
        #expect(try fileBytes(scratch.path("there.vhdx")) == [1])
    }

    /// The parent is missing: nothing is made.
    @Test func brokenChain() throws {
        #expect(try run("vhdcreate", "base.vhd", "8M").exit == 0)
        #expect(try run("vhdsnap", "-q", "base.vhd", "middle.vhd").exit == 0)
        try FileManager.default.createDirectory(
            atPath: scratch.path("away"), withIntermediateDirectories: false)
        try FileManager.default.moveItem(atPath: scratch.path("base.vhd"), toPath: scratch.path("away/base.vhd"))
        let refused = try run("vhdsnap", "middle.vhd", "top.vhd")
        #expect(refused.exit == 2 && refused.error.contains("was not found; looked at base.vhd"), "\(refused)")
        #expect(
            refused.error.hasSuffix(
                "; name the parent's folder with --parent-dir; vhdinfo --chain middle.vhd finds it under other names, too, "
                    + "and says what mends the link\n"))
        #expect(try scratch.names() == ["away", "middle.vhd"])
        #expect(try run("vhdsnap", "-q", "--parent-dir", "away", "middle.vhd", "top.vhd").exit == 0)
    }

    @Test func writtenParent() throws {
        #expect(try run("vhdcreate", "base.vhdx", "8M").exit == 0)
        do {
            let writer = try PosixFile(scratch.path("base.vhdx"), .write)
            let busy = try run("vhdsnap", "base.vhdx", "child.vhdx")
            #expect(busy.exit == 5, "\(busy)")
            #expect(
                busy.error
                    == "vhdsnap: base.vhdx: in use by another writer; wait for the other program, or stop it\n")
            _ = try writer.byteCount()
        }
        #expect(try scratch.names() == ["base.vhdx"])
        guard let io = Peer.find("qemu-io") else { return }
        let qemu = try HeldProgram(
            io, ["-f", "vhdx", scratch.path("base.vhdx")], commands: "write 0 512\n", until: "wrote 512")
        #expect(try run("vhdsnap", "base.vhdx", "child.vhdx").exit == 5)
        qemu.end()
        #expect(try run("vhdsnap", "-q", "base.vhdx", "child.vhdx").exit == 0)
    }

    /// A reader with qemu does not stand in the way.
    @Test func parentReadByQemu() throws {
        guard let io = Peer.find("qemu-io") else { return }
        #expect(try run("vhdcreate", "base.vhdx", "8M").exit == 0)
        let qemu = try HeldProgram(
            io, ["-r", "-f", "vhdx", scratch.path("base.vhdx")], commands: "read 0 512\n", until: "read 512")
        #expect(try run("vhdsnap", "-q", "base.vhdx", "child.vhdx").exit == 0)
        qemu.end()
    }

    /// More than one folder up, readers do not look by themselves.
    @Test func farParent() throws {
        #expect(try run("vhdcreate", "base.vhdx", "8M").exit == 0)
        try FileManager.default.createDirectory(
            atPath: scratch.path("a/b"), withIntermediateDirectories: true)
        let made = try run("vhdsnap", "base.vhdx", "a/b/child.vhdx")
        #expect(made.exit == 0)
        #expect(
            made.error
                == "vhdsnap: a/b/child.vhdx: the parent stands at ../../base.vhdx from the child, more than one folder "
                + "up: these tools look for it there only with --parent-dir and its folder; Windows does at once\n"
                + "vhdsnap: base.vhdx: \(Self.frozen)\n")
        #expect(try run("vhdcat", "-o", "x", "a/b/child.vhdx").exit == 2)
        #expect(try run("vhdcompare", "-q", "--parent-dir", ".", "base.vhdx", "a/b/child.vhdx").exit == 0)
    }

    /// Windows' own images as parents.
    @Test(arguments: ["fat-differential.vhd", "fat-differential.vhdx"]) func windowsParents(_ file: String) throws {
        guard let folder = try Corpus.unpackedFolder() else { return }
        let parent = file.replacingOccurrences(of: "differential", with: "parent")
        for name in [file, parent] {
            try FileManager.default.copyItem(atPath: "\(folder)/\(name)", toPath: scratch.path(name))
        }
        let before = try [file, parent].map { try fileHash(scratch.path($0)) }
        let child = "child." + (file.hasSuffix("x") ? "vhdx" : "vhd")
        let made = try run("vhdsnap", file, child)
        #expect(made.exit == 0 && made.output.contains("a chain of 3 images"), "\(made)")
        let expectation = try #require(Corpus.expectations.first { $0.file == file })
        let hash = try run("vhdcat", "--hash", "sha256", "--json", "-o", "contents", child)
        #expect(hash.output.contains(expectation.contents), "\(hash.output)\(hash.error)")
        #expect(try [file, parent].map { try fileHash(scratch.path($0)) } == before)
    }

    @Test func documents() throws {
        #expect(try run("vhdcreate", "base.vhd", "8M").exit == 0)
        #expect(try run("vhdcreate", "base.vhdx", "8M").exit == 0)
        let volume = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\base.vhdx"
        let made = try run("vhdsnap", "--json", "base.vhd", "a.vhd")
        let dry = try run("vhdsnap", "--json", "--dry-run", "--volume-path", volume, "base.vhdx", "b.vhdx")
        let failed = try run("vhdsnap", "--json", "base.vhd", "a.vhd")
        #expect(made.exit == 0 && dry.exit == 0 && failed.exit == 2)
        #expect(try scratch.names() == ["a.vhd", "base.vhd", "base.vhdx"])
        #expect(
            made.output.contains(#""code":"parent_frozen""#) && made.output.contains(#""chain":["a.vhd","base.vhd"]"#))
        guard let complaints = try schemaReport(made.output + dry.output + failed.output, schema: "vhdsnap") else {
            return
        }
        #expect(complaints == "3 documents\n")
    }

    @Test func caseLog() throws {
        #expect(try run("vhdcreate", "base.vhd", "8M").exit == 0)
        #expect(try run("vhdsnap", "-q", "--case-log", "log", "base.vhd", "child.vhd").exit == 0)
        let line = String(decoding: try fileBytes(scratch.path("log")), as: UTF8.self)
        #expect(line.contains(#""inputs":[{"path":"base.vhd""#) && line.contains(#""outputs":[{"path":"child.vhd""#))
        #expect(try run("vhdsnap", "-f", "--case-log", "log", "base.vhd", "log").exit == 2)
        #expect(try fileBytes(scratch.path("log")).starts(with: Array(line.utf8)))
    }
}
