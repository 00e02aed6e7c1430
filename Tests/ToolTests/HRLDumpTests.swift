import BlockIO
import ByteCodec
import DiskModel
import Foundation
import HRL
import Testing
import ToolTesting

/// The built hrl-dump.
@Suite struct HRLDumpTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
        _ = try scratch.write("a.hrl", try HRLSample.log())
        _ = try scratch.write("b.hrl", try HRLSample.log(id: HRLSample.second, after: HRLSample.first, checksums: true))
        _ = try scratch.write("unclosed.hrl", try HRLSample.log(isClosed: false))
    }

    private func dump(_ arguments: String...) throws -> ProgramResult {
        try runTool("hrl-dump", arguments, folder: scratch.folder)
    }

    @Test func jsonLinesAreTheContract() throws {
        let result = try dump("--json", "a.hrl")
        #expect(result.exit == 0 && result.error.isEmpty)
        let lines = result.output.split(separator: "\n").map(String.init)
        #expect(
            lines == [
                #"{"type":"log","schema":"hrl-dump/1","file":"a.hrl","size":82944,"format_version":"2.0","#
                    + #""unique_id":"00000001-0001-0001-0000-000000000001","previous_unique_id":null,"#
                    + #""data_write_guid":null,"created":"2025-05-08T06:13:20Z","closed":true,"metadata_size":4096,"#
                    + #""entries":4,"created_raw":800000000}"#,
                #"{"type":"write","n":1,"slot":0,"block_offset":78848,"data_offset":8192,"disk_offset":0,"length":4096,"#
                    + #""time":"2025-05-08T06:13:20Z","time_raw":800000000,"checksum":"ok","data_checksum":"none","#
                    + #""sha256":null,"preview":null}"#,
                #"{"type":"write","n":2,"slot":1,"block_offset":78848,"data_offset":12288,"disk_offset":1048576,"#
                    + #""length":65536,"time":"2025-05-08T06:13:21Z","time_raw":800000001,"checksum":"ok","#
                    + #""data_checksum":"none","sha256":null,"preview":null}"#,
                #"{"type":"write","n":3,"slot":2,"block_offset":78848,"data_offset":77824,"disk_offset":1049088,"#
                    + #""length":512,"time":"2025-05-08T06:13:22Z","time_raw":800000002,"checksum":"ok","#
                    + #""data_checksum":"none","sha256":null,"preview":null}"#,
                #"{"type":"write","n":4,"slot":3,"block_offset":78848,"data_offset":78336,"disk_offset":8388096,"#
                    + #""length":512,"time":"2025-05-08T06:13:23Z","time_raw":800000003,"checksum":"ok","#
                    + #""data_checksum":"none","sha256":null,"preview":null}"#,
                #"{"type":"summary","writes":4,"bytes":70656,"unique_bytes":70144,"first_time":"2025-05-08T06:13:20Z","#
                    + #""last_time":"2025-05-08T06:13:23Z","problems":0,"problems_not_listed":0,"complete":true,"exit":0}"#,
            ])
    }

    @Test func severalLogsHaveOneSummary() throws {
        let lines = try jsonLines(try dump("--json", "a.hrl", "b.hrl").output)
        #expect(
            lines.map { $0["type"] as? String } == ["log"] + Array(repeating: "write", count: 4) + ["log"]
                + Array(repeating: "write", count: 4) + ["summary"])
        #expect(lines[6]["n"] as? Int == 1 && lines[6]["data_checksum"] as? String == "ok")
        #expect(lines[10]["writes"] as? Int == 8 && lines[10]["unique_bytes"] as? Int == 70144)
    }

    @Test(arguments: [
        (["--records", "2-3"], "2 3"), (["--records", "4"], "4"), (["--records", "3-"], "3 4"),
        (["--records", "-2"], "1 2"), (["--since", "2025-05-08T06:13:22Z"], "3 4"),
        (["--until", "2025-05-08T08:13:21+02:00"], "1 2"), (["--disk", "1M+512"], "2"),
        (["--disk", "0x100200+1"], "2 3"), (["--disk", "2M+1M"], ""),
        (["--disk", "0+8M", "--records", "2-9"], "2 3 4"),
    ])
    func filteredWritesKeepTheirNumber(arguments: [String], expected: String) throws {
        let result = try runTool(
            "hrl-dump", ["--tsv", "--columns", "n"] + arguments + ["a.hrl"], folder: scratch.folder)
        #expect(result.exit == 0)
        #expect(
            result.output.split(separator: "\n").joined(separator: " ")
                == ("n " + expected).trimmingCharacters(in: [" "]))
    }

    @Test func tsvColumns() throws {
        let all = try dump("--tsv", "a.hrl")
        let rows = all.output.split(separator: "\n").map { $0.split(separator: "\t", omittingEmptySubsequences: false) }
        #expect(rows.count == 5 && rows.allSatisfy { $0.count == 13 })
        #expect(rows[0].joined(separator: ",").hasPrefix("n,slot,block_offset,data_offset,disk_offset,length,time,"))
        let some = try dump("--tsv", "--columns", "file,length,n", "a.hrl", "b.hrl")
        #expect(some.output.split(separator: "\n").last == "b.hrl\t512\t4")
    }

    @Test func contents() throws {
        let line = try jsonLines(try dump("--json", "--sha256", "--preview", "3", "--records", "3", "a.hrl").output)[1]
        #expect(line["preview"] as? String == "333333")
        #expect(line["sha256"] as? String == "fa208fd33608e8a21ed13a7c9a92cdbbd6a936acd1a377f4ac10e9d333113866")
        let raw = try dump("--raw", "-n", "3", "a.hrl")
        #expect(raw.exit == 0 && raw.outputBytes == [UInt8](repeating: 0x33, count: 512))
        let absent = try dump("--raw", "-n", "5", "a.hrl")
        #expect(absent.exit == 2 && absent.outputBytes.isEmpty && absent.error.contains("no write 5: the log has 4"))
        let dumped = try dump("-C", "--records", "4", "a.hrl")
        #expect(
            dumped.output.contains(
                "    0000007ffe00  44 44 44 44 44 44 44 44  44 44 44 44 44 44 44 44  |DDDDDDDDDDDDDDDD|\n    *\n"))
    }

    @Test func unclosedLogsAreShownAsFarAsTheyGo() throws {
        let before = try fileBytes(scratch.path("unclosed.hrl"))
        let result = try dump("--json", "unclosed.hrl")
        #expect(result.exit == 3)
        #expect(result.error.contains("hrl-check --recover"))
        let lines = try jsonLines(result.output)
        #expect(lines[0]["closed"] as? Bool == false && lines[0]["entries"] as? Int == 4)
        #expect(lines.filter { $0["type"] as? String == "write" }.count == 4)
        #expect(lines.last?["complete"] as? Bool == false && lines.last?["exit"] as? Int == 3)
        #expect(try fileBytes(scratch.path("unclosed.hrl")) == before)
    }

    @Test(arguments: HRLDamage.all)
    func damage(damage: HRLDamage) throws {
        _ = try scratch.write("bad.hrl", try damage.brokenLog())
        let names = try scratch.names()
        for arguments in [["bad.hrl"], ["--json", "bad.hrl"], ["--tsv", "-q", "bad.hrl"]] {
            let result = try runTool("hrl-dump", arguments, folder: scratch.folder, timeout: 5)
            #expect(result.exit == damage.dump, "\(result.error)")
            let line = result.error.split(separator: "\n").first { $0.contains(damage.code) }
            #expect(line?.hasPrefix("hrl-dump: bad.hrl: \(damage.code): \(damage.field) ") == true, "\(result.error)")
            #expect(line?.contains("(offset 0x") == true)
            guard arguments.first == "--json" else { continue }
            let lines = try jsonLines(result.output)
            #expect(lines.contains { $0["code"] as? String == damage.code && $0["type"] as? String == "problem" })
            #expect(lines.last?["type"] as? String == "summary" && lines.last?["complete"] as? Bool == false)
            #expect(lines.last?["exit"] as? Int == Int(damage.dump))
        }
        #expect(try scratch.names() == names)
    }

    @Test func acceptedErrorsAreShownAndReadPast() throws {
        for (code, key) in [("HRL015", "checksum"), ("HRL016", "data_checksum")] {
            let damage = try #require(HRLDamage.all.first { $0.code == code })
            _ = try scratch.write("bad.hrl", try damage.brokenLog())
            let result = try dump("--json", "--accept", code, "bad.hrl")
            #expect(result.exit == 1)
            let lines = try jsonLines(result.output)
            #expect(
                lines.filter { $0["type"] as? String == "write" }.map { $0[key] as? String } == [
                    "ok", "bad", "ok", "ok",
                ])
            #expect(lines.last?["complete"] as? Bool == true && lines.last?["problems"] as? Int == 1)
            #expect(lines.first { $0["type"] as? String == "problem" }?["n"] as? Int == 2)
        }
    }

    @Test func filesThatAreNotThere() throws {
        let result = try dump("--json", "absent.hrl", "a.hrl")
        #expect(result.exit == 2)
        #expect(result.error == "hrl-dump: absent.hrl: open: No such file or directory\n")
        let lines = try jsonLines(result.output)
        #expect(lines[0]["type"] as? String == "error" && lines[1]["type"] as? String == "log")
        #expect(lines.last?["exit"] as? Int == 2)
    }

    @Test(arguments: [
        ["--tsv", "--json", "a.hrl"], ["--columns", "n", "a.hrl"], ["--tsv", "--columns", "x", "a.hrl"], [],
        ["--raw", "a.hrl"], ["--raw", "-n", "1", "a.hrl", "b.hrl"], ["--follow", "a.hrl", "b.hrl"],
        ["--records", "3-2", "a.hrl"], ["--since", "yesterday", "a.hrl"], ["--preview", "0", "a.hrl"],
        ["-C", "--json", "a.hrl"], ["--raw", "-n", "1", "--records", "1-2", "a.hrl"],
        ["--raw", "-n", "1", "--since", "2025-05-08T06:13:22Z", "a.hrl"],
    ])
    func usage(arguments: [String]) throws {
        let result = try runTool("hrl-dump", arguments, folder: scratch.folder)
        #expect(result.exit == 64)
        let types = try arguments.contains("--json") ? jsonLines(result.output).map { $0["type"] as? String } : []
        #expect(arguments.contains("--json") ? types == ["error"] : result.output.isEmpty)
    }

    @Test func aReaderThatGoesAwayEndsItQuietly() throws {
        let writes = (0..<20_000).map { HRLSample.Write(offset: UInt64($0) * 512, value: 0, count: 512) }
        _ = try scratch.write("long.hrl", try HRLSample.log(writes))
        let result = try runProgram(
            "/bin/bash",
            ["-c", "\(toolPath("hrl-dump")) --json long.hrl | head -n 1 >/dev/null; echo ${PIPESTATUS[0]}"],
            folder: scratch.folder)
        #expect(result.output == "141\n" && result.error.isEmpty)
    }

    @Test func followsUntilTheLogIsClosed() throws {
        let path = scratch.path("live.hrl")
        let writer = try LogWriter.create(
            on: try PosixFile(path, .create), created: DiskTimestamp(rawValue: HRLSample.time))
        func append(_ number: Int) throws {
            try writer.append(
                [UInt8](repeating: UInt8(number), count: 1536), at: UInt64(number) * 4096,
                time: DiskTimestamp(rawValue: HRLSample.time))
        }
        try append(1)
        try writer.flush()
        let tool = try RunningTool(
            "hrl-dump", ["--tsv", "--columns", "n,disk_offset", "--follow", "live.hrl"], folder: scratch.folder)
        #expect(tool.wait { tool.output == "n\tdisk_offset\n1\t4096\n" })
        // Zeros, whose places look like blocks to come, and more writes than fit in a block.
        for number in [0] + Array(2...200) { try append(number) }
        #expect(tool.isRunning)
        try writer.flush()
        #expect(tool.wait { tool.output.split(separator: "\n").count == 202 })
        try append(201)
        try writer.close(at: DiskTimestamp(rawValue: HRLSample.time + 1))
        #expect(tool.end() == 0)
        let rows = tool.output.split(separator: "\n").dropFirst().map {
            $0.split(separator: "\t").map { Int($0) ?? -1 }
        }
        #expect(rows.map { $0[0] } == Array(1...202))
        #expect(rows.map { $0[1] / 4096 } == [1, 0] + Array(2...201))
        #expect(tool.error.isEmpty)
    }

    /// A log that grows, and a tool that follows it from its first write on.
    private func followed(_ name: String) throws -> (LogWriter, RunningTool) {
        let writer = try LogWriter.create(
            on: try PosixFile(scratch.path(name), .create), created: DiskTimestamp(rawValue: HRLSample.time))
        try writer.append([UInt8](repeating: 1, count: 512), at: 0, time: DiskTimestamp(rawValue: HRLSample.time))
        try writer.flush()
        let tool = try RunningTool("hrl-dump", ["--tsv", "--columns", "n", "--follow", name], folder: scratch.folder)
        #expect(tool.wait { tool.output == "n\n1\n" })
        return (writer, tool)
    }

    /// A log switch: the log goes on under another name, is closed, and its name gets the next log.
    @Test func followsALogThatIsRenamed() throws {
        let (writer, tool) = try followed("disk.hrl")
        try FileManager.default.moveItem(atPath: scratch.path("disk.hrl"), toPath: scratch.path("disk.1.hrl"))
        _ = try scratch.write("disk.hrl", try HRLSample.log(isClosed: false))
        // Not whole sectors: the block stands at an odd place, which only the closed log leads to.
        try writer.append([4], at: 512, time: DiskTimestamp(rawValue: HRLSample.time))
        try writer.close(at: DiskTimestamp(rawValue: HRLSample.time))
        #expect(tool.end() == 0)
        #expect(tool.output == "n\n1\n2\n")
        #expect(tool.error.hasPrefix("hrl-dump: disk.hrl: HRL018: "))
    }

    private func cut(_ path: String, _ byteCount: UInt64) throws {
        let handle = try #require(FileHandle(forUpdatingAtPath: path))
        try handle.truncate(atOffset: byteCount)
        try handle.close()
    }

    @Test(arguments: ["cut", "header", "over", "removed"])
    func followingEndsWithALogThatIsSpoiled(how: String) throws {
        let (writer, tool) = try followed("live.hrl")
        let path = scratch.path("live.hrl")
        switch how {
        case "cut": try cut(path, 8192)
        case "header": try cut(path, 100)
        case "over":
            let handle = try #require(FileHandle(forUpdatingAtPath: path))
            try handle.write(contentsOf: Data(try HRLSample.log(id: HRLSample.third, isClosed: false)))
            try handle.close()
        default: try FileManager.default.removeItem(atPath: path)
        }
        #expect(tool.end() == 2)
        let expected = [
            "cut": "the log was cut to 8192 bytes while it was followed up to ", "header": "HRL040: file has 100 bytes",
            "over": "another log was written over it", "removed": "the log was removed, not closed",
        ]
        #expect(tool.error.hasPrefix("hrl-dump: live.hrl: " + (expected[how] ?? "?")), "\(tool.error)")
        #expect(tool.error.split(separator: "\n").count == 1 && tool.output == "n\n1\n")
        withExtendedLifetime(writer) {}
    }

    /// All filters at once, in all forms of output, against plain sieving.
    @Test func allFiltersTogether() throws {
        let writes = (0..<400).map { number in
            HRLSample.Write(
                offset: UInt64(number * 37 % 101) * 4096, value: UInt8(number % 251), count: 512 * (1 + number % 5),
                second: UInt32(number / 7))
        }
        _ = try scratch.write("many.hrl", try HRLSample.log(writes))
        let (since, until) = (UInt32(10), UInt32(45))
        let disk: Range<UInt64> = 100_000..<300_001
        let expected = writes.enumerated().filter { index, write in
            guard (50...300).contains(index + 1), write.second >= since, write.second <= until else { return false }
            return write.offset < disk.upperBound && write.offset + UInt64(write.count) > disk.lowerBound
        }
        #expect(expected.count > 50)
        let filters = [
            "--records", "50-300", "--since", "\(DiskTimestamp(rawValue: HRLSample.time + since))", "--until",
            "\(DiskTimestamp(rawValue: HRLSample.time + until))", "--disk", "100000+200001", "many.hrl",
        ]
        let json = try jsonLines(
            try runTool("hrl-dump", ["--json", "--sha256", "--preview", "2"] + filters, folder: scratch.folder).output)
        let shown = json.filter { $0["type"] as? String == "write" }
        let numbers: [Int] = expected.map { $0.offset + 1 }
        #expect(shown.compactMap { $0["n"] as? Int } == numbers)
        let hex: [String] = expected.map { String(format: "%02x%02x", $0.element.value, $0.element.value) }
        #expect(shown.compactMap { $0["preview"] as? String } == hex)
        let summary = json.last
        let byteCount: Int = expected.reduce(0) { $0 + $1.element.count }
        #expect(summary?["bytes"] as? Int == byteCount)
        var covered = Set<UInt64>()
        for (_, write) in expected { covered.formUnion((write.offset..<write.offset + UInt64(write.count))) }
        #expect(summary?["unique_bytes"] as? Int == covered.count)

        let columns = ["--tsv", "--columns", "sha256,length,disk_offset", "--sha256"]
        let tsv = try runTool("hrl-dump", columns + filters, folder: scratch.folder).output.split(separator: "\n")
        #expect(tsv.count == expected.count + 1 && tsv[0] == "sha256\tlength\tdisk_offset")
        for (row, (line, write)) in zip(tsv.dropFirst(), zip(shown, expected.map(\.element))) {
            #expect(row == "\(line["sha256"] as? String ?? "")\t\(write.count)\t\(write.offset)")
        }
        let dump = try runTool("hrl-dump", ["-C"] + filters, folder: scratch.folder).output
        #expect(dump.components(separatedBy: "    *\n").count == expected.count + 1)
    }

    @Test func aSignalEndsTheFollowing() throws {
        let tool = try RunningTool("hrl-dump", ["--json", "--follow", "unclosed.hrl"], folder: scratch.folder)
        #expect(tool.wait { tool.output.split(separator: "\n").count == 5 })
        tool.send(SIGINT)
        #expect(tool.end() == 3)
        let last = try jsonLines(tool.output).last
        #expect(last?["type"] as? String == "summary" && last?["writes"] as? Int == 4)
        #expect(last?["complete"] as? Bool == false && last?["exit"] as? Int == 3)
    }

    @Test func helpBeginsWithExamplesAndTheVersionNamesOpenSSL() throws {
        for tool in ["hrl-dump", "hrl-check", "hrl-stat", "hrl-apply", "hrl-diff"] {
            let help = try runTool(tool, ["--help"])
            #expect(help.exit == 0)
            let examples = help.output.components(separatedBy: "EXAMPLES").last ?? ""
            #expect(
                examples.split(separator: "\n").prefix(3).allSatisfy { $0.contains("  \(tool) ") }, "\(help.output)")
            let version = try runTool(tool, ["--version"])
            #expect(version.output.hasPrefix("vhdtools ") && version.output.contains("OpenSSL"))
        }
    }

    @Test func titlesAreSafeForATerminal() throws {
        _ = try scratch.write("a\u{1b}[2J\nb.hrl", try HRLSample.log())
        let result = try dump("a\u{1b}[2J\nb.hrl")
        #expect(result.exit == 0 && result.output.hasPrefix("a\\u{1b}[2J\\u{a}b.hrl: closed, "))
    }

    @Test func theCaseLogTellsOfTheRun() throws {
        let result = try dump("--json", "--case-log", "case.jsonl", "a.hrl")
        #expect(result.exit == 0)
        _ = try dump("--case-log", "case.jsonl", "absent.hrl")
        let lines = try jsonLines(try String(contentsOfFile: scratch.path("case.jsonl"), encoding: .utf8))
        #expect(lines.count == 2 && lines[0]["exit"] as? Int == 0 && lines[1]["exit"] as? Int == 2)
        #expect((lines[0]["inputs"] as? [[String: Any]])?.first?["path"] as? String == "a.hrl")
    }
}
