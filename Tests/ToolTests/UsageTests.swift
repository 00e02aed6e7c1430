import BlockIO
import Foundation
import Testing
import ToolTesting

/// What the command lines of all tools have in common.
@Suite struct UsageTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
        for name in ["disk.vhd", "disk.vhdx"] {
            #expect(try runTool("vhdcreate", ["-q", scratch.path(name), "64M"]).exit == 0)
        }
    }

    private func run(_ tool: String, _ arguments: [String]) throws -> ProgramResult {
        try runTool(tool, arguments, folder: scratch.folder)
    }

    @Test(arguments: ["vhdinfo", "vhdcheck", "vhdcat", "vhdmap", "vhdcompact", "hrl-dump", "hrl-check", "hrl-stat"])
    func codes(tool: String) throws {
        for code in ["NOPE", "VHD12", "VHD0012", "XYZ001", "VHD001,x", "VHD\u{661}23", "012"] {
            let refused = try run(tool, ["--accept", code, "disk.vhd"])
            #expect(refused.exit == 64 && refused.output.isEmpty, "\(code)")
            #expect(refused.error.hasPrefix("Error: --accept: no finding has the code "), "\(refused.error)")
        }
        for code in ["VHD012", "vhdx012", "HRL012,CHAIN001", "UNDO001"] {
            #expect(try run(tool, ["--accept", code, "disk.vhd"]).exit != 64, "\(code)")
        }
    }

    /// Errors of the command line are documents, too, where JSON is asked for.
    @Test(arguments: [
        "vhdinfo", "vhdcat", "vhdmap", "vhdresize", "vhdcompact", "vhdsnap", "vhdrebase", "vhdcreate", "vhdconvert",
        "vhdcompare", "vhdcheck", "vhdmerge", "hrl-dump", "hrl-check", "hrl-apply", "hrl-diff", "seal", "unseal",
        "seal-keygen", "seal-status",
    ])
    func documents(tool: String) throws {
        for arguments in [["--json", "--no-such-option"], ["--json"], ["a", "b", "c", "--json", "d", "--range"]] {
            let refused = try run(tool, arguments)
            #expect(refused.exit == 64 && refused.error.hasPrefix("Error: "), "\(arguments): \(refused.error)")
            let lines = try jsonLines(refused.output)
            #expect(lines.count == 1)
            let line = try #require(lines.first)
            let error = line["type"] as? String == "error" ? line : try #require(line["error"] as? [String: Any])
            let message = try #require(error["message"] as? String)
            #expect(error["kind"] as? String == "usage" && refused.error.hasPrefix("Error: \(message)\n"), "\(line)")
            #expect(line["type"] != nil || line["exit"] as? Int == 64)
            if let complaints = try schemaComplaints(refused.output, schema: tool) { #expect(complaints == "") }
        }
        #expect(try run(tool, ["--no-such-option"]).output.isEmpty)
        #expect(try run(tool, ["--no-such-option", "--", "--json"]).output.isEmpty)
        let help = try run(tool, ["--help", "--json"])
        #expect(help.exit == 0 && help.output.hasPrefix("OVERVIEW: "))
    }

    @Test func documentsOfVerbs() throws {
        for arguments in [["sync", "--json"], ["status", "--json", "--nope"]] {
            let refused = try run("vhdreplica", arguments)
            #expect(refused.exit == 64)
            let line = try #require(try jsonLines(refused.output).first)
            #expect(line["schema"] as? String == "vhdreplica-\(arguments[0])/1" && line["exit"] as? Int == 64)
            if let complaints = try schemaComplaints(refused.output, schema: "vhdreplica") { #expect(complaints == "") }
        }
        for verb in ["add", "remove", "rotate", "erase"] {
            let refused = try run("seal-slot", [verb, "--json"])
            #expect(refused.exit == 64)
            let line = try #require(try jsonLines(refused.output).first)
            #expect(line["schema"] as? String == "seal-slot-\(verb)/1" && line["exit"] as? Int == 64)
            if let complaints = try schemaComplaints(refused.output, schema: "seal-slot") { #expect(complaints == "") }
        }
    }

    /// The document, the record and the process say the same.
    @Test func caseLogsAndDocumentsAgree() throws {
        let full = try runProgram(
            "/bin/bash", ["-c", "\(toolPath("vhdinfo")) --json --case-log log disk.vhdx > /dev/full"],
            folder: scratch.folder)
        #expect(full.exit == 2)
        let log = try jsonLines(String(decoding: try fileBytes(scratch.path("log")), as: UTF8.self))
        #expect(log.map { $0["exit"] as? Int } == [2] && log[0]["previous_sha256"] is NSNull)
        // A record in the place of one that was taken back follows the same line before it.
        let more = try runProgram(
            "/bin/bash", ["-c", "\(toolPath("vhdinfo")) --json --case-log log disk.vhdx > /dev/full"],
            folder: scratch.folder)
        #expect(more.exit == 2)
        let lines = String(decoding: try fileBytes(scratch.path("log")), as: UTF8.self).split(separator: "\n")
        #expect(lines.count == 2)
        let sum = try runProgram("/bin/sh", ["-c", "printf %s \"$1\" | sha256sum", "sh", String(lines[0])])
        #expect(try jsonLines(String(lines[1]))[0]["previous_sha256"] as? String == String(sum.output.prefix(64)))
        // The log is an input, which shows only at the end.
        let record = #"{"tool":"\#(String(repeating: "x", count: 480))","previous_sha256":0}"# + "\n"
        _ = try scratch.write("record", Array(record.utf8))
        let own = try run("vhdcat", ["--json", "--case-log", "record", "--format", "raw", "-o", "x", "record"])
        let document = try #require(try jsonLines(own.output).first)
        #expect(own.exit == 2 && document["exit"] as? Int == 2)
        #expect((document["error"] as? [String: Any])?["path"] as? String == "record")
    }

    /// A descriptor that is free would be that of the image a moment later.
    @Test(arguments: ["vhdinfo", "vhdcheck", "vhdcat", "vhdcompact"])
    func progressDescriptors(tool: String) throws {
        let before = try fileBytes(scratch.path("disk.vhdx"))
        func shell(_ end: String) throws -> ProgramResult {
            try runProgram(
                "/bin/bash", ["-c", "\(toolPath(tool)) disk.vhdx --progress \(end)"], folder: scratch.folder)
        }
        for end in ["99", "3 3>&-", "4 4</dev/null", "0 </dev/null", "=-1"] {
            let refused = try shell(end)
            #expect(refused.exit == 64 && refused.output.isEmpty, "\(end)")
        }
        #expect(try shell("99").error.hasPrefix("Error: --progress 99: this descriptor is not open for writing"))
        for end in ["3 3>/dev/null", "3 3<>/dev/null", "2"] { #expect(try shell(end).exit == 0, "\(end)") }
        #expect(try fileBytes(scratch.path("disk.vhdx")) == before)
    }

    @Test(arguments: ["vhdcheck", "vhdcompact"])
    func helpOffersNoRawDisks(tool: String) throws {
        let help = try run(tool, ["--help"]).output
        #expect(help.contains("--format <format>") && !help.contains("raw"))
        // Refused with the reason all the same.
        _ = try scratch.write("disk.raw", [UInt8](repeating: 1, count: 8192))
        let raw = try run(tool, ["--format", "raw", "disk.raw"])
        #expect(raw.exit == 2 && !raw.error.hasPrefix("Error"))
        #expect(try run(tool, ["--format", "qcow2", "disk.vhd"]).exit == 64)
        #expect(try run("vhdinfo", ["--help"]).output.contains("raw"))
    }

    @Test(arguments: ["vhdinfo", "vhdcheck", "vhdcompact", "vhdmap", "vhdresize"])
    func fullOutputIsSaidOnce(tool: String) throws {
        let size = tool == "vhdresize" ? "64M" : ""
        for json in ["", "--json"] {
            let full = try runProgram(
                "/bin/bash", ["-c", "\(toolPath(tool)) \(json) disk.vhdx \(size) > /dev/full"], folder: scratch.folder)
            #expect(full.exit == 2)
            #expect(full.error == "\(tool): standard output: write: No space left on device\n")
        }
    }

    @Test func quantities() throws {
        for (tool, arguments) in [
            ("vhdcreate", ["new.vhd", "10MB"]), ("vhdcreate", ["new.vhd", "1.5G"]),
            ("vhdcreate", ["--block", "2 M", "new.vhd", "1G"]), ("vhdresize", ["disk.vhd", "1.5G"]),
            ("vhdsnap", ["--block", "2MB", "disk.vhd", "child.vhd"]),
            ("vhdresize", ["disk.vhd", "+10MB"]), ("vhdcat", ["--range", "1K", "disk.vhd"]),
            ("vhdmap", ["--range", "0+1.5K", "disk.vhd"]), ("vhdcompare", ["--range", "x+1", "disk.vhd", "disk.vhdx"]),
            ("hrl-check", ["--pick", "x", "a.hrl"]), ("hrl-dump", ["--disk", "1", "a.hrl"]),
        ] {
            let refused = try run(tool, arguments)
            #expect(refused.exit == 64, "\(tool) \(arguments)")
            #expect(refused.error.contains("a whole number of bytes, or with K, M, G or T"), "\(refused.error)")
        }
        for arguments in [["disk.vhd", "-1M"], ["-1M", "disk.vhd"], ["--dry-run", "disk.vhd", "-512"]] {
            let refused = try run("vhdresize", arguments)
            let size = try #require(arguments.first { $0.hasPrefix("-1") || $0.hasPrefix("-5") })
            #expect(refused.exit == 64)
            #expect(
                refused.error.hasPrefix("Error: a difference with a minus goes behind --, as in: IMAGE -- \(size)\n"))
        }
        let document = try run("vhdresize", ["--json", "disk.vhd", "-1M"])
        #expect(document.exit == 64 && document.output.contains("goes behind --"))
        #expect(try run("vhdresize", ["disk.vhd", "--", "-1M"]).exit == 0)
    }
}
