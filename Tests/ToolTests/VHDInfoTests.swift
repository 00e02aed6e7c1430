import DiskModel
import Foundation
import Testing
import ToolTesting

@Suite struct VHDInfoTests {
    /// The documents of `vhdinfo --json`.
    private func documents(_ arguments: [String], exit: Int32 = 0) throws -> [[String: Any]] {
        let result = try runTool("vhdinfo", ["--json"] + arguments)
        #expect(result.exit == exit, "\(arguments): \(result.error)")
        return try result.output.split(separator: "\n").map { line in
            try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        }
    }

    private func image(_ arguments: String..., exit: Int32 = 0) throws -> [String: Any] {
        try #require(try documents(arguments, exit: exit).first?["result"] as? [String: Any])
    }

    /// A folder with copies of images of the corpus; nil where it is absent.
    private func copies(_ names: String...) throws -> Scratch? {
        guard let folder = try Corpus.unpackedFolder() else { return nil }
        let scratch = try Scratch()
        for name in names {
            try FileManager.default.copyItem(atPath: "\(folder)/\(name)", toPath: scratch.path(name))
        }
        return scratch
    }

    @Test(arguments: Corpus.expectations)
    func realImages(_ expected: Corpus.Expectation) throws {
        guard let path = try Corpus.path(expected.file) else { return }
        // These two have wrong checksums.
        guard !expected.file.hasPrefix("image") else {
            let document = try #require(try documents([path], exit: 2).first)
            #expect(document["result"] is NSNull)
            let error = try #require(document["error"] as? [String: Any])
            #expect(error["code"] as? String == "VHD005")
            let accepted = try image("--accept", "vhd005", path, exit: 3)
            #expect(accepted["type"] as? String == expected.type)
            return
        }
        let result = try image(path)
        #expect(result["format"] as? String == String(expected.file.split(separator: ".").last ?? ""))
        #expect(result["type"] as? String == expected.type)
        #expect(result["virtual_size"] as? UInt64 == expected.virtualByteCount)
        let log = try #require(result["log"] as? [String: Any])
        #expect(log["state"] as? String == (expected.log == "-" ? "none" : expected.log))

        let screen = try runTool("vhdinfo", [path])
        #expect(screen.exit == 0)
        let lines = screen.output.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        // With a line for each of four hashes: 25.
        #expect(lines.count <= 21)
        #expect(lines.last?.hasPrefix("Verdict: ") == true)
        let all = try runTool("vhdinfo", ["--all", path]).output.split(separator: "\n")
        #expect(all.last?.hasPrefix("Verdict: ") == true)
        #expect(all.count > 30)
    }

    @Test func whatRealDisksHold() throws {
        func contents(_ file: String) throws -> [String]? {
            guard let path = try Corpus.path(file) else { return nil }
            let partitions = try #require(try image(path)["partitions"] as? [String: Any])
            let entries = try #require(partitions["entries"] as? [[String: Any]])
            return [partitions["table"] as? String ?? "?"] + entries.map { $0["filesystem"] as? String ?? "-" }
        }
        guard Corpus.folder != nil else { return }
        #expect(try contents("ext2.vhd") == ["none", "ext2"])
        #expect(try contents("swap.vhdx") == ["none", "swap"])
        #expect(try contents("btrfs.vhdx") == ["mbr", "btrfs"])
        #expect(try contents("fat-differential.vhdx") == ["mbr", "fat12"])
        #expect(try contents("vhdx-log-replay.vhdx") == ["mbr", "-", "-"])
        #expect(try contents("qemu-dynamic.vhd") == ["gpt"])
        #expect(try contents("xen-dyn.vhd") == ["none"])
    }

    @Test func fields() throws {
        guard let scratch = try copies("fat-parent.vhdx", "fat-differential.vhdx") else { return }
        func field(_ path: String) throws -> ProgramResult {
            try runTool("vhdinfo", ["--field", path, "fat-differential.vhdx"], folder: scratch.folder)
        }
        for (path, value) in [
            ("virtual_size", "4194304"), ("log.state", "clean"), ("partitions.entries.0.type", "0x0e"),
            ("blocks.partially_present", "1"), ("parent.path", "fat-parent.vhdx"), ("created", "null"), ("gaps", "[]"),
            ("log", #"{"state":"clean","guid":null,"entries":0,"sequence":null}"#),
        ] {
            let result = try field(path)
            #expect(result.output == value + "\n")
            #expect(result.exit == 0)
            #expect(result.error == "")
        }
        for (path, words) in [
            ("size", "there are format, type, virtual_size"),
            ("log.status", "there are state, guid, entries, sequence"),
            ("partitions.entries.1", "there are 0 to 0"), ("created.year", "it is null"), ("gaps.0", "it is empty"),
            ("type.x", "it is a single value"), ("", "there are format"), ("log..state", "no \"\" in log"),
        ] {
            let result = try field(path)
            #expect(result.exit == 64)
            #expect(result.output == "")
            #expect(result.error.contains(words), "\(path): \(result.error)")
        }
        #expect(try runTool("vhdinfo", ["--json", "--field", "type", "x"]).exit == 64)
    }

    @Test func parents() throws {
        guard let scratch = try copies("fat-differential.vhd"), let right = try Corpus.path("fat-parent.vhd"),
            let wrong = try Corpus.path("ext2.vhd")
        else { return }
        let child = scratch.path("fat-differential.vhd")
        func identity(_ arguments: String..., exit: Int32) throws -> String? {
            let result = try #require(
                try documents(arguments + [child], exit: exit).first?["result"] as? [String: Any])
            #expect(result["partitions"] is NSNull == (exit == 3))
            #expect((result["chain"] as? [Any])?.count == (exit == 3 ? 1 : 2))
            return (result["parent"] as? [String: Any])?["identity"] as? String
        }
        #expect(try identity(exit: 3) == "missing")
        let text = try runTool("vhdinfo", [child])
        #expect(text.exit == 3)
        #expect(text.output.contains("Verdict: clean differencing VHD, no warnings, parent missing\n"))
        #expect(text.error.hasPrefix("vhdinfo: \(child): its parent (id 5fa21a55-f394-aa4d-9958-1951a67d5540)"))
        #expect(text.error.split(separator: "\n").count == 1)
        #expect(try runTool("vhdinfo", ["-q", child]).error == "")

        #expect(
            try identity("--parent-dir", URL(fileURLWithPath: right).deletingLastPathComponent().path, exit: 0)
                == "match")
        try FileManager.default.copyItem(atPath: wrong, toPath: scratch.path("fat-parent.vhd"))
        #expect(try identity(exit: 3) == "mismatch")
        let parent = try #require(try image(child, exit: 3)["parent"] as? [String: Any])
        #expect(parent["expected"] as? [String] == ["5fa21a55-f394-aa4d-9958-1951a67d5540"])
        #expect(parent["found"] as? String == "b61f53ca-a786-4528-90e2-55ba791a1c4c")
        try FileManager.default.removeItem(atPath: scratch.path("fat-parent.vhd"))
        try FileManager.default.copyItem(atPath: right, toPath: scratch.path("fat-parent.vhd"))
        #expect(try identity(exit: 0) == "match")
    }

    /// A pending log: right, said so, and nothing written or made, even where everything may be.
    @Test func evidenceStaysAsItIs() throws {
        guard
            let scratch = try copies(
                "vhdx-log-replay.vhdx", "fat-parent.vhd", "fat-differential.vhd", "fat-parent.vhdx")
        else { return }
        func state() throws -> [String] {
            try scratch.names().map { name in
                var status = stat()
                let found = unsafe stat(scratch.path(name), &status)
                #expect(found == 0)
                let sum = try runProgram("/usr/bin/sha256sum", [scratch.path(name)]).output
                let times = [status.st_mtim, status.st_ctim].map { "\($0.tv_sec).\($0.tv_nsec)" }
                return "\(sum) \(times) \(status.st_ino)"
            }
        }
        let before = try state()
        for arguments in [[], ["--all"], ["--json", "--hash", "md5"], ["--field", "partitions"]] {
            let names = try scratch.names()
            let result = try runTool("vhdinfo", arguments + names, folder: scratch.folder)
            #expect(result.exit == 0)
            #expect(
                result.error
                    == "vhdinfo: vhdx-log-replay.vhdx: log pending: replayed in memory, the file is unchanged\n")
        }
        #expect(try state() == before)
        #expect(try image(scratch.path("vhdx-log-replay.vhdx"))["file_size"] as? Int == 37_748_736)
    }

    @Test func hashesAndCaseLog() throws {
        let scratch = try Scratch()
        var bytes = [UInt8](repeating: 7, count: 1 << 20)
        bytes.replaceSubrange(4096..<900_000, with: [UInt8](repeating: 0, count: 900_000 - 4096))
        let paths = try ["a.raw", "b.raw"].map { try scratch.write($0, bytes) }
        let sums = try ["md5sum", "sha256sum"].map { program in
            String(try runProgram("/usr/bin/" + program, [paths[0]]).output.prefix { $0 != " " })
        }
        let log = scratch.path("case.jsonl")
        let arguments = ["--format", "raw", "--hash", "MD5,sha256", "--case-log", log]
        let documents = try documents(arguments + paths)
        #expect(documents.count == 2)
        for (document, path) in zip(documents, paths) {
            let input = try #require((document["input"] as? [[String: Any]])?.first)
            #expect(input["path"] as? String == path)
            #expect(input["md5"] as? String == sums[0])
            #expect(input["sha256"] as? String == sums[1])
        }
        let text = try runTool("vhdinfo", arguments + [paths[0]])
        #expect(text.output.contains("  MD5:             \(sums[0])\n"))
        let lines = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n")
        #expect(lines.count == 2)
        let entry = try #require(try JSONSerialization.jsonObject(with: Data(lines[0].utf8)) as? [String: Any])
        let inputs = try #require(entry["inputs"] as? [[String: Any]])
        #expect(inputs.map { $0["path"] as? String } == paths)
        #expect(inputs.map { $0["sha256"] as? String } == [sums[1], sums[1]])
        for list in ["crc32", "", "md5,sha3"] {
            #expect(try runTool("vhdinfo", ["--hash", list, paths[0]]).exit == 64)
        }
    }

    @Test func otherFiles() throws {
        let scratch = try Scratch()
        let disk = try scratch.write("disk.raw", [UInt8](repeating: 1, count: 4096))
        let odd = try scratch.write("odd.raw", [UInt8](repeating: 1, count: 1000))
        let empty = try scratch.write("empty", [])
        let refused = try runTool("vhdinfo", [disk])
        #expect(refused.exit == 2)
        #expect(refused.output == "")
        #expect(
            refused.error
                == "vhdinfo: \(disk): neither a VHD nor a VHDX image: no signature; if it is a raw disk image, say --format raw\n"
        )
        #expect(try runTool("vhdinfo", ["--format", "vhdx", disk]).exit == 2)
        #expect(try runTool("vhdinfo", ["--format", "raw", odd]).exit == 2)
        for path in [empty, scratch.folder, "/dev/null", scratch.path("absent")] {
            let result = try runTool("vhdinfo", [path])
            #expect(result.exit == 2)
            #expect(result.error.hasPrefix("vhdinfo: \(path): "))
            #expect(result.error.split(separator: "\n").count == 1)
        }
        #expect(try runTool("vhdinfo", []).exit == 64)

        let raw = try image("--format", "raw", disk)
        #expect(raw["format"] as? String == "raw")
        #expect(raw["allocated_bytes"] as? Int == 4096)
        #expect(raw["disk_id"] is NSNull)

        // Several: each has its own status, the worst one is the process's.
        let several = try documents(["--format", "raw", disk, scratch.path("absent"), disk], exit: 2)
        #expect(several.map { $0["exit"] as? Int } == [0, 2, 0])
        #expect(several.map { $0["error"] is NSNull } == [true, false, true])
        let text = try runTool("vhdinfo", ["--bytes", "--format", "raw", disk, odd, disk])
        #expect(text.exit == 2)
        #expect(text.output.components(separatedBy: "Virtual size:    4096\n").count == 3)
    }

    /// Nothing out of a file or a name reaches the terminal as a command to it.
    @Test func controlCharacters() throws {
        let scratch = try Scratch()
        let disk = try scratch.write("a\u{1b}[31m\u{202e}.raw", [UInt8](repeating: 1, count: 4096))
        let result = try runTool("vhdinfo", ["--all", "--format", "raw", disk])
        #expect(result.output.contains("a\\u{1b}[31m\\u{202e}.raw\n"))
        #expect(!result.output.contains("\u{1b}"))
    }

    @Test func help() throws {
        let help = try runTool("vhdinfo", ["--help"])
        #expect(help.exit == 0)
        let lines = help.output.split(separator: "\n")
        #expect(lines[0].hasPrefix("OVERVIEW: "))
        #expect(lines[1] == "EXAMPLES")
        #expect(lines[2...4].allSatisfy { $0.hasPrefix("  vhdinfo ") })
        let version = try runTool("vhdinfo", ["--version"])
        #expect(version.output.hasPrefix("vhdtools "))
        #expect(version.output.contains("OpenSSL"))
    }
}
