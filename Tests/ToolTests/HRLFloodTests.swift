import BlockIO
import ByteCodec
import Foundation
import HRL
import Testing
import ToolTesting

/// A log with a finding for each of its writes: text shows some and counts the rest, JSON has what the readers keep.
@Suite struct HRLFloodTests {
    private let scratch: Scratch
    private static let line = "odd.hrl: HRL018: ByteOffset of write "

    init() throws {
        scratch = try Scratch()
        for (name, count) in [("odd.hrl", 1000), ("some.hrl", 40)] {
            let writes = (0..<count).map { HRLSample.Write(offset: UInt64($0 * 3000), value: 7, count: 1 + $0 % 400) }
            _ = try scratch.write(name, try HRLSample.log(writes))
        }
        try HRLSample.makeDisk(scratch.path("disk.vhdx"))
    }

    private func lines(_ tool: String, _ arguments: [String]) throws -> (error: [String], output: [String]) {
        let result = try runTool(tool, arguments, folder: scratch.folder)
        return (
            result.error.split(separator: "\n").map(String.init), result.output.split(separator: "\n").map(String.init)
        )
    }

    @Test(arguments: [
        ("hrl-apply", ["--to", "disk.vhdx", "--dry-run"], 10), ("hrl-merge", ["-o", "m.hrl", "--dry-run"], 10),
        ("hrl-stat", [], 1), ("hrl-dump", [], 10),
    ])
    func onStandardError(tool: String, options: [String], shown: Int) throws {
        let error = try lines(tool, options + ["odd.hrl"]).error
        #expect(
            error.count == shown + 1 && error.dropLast().allSatisfy { $0.hasPrefix("\(tool): \(Self.line)") },
            "\(error)")
        #expect(error.last == "\(tool): odd.hrl: HRL018: \(1000 - shown) more like this; --json lists the first 100")
        let some = try lines(tool, options + ["some.hrl"]).error
        #expect(some.last == "\(tool): some.hrl: HRL018: \(40 - shown) more like this; --json lists all")
        #expect(try lines(tool, options + ["-q", "odd.hrl"]).error.isEmpty)
    }

    /// A document lists what was kept, and tells how much was not.
    @Test(arguments: [
        ("hrl-apply", ["--to", "disk.vhdx", "--dry-run"]), ("hrl-merge", ["-o", "m.hrl", "--dry-run"]),
        ("hrl-stat", []),
    ])
    func inADocument(tool: String, options: [String]) throws {
        for (name, count, rest) in [("odd.hrl", 101, "900 more like this are not listed"), ("some.hrl", 40, nil)] {
            let output = try runTool(tool, options + ["--json", name], folder: scratch.folder).output
            let warnings = try #require(try jsonLines(output).first?["warnings"] as? [[String: Any]])
            #expect(warnings.count == count && warnings.allSatisfy { $0["code"] as? String == "HRL018" })
            if let rest { #expect(warnings.last?["message"] as? String == rest) }
        }
    }

    @Test func dumped() throws {
        let output = try runTool("hrl-dump", ["--json", "odd.hrl"], folder: scratch.folder).output
        let lines = try jsonLines(output)
        #expect(lines.count { $0["type"] as? String == "problem" } == 100)
        #expect(lines.last?["problems"] as? Int == 100 && lines.last?["problems_not_listed"] as? Int == 900)
        // A log after it is shown its own first ones.
        let error = try self.lines("hrl-dump", ["odd.hrl", "some.hrl"]).error
        #expect(error.count == 22 && error[11].contains("some.hrl: HRL018: ByteOffset of write 1 "), "\(error)")
    }

    /// Many logs, each with many findings: text is bounded by the run, not by the number of logs.
    @Test(arguments: [
        ("hrl-apply", ["--unlinked", "--to", "disk.vhdx", "--dry-run"], 10),
        ("hrl-merge", ["--unlinked", "-o", "m.hrl", "--dry-run"], 10), ("hrl-stat", [], 1), ("hrl-dump", [], 10),
    ])
    func manyLogs(tool: String, options: [String], shown: Int) throws {
        let names = try (0..<60).map { number in
            let writes = (0..<40).map { HRLSample.Write(offset: UInt64($0 * 3000), value: 7, count: 1 + $0) }
            let log = try HRLSample.log(writes, id: GUID(99, UInt16(number + 1)), after: GUID(99, UInt16(number)))
            _ = try scratch.write("\(number).hrl", log)
            return "\(number).hrl"
        }
        let error = try lines(tool, options + names).error.filter { $0.contains("HRL018") }
        let fileCount = 50 / shown
        #expect(error.count { $0.contains("HRL018: ByteOffset of write ") } == 50, "\(error)")
        #expect(error.count { $0.contains(": \(40 - shown) more like this; --json lists all") } == fileCount)
        let (rest, files) = ((60 - fileCount) * 40, 60 - fileCount)
        #expect(error.last == "\(tool): HRL018: \(rest) more like this in \(files) more files; --json lists them")
        #expect(error.count == 50 + fileCount + 1)
        #expect(try lines(tool, ["-q"] + options + names).error.isEmpty)
    }

    @Test func manyLogsChecked() throws {
        let log = try fileBytes(scratch.path("some.hrl"))
        let names = try (0..<60).map { number in
            _ = try scratch.write("\(number).hrl", log)
            return "\(number).hrl"
        }
        let output = try lines("hrl-check", names).output.filter { $0.contains("HRL018") }
        #expect(output.count == 56 && output.last == "HRL018: 2200 more like this in 55 more files; --json lists them")
    }

    @Test func checked() throws {
        let output = try lines("hrl-check", ["odd.hrl"]).output
        #expect(output.first == "odd.hrl: 1000 warnings")
        #expect(output.count { $0.hasPrefix("  warning: HRL018: ") } == 10)
        #expect(output.last == "  HRL018: 990 more like this; --json lists the first 100")
        let accepted = try runTool("hrl-check", ["--accept", "HRL018", "odd.hrl"], folder: scratch.folder)
        #expect(accepted.exit == 0 && accepted.output.hasPrefix("odd.hrl: clean\n"))
        let document = try runTool("hrl-check", ["--json", "odd.hrl"], folder: scratch.folder).output
        let result = try jsonLines(document).first?["result"] as? [String: Any]
        let log = (result?["logs"] as? [[String: Any]])?.first
        let findings = try #require(log?["findings"] as? [[String: Any]])
        #expect(
            findings.count { $0["code"] as? String == "HRL018" } == 100 && log?["findings_not_shown"] as? Int == 900)
    }

    /// Blocks at odd places: found by neither recovery nor following, which say so, and shown once the log is closed.
    @Test func oddPlaces() throws {
        let closed = try fileBytes(scratch.path("some.hrl"))
        var open = closed
        try HRLDamage.header(&open) { $0.eolLocation = 0 }
        _ = try scratch.write("open.hrl", open)
        let place = "their blocks are at no multiple of 512, where none is looked for (offset 0x"
        let check = try runTool("hrl-check", ["open.hrl"], folder: scratch.folder)
        #expect(
            check.exit == 3 && check.output.contains("  warning: HRL047: ") && check.output.contains(place),
            "\(check.output)")
        let dump = try runTool("hrl-dump", ["open.hrl"], folder: scratch.folder)
        #expect(dump.exit == 3 && dump.error.contains(place), "\(dump.error)")
        let tool = try RunningTool(
            "hrl-dump", ["--tsv", "--columns", "n", "--follow", "open.hrl"], folder: scratch.folder)
        #expect(tool.wait { tool.output == "n\n" })
        usleep(500_000)
        #expect(tool.output == "n\n")
        tool.send(SIGTERM)
        #expect(tool.end() == 3)
        let behind = closed.count - 8192
        #expect(
            tool.error
                == "hrl-dump: open.hrl: not closed yet; 0 writes were found, and no block in the \(behind) bytes "
                + "behind them: those at no multiple of 512 are found only when the log is closed\n", "\(tool.error)")
        let other = try RunningTool(
            "hrl-dump", ["--tsv", "--columns", "n", "--follow", "open.hrl"], folder: scratch.folder)
        #expect(other.wait { other.output == "n\n" })
        let file = try PosixFile(scratch.path("open.hrl"), .write)
        try file.write(Array(closed.prefix(4096)), at: 0)
        #expect(other.end() == 0)
        #expect(other.output.split(separator: "\n").count == 41)
    }
}
