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
        #expect(try run("vhdresize", ["disk.vhd", "--", "-1M"]).exit == 0)
    }
}
