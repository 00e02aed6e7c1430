import Testing
import ToolTesting

/// Values of options that several tools share, which would do nothing, or something else, without a word.
@Suite struct OptionValueTests {
    private let scratch: Scratch
    init() throws {
        scratch = try Scratch()
        _ = try scratch.write("1.hrl", try HRLSample.log())
        try HRLSample.makeDisk(scratch.path("disk.vhdx"))
    }

    private func run(_ tool: String, _ arguments: [String]) throws -> ProgramResult {
        try runTool(tool, arguments, folder: scratch.folder)
    }

    @Test(arguments: [
        ("2026-11-22T23:59:60Z", "its second is 60"), ("1999-12-31T23:59:59Z", "2000-01-01T00:00:00Z to 2136-02-07"),
        ("2136-02-07T06:28:16Z", "2000-01-01T00:00:00Z to 2136-02-07T06:28:15Z"),
        ("9999-01-01T00:00:00Z", "images and logs store times from "), ("0000-01-01T00:00:00Z", "images and logs"),
    ])
    func times(time: String, problem: String) throws {
        for (tool, arguments) in [
            ("hrl-apply", ["--dry-run", "--to", "disk.vhdx", "--until", time, "1.hrl"]),
            ("hrl-dump", ["--since", time, "1.hrl"]), ("vhdcreate", ["--time", time, "new.vhd", "8M"]),
        ] {
            let result = try run(tool, arguments)
            #expect(result.exit == 64 && result.error.contains(problem), "\(tool): \(result.error)")
        }
        #expect(try scratch.names() == ["1.hrl", "disk.vhdx"])
    }

    @Test(arguments: ["2000-01-01T00:00:00Z", "2136-02-07T06:28:15Z", "1999-12-31T23:00:00-01:00"])
    func timesAtTheBounds(time: String) throws {
        #expect(try run("hrl-apply", ["--dry-run", "--to", "disk.vhdx", "--until", time, "1.hrl"]).exit == 0)
    }

    @Test func parentFolders() throws {
        for (tool, arguments) in [
            ("vhdinfo", ["disk.vhdx"]), ("vhdcat", ["disk.vhdx"]), ("vhdmap", ["disk.vhdx"]),
            ("vhdcheck", ["disk.vhdx"]),
            ("vhdmerge", ["disk.vhdx"]), ("hrl-apply", ["--to", "disk.vhdx", "1.hrl"]),
            ("hrl-check", ["--base", "disk.vhdx", "1.hrl"]),
        ] {
            let absent = try run(tool, ["--parent-dir", "absent"] + arguments)
            #expect(absent.exit == 64 && absent.output.isEmpty, "\(tool)")
            let text = "Error: The value 'absent' is invalid for '--parent-dir <dir>': No such file or directory\n"
            #expect(absent.error.hasPrefix(text), "\(tool): \(absent.error)")
            #expect(
                try run(tool, ["--parent-dir", "1.hrl"] + arguments).error.contains("': it is no folder\n"), "\(tool)")
        }
        #expect(try run("vhdcat", ["--parent-dir", ".", "-o", "out", "disk.vhdx"]).exit == 0)
    }
}
