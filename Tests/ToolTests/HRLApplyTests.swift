import BlockIO
import ByteCodec
import DiskModel
import Foundation
import HRL
import ImageChain
import Testing
import ToolTesting
import VHD
import VHDX

/// The built hrl-apply.
@Suite struct HRLApplyTests {
    private let scratch: Scratch
    /// What the sample log makes of an empty disk.
    private let expected: [UInt8]

    init() throws {
        scratch = try Scratch()
        _ = try scratch.write("1.hrl", try HRLSample.log())
        _ = try scratch.write(
            "2.hrl",
            try HRLSample.log(
                [.init(offset: 100, value: 0x77, count: 2000)], id: HRLSample.second, after: HRLSample.first))
        try HRLSample.makeDisk(scratch.path("disk.vhdx"))
        var disk = [UInt8](repeating: 0, count: Int(HRLSample.diskByteCount))
        HRLSample.apply(HRLSample.writes, to: &disk)
        expected = disk
    }

    private func apply(_ arguments: String...) throws -> ProgramResult {
        try runTool("hrl-apply", arguments, folder: scratch.folder)
    }

    private func image(_ name: String = "disk.vhdx") throws -> [UInt8] { try fileBytes(scratch.path(name)) }

    @Test func appliesAChainInItsOrderAndAgain() throws {
        for _ in 0..<2 {
            let result = try apply("--to", "disk.vhdx", "2.hrl", "1.hrl")
            #expect(result.exit == 0, "\(result.error)")
            // The second log's write is not aligned: a warning, and it is applied all the same.
            #expect(
                result.error.hasPrefix("hrl-apply: 2.hrl: HRL018: ") && result.error.split(separator: "\n").count == 1)
            #expect(result.output == "disk.vhdx: applied 5 writes, 70.9 KiB (72656 bytes), of 2 logs\n")
            var disk = expected
            HRLSample.apply([.init(offset: 100, value: 0x77, count: 2000)], to: &disk)
            #expect(try HRLSample.contents(scratch.path("disk.vhdx")) == disk)
        }
        #expect(try scratch.names() == ["1.hrl", "2.hrl", "disk.vhdx"])
    }

    @Test func rawAndVHD() throws {
        _ = try scratch.write("disk.raw", [UInt8](repeating: 0, count: Int(HRLSample.diskByteCount)))
        let before = try image("disk.raw")
        let refused = try apply("--to", "disk.raw", "1.hrl")
        #expect(refused.exit == 2 && refused.error.contains("--format raw"))
        #expect(try image("disk.raw") == before)
        #expect(try apply("--to", "disk.raw", "--format", "raw", "1.hrl").exit == 0)
        #expect(try image("disk.raw") == expected)
        try VHDCreator.create(
            on: try PosixFile(scratch.path("disk.vhd"), .create), type: .dynamic,
            virtualByteCount: HRLSample.diskByteCount, uniqueID: .random(), created: DiskTimestamp(rawValue: 1))
        #expect(try apply("--to", "disk.vhd", "1.hrl").exit == 0)
        #expect(try HRLSample.contents(scratch.path("disk.vhd")) == expected)
    }

    @Test func dryRunWritesNothing() throws {
        let before = try image()
        let result = try apply("--dry-run", "--json", "--to", "disk.vhdx", "1.hrl")
        #expect(result.exit == 0)
        let document = try #require(try jsonLines(result.output).first?["result"] as? [String: Any])
        #expect(document["dry_run"] as? Bool == true && document["writes"] as? Int == 4)
        #expect(try image() == before)
    }

    @Test(arguments: [
        (["--until-record", "2"], 2), (["--until-record", "0"], 0), (["--until", "2025-05-08T06:13:21Z"], 2),
        (["--until-record", "99"], 4), (["--until", "2025-05-08T06:13:20Z", "--until-record", "3"], 1),
    ])
    func limits(arguments: [String], count: Int) throws {
        let result = try runTool(
            "hrl-apply", ["--json", "--to", "disk.vhdx"] + arguments + ["1.hrl"], folder: scratch.folder)
        #expect(result.exit == 0)
        let document = try #require(try jsonLines(result.output).first?["result"] as? [String: Any])
        #expect(document["writes"] as? Int == count && document["stopped_early"] as? Bool == (count < 4))
        var disk = [UInt8](repeating: 0, count: expected.count)
        HRLSample.apply(Array(HRLSample.writes.prefix(count)), to: &disk)
        #expect(try HRLSample.contents(scratch.path("disk.vhdx")) == disk)
    }

    /// Which state a limit leads to.
    @Test func limitsInText() throws {
        for (time, text) in [
            ("2025-05-08T06:14:00Z", "applied 4 writes, 69 KiB (70656 bytes), of 1 log"),
            (
                "2025-05-08T06:13:22Z",
                "applied 3 writes, 68.5 KiB (70144 bytes), of 1 log, up to 2025-05-08T06:13:22Z; the writes after the "
                    + "limit were left out"
            ),
            (
                "2025-05-07T06:13:22Z",
                "applied 0 writes, 0 bytes, of 1 log; the limit is before the first write, of 2025-05-08T06:13:20Z"
            ),
        ] {
            #expect(try apply("--until", time, "--to", "disk.vhdx", "1.hrl").output == "disk.vhdx: \(text)\n")
        }
    }

    /// All the same second, after the second of four writes.
    @Test(arguments: [
        "2025-05-08T06:13:21Z", "2025-05-08t06:13:21z", "2025-05-08 06:13:21Z", "2025-05-08T06:13:21.999999999Z",
        "2025-05-08T08:13:21+02:00", "2025-05-08T00:43:21.5-05:30", "2025-05-08T06:13:21-00:00",
        "2025-05-07T23:13:21-07:00",
    ])
    func formsOfUntil(time: String) throws {
        let result = try apply("--dry-run", "--json", "--to", "disk.vhdx", "--until", time, "1.hrl")
        let document = try #require(try jsonLines(result.output).first?["result"] as? [String: Any])
        #expect(document["writes"] as? Int == 2 && document["stopped_early"] as? Bool == true)
        #expect(document["newest_time"] as? String == "2025-05-08T06:13:21Z")
    }

    @Test(arguments: [
        ("2025-05-08T06:13:21", "its zone is missing: 2025-05-08T06:13:21Z is UTC"),
        ("2025-05-08 06:13:21.5", "its zone is missing: 2025-05-08 06:13:21.5Z is UTC"),
        ("06:13:21", "RFC 3339"), ("2025-05-08", "RFC 3339"), ("2025-05-08T06:13Z", "RFC 3339"), ("now", "RFC 3339"),
        ("1746684801", "RFC 3339"), ("", "RFC 3339"), ("2025-05-08T06:13:21+02", "RFC 3339"),
        ("2025-05-08T06:13:21 CET", "RFC 3339"), ("2025-02-29T06:13:21Z", "RFC 3339"),
        ("2025-05-08T24:00:00Z", "RFC 3339"), ("2025-05-08T06:13:21,5Z", "RFC 3339"),
    ])
    func refusedFormsOfUntil(time: String, reason: String) throws {
        let before = try image()
        let result = try apply("--to", "disk.vhdx", "--until", time, "1.hrl")
        #expect(
            result.exit == 64 && result.error.contains("--until") && result.error.contains(reason), "\(result.error)")
        for tool in ["hrl-dump", "hrl-stat"] {
            let other = try runTool(tool, ["--since", time, "1.hrl"], folder: scratch.folder)
            #expect(other.exit == 64 && other.error.contains(reason), "\(other.error)")
        }
        #expect(try image() == before)
    }

    @Test(arguments: HRLDamage.all)
    func damageLeavesTheImageAsItIs(damage: HRLDamage) throws {
        _ = try scratch.write("bad.hrl", try damage.brokenLog())
        let (before, names) = (try image(), try scratch.names())
        let result = try runTool("hrl-apply", ["--to", "disk.vhdx", "bad.hrl"], folder: scratch.folder, timeout: 5)
        #expect(result.exit == 2)
        #expect(result.error.hasPrefix("hrl-apply: bad.hrl: \(damage.code): \(damage.field) "), "\(result.error)")
        #expect(result.error.split(separator: "\n").count == 1 && result.error.contains("(offset 0x"))
        #expect(result.output.isEmpty)
        #expect(try image() == before && scratch.names() == names)
        // Behind a good log, too.
        #expect(try apply("--unlinked", "--to", "disk.vhdx", "1.hrl", "bad.hrl").exit == 2)
        #expect(try image() == before)
    }

    @Test func orderViolationsLeaveTheImageAsItIs() throws {
        _ = try scratch.write("3.hrl", try HRLSample.log(id: HRLSample.third, after: HRLSample.second))
        _ = try scratch.write("fork.hrl", try HRLSample.log(id: GUID(9), after: HRLSample.first))
        _ = try scratch.write("unclosed.hrl", try HRLSample.log(isClosed: false))
        _ = try scratch.write("beyond.hrl", try HRLSample.log([.init(offset: 8 << 20, value: 1, count: 512)]))
        let before = try image()
        for (logs, text) in [
            (["1.hrl", "3.hrl"], "HRL025: PreviousUniqueId gap"),
            (["1.hrl", "2.hrl", "fork.hrl"], "2.hrl and fork.hrl both"),
            (["1.hrl", "1.hrl"], "duplicate"), (["unclosed.hrl"], "HRL004: EOLLocation is 0"),
            (["beyond.hrl"], "HRL019: ByteOffset of write 1"),
        ] {
            let result = try runTool("hrl-apply", ["--to", "disk.vhdx"] + logs, folder: scratch.folder)
            #expect(result.exit == 2 && result.error.contains(text), "\(result.error)")
            #expect(result.error.split(separator: "\n").count == 1)
            #expect(try image() == before)
        }
        #expect(try apply("--unlinked", "--to", "disk.vhdx", "3.hrl", "1.hrl").exit == 0)
    }

    @Test func versionOneAndOddLogsOnlyOnRequest() throws {
        for code in ["HRL002", "HRL008", "HRL009"] {
            var log = try HRLSample.log()
            try HRLDamage.header(&log) { header in
                switch code {
                case "HRL002": header.logFormatVersion = LogHeader.version1
                case "HRL008": header.errorCode = -5
                default: header.fileType = 1
                }
            }
            _ = try scratch.write("odd.hrl", log)
            let before = try image()
            let refused = try apply("--to", "disk.vhdx", "odd.hrl")
            #expect(
                refused.exit == 2 && refused.error.contains("\(code): ") && refused.error.contains("--accept \(code)"))
            #expect(try image() == before)
            #expect(try apply("--accept", code, "--to", "disk.vhdx", "odd.hrl").exit == 0)
            #expect(try HRLSample.contents(scratch.path("disk.vhdx")) == expected)
        }
    }

    @Test func anotherWriterIsWaitedForByTheCaller() throws {
        let before = try image()
        do {
            let held = try PosixFile(scratch.path("disk.vhdx"), .write)
            let result = try apply("--to", "disk.vhdx", "1.hrl")
            #expect(result.exit == 5, "\(result.error)")
            #expect(try image() == before)
            #expect(try apply("--dry-run", "--to", "disk.vhdx", "1.hrl").exit == 0)
            withExtendedLifetime(held) {}
        }
        #expect(try apply("--to", "disk.vhdx", "1.hrl").exit == 0)
    }

    @Test func theTargetMustNotBeALog() throws {
        #expect(try apply("--to", "1.hrl", "1.hrl").error.contains("also among the logs"))
        #expect(try apply("--to", "absent.vhdx", "1.hrl").exit == 2)
        #expect(try apply("--to", "disk.vhdx").exit == 64)
        #expect(try apply("1.hrl").exit == 64)
        #expect(!(try scratch.names().contains("absent.vhdx")))
    }

    /// A pending log of the image is replayed into it first, but not for a log that is then refused.
    @Test func dirtyTarget() throws {
        guard let source = try Corpus.path("vhdx-log-replay.vhdx") else { return }
        try FileManager.default.copyItem(atPath: source, toPath: scratch.path("dirty.vhdx"))
        try FileManager.default.copyItem(atPath: source, toPath: scratch.path("before.vhdx"))
        let before = try image("dirty.vhdx")
        _ = try scratch.write("bad.hrl", try HRLDamage.all[16].brokenLog())
        #expect(try apply("--to", "dirty.vhdx", "bad.hrl").exit == 2)
        #expect(try apply("--dry-run", "--to", "dirty.vhdx", "2.hrl").exit == 0)
        #expect(try image("dirty.vhdx") == before)
        let result = try apply("--to", "dirty.vhdx", "2.hrl")
        #expect(
            result.exit == 0 && result.error.contains("log pending: replayed into the file first"), "\(result.error)")
        let chain = try ImageChain.open(scratch.path("dirty.vhdx"))
        #expect(!chain.hasReplayedLog)
        #expect(try chain.bytes(at: 100, count: 2000) == [UInt8](repeating: 0x77, count: 2000))
        let difference = try runTool(
            "hrl-diff", ["--json", "before.vhdx", "dirty.vhdx", "-o", "change.hrl"], folder: scratch.folder)
        let document = try jsonLines(difference.output).first?["result"] as? [String: Any]
        #expect(document?["differing_bytes"] as? Int == 2560, "only the five sectors that the log wrote are different")
    }

    /// Killed at random moments, then run again.
    @Test func killedAndRunAgain() throws {
        let disk = try Scratch(inMemory: true)
        let byteCount: UInt64 = 64 << 20
        let seed = UInt64.random(in: 0 ... .max)
        print("hrl-apply killed at random moments: seed \(seed)")
        var random = TestRandom(state: seed)
        var writes: [HRLSample.Write] = []
        for number in 0..<3000 {
            let offset = UInt64.random(in: 0..<byteCount / 512 - 128, using: &random) * 512
            let count = Int.random(in: 1...128, using: &random) * 512
            writes.append(.init(offset: offset, value: UInt8(truncatingIfNeeded: number), count: count))
        }
        _ = try disk.write("long.hrl", try HRLSample.log(writes))
        var expected = [UInt8](repeating: 0, count: Int(byteCount))
        HRLSample.apply(writes, to: &expected)
        try HRLSample.makeDisk(disk.path("empty.vhdx"), byteCount: byteCount)
        // How long it takes when nobody interferes: the time in which it is killed.
        try FileManager.default.copyItem(atPath: disk.path("empty.vhdx"), toPath: disk.path("whole.vhdx"))
        let whole = try runTool("hrl-apply", ["--to", "whole.vhdx", "long.hrl"], folder: disk.folder)
        #expect(whole.exit == 0)
        var killed = 0
        for round in 0..<10 {
            let target = "\(round).vhdx"
            try FileManager.default.copyItem(atPath: disk.path("empty.vhdx"), toPath: disk.path(target))
            let tool = try RunningTool("hrl-apply", ["--to", target, "long.hrl"], folder: disk.folder)
            usleep(UInt32.random(in: 0...UInt32(whole.seconds * 1_000_000), using: &random))
            tool.send(SIGKILL)
            if tool.end() == 137 { killed += 1 }
            let again = try runTool("hrl-apply", ["--to", target, "long.hrl"], folder: disk.folder)
            #expect(again.exit == 0, "round \(round), seed \(seed): \(again.error)")
            #expect(try HRLSample.contents(disk.path(target)) == expected, "round \(round), seed \(seed)")
            try FileManager.default.removeItem(atPath: disk.path(target))
        }
        print("hrl-apply killed in \(killed) of 10 rounds")
    }
}

/// Repeatable random numbers.
struct TestRandom: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
