import BlockIO
import ByteCodec
import Foundation
import Testing
import ToolTesting

/// The log tools on sealed logs and images: what they read.
@Suite struct SealedLogToolTests {
    private let folder: SealedLogFolder
    static let tools = ["hrl-dump", "hrl-check", "hrl-stat", "hrl-apply", "hrl-diff", "hrl-merge"]

    init() throws { folder = try SealedLogFolder() }

    /// Ways to run a tool that change nothing.
    private static func readings(_ tool: String) -> [[String]] {
        let diff = ["--time", "2026-11-22T20:14:03Z", "--unique-id", HRLSample.third.description, "--dry-run"]
        let lists: [[String]] =
            switch tool {
            case "hrl-dump":
                [
                    ["2.hrl", "1.hrl"], ["--tsv", "--sha256", "1.hrl"], ["-C", "2.hrl"], ["--raw", "-n", "2", "1.hrl"],
                    ["unclosed.hrl"], ["bad.hrl"], ["--follow", "1.hrl"], ["--json", "1.hrl", "unclosed.hrl"],
                ]
            case "hrl-check":
                [
                    ["--base", "old.vhdx", "2.hrl", "1.hrl"], ["bad.hrl"], ["unclosed.hrl"],
                    ["--recover", "x", "--dry-run", "unclosed.hrl"], ["--json", "--base", "new.vhdx", "1.hrl"],
                ]
            case "hrl-stat":
                [
                    ["--base", "old.vhdx", "1.hrl", "2.hrl"], ["--tsv", "2.hrl"], ["--verify", "2.hrl"],
                    ["unclosed.hrl"], ["bad.hrl"], ["--json", "2.hrl", "1.hrl"],
                ]
            case "hrl-apply":
                [
                    ["--dry-run", "--to", "old.vhdx", "2.hrl", "1.hrl"],
                    ["--dry-run", "--undo", "x", "--to", "old.vhdx", "1.hrl"], ["--to", "old.vhdx", "unclosed.hrl"],
                    ["--to", "old.vhdx", "1.hrl", "bad.hrl"], ["--json", "--dry-run", "--to", "new.vhdx", "1.hrl"],
                ]
            case "hrl-diff":
                [
                    diff + ["old.vhdx", "new.vhdx", "-o", "x"],
                    diff + ["--json", "--after", "2.hrl", "new.vhdx", "old.vhdx", "-o", "x"],
                    diff + ["--after", "unclosed.hrl", "old.vhdx", "new.vhdx", "-o", "x"],
                ]
            default:
                [
                    ["--dry-run", "2.hrl", "1.hrl", "-o", "x"], ["--dry-run", "1.hrl", "unclosed.hrl", "-o", "x"],
                    ["--dry-run", "bad.hrl", "-o", "x"], ["--json", "--dry-run", "1.hrl", "2.hrl", "-o", "x"],
                ]
            }
        return lists
    }

    /// Without what differs between two runs, and the sizes of the files.
    private func document(_ text: String) throws -> [NSDictionary] {
        try jsonLines(text).map { line in
            var line = line
            guard line["input"] != nil else { return line as NSDictionary }
            line["time"] = nil
            line["input"] = (line["input"] as? [[String: Any]])?.map { $0["path"] as? String }
            return line as NSDictionary
        }
    }

    @Test func answersAreTheSame() throws {
        for tool in Self.tools { for arguments in Self.readings(tool) { try compare(tool, arguments) } }
        #expect(try folder.plaintextAnywhere() == [])
        #expect(try folder.plaintext("plain/1.hrl") != nil && folder.plaintext("plain/old.vhdx") != nil)
    }

    private func compare(_ tool: String, _ arguments: [String]) throws {
        let plain = try folder.run(tool, arguments, in: "plain")
        let sealed = try folder.run(tool, arguments + SealedLogFolder.key)
        #expect(sealed.exit == plain.exit && plain.exit <= 3, "\(tool) \(arguments): \(sealed.error)")
        #expect(sealed.error == plain.error, "\(tool) \(arguments)")
        guard arguments.contains("--json") else {
            #expect(sealed.outputBytes == plain.outputBytes, "\(tool) \(arguments)")
            return
        }
        let (theirs, ours) = (try document(plain.output), try document(sealed.output))
        #expect(!theirs.isEmpty && ours == theirs, "\(tool) \(arguments)")
    }

    // MARK: Keys

    /// With one sealed log among plain files.
    private static func reading(_ tool: String) -> [String] {
        switch tool {
        case "hrl-apply": ["--dry-run", "--to", "old.vhdx", "1.hrl"]
        case "hrl-diff": ["--dry-run", "--after", "1.hrl", "old.vhdx", "new.vhdx", "-o", "x"]
        case "hrl-merge": ["--dry-run", "1.hrl", "-o", "x"]
        default: ["1.hrl"]
        }
    }

    @Test func keys() throws {
        // One log that a passphrase, a key file and an identity open, among plain files.
        try FileManager.default.copyItem(atPath: folder.path("plain"), toPath: folder.path("keyed"))
        try folder.seal(
            "plain/1.hrl", as: "keyed/1.hrl",
            for: ["-R", folder.keys.recipient, "--passphrase-file", "secret", "--key-file", "disk.key"])
        for tool in Self.tools {
            let expected = try folder.run(tool, Self.reading(tool), in: "plain")
            #expect(expected.exit == 0)
            try rightKeys(tool, expected.output)
            try wrongKeys(tool)
        }
    }

    private func shell(_ tool: String, _ before: String, _ after: String) throws -> ProgramResult {
        let command = "'\(toolPath(tool))' \(Self.reading(tool).joined(separator: " "))"
        return try runProgram("/bin/bash", ["-c", before + command + after], folder: folder.path("keyed"))
    }

    private func rightKeys(_ tool: String, _ expected: String) throws {
        func check(_ result: ProgramResult, _ way: String) {
            #expect(result.exit == 0 && result.output == expected, "\(tool), \(way): \(result.error)")
        }
        let arguments = Self.reading(tool)
        for way in [["--identity", "../key.txt"], ["--key-file", "../disk.key"], ["--passphrase-file", "../secret"]] {
            check(try folder.run(tool, way + arguments, in: "keyed"), way[0])
        }
        check(try shell(tool, "", " --passphrase-fd 5 5< ../secret"), "--passphrase-fd")
        let asking = ["VHDTOOLS_PASSPHRASE_COMMAND": "touch ../asked; cat ../secret"]
        #expect(try folder.run(tool, arguments, in: "plain", environment: asking).exit == 0)
        #expect(!FileManager.default.fileExists(atPath: folder.path("asked")), "\(tool) asked for a key of plain files")
        check(try folder.run(tool, arguments, in: "keyed", environment: asking), "$VHDTOOLS_PASSPHRASE_COMMAND")
        // It was asked: the command can tell.
        try FileManager.default.removeItem(atPath: folder.path("asked"))
    }

    private func wrongKeys(_ tool: String) throws {
        // In a session of its own it has no terminal to ask on.
        let none = try shell(tool, "unset VHDTOOLS_PASSPHRASE_COMMAND; setsid -w ", " < /dev/null")
        #expect(none.exit == 4, "\(tool): \(none.exit)")
        #expect(none.error.hasPrefix("\(tool): 1.hrl: a passphrase is needed, and there is no"), "\(none.error)")
        let wrong = try folder.run(
            tool, ["-i", "../other.txt", "--key-file", "../disk.key"] + Self.reading(tool))
        #expect(wrong.exit == 4, "\(tool): \(wrong.exit)")
        #expect(wrong.error.hasPrefix("\(tool): ") && wrong.error.contains("none of the secrets opens it"))
    }

    // MARK: What cannot be read

    @Test func changedBytes() throws {
        var bytes = try fileBytes(folder.path("sealed/1.hrl"))
        // In the last chunk that is stored is a part of the metadata block.
        let pages = 0..<bytes.count / 4096
        let last = try #require(pages.last { bytes[$0 * 4096..<$0 * 4096 + 64].contains { $0 != 0 } })
        bytes[last * 4096 + 17] ^= 1
        _ = try folder.keys.scratch.write("sealed/1.hrl", bytes)
        let image = try fileBytes(folder.path("sealed/old.vhdx"))
        let options = ["hrl-apply": ["--to", "old.vhdx"], "hrl-merge": ["-o", "x"]]
        // hrl-diff reads no more of a log that another one is to follow than its header.
        for tool in Self.tools where tool != "hrl-diff" {
            let result = try folder.run(tool, SealedLogFolder.key + (options[tool] ?? []) + ["1.hrl"])
            #expect(result.exit == 4, "\(tool): \(result.exit) \(result.error)")
            #expect(result.error.contains("the file was changed or is damaged"), "\(result.error)")
        }
        #expect(!FileManager.default.fileExists(atPath: folder.path("sealed/x")))
        #expect(try fileBytes(folder.path("sealed/old.vhdx")) == image)
    }

    /// Whoever writes a sealed log keeps readers away, and readers him: it cannot be followed.
    @Test func following() throws {
        let unclosed = try folder.run("hrl-dump", SealedLogFolder.key + ["--follow", "unclosed.hrl"])
        #expect(unclosed.exit == 2 && unclosed.error.contains("a sealed log cannot be followed"), "\(unclosed.error)")
        for name in ["1.hrl", "unclosed.hrl"] {
            let writer = try PosixFile(folder.path("sealed/\(name)"), .write)
            for arguments in [[name], ["--follow", name]] {
                let busy = try folder.run("hrl-dump", SealedLogFolder.key + arguments)
                #expect(busy.exit == 5, "\(arguments): \(busy.exit) \(busy.error)")
                #expect(busy.error.contains("cannot be followed") == (arguments.count == 2), "\(busy.error)")
            }
            withExtendedLifetime(writer) {}
        }
    }
}
