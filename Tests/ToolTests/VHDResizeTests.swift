import BlockIO
import DiskModel
import Foundation
import ImageChain
import Testing
import ToolTesting

/// The built vhdresize.
@Suite struct VHDResizeTests {
    private let scratch: Scratch
    private static let size: UInt64 = 48 << 20
    private static let linux = "0fc63daf-8483-4772-8e79-3d69d8477de4"

    init() throws { scratch = try Scratch(inMemory: true) }

    private func resize(_ kind: TestImageKind, _ arguments: String...) throws -> ProgramResult {
        try runTool("vhdresize", kind.options + arguments, folder: scratch.folder)
    }

    private func result(_ printed: ProgramResult) throws -> [String: Any] {
        try #require(try jsonLines(printed.output).first?["result"] as? [String: Any], "\(printed.error)")
    }

    private func checkWithQemu(_ kind: TestImageKind) throws {
        guard kind == .fixedVHDX || kind == .dynamicVHDX, let qemu = Peer.find("qemu-img") else { return }
        let check = try runProgram(qemu, ["check", scratch.path(kind.fileName)])
        #expect(check.exit == 0, "\(check.output)\(check.error)")
    }

    @Test(arguments: TestImageKind.allCases)
    func upAndDown(kind: TestImageKind) throws {
        let path = scratch.path(kind.fileName)
        var contents = TestContents(byteCount: Self.size, within: 20 << 20, runs: 60, of: 60 << 10, seed: 4)
        try kind.make(path, byteCount: Self.size, contents.runs)
        for (size, word) in [("70M", "grown"), ("+512", "grown"), ("25M", "shrunk"), ("300M", "grown")] {
            let old = contents.byteCount
            let new: UInt64 = size == "+512" ? old + 512 : UInt64(size.dropLast())! << 20
            let planned = try result(try resize(kind, "--json", "--dry-run", kind.fileName, size))
            #expect(try contents.difference(from: path, kind) == nil, "--dry-run changed something")
            let done = try resize(kind, "--bytes", kind.fileName, size)
            #expect(done.exit == 0 && done.error.isEmpty, "\(done.error)")
            let lines = done.output.split(separator: "\n")
            #expect(lines[0] == "\(kind.fileName): \(word) from \(old) to \(new)")
            contents = contents.resized(to: new)
            #expect(try contents.difference(from: path, kind) == nil)
            #expect(planned["new_virtual_size"] as? UInt64 == new && planned["old_virtual_size"] as? UInt64 == old)
            let fileByteCount = try PosixFile(path).byteCount()
            #expect(planned["new_file_size"] as? UInt64 == fileByteCount)
            #expect(lines[1].hasSuffix(" before, \(fileByteCount) after"))
            try checkWithQemu(kind)
        }
        #expect(try scratch.names() == [kind.fileName])
    }

    @Test(arguments: TestImageKind.allCases)
    func whatStandsInTheTailIsCutOnlyOnRequest(kind: TestImageKind) throws {
        let path = scratch.path(kind.fileName)
        // Through the new end, in the middle of a block, and far behind it.
        let end: UInt64 = (20 << 20) + 700 * 512
        let contents = TestContents(
            byteCount: Self.size,
            [
                (0, [1, 2, 3]), (end - 2048, .init(repeating: 7, count: 4096)),
                (40 << 20, .init(repeating: 9, count: 512)),
            ])
        try kind.make(path, byteCount: Self.size, contents.runs)
        let before = try fileHash(path)
        let refused = try resize(kind, kind.fileName, "\(end)")
        #expect(refused.exit == 2 && refused.output.isEmpty)
        #expect(
            refused.error.hasPrefix(
                "vhdresize: \(kind.fileName): it would be cut off at \(end): data from \(end) (0x\(String(end, radix: 16))) on, "
            ))
        #expect(refused.error.hasSuffix("; --shrink does so all the same, and what is cut off is lost\n"))
        #expect(refused.error.split(separator: "\n").count == 1)
        let asJSON = try result(try resize(kind, "--json", kind.fileName, "\(end)"))
        let tail = try #require(asJSON["tail"] as? [String: Any])
        #expect(tail["first_nonzero"] as? UInt64 == end && tail["unused"] as? Bool == false)
        #expect(asJSON["changed"] as? Bool == false)
        #expect(try fileHash(path) == before, "a refusal changed the file")
        let done = try resize(kind, "--shrink", kind.fileName, "\(end)")
        #expect(done.exit == 0 && done.error.contains("is cut off at \(end): data from"), "\(done.error)")
        let cut = contents.resized(to: end)
        #expect(try cut.difference(from: path, kind) == nil)
        // What was cut off never comes back.
        #expect(try resize(kind, kind.fileName, "48M").exit == 0)
        #expect(try cut.resized(to: Self.size).difference(from: path, kind) == nil)
        try checkWithQemu(kind)
    }

    @Test(arguments: TestImageKind.allCases)
    func sizes(kind: TestImageKind) throws {
        let path = scratch.path(kind.fileName)
        try kind.make(path, byteCount: Self.size)
        let before = try fileHash(path)
        for size in ["48M", "\(Self.size)", "0x3000000", "+0"] {
            let same = try resize(kind, kind.fileName, size)
            #expect(same.exit == 0 && same.error.isEmpty)
            #expect(same.output == "\(kind.fileName): the disk already has 48 MiB (50331648 bytes)\n")
        }
        #expect(try fileHash(path) == before)
        for (size, text) in [("1000", "the nearest sizes are 512 and 1024"), ("0", "0 bytes"), ("+1", "512-byte")] {
            let refused = try resize(kind, kind.fileName, size)
            #expect(refused.exit == 2 && refused.error.contains(text), "\(refused.error)")
        }
        for size in ["x", "-1M", "+", "1.5G", "99999999999T"] {
            #expect(try resize(kind, kind.fileName, size).exit == 64)
        }
        #expect(try resize(kind, kind.fileName).exit == 64)
        #expect(try resize(kind, kind.fileName, "--", "-48M").error.contains("nothing would be left"))
        #expect(try resize(kind, "absent", "1M").exit == 2)
        #expect(try resize(kind, kind.fileName, "16E", "1").exit == 64)
        #expect(try resize(kind, kind.fileName, "8388608T").exit == 2)
        #expect(try fileHash(path) == before)
        #expect(try resize(kind, "-q", kind.fileName, "--", "-1M").output.isEmpty)
        #expect(try TestContents(byteCount: 47 << 20).difference(from: path, kind) == nil)
    }

    @Test(arguments: TestImageKind.allCases)
    func anotherWriter(kind: TestImageKind) throws {
        let path = scratch.path(kind.fileName)
        try kind.make(path, byteCount: Self.size)
        let before = try fileHash(path)
        do {
            let held = try PosixFile(path, .write)
            #expect(try resize(kind, kind.fileName, "64M").exit == 5)
            #expect(try resize(kind, "--dry-run", kind.fileName, "64M").exit == 0)
            withExtendedLifetime(held) {}
        }
        #expect(try fileHash(path) == before)
    }

    @Test(arguments: [TestImageKind.raw, .dynamicVHD, .dynamicVHDX])
    func partitionTables(kind: TestImageKind) throws {
        let path = scratch.path(kind.fileName)
        var mbr = DiskBuilder(byteCount: Self.size)
        mbr.bootRecord([(0x83, 2048, 34816), (0x07, 36864, 20480)])
        try kind.make(path, byteCount: Self.size, [(0, mbr.contents.bytes(0..<512))])
        let refused = try resize(kind, kind.fileName, "24M")
        #expect(refused.exit == 2)
        #expect(refused.error.contains("partition 2 (NTFS, exFAT or HPFS), which ends at 29360128"), "\(refused.error)")
        #expect(try resize(kind, kind.fileName, "28M").exit == 0)
        #expect(!(try resize(kind, kind.fileName, "40M")).output.contains("GPT"))
        try FileManager.default.removeItem(atPath: path)

        var gpt = DiskBuilder(byteCount: Self.size)
        gpt.wholeGPT([0: (Self.linux, 2048, 40959, "root")])
        let whole = TestContents(
            byteCount: Self.size,
            [
                (0, gpt.contents.bytes(0..<20480)),
                (Self.size - 20480, gpt.contents.bytes(Self.size - 20480..<Self.size)),
            ])
        try kind.make(path, byteCount: Self.size, whole.runs)
        #expect(try resize(kind, "--json", "--dry-run", kind.fileName, "60M").output.contains(#""code":"gpt_backup""#))
        let tight = try resize(kind, kind.fileName, "20M")
        #expect(tight.exit == 2 && tight.error.contains("partition 1 (Linux data, \"root\"), which ends at 20971520"))
        let done = try resize(kind, kind.fileName, "21M")
        #expect(done.exit == 0 && done.output.contains("sgdisk -e"), "\(done.error)")
        #expect(try whole.resized(to: 21 << 20).difference(from: path, kind) == nil)
        // The backup was cut off, and does not come back.
        let again = try resize(kind, kind.fileName, "48M")
        #expect(again.exit == 0 && again.output.contains("whose backup is not at the new end"), "\(again.output)")
        #expect(try whole.resized(to: 21 << 20).resized(to: Self.size).difference(from: path, kind) == nil)
    }

    /// A file system with files, made larger with its disk, is clean and keeps its files.
    @Test(arguments: TestImageKind.allCases)
    func aRealFileSystem(kind: TestImageKind) throws {
        guard let mkfs = Peer.find("mkfs.ext4"), let fsck = Peer.find("e2fsck"), let grow = Peer.find("resize2fs"),
            let debug = Peer.find("debugfs")
        else { return }
        let (path, raw) = (scratch.path(kind.fileName), scratch.path("fs.img"))
        let file = try scratch.write("file", (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 * 7 >> 5) })
        try PosixFile(raw, .create).resize(to: Self.size)
        #expect(try runProgram(mkfs, ["-q", "-F", raw]).exit == 0)
        #expect(try runProgram(debug, ["-w", "-R", "write \(file) kept", raw]).exit == 0)
        try kind.make(path, byteCount: Self.size)
        if kind == .raw {
            try FileManager.default.removeItem(atPath: path)
            try FileManager.default.copyItem(atPath: raw, toPath: path)
        } else {
            try ExampleFolder.write(raw, to: path)
        }
        #expect(try resize(kind, kind.fileName, "32M").exit == 2, "it may need all of the disk")
        #expect(try resize(kind, kind.fileName, "96M").exit == 0)
        #expect(try runTool("vhdcat", kind.options + ["-o", scratch.path("out.img"), path]).exit == 0)
        let out = scratch.path("out.img")
        #expect(try runProgram(fsck, ["-fn", out]).exit == 0)
        #expect(try runProgram(grow, [out]).exit == 0)
        #expect(try runProgram(fsck, ["-fn", out]).exit == 0)
        let kept = scratch.path("kept")
        #expect(try runProgram(debug, ["-R", "dump kept \(kept)", out]).exit == 0)
        #expect(try fileHash(kept) == fileHash(file))
    }

    /// Children and parents made by others.
    @Test(arguments: ["fat-differential.vhd", "fat-differential.vhdx"])
    func chains(child: String) throws {
        guard let folder = try Corpus.unpackedFolder() else { return }
        let parent = child.replacingOccurrences(of: "differential", with: "parent")
        for name in [child, parent] {
            try FileManager.default.copyItem(atPath: "\(folder)/\(name)", toPath: scratch.path(name))
        }
        let before = try HRLSample.contents(scratch.path(child))
        let alone = try Scratch()
        try FileManager.default.copyItem(atPath: "\(folder)/\(child)", toPath: alone.path(child))
        let orphan = try runTool("vhdresize", [alone.path(child), "5M"])
        #expect(orphan.exit == 2 && orphan.error.contains("--parent-dir"), "\(orphan.error)")
        let grown = try runTool("vhdresize", [child, "5M"], folder: scratch.folder)
        #expect(grown.exit == 0, "\(grown.error)")
        #expect(try HRLSample.contents(scratch.path(child)) == before + [UInt8](repeating: 0, count: 1 << 20))
        // The parent larger than the child: the child must not grow any more.
        let larger = try runTool("vhdresize", [parent, "8M"], folder: scratch.folder)
        #expect(larger.exit == 0 && larger.output.contains("differencing images made from this one"), "\(larger.error)")
        guard child.hasSuffix(".vhd") else {
            #expect(try runTool("vhdcat", [child], folder: scratch.folder).exit == 2, "DataWriteGuid is new")
            return
        }
        let exposed = try runTool("vhdresize", [child, "6M"], folder: scratch.folder)
        #expect(exposed.exit == 2 && exposed.error.contains("would show the parent's bytes"), "\(exposed.error)")
    }

    /// A child that gets smaller than its parent stays so; that is said before.
    @Test(arguments: ["fat-differential.vhd", "fat-differential.vhdx"])
    func smallerThanItsParent(child: String) throws {
        guard let folder = try Corpus.unpackedFolder() else { return }
        for name in [child, child.replacingOccurrences(of: "differential", with: "parent")] {
            try FileManager.default.copyItem(atPath: "\(folder)/\(name)", toPath: scratch.path(name))
        }
        let planned = try runTool(
            "vhdresize", ["--json", "--dry-run", "--shrink", child, "2M"], folder: scratch.folder)
        #expect(try schemaComplaints(planned.output, schema: "vhdresize") ?? "" == "")
        #expect(planned.output.contains(#""code":"larger_parent""#))
        let shrunk = try runTool("vhdresize", ["--shrink", child, "2M"], folder: scratch.folder)
        #expect(shrunk.exit == 0 && shrunk.error.contains("it cannot be made larger again"), "\(shrunk.error)")
        #expect(!shrunk.output.contains("cannot be made larger again"))
        let back = try runTool("vhdresize", [child, "4M"], folder: scratch.folder)
        #expect(back.exit == 2 && back.error.contains("would show the parent's bytes"), "\(back.error)")
    }

    @Test func pendingLog() throws {
        guard let source = try Corpus.path("vhdx-log-replay.vhdx") else { return }
        let path = scratch.path("dirty.vhdx")
        try FileManager.default.copyItem(atPath: source, toPath: path)
        let before = try fileHash(path)
        let planned = try runTool("vhdresize", ["--dry-run", path, "+1G"])
        #expect(planned.exit == 0 && planned.error.contains("the file is unchanged"), "\(planned.error)")
        #expect(try fileHash(path) == before)
        #expect(try runTool("vhdresize", [path, "1M"]).exit == 2)
        #expect(try fileHash(path) == before, "a refusal replayed the log")
        let done = try runTool("vhdresize", [path, "+1G"])
        #expect(done.exit == 0 && done.error.contains("replayed into the file first"), "\(done.error)")
        let (grown, original) = (try ImageChain.open(path), try ImageChain.open(source))
        #expect(!grown.hasReplayedLog && grown.geometry.virtualByteCount == 2 << 30)
        #expect(try runTool("vhdresize", [path, "1G"]).exit == 0, "the new part is not all zeros")
        #expect(try firstDifferingByte(between: try ImageChain.open(path), and: original) == nil)
    }

    @Test func documentsFitTheSchema() throws {
        var lines = ""
        for kind in TestImageKind.allCases {
            try? FileManager.default.removeItem(atPath: scratch.path(kind.fileName))
            var gpt = DiskBuilder(byteCount: Self.size)
            gpt.wholeGPT([0: (Self.linux, 2048, 40959, "root")])
            try kind.make(scratch.path(kind.fileName), byteCount: Self.size, [(0, gpt.contents.bytes(0..<20480))])
            for arguments in [
                ["--dry-run", kind.fileName, "60M"], [kind.fileName, "60M"], [kind.fileName, "60M"],
                [kind.fileName, "10M"], ["--shrink", kind.fileName, "10M"], ["absent", "1M"], [kind.fileName, "1000"],
            ] {
                lines += try runTool("vhdresize", ["--json"] + kind.options + arguments, folder: scratch.folder).output
            }
        }
        #expect(lines.split(separator: "\n").count == 35)
        #expect(try schemaComplaints(lines, schema: "vhdresize") ?? "" == "")
        // The validator does complain.
        let wrong = lines.replacingOccurrences(of: #""table_moved":"#, with: #""moved":"#)
        #expect(try schemaComplaints(wrong, schema: "vhdresize") != "")
    }
}
