import BlockIO
import ByteCodec
import Digest
import DiskModel
import Foundation
import ImageChain
import Testing
import ToolTesting

/// The built vhdconvert.
@Suite struct VHDConvertTests {
    private let scratch: Scratch
    private let model: [UInt8]

    init() throws {
        scratch = try Scratch()
        var bytes = [UInt8].zeros(24 << 20)
        for (offset, value) in [(0, UInt8(1)), (1_500_000, 2), (5 << 20, 3), ((24 << 20) - 512, 4)] {
            for index in offset..<min(offset + 70_000, bytes.count) { bytes[index] = value &+ UInt8(index % 97) }
        }
        model = bytes
        _ = try scratch.write("disk.raw", bytes)
        let result = try runTool(
            "vhdconvert", ["-q", "--format", "raw", "disk.raw", "disk.vhdx"], folder: scratch.folder)
        try #require(result.exit == 0, "\(result.error)")
    }

    private func convert(_ arguments: String..., input: [UInt8]? = nil) throws -> ProgramResult {
        try runTool("vhdconvert", arguments, input: input, folder: scratch.folder)
    }

    private func contents(_ name: String) throws -> [UInt8] {
        try runTool("vhdcat", ["--format", "raw", name], folder: scratch.folder).outputBytes
    }

    @Test func saysWhatItDid() throws {
        let result = try convert("disk.vhdx", "copy.vhd", "--verify", "--hash", "sha256", "--bytes")
        #expect(result.exit == 0 && result.error.isEmpty, "\(result.error)")
        let lines = result.output.split(separator: "\n")
        #expect(lines.first == "copy.vhd: made VHD, dynamic, 25165824, blocks of 2097152")
        #expect(lines.dropFirst(2).first == "  verified: it reads back as what was written")
        let sum = Digest.hash(.sha256, model.rawBytes).hexadecimal
        #expect(lines.last.map(String.init) == "\(sum)  copy.vhd  (sha256)")
        #expect(try contents("copy.vhd") == model)
        let same = try fileBytes(scratch.path("disk.raw")) == model
        #expect(same)
    }

    @Test func streams() throws {
        let out = try convert("disk.vhdx", "-")
        #expect(out.exit == 0 && out.error.isEmpty && out.outputBytes == model)
        for name in ["a.vhdx", "b.vhd", "c.raw"] {
            let result = try convert("-q", "-", name, "--verify", input: model)
            #expect(result.exit == 0, "\(result.error)")
            #expect(try contents(name) == model)
        }
        #expect(try convert("-q", "-", "d.vhd", "--fixed", input: model).exit == 0)
        #expect(try contents("d.vhd") == model)
        let short = try convert("-", "e.vhdx", input: Array(model.prefix(1000)))
        #expect(short.exit == 2)
        #expect(short.error.hasPrefix("vhdconvert: standard input: the stream has 1000 bytes, no whole number"))
        let image = try convert("-", "e.vhdx", input: try fileBytes(scratch.path("disk.vhdx")))
        #expect(image.exit == 2 && image.error.contains("is a VHDX image, not a raw disk; convert the file itself"))
        #expect(try convert("-", "-", input: model).exit == 2)
        #expect(try convert("-O", "vhdx", "disk.vhdx", "-").exit == 2)
        #expect(try convert("--json", "disk.vhdx", "-").exit == 64)
        #expect(try scratch.names() == ["a.vhdx", "b.vhd", "c.raw", "d.vhd", "disk.raw", "disk.vhdx"])
    }

    @Test func azure() throws {
        let exact = try convert("--azure", "disk.vhdx", "up.vhd")
        #expect(exact.exit == 0)
        #expect(try fileBytes(scratch.path("up.vhd")).count == (24 << 20) + 512)
        // Rounded up, by zeros.
        let odd = Array(model.prefix((23 << 20) + 512))
        _ = try scratch.write("odd.raw", odd)
        #expect(try convert("--azure", "--format", "raw", "odd.raw", "odd.vhd", "--verify").exit == 0)
        #expect(try contents("odd.vhd") == odd + [UInt8].zeros((1 << 20) - 512))
        #expect(try convert("-q", "--azure", "-", "stream.vhd", "--verify", input: odd).exit == 0)
        #expect(try fileBytes(scratch.path("stream.vhd")).count == (24 << 20) + 512)
        let small = try convert("--azure", "-", "small.vhd", input: Array(model.prefix(1 << 20)))
        #expect(small.exit == 2 && small.error.contains("Azure takes from 20 MiB"))
        #expect(!(try scratch.names().contains("small.vhd")))
        #expect(try convert("--azure", "-O", "vhdx", "disk.vhdx", "x.vhd").exit == 64)
        let named = try convert("--azure", "disk.vhdx", "up.img")
        #expect(named.exit == 0 && named.error == "vhdconvert: up.img: Azure wants the name to end in .vhd\n")
    }

    /// The output is neither an input nor there already, unless told.
    @Test func overwriting() throws {
        let before = try fileBytes(scratch.path("disk.vhdx"))
        try FileManager.default.createSymbolicLink(atPath: scratch.path("link.vhdx"), withDestinationPath: "disk.vhdx")
        for name in ["disk.vhdx", "./disk.vhdx", "link.vhdx"] {
            let result = try convert("-f", "disk.vhdx", name)
            #expect(result.exit == 2 && result.error.contains("the output is the input"), "\(result.error)")
        }
        #expect(try fileBytes(scratch.path("disk.vhdx")) == before)
        _ = try scratch.write("there.vhd", [7])
        let there = try convert("disk.vhdx", "there.vhd")
        #expect(there.exit == 2 && there.error == "vhdconvert: there.vhd: create: File exists; use -f to replace it\n")
        #expect(try fileBytes(scratch.path("there.vhd")) == [7])
        #expect(try convert("-q", "-f", "disk.vhdx", "there.vhd").exit == 0)
        #expect(try contents("there.vhd") == model)
        for (child, parent) in [("fat-differential.vhdx", "fat-parent.vhdx")] {
            for name in [child, parent] {
                guard let source = try Corpus.path(name) else { return }
                try FileManager.default.copyItem(atPath: source, toPath: scratch.path(name))
            }
            let result = try convert("-f", child, parent)
            #expect(result.exit == 2 && result.error.contains("the output is a parent of the input"))
        }
    }

    @Test func sectorsOf4096() throws {
        let create = ["--sector", "4096", "four.vhdx", "24M"]
        #expect(try runTool("vhdcreate", create, folder: scratch.folder).exit == 0)
        let vhd = try convert("four.vhdx", "four.vhd")
        #expect(vhd.exit == 2 && vhd.error.contains("make a VHDX, or insist with --sector 512"), "\(vhd.error)")
        #expect(try convert("-q", "--sector", "512", "four.vhdx", "four.vhd").exit == 0)
        #expect(try convert("-q", "four.vhdx", "again.vhdx").exit == 0)
        let told = try runTool("vhdinfo", ["--field", "logical_sector_size", scratch.path("again.vhdx")])
        #expect(told.output == "4096\n")
        let odd = try convert("--sector", "4096", "-", "odd.vhdx", input: Array(model.prefix(512)))
        #expect(odd.exit == 2 && odd.error.contains("no whole number of 4096-byte sectors"), "\(odd.error)")
        _ = try scratch.write("odd.raw", Array(model.prefix(512)))
        #expect(try convert("--format", "raw", "--sector", "4096", "odd.raw", "no.vhdx").exit == 2)
    }

    /// Two blocks in one place show the same bytes: no reader takes them for right.
    @Test(arguments: ["a.vhd", "a.vhdx"]) func blocksThatShareSpace(_ name: String) throws {
        #expect(
            try convert("-q", "--format", "raw", "--block", name == "a.vhd" ? "2M" : "1M", "disk.raw", name).exit == 0)
        var bytes = try fileBytes(scratch.path(name))
        let (table, size) = name == "a.vhd" ? (1536, 4) : (3 << 20, 8)
        // The second present entry gets the first one's place.
        let entries = (0..<12).map { Array(bytes[table + $0 * size..<table + ($0 + 1) * size]) }
        let present = entries.indices.filter { entries[$0] != [UInt8](repeating: size == 4 ? 0xff : 0, count: size) }
        bytes.replaceSubrange(table + present[1] * size..<table + (present[1] + 1) * size, with: entries[present[0]])
        _ = try scratch.write(name, bytes)
        let code = name == "a.vhd" ? "VHD022" : "VHDX021"
        for (tool, more) in [("vhdcat", []), ("vhdmap", []), ("vhdmap", ["--chain"]), ("vhdcompare", ["disk.vhdx"])] {
            let result = try runTool(tool, more + [name], folder: scratch.folder)
            #expect(result.exit == 2 && result.error.contains(code), "\(tool): \(result.error)")
        }
        let refused = try convert(name, "b.raw")
        #expect(refused.exit == 2 && refused.error.contains("--accept \(code)"), "\(refused.error)")
        let forced = try convert(name, "b.raw", "--accept", code)
        #expect(forced.exit == 0 && forced.error.contains(code), "\(forced.error)")
    }

    /// What is replaced is a regular file that nobody writes, and keeps its permissions.
    @Test func replacing() throws {
        let path = try scratch.write("there.vhd", [7])
        try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: path)
        do {
            let held = try PosixFile(path, .write)
            let busy = try convert("-f", "disk.vhdx", "there.vhd")
            #expect(busy.exit == 5 && busy.error.contains("in use by another writer"), "\(busy.error)")
            withExtendedLifetime(held) {}
        }
        #expect(try fileBytes(path) == [7])
        #expect(try convert("-q", "-f", "disk.vhdx", "there.vhd").exit == 0)
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o640)
        let made = unsafe mkfifo(scratch.path("fifo.vhd"), 0o600)
        #expect(made == 0)
        for flags in [["-f"], []] {
            let result = try runTool("vhdconvert", flags + ["disk.vhdx", "fifo.vhd"], folder: scratch.folder)
            #expect(
                result.exit == 2 && result.error == "vhdconvert: fifo.vhd: is not a regular file\n", "\(result.error)")
        }
        let log = try convert("--case-log", "new.vhd", "disk.vhdx", "./new.vhd")
        #expect(log.exit == 2 && log.error.contains("the output is the case log"), "\(log.error)")
        // The run is told there all the same.
        #expect(try fileBytes(scratch.path("new.vhd")).starts(with: Array(#"{"tool":"#.utf8)))
    }

    /// A damaged source: nothing is left.
    @Test func failureLeavesNothing() throws {
        var bytes = try fileBytes(scratch.path("disk.vhdx"))
        bytes.removeLast(bytes.count - (5 << 20))
        _ = try scratch.write("cut.vhdx", bytes)
        let names = try scratch.names()
        let result = try convert("cut.vhdx", "out.vhd")
        #expect(result.exit == 2 && result.error.contains("VHDX020"), "\(result.error)")
        #expect(try scratch.names() == names)
    }

    @Test func documents() throws {
        let made =
            try convert("--json", "disk.vhdx", "a.vhd", "--verify", "--hash", "md5").output
            + convert("--json", "--dry-run", "disk.vhdx", "b.vhdx").output
            + convert("--json", "-", "c.vhdx", input: model).output + convert("--json", "disk.vhdx", "a.vhd").output
        guard let complaints = try schemaReport(made, schema: "vhdconvert") else { return }
        #expect(complaints == "4 documents\n")
    }

    /// On a file system that shares blocks, a copy takes no time and no space, and holds the same.
    @Test func sharedBlocks() throws {
        guard let mkfs = Peer.find("mkfs.xfs"), geteuid() == 0 else {
            return print("SKIPPED: sharing blocks needs mkfs.xfs and root")
        }
        let (image, mount) = (scratch.path("xfs.img"), scratch.path("xfs"))
        try FileManager.default.createDirectory(atPath: mount, withIntermediateDirectories: false)
        _ = try runProgram("/usr/bin/truncate", ["-s", "400M", image])
        #expect(try runProgram(mkfs, ["-q", image]).exit == 0)
        guard try runProgram("/bin/mount", ["-o", "loop", image, mount]).exit == 0 else {
            return print("SKIPPED: no loop mounts here: sharing blocks is not tested")
        }
        defer { _ = try? runProgram("/bin/umount", [mount]) }
        try FileManager.default.copyItem(atPath: scratch.path("disk.raw"), toPath: mount + "/disk.raw")
        for (source, target) in [("disk.raw", "a.vhdx"), ("a.vhdx", "b.vhd"), ("b.vhd", "c.vhdx"), ("b.vhd", "d.raw")] {
            let arguments = ["--format", "raw", mount + "/" + source, mount + "/" + target, "--verify", "--json"]
            let result = try runTool("vhdconvert", arguments)
            #expect(result.exit == 0, "\(result.error)")
            #expect(
                result.output.contains(#""copied":0,"cloned":25165824"#), "\(source) to \(target): \(result.output)")
            #expect(try contents(mount + "/" + target) == model)
        }
        let copied = try runTool(
            "vhdconvert", ["--no-clone", mount + "/a.vhdx", mount + "/e.vhd", "--json", "--block", "512K"])
        #expect(copied.output.contains(#""cloned":0"#), "\(copied.output)")
        #expect(try contents(mount + "/e.vhd") == model)
    }
}
