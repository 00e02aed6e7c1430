import BlockIO
import ByteCodec
import Foundation
import FoundationXML
import HRL
import Testing
import ToolTesting

/// The built hrl-stat.
@Suite struct HRLStatTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
        _ = try scratch.write("1.hrl", try HRLSample.log())
        _ = try scratch.write("2.hrl", try HRLSample.log(id: HRLSample.second, after: HRLSample.first, checksums: true))
        _ = try scratch.write("3.hrl", try HRLSample.log(id: HRLSample.third, after: HRLSample.second))
        _ = try scratch.write("unclosed.hrl", try HRLSample.log(isClosed: false))
        try HRLSample.makeDisk(scratch.path("disk.vhdx"))
    }

    private func stat(_ arguments: [String]) throws -> ProgramResult {
        try runTool("hrl-stat", arguments, folder: scratch.folder)
    }

    private func stat(_ arguments: String...) throws -> ProgramResult { try stat(arguments) }

    private func document(_ arguments: String...) throws -> [String: Any] {
        try #require(try jsonLines(try stat(["--json"] + arguments).output).first)
    }

    private func result(_ arguments: String...) throws -> [String: Any] {
        let document = try #require(try jsonLines(try stat(["--json"] + arguments).output).first)
        return try #require(document["result"] as? [String: Any])
    }

    /// A log of writes of given seconds after the sample's time, 4096 bytes each at ascending places.
    private func log(_ name: String, seconds: [UInt32]) throws {
        var options = LogWriter.Options()
        options.created = DiskTimestamp(rawValue: 0)
        let writer = try LogWriter.create(on: try PosixFile(scratch.path(name), .create), options)
        for (index, second) in seconds.enumerated() {
            try writer.append(
                [UInt8](repeating: 1, count: 4096), at: UInt64(index) * 4096, time: DiskTimestamp(rawValue: second))
        }
        try writer.close(at: DiskTimestamp(rawValue: .max))
    }

    @Test func textIsOneScreen() throws {
        let shown = try stat("--disk-size", "8M", "1.hrl")
        #expect(shown.exit == 0 && shown.error.isEmpty)
        #expect(
            shown.output == """
                1 log: 4 writes, 69 KiB (70656 bytes)
                  period      2025-05-08T06:13:20Z to 2025-05-08T06:13:23Z, 4 s
                  unique      68.5 KiB (70144 bytes) of the disk; 0.7 % of what was written was overwritten
                  allocated   81 KiB (82944 bytes) by the logs' files; no holes
                  rate        17.2 KiB/s on average; peak 64 KiB in the second of 2025-05-08T06:13:21Z
                  growth      60.2 MiB of the disk an hour
                  pattern     50.0 % of the writes are aligned to 4096, 0.0 % go on where the last one ended
                  resync at   4 MiB, half of the disk; the logs hold 1.9 % of that; no forecast from less than 60 s
                sizes of writes, from                writes      share      bytes      share
                      512 B                               2     50.0 %      1 KiB      1.4 %
                      4 KiB                               1     25.0 %      4 KiB      5.7 %
                     64 KiB                               1     25.0 %     64 KiB     92.7 %
                churn by the second                                           bytes     writes
                  2025-05-08T06:13:20Z  ##                                    4 KiB          1
                  2025-05-08T06:13:21Z  ################################     64 KiB          1
                  2025-05-08T06:13:22Z  #                                     512 B          1
                  2025-05-08T06:13:23Z  #                                     512 B          1
                hot ranges of the disk, by 64 KiB     writes      share      bytes      share
                          1048576+65536                   2     50.0 %   64.5 KiB     93.4 %
                                0+65536                   1     25.0 %      4 KiB      5.7 %
                          8323072+65536                   1     25.0 %      512 B      0.7 %

                """)
    }

    @Test func logsCountInTheOrderOfTheirChain() throws {
        let result = try result("3.hrl", "1.hrl", "2.hrl", "--base", "disk.vhdx")
        let logs = try #require(result["logs"] as? [[String: Any]])
        #expect(logs.map { $0["path"] as? String } == ["1.hrl", "2.hrl", "3.hrl"])
        #expect(result["linked"] as? Bool == true && result["writes"] as? Int == 12)
        #expect(result["bytes"] as? Int == 3 * 70656 && result["unique_bytes"] as? Int == 70144)
        #expect(result["overwritten_bytes"] as? Int == 3 * 70656 - 70144 && result["disk_size"] as? Int == 8 << 20)
        let resync = try #require(result["resync"] as? [String: Any])
        #expect(resync["limit_bytes"] as? Int == 4 << 20 && resync["used_bytes"] as? Int == 3 * 82944)
        #expect(resync["average"] is NSNull)
    }

    @Test func logsThatAreNoChain() throws {
        let refused = try stat("1.hrl", "3.hrl")
        #expect(refused.exit == 2 && refused.output.isEmpty)
        #expect(refused.error.contains("HRL025") && refused.error.contains("--unlinked counts logs that are no chain"))
        #expect(try result("--unlinked", "3.hrl", "1.hrl")["writes"] as? Int == 8)
        _ = try scratch.write("copy.hrl", try HRLSample.log())
        for arguments in [
            ["1.hrl", "copy.hrl"], ["--unlinked", "1.hrl", "copy.hrl"], ["--unlinked", "1.hrl", "1.hrl"],
        ] {
            let result = try stat(arguments)
            #expect(result.exit == 2 && result.error.contains("duplicate: 1.hrl has the same UniqueId"))
        }
    }

    @Test func filtersAreThoseOfTheDump() throws {
        for arguments in [
            ["--since", "2025-05-08T06:13:22Z"], ["--until", "2025-05-08T08:13:21+02:00"], ["--disk", "1M+512"],
            ["--disk", "0x100200+1"], ["--disk", "2M+1M"],
            ["--since", "2025-05-08T06:13:21Z", "--until", "2025-05-08T06:13:22Z"],
        ] {
            let dump = try runTool("hrl-dump", ["--json", "1.hrl"] + arguments, folder: scratch.folder)
            let last = try #require(try jsonLines(dump.output).last)
            let document = try #require(try jsonLines(try stat(["--json", "1.hrl"] + arguments).output).first)
            let result = try #require(document["result"] as? [String: Any])
            for key in ["writes", "bytes", "unique_bytes"] { #expect(result[key] as? Int == last[key] as? Int) }
            #expect(result["first_time"] as? String == last["first_time"] as? String, "\(arguments)")
        }
    }

    /// A part of the writes does not tell when all of them reach the limit.
    @Test func noForecastFromAPart() throws {
        #expect(try result("1.hrl", "--disk-size", "8M", "--disk", "0+1M")["resync"] is NSNull)
        #expect(try result("1.hrl", "--disk-size", "8M", "--until", "2025-05-08T06:13:21Z")["resync"] is NSNull)
        #expect(try result("1.hrl", "--disk-size", "8M", "--since", "2025-05-08T06:13:21Z")["resync"] is [String: Any])
        #expect(try stat("1.hrl").output.contains("--base IMAGE or --disk-size SIZE tells when"))
        #expect(try stat("1.hrl", "--disk-size", "100K").output.contains("reached already"))
    }

    @Test func forecastOfBothRates() throws {
        try log("hours.hrl", seconds: (0..<180).map { 800_000_000 + $0 * 60 } + [800_003_600, 800_003_601])
        let shown = try stat("--disk-size", "1G", "hours.hrl")
        #expect(shown.output.contains("at the average rate, "))
        #expect(shown.output.contains("at that of the hour from 2025-05-08T07:13:20Z, "), "\(shown.output)")
        let far = try stat("--disk-size", "64T", "hours.hrl")
        #expect(far.output.contains(": not within 100 years"))
    }

    @Test func aLogThatWasNotClosed() throws {
        let shown = try stat("unclosed.hrl")
        #expect(shown.exit == 3 && shown.output.hasPrefix("1 log, of which 1 not closed: 4 writes, "))
        #expect(shown.error.contains("unclosed.hrl: the log was not closed: 4 writes were found, others may be lost"))
        // It has its place in a chain, also in the middle.
        let document = try document("2.hrl", "unclosed.hrl", "3.hrl")
        let result = try #require(document["result"] as? [String: Any])
        #expect(document["exit"] as? Int == 3 && result["complete"] as? Bool == false)
        let logs = try #require(result["logs"] as? [[String: Any]])
        #expect(logs.map { $0["path"] as? String } == ["unclosed.hrl", "2.hrl", "3.hrl"])
        #expect(logs.map { $0["closed"] as? Bool } == [false, true, true] && result["writes"] as? Int == 12)
    }

    @Test(arguments: HRLDamage.all) func damagedLogsAreNotCounted(damage: HRLDamage) throws {
        _ = try scratch.write("bad.hrl", try damage.brokenLog())
        let arguments = ["--json", "--verify", "--svg", "bad.svg", "bad.hrl"]
        let shown = try runTool("hrl-stat", arguments, folder: scratch.folder, timeout: 5)
        #expect(shown.exit == 2, "\(shown.output)")
        let document = try #require(try jsonLines(shown.output).first)
        #expect((document["error"] as? [String: Any])?["code"] as? String == damage.code)
        #expect(document["result"] is NSNull)
        #expect(try scratch.names().contains("bad.svg") == false)
    }

    /// Data is read only when asked for.
    @Test func dataChecksums() throws {
        var log = try HRLSample.log(checksums: true)
        log[Int(HRLSample.dataOffset)] ^= 1
        _ = try scratch.write("bad.hrl", log)
        #expect(try stat("bad.hrl").exit == 0)
        let refused = try stat("--verify", "bad.hrl")
        #expect(refused.exit == 2 && refused.error.contains("HRL016") && refused.error.contains("hrl-check lists"))
        let accepted = try stat("--verify", "--accept", "HRL016", "bad.hrl")
        #expect(accepted.exit == 0 && accepted.error.contains("HRL016"))
    }

    @Test func churnOfEachUnit() throws {
        try log("a.hrl", seconds: [800_000_000, 800_000_000, 800_000_059, 800_003_000, 800_009_000])
        for (unit, seconds) in [("second", 1), ("minute", 60), ("hour", 3600)] {
            let churn = try #require(try result("--by", unit, "a.hrl")["churn"] as? [String: Any])
            #expect(churn["by"] as? String == unit && churn["bucket_seconds"] as? Int == seconds)
            let buckets = try #require(churn["buckets"] as? [[String: Any]])
            var plain: [Int: Int] = [:]
            for time in [800_000_000, 800_000_000, 800_000_059, 800_003_000, 800_009_000] {
                plain[time / seconds * seconds, default: 0] += 1
            }
            #expect(buckets.map { $0["time_raw"] as? Int } == plain.keys.sorted())
            #expect(buckets.map { $0["writes"] as? Int } == plain.sorted { $0.key < $1.key }.map(\.value))
            let rows = try stat("--tsv", "--by", unit, "--columns", "time_raw,writes,seconds", "a.hrl").output
            #expect(
                rows == "time_raw\twrites\tseconds\n"
                    + plain.sorted { $0.key < $1.key }.map { "\($0.key)\t\($0.value)\t\(seconds)\n" }.joined())
        }
        #expect(try stat("--by", "second", "a.hrl").output.contains("(the seconds joined, to fit)"))
    }

    /// A clock that jumps over all the years there are.
    @Test func anyTimes() throws {
        try log("far.hrl", seconds: [0, .max, 1 << 31, 5])
        let shown = try stat("--by", "second", "far.hrl", "--svg", "far.svg", "--disk-size", "1T")
        #expect(shown.exit == 0 && shown.output.split(separator: "\n").count < 100)
        #expect(shown.output.contains("2000-01-01T00:00:00Z to 2136-02-07T06:28:15Z"))
        #expect(shown.error.contains("HRL020"))
        #expect(try elements(ofSVG: "far.svg")["rect"] ?? 0 > 1)
    }

    /// Files of as many bytes as a file can have, all but a little of them holes that no write describes.
    @Test func logsLongerThanCanBeCounted() throws {
        // Only file systems in memory have files that long.
        let scratch = try Scratch(inMemory: true)
        for (name, id) in [("a", HRLSample.first), ("b", HRLSample.second), ("c", HRLSample.third)] {
            let end = UInt64(Int64.max) - 4095
            let file = try PosixFile(scratch.path("\(name).hrl"), .create)
            var (header, first, last) = (LogHeader(), MetadataHeader(), MetadataHeader())
            (header.uniqueID, header.metadataSize) = (id, 4096)
            (header.eolLocation, header.currentSize) = (end, end)
            (first.previousMetadataLocation, last.previousMetadataLocation) = (0, end - 4096 - 4096)
            guard (try? file.resize(to: end)) != nil else { return }
            try file.write(header.sealed(), at: 0)
            try file.write(first.sealed(), at: 4096)
            try file.write(last.sealed(), at: end - 4096)
        }
        let shown = try runTool(
            "hrl-stat", ["--unlinked", "--json", "--disk-size", "1T", "a.hrl", "b.hrl", "c.hrl"], folder: scratch.folder
        )
        #expect(shown.exit == 0 && shown.error.contains("HRL017"))
        let result = try #require(try jsonLines(shown.output).first?["result"] as? [String: Any])
        #expect(result["allocated_bytes"] as? Int ?? .max <= 3 * 5 * 4096 && result["writes"] as? Int == 0)
    }

    @Test func noWrites() throws {
        try log("none.hrl", seconds: [])
        let shown = try stat("none.hrl", "--svg", "none.svg", "--disk-size", "1T")
        #expect(shown.exit == 0 && shown.output == "1 log: 0 writes, 0 bytes\n")
        let result = try result("none.hrl")
        #expect(result["first_time"] is NSNull && result["overwrite_ratio"] as? Double == 0)
        #expect(try String(contentsOfFile: scratch.path("none.svg"), encoding: .utf8).contains("No writes."))
        _ = try elements(ofSVG: "none.svg")
    }

    /// Counts the elements of an SVG file, which must be well-formed XML.
    private func elements(ofSVG name: String) throws -> [String: Int] {
        final class Counter: NSObject, XMLParserDelegate {
            var counts: [String: Int] = [:]
            func parser(
                _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
                attributes: [String: String]
            ) { counts[name, default: 0] += 1 }
        }
        let parser = XMLParser(data: try Data(contentsOf: URL(fileURLWithPath: scratch.path(name))))
        let counter = Counter()
        parser.delegate = counter
        #expect(parser.parse(), "\(String(describing: parser.parserError))")
        return counter.counts
    }

    @Test func thePicture() throws {
        _ = try scratch.write("a<b>&\u{1b}\"c\".hrl", try HRLSample.log())
        let shown = try stat("--svg", "a.svg", "a<b>&\u{1b}\"c\".hrl", "-q")
        #expect(shown.exit == 0)
        let counts = try elements(ofSVG: "a.svg")
        // The ground, and one bar a second.
        #expect(counts["svg"] == 1 && counts["rect"] == 5 && counts["script"] == nil && counts["image"] == nil)
        let text = try String(contentsOfFile: scratch.path("a.svg"), encoding: .utf8)
        #expect(text.contains("<title>Churn of a&lt;b&gt;&amp;\\u{1b}\"c\".hrl</title>"))
        #expect(text.contains(">time, UTC<") && text.contains(">bytes written in each second<"))
        #expect(text.contains(">peak: 64 KiB, 2025-05-08T06:13:21Z<") && text.contains(">06:13:20<"))
        #expect(!text.contains("href") && text.components(separatedBy: "http").count == 2)
        // Again gives the same bytes, and only with leave.
        let refused = try stat("--svg", "a.svg", "1.hrl")
        #expect(refused.exit == 2 && refused.error.contains("use -f to replace it"))
        #expect(try String(contentsOfFile: scratch.path("a.svg"), encoding: .utf8) == text)
        #expect(try stat("-f", "--svg", "a.svg", "a<b>&\u{1b}\"c\".hrl").exit == 0)
        #expect(try String(contentsOfFile: scratch.path("a.svg"), encoding: .utf8) == text)
    }

    @Test func nothingOfUseIsOverwritten() throws {
        for (name, role) in [("1.hrl", "the input"), ("disk.vhdx", "the base")] {
            let before = try fileBytes(scratch.path(name))
            let refused = try stat("-f", "--svg", name, "--base", "disk.vhdx", "1.hrl")
            #expect(refused.exit == 2 && refused.error.contains("the output is \(role)"))
            #expect(try fileBytes(scratch.path(name)) == before)
        }
        #expect(try stat("--svg", "dry.svg", "--dry-run", "1.hrl").exit == 0)
        #expect(try scratch.names().contains("dry.svg") == false)
    }

    @Test func writesPastTheDisksEnd() throws {
        let shown = try stat("--disk-size", "1M", "1.hrl")
        #expect(shown.exit == 0 && shown.error.contains("the logs write up to byte 8388608"))
    }

    @Test(arguments: [
        ["--by", "day"], ["--hot", "-1"], ["--hot", "1001"], ["--region", "100"], ["--region", "2T"],
        ["--base", "disk.vhdx", "--disk-size", "1M"], ["--disk-size", "0"], ["-f"], ["--dry-run"],
        ["--columns", "time"],
        ["--tsv", "--columns", "nope"], ["--tsv", "--json"], ["--disk", "1"], ["--since", "yesterday"],
    ])
    func usage(arguments: [String]) throws {
        let refused = try stat(arguments + ["1.hrl"])
        #expect(refused.exit == 64 && refused.error.hasPrefix("Error: "))
        #expect(refused.output.isEmpty != arguments.contains("--json"), "a document where JSON is asked for")
    }

    @Test func bytesOnly() throws {
        let shown = try stat("--bytes", "1.hrl").output
        #expect(shown.contains("4 writes, 70656") && shown.contains("unique      70144 of the disk"))
        #expect(!shown.dropFirst(1).contains("KiB ("))
    }

    @Test func theCaseLogTellsOfTheRun() throws {
        #expect(try stat("--case-log", "case.jsonl", "--svg", "p.svg", "1.hrl").exit == 0)
        let text = try String(contentsOfFile: scratch.path("case.jsonl"), encoding: .utf8)
        let line = try #require(try jsonLines(text).first)
        #expect((line["outputs"] as? [[String: Any]])?.first?["path"] as? String == "p.svg")
    }
}
