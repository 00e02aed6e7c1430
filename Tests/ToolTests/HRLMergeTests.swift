import BlockIO
import ByteCodec
import DiskModel
import Foundation
import HRL
import ImageChain
import Testing
import ToolTesting
import VHD

/// The built hrl-merge.
@Suite struct HRLMergeTests {
    private let scratch: Scratch
    private static let later = [
        HRLSample.Write(offset: (1 << 20) + 4096, value: 0x55, count: 8192, second: 4),
        HRLSample.Write(offset: 2 << 20, value: 0, count: 65536, second: 5),
    ]
    private static let last = [HRLSample.Write(offset: 512, value: 0x66, count: 1024, second: 6)]

    init() throws {
        scratch = try Scratch()
        _ = try scratch.write("1.hrl", try HRLSample.log(checksums: true))
        _ = try scratch.write("2.hrl", try HRLSample.log(Self.later, id: HRLSample.second, after: HRLSample.first))
        _ = try scratch.write("3.hrl", try HRLSample.log(Self.last, id: HRLSample.third, after: HRLSample.second))
        _ = try scratch.write("open.hrl", try HRLSample.log(isClosed: false))
    }

    private func merge(_ arguments: String...) throws -> ProgramResult {
        try runTool("hrl-merge", arguments, folder: scratch.folder)
    }

    private func tool(_ name: String, _ arguments: String...) throws -> ProgramResult {
        try runTool(name, arguments, folder: scratch.folder)
    }

    private func header(_ name: String) throws -> LogHeader {
        try LogReader(try PosixFile(scratch.path(name))).header
    }

    @Test func oneInPlaceOfThree() throws {
        let inputs = try ["1.hrl", "2.hrl", "3.hrl"].map { try fileBytes(scratch.path($0)) }
        let result = try merge("2.hrl", "3.hrl", "1.hrl", "-o", "all.hrl")
        #expect(result.exit == 0 && result.error.isEmpty, "\(result.error)")
        #expect(
            result.output
                == "all.hrl: 4 of 7 writes, 132.5 KiB (135680 bytes), of 3 logs; 9.5 KiB (9728 bytes) saved\n",
            "\(result.output)")
        #expect(try inputs == ["1.hrl", "2.hrl", "3.hrl"].map { try fileBytes(scratch.path($0)) })
        let made = try header("all.hrl")
        #expect(made.uniqueID == HRLSample.third && made.previousUniqueID == .zero)
        #expect(made.timeStamp == HRLSample.time && made.lastModifiedTimeStamp == HRLSample.time + 10)
        let check = try tool("hrl-check", "-q", "all.hrl")
        #expect(check.exit == 0 && check.output == "all.hrl: clean\n", "\(check.output)")
    }

    /// On each kind of disk: what the logs do one after the other.
    @Test(arguments: ["raw", "vhd", "vhdx"]) func appliedItIsTheSequence(format: String) throws {
        let names = ["one", "all", "strict"].map { "\($0).\(format)" }
        for name in names {
            switch format {
            case "raw": _ = try scratch.write(name, [UInt8](repeating: 0x99, count: Int(HRLSample.diskByteCount)))
            case "vhd":
                try VHDCreator.create(
                    on: try PosixFile(scratch.path(name), .create), type: .dynamic,
                    virtualByteCount: HRLSample.diskByteCount, uniqueID: .random(),
                    created: DiskTimestamp(rawValue: HRLSample.time))
            default: try HRLSample.makeDisk(scratch.path(name))
            }
        }
        #expect(try merge("-q", "1.hrl", "2.hrl", "3.hrl", "-o", "all.hrl").exit == 0)
        for log in ["1.hrl", "2.hrl", "3.hrl"] {
            #expect(try tool("hrl-apply", "-q", "--format", format, "--to", names[0], log).exit == 0)
        }
        #expect(try tool("hrl-apply", "-q", "--format", format, "--to", names[1], "all.hrl").exit == 0)
        #expect(try tool("hrl-apply", "-q", "--strict", "--format", format, "--to", names[2], "all.hrl").exit == 0)
        func contents(_ name: String) throws -> [UInt8] {
            format == "raw" ? try fileBytes(scratch.path(name)) : try HRLSample.contents(scratch.path(name))
        }
        var expected = [UInt8](repeating: format == "raw" ? 0x99 : 0, count: Int(HRLSample.diskByteCount))
        HRLSample.apply(HRLSample.writes + Self.later + Self.last, to: &expected)
        for name in names { #expect(try contents(name) == expected, "\(name)") }
    }

    /// What goes before it and what comes after it stay in order.
    @Test func itReplacesThemInTheChain() throws {
        let fourth = GUID(4, 4, 4, 4)
        _ = try scratch.write("4.hrl", try HRLSample.log(id: fourth, after: HRLSample.third))
        #expect(try merge("3.hrl", "2.hrl", "-o", "middle.hrl").exit == 0)
        let check = try tool("hrl-check", "-q", "4.hrl", "middle.hrl", "1.hrl")
        #expect(check.output.hasSuffix("chain: in order: 1.hrl, middle.hrl, 4.hrl\n"), "\(check.output)")
        #expect(check.exit == 0)
        // Merged in parts or at once: the same log.
        #expect(try merge("1.hrl", "middle.hrl", "4.hrl", "-o", "parts.hrl").exit == 0)
        #expect(try merge("1.hrl", "2.hrl", "3.hrl", "4.hrl", "-o", "once.hrl").exit == 0)
        #expect(try fileBytes(scratch.path("parts.hrl")) == fileBytes(scratch.path("once.hrl")))
        #expect(try merge("once.hrl", "-o", "again.hrl").exit == 0)
        #expect(try fileBytes(scratch.path("again.hrl")) == fileBytes(scratch.path("once.hrl")))
    }

    @Test func untilAppliesAllOrNothing() throws {
        #expect(try merge("1.hrl", "2.hrl", "-o", "all.hrl").exit == 0)
        _ = try scratch.write("disk.raw", [UInt8](repeating: 0, count: Int(HRLSample.diskByteCount)))
        let time = DiskTimestamp(rawValue: HRLSample.time + 4).description
        let result = try tool("hrl-apply", "--format", "raw", "--until", time, "--to", "disk.raw", "all.hrl")
        #expect(result.exit == 0 && result.output.contains("applied 0 writes"), "\(result.output)")
        #expect(try fileBytes(scratch.path("disk.raw")).allSatisfy { $0 == 0 })
    }

    @Test func unlinkedInTheOrderGiven() throws {
        _ = try scratch.write(
            "x.hrl", try HRLSample.log([.init(offset: 0, value: 1, count: 512)], id: GUID(7, 7, 7, 7)))
        _ = try scratch.write(
            "y.hrl", try HRLSample.log([.init(offset: 0, value: 2, count: 512)], id: GUID(8, 8, 8, 8)))
        #expect(try merge("x.hrl", "y.hrl", "-o", "z.hrl").exit == 2)
        for (names, value, id) in [
            (["x.hrl", "y.hrl"], UInt8(2), GUID(8, 8, 8, 8)), (["y.hrl", "x.hrl"], 1, GUID(7, 7, 7, 7)),
        ] {
            #expect(try merge("-f", "--unlinked", names[0], names[1], "-o", "z.hrl").exit == 0)
            let log = try LogReader(try PosixFile(scratch.path("z.hrl")))
            #expect(log.header.uniqueID == id)
            try log.forEachWrite(verifyingData: true) { write in
                #expect(try! log.file.bytes(at: write.dataOffset, count: 1) == [value])
            }
        }
        let turned = try merge("--unlinked", "2.hrl", "1.hrl", "-o", "turned.hrl")
        #expect(turned.exit == 2 && turned.error.contains("PreviousUniqueId of the first"), "\(turned.error)")
    }

    @Test func dataChecksums() throws {
        #expect(try merge("--data-checksums", "1.hrl", "2.hrl", "-o", "all.hrl").exit == 0)
        let lines = try jsonLines(try tool("hrl-dump", "--json", "all.hrl").output)
        #expect(lines[1]["data_checksum"] as? String == "ok")
        var bytes = try fileBytes(scratch.path("1.hrl"))
        bytes[Int(HRLSample.dataOffset) + 5000] ^= 1
        _ = try scratch.write("1.hrl", bytes)
        let refused = try merge("1.hrl", "2.hrl", "-o", "bad.hrl")
        #expect(refused.exit == 2 && refused.error.contains("HRL016"))
        #expect(!(try scratch.names().contains { $0.contains("bad.hrl") }))
    }

    @Test func wholeOrAbsent() throws {
        let before = try scratch.names()
        for arguments in [
            ["1.hrl", "open.hrl"], ["1.hrl", "3.hrl"], ["1.hrl", "absent.hrl"], ["1.hrl", "1.hrl"],
        ] {
            let result = try runTool("hrl-merge", arguments + ["-o", "new.hrl"], folder: scratch.folder)
            #expect(result.exit == 2 && result.output.isEmpty && !result.error.isEmpty, "\(arguments)")
        }
        let first = try fileBytes(scratch.path("1.hrl"))
        for output in ["1.hrl", "./2.hrl"] {
            let result = try merge("-f", "1.hrl", "2.hrl", "-o", output)
            #expect(
                result.exit == 2 && result.error.contains("the output is among the logs to merge"), "\(result.error)")
        }
        #expect(try fileBytes(scratch.path("1.hrl")) == first)
        #expect(try merge("1.hrl", "2.hrl", "-o", "3.hrl").exit == 2)
        let trial = try merge("--dry-run", "1.hrl", "2.hrl", "-o", "trial.hrl")
        #expect(trial.exit == 0 && trial.output.hasPrefix("trial.hrl: would have 4 of 6 writes"), "\(trial.output)")
        #expect(try scratch.names() == before)
        #expect(try merge("-f", "1.hrl", "2.hrl", "-o", "3.hrl").exit == 0)
        #expect(try header("3.hrl").uniqueID == HRLSample.second)
    }

    @Test func nothingToKeep() throws {
        _ = try scratch.write("e.hrl", try HRLSample.log([]))
        #expect(try merge("e.hrl", "-o", "none.hrl").output.hasPrefix("none.hrl: 0 of 0 writes, 0 bytes"))
        #expect(try tool("hrl-check", "-q", "none.hrl").exit == 0)
    }

    @Test(arguments: HRLDamage.all.indices) func damagedLogs(index: Int) throws {
        _ = try scratch.write("bad.hrl", try HRLDamage.all[index].brokenLog())
        let result = try merge("bad.hrl", "-o", "new.hrl")
        #expect(result.exit == 2 && result.error.contains(HRLDamage.all[index].code), "\(result.error)")
        #expect(!(try scratch.names().contains { $0.contains("new.hrl") }))
    }

    @Test func usage() throws {
        for arguments in [["1.hrl"], ["-o", "x"], ["1.hrl", "-o"], ["--accept", "NOPE", "1.hrl", "-o", "x"]] {
            #expect(try runTool("hrl-merge", arguments, folder: scratch.folder).exit == 64, "\(arguments)")
        }
        #expect(try merge("--help").output.contains("hrl-merge log1.hrl log2.hrl -o merged.hrl"))
    }
}
