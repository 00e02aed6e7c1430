import BlockIO
import ByteCodec
import DiskModel
import Foundation
import HRL
import ImageChain
import Testing
import ToolTesting
import VHDX

/// The built hrl-apply with --undo.
@Suite struct HRLApplyUndoTests {
    private let scratch: Scratch
    private static let writes1 = HRLSample.writes
    private static let writes2: [HRLSample.Write] = [
        .init(offset: 100, value: 0x77, count: 2000), .init(offset: 3 << 20, value: 0x78, count: 1 << 20),
    ]

    init() throws {
        scratch = try Scratch()
        _ = try scratch.write("1.hrl", try HRLSample.log(Self.writes1, after: HRLSample.third))
        _ = try scratch.write(
            "2.hrl", try HRLSample.log(Self.writes2, id: HRLSample.second, after: HRLSample.first))
        try HRLSample.makeDisk(scratch.path("disk.vhdx"))
        let chain = try ImageChain.open(writing: scratch.path("disk.vhdx"))
        try chain.write([UInt8](repeating: 0xee, count: 5 << 20), at: 4096)
        try chain.close()
    }

    private func apply(_ arguments: String...) throws -> ProgramResult {
        try runTool("hrl-apply", arguments, folder: scratch.folder)
    }
    private func contents(_ name: String = "disk.vhdx") throws -> [UInt8] {
        try HRLSample.contents(scratch.path(name))
    }
    private func file(_ name: String) throws -> [UInt8] { try fileBytes(scratch.path(name)) }
    private func undoDocument(_ result: ProgramResult) throws -> [String: Any]? {
        try (jsonLines(result.output).first?["result"] as? [String: Any])?["undo"] as? [String: Any]
    }

    @Test func thereAndBack() throws {
        let before = try contents()
        let id = try ImageChain.open(scratch.path("disk.vhdx")).leaf.identity.id
        let result = try apply("--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl")
        #expect(result.exit == 0 && result.error.isEmpty, "\(result.error)")
        #expect(
            result.output == """
                disk.vhdx: applied 4 writes, 69 KiB (70656 bytes), of 1 log
                undo.hrl: saved what was there before, 68.5 KiB (70144 bytes)

                """)
        var expected = before
        HRLSample.apply(Self.writes1, to: &expected)
        #expect(try contents() == expected)
        let header = try LogHeader(from: try PosixFile(scratch.path("undo.hrl")))
        #expect(header.isClosed && header.creatorApplication == Array("vtu ".utf8))
        #expect(header.previousUniqueID == HRLSample.first && header.uniqueID == HRLSample.third)
        #expect(header.vhd2DataWriteGUID == id)
        #expect(abs(header.created.unixSeconds - Int64(Date().timeIntervalSince1970)) < 100)
        #expect(try apply("--to", "disk.vhdx", "undo.hrl").exit == 0)
        #expect(try contents() == before)
        #expect(try scratch.names() == ["1.hrl", "2.hrl", "disk.vhdx", "undo.hrl"])
    }

    @Test func rawAndVHD() throws {
        for (name, kind) in [("d.raw", TestImageKind.raw), ("d.vhd", .dynamicVHD), ("f.vhd", .fixedVHD)] {
            try kind.make(scratch.path(name), byteCount: 8 << 20, [(1 << 20, [UInt8](repeating: 3, count: 4096))])
            let options = OpenOptions(format: kind == .raw ? .raw : nil)
            func bytes() throws -> [UInt8] {
                try ImageChain.open(scratch.path(name), options).bytes(at: 0, count: 8 << 20)
            }
            let before = try bytes()
            let undo = name + ".undo"
            let arguments = kind.options + ["--to", name]
            #expect(
                try runTool("hrl-apply", arguments + ["--undo", undo, "1.hrl", "2.hrl"], folder: scratch.folder).exit
                    == 0)
            #expect(try bytes() != before)
            #expect(try LogHeader(from: try PosixFile(scratch.path(undo))).vhd2DataWriteGUID == .zero)
            #expect(try runTool("hrl-apply", arguments + [undo], folder: scratch.folder).exit == 0)
            #expect(try bytes() == before, "\(name)")
        }
    }

    /// The undo logs of two runs go back in one, however they are named.
    @Test func newestFirst() throws {
        let before = try contents()
        #expect(try apply("--to", "disk.vhdx", "--undo", "undo1.hrl", "1.hrl").exit == 0)
        #expect(try apply("--to", "disk.vhdx", "--undo", "undo2.hrl", "2.hrl").exit == 0)
        let result = try apply("--json", "--to", "disk.vhdx", "undo1.hrl", "undo2.hrl")
        let document = try #require(try jsonLines(result.output).first?["result"] as? [String: Any])
        let logs = try #require(document["logs"] as? [[String: Any]])
        #expect(logs.map { $0["path"] as? String } == ["undo2.hrl", "undo1.hrl"])
        #expect(try contents() == before)
    }

    /// All logs of a folder, and the undo log is among them.
    @Test func undoLogAmongOthers() throws {
        let before = try contents()
        _ = try scratch.write("0.hrl", try HRLSample.log())
        #expect(try apply("--to", "disk.vhdx", "--undo", "undo.hrl", "0.hrl").exit == 0)
        #expect(try apply("--to", "disk.vhdx", "undo.hrl").error.isEmpty)
        // They are a chain, which leads back.
        let both = try apply("--to", "disk.vhdx", "undo.hrl", "0.hrl")
        #expect(
            both.exit == 0
                && both.error == "hrl-apply: undo.hrl: is an undo log among others: it takes back what those before it "
                    + "write\n",
            "\(both.error)")
        #expect(try contents() == before)
        // After a log before it they are none.
        #expect(try apply("--to", "disk.vhdx", "--undo", "undo2.hrl", "2.hrl").exit == 0)
        let image = try file("disk.vhdx")
        let all = try apply("--to", "disk.vhdx", "0.hrl", "2.hrl", "undo2.hrl")
        let hint = "; undo2.hrl is an undo log: leave it out, or name it alone to go back\n"
        #expect(all.exit == 2 && all.error.contains("HRL025") && all.error.hasSuffix(hint), "\(all.error)")
        #expect(try file("disk.vhdx") == image)
    }

    @Test func undoOfAnUndoIsRedo() throws {
        let before = try contents()
        #expect(try apply("--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl").exit == 0)
        let after = try contents()
        #expect(try apply("--to", "disk.vhdx", "--undo", "redo.hrl", "undo.hrl").exit == 0)
        #expect(try contents() == before)
        let redo = try LogHeader(from: try PosixFile(scratch.path("redo.hrl")))
        #expect(redo.uniqueID == HRLSample.first && redo.previousUniqueID == HRLSample.third)
        #expect(try apply("--to", "disk.vhdx", "redo.hrl").exit == 0)
        #expect(try contents() == after)
    }

    @Test func dryRunAndJSON() throws {
        let (before, names) = (try file("disk.vhdx"), try scratch.names())
        let dry = try apply("--dry-run", "--json", "--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl", "2.hrl")
        var undo = try #require(try undoDocument(dry))
        #expect(undo["path"] as? String == "undo.hrl" && undo["reused"] as? Bool == false)
        #expect(undo["unique_id"] as? String == HRLSample.third.description)
        #expect(undo["previous_unique_id"] as? String == HRLSample.second.description)
        #expect(undo["saved_time"] is NSNull)
        let document = try #require(try jsonLines(dry.output).first?["result"] as? [String: Any])
        #expect(document["written_bytes"] as? Int == undo["bytes"] as? Int && document["bytes"] as? Int == 1_121_232)
        #expect(document["written_bytes"] as? Int == 70_144 + (1 << 20))
        let text = try apply("--dry-run", "--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl")
        #expect(text.output.contains("\nundo.hrl: would save what was there before, 68.5 KiB (70144 bytes)\n"))
        #expect(try file("disk.vhdx") == before && scratch.names() == names)
        let real = try apply("--json", "--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl", "2.hrl")
        undo = try #require(try undoDocument(real))
        #expect(undo["bytes"] as? Int == 70_144 + (1 << 20) && undo["reused"] as? Bool == false)
        let again = try apply("--dry-run", "--json", "--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl", "2.hrl")
        #expect(try undoDocument(again)?["reused"] as? Bool == true)
        let time = try LogHeader(from: try PosixFile(scratch.path("undo.hrl"))).created.description
        #expect(undo["saved_time"] as? String == time)
        #expect(try undoDocument(again)?["saved_time"] as? String == time)
        let without = try apply("--json", "--to", "disk.vhdx", "1.hrl")
        #expect(try undoDocument(without) == nil)
        let strict = try apply("--strict", "--dry-run", "--json", "--to", "disk.vhdx", "1.hrl")
        let result = try #require(try jsonLines(strict.output).first?["result"] as? [String: Any])
        #expect(result["written_bytes"] as? Int == 70_656 && result["strict"] as? Bool == true)
        #expect(result["undo"] is NSNull)
    }

    /// What the first run saved stays, with -f as well: the disk has new bytes now.
    @Test(arguments: [[], ["-f"]]) func rerunKeepsWhatIsSaved(force: [String]) throws {
        let before = try contents()
        let command = force + ["--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl", "2.hrl"]
        #expect(try runTool("hrl-apply", command, folder: scratch.folder).exit == 0)
        let (after, saved) = (try contents(), try file("undo.hrl"))
        let again = try runTool("hrl-apply", command, folder: scratch.folder)
        #expect(again.exit == 0 && again.output.contains("undo.hrl: kept as an earlier run saved it, "))
        let time = try LogHeader(from: try PosixFile(scratch.path("undo.hrl"))).created
        #expect(
            again.error.hasSuffix(
                "hrl-apply: undo.hrl: an earlier run saved it at \(time): applying it brings back what the image held "
                    + "before that run\n"), "\(again.error)")
        #expect(try contents() == after && file("undo.hrl") == saved)
        #expect(try apply("--to", "disk.vhdx", "undo.hrl").exit == 0)
        #expect(try contents() == before)
    }

    @Test func whatIsInTheWay() throws {
        _ = try scratch.write("text", Array("hello".utf8))
        _ = try scratch.write("3.hrl", try HRLSample.log(id: GUID(9), after: HRLSample.second))
        #expect(try apply("--to", "disk.vhdx", "--undo", "undo3.hrl", "3.hrl").exit == 0)
        let before = try file("disk.vhdx")
        for (name, text) in [
            ("text", "HRL040"), ("3.hrl", "exists and is no undo log"), ("undo3.hrl", "is the undo log of other logs"),
        ] {
            let there = try file(name)
            for dry in [[], ["--dry-run"]] {
                let result = try runTool(
                    "hrl-apply", dry + ["--to", "disk.vhdx", "--undo", name, "1.hrl"], folder: scratch.folder)
                #expect(result.exit == 2 && result.error.hasPrefix("hrl-apply: \(name): "), "\(result.error)")
                #expect(result.error.contains(text) && result.error.contains("-f replaces it"), "\(result.error)")
                #expect(result.error.split(separator: "\n").count == 1 && result.output.isEmpty)
                #expect(try file(name) == there && file("disk.vhdx") == before)
            }
        }
        let shown = try contents()
        let dry = try apply("--dry-run", "-f", "--to", "disk.vhdx", "--undo", "undo3.hrl", "1.hrl")
        #expect(
            dry.exit == 0 && dry.error.contains("; -f would replace it by what the image holds now\n"), "\(dry.error)")
        let forced = try apply("-f", "--to", "disk.vhdx", "--undo", "undo3.hrl", "1.hrl")
        #expect(forced.exit == 0 && forced.error.hasPrefix("hrl-apply: undo3.hrl: exists and is the undo log of other"))
        #expect(forced.error.hasSuffix("; -f replaced it by what the image held before this run\n"), "\(forced.error)")
        #expect(try apply("--to", "disk.vhdx", "undo3.hrl").exit == 0)
        #expect(try contents() == shown)
        try FileManager.default.createDirectory(atPath: scratch.path("folder"), withIntermediateDirectories: true)
        #expect(try apply("-f", "--to", "disk.vhdx", "--undo", "folder", "1.hrl").exit == 2)
        #expect(try apply("--to", "disk.vhdx", "--undo", "absent/undo.hrl", "1.hrl").exit == 2)
        #expect(try contents() == shown)
        #expect(try apply("-f", "--to", "disk.vhdx", "1.hrl").exit == 64)
    }

    /// It may lead to a disk that is away, with the undo log of an interrupted run.
    @Test func linkToNothing() throws {
        let link = scratch.path("undo.hrl")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "away/undo.hrl")
        let before = try file("disk.vhdx")
        for options in [[], ["-f"], ["--dry-run"], ["-f", "--dry-run"]] {
            let result = try runTool(
                "hrl-apply", options + ["--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl"], folder: scratch.folder)
            #expect(
                result.exit == 2 && result.output.isEmpty
                    && result.error == "hrl-apply: undo.hrl: is a symbolic link to a file that is not there; if an "
                        + "earlier run saved it there, make it reachable again; else remove the link, or name another "
                        + "file\n",
                "\(result.error)")
        }
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == "away/undo.hrl")
        #expect(try file("disk.vhdx") == before)
    }

    /// A link stays, and the file that it leads to is replaced.
    @Test func linkToAFile() throws {
        try FileManager.default.createDirectory(atPath: scratch.path("store"), withIntermediateDirectories: false)
        _ = try scratch.write("store/old.hrl", Array("hello".utf8))
        let link = scratch.path("undo.hrl")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "store/old.hrl")
        let before = try contents()
        #expect(try apply("--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl").exit == 2)
        #expect(try file("store/old.hrl") == Array("hello".utf8))
        let forced = try apply("-f", "--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl")
        #expect(
            forced.exit == 0 && forced.output.contains("\nundo.hrl: saved what was there before"), "\(forced.error)")
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == "store/old.hrl")
        #expect(try LogHeader(from: try PosixFile(scratch.path("store/old.hrl"))).isClosed)
        #expect(try apply("--to", "disk.vhdx", "store/old.hrl").exit == 0)
        #expect(try contents() == before)
    }

    /// The ids tell the logs, and not how far they were applied: so the message does.
    @Test(arguments: [HRLSample.third, .zero]) func undoLogsOfALimitAndOfAll(previous: GUID) throws {
        _ = try scratch.write("1.hrl", try HRLSample.log(Self.writes1, after: previous))
        let before = try contents()
        #expect(try apply("--until-record", "1", "--to", "disk.vhdx", "--undo", "part.hrl", "1.hrl").exit == 0)
        #expect(try apply("--to", "disk.vhdx", "--undo", "all.hrl", "1.hrl").exit == 0)
        let both = try apply("--to", "disk.vhdx", "part.hrl", "all.hrl")
        #expect(both.exit == 2 && both.error.contains("HRL025"), "\(both.error)")
        for text in ["part.hrl saved 4096 bytes at 20", "all.hrl saved 70144 bytes at 20", "with --unlinked\n"] {
            #expect(both.error.contains(text), "\(both.error)")
        }
        #expect(try apply("--unlinked", "--to", "disk.vhdx", "all.hrl", "part.hrl").exit == 0)
        #expect(try contents() == before)
    }

    /// Nothing is applied, what stood at UNDO stays, and the message says so.
    @Test func noRoomForTheUndoLog() throws {
        guard let small = try SmallDisk(byteCount: 8 << 20) else { return }
        let undo = small.folder + "/undo.hrl"
        #expect(try apply("--to", "disk.vhdx", "--undo", undo, "1.hrl").exit == 0)
        let (saved, before) = (try fileBytes(undo), try file("disk.vhdx"))
        try small.leave(free: 64 << 10)
        let room = "; make room, or name a file on another disk\n"
        let forced = try apply("-f", "--to", "disk.vhdx", "--undo", undo, "2.hrl")
        #expect(forced.exit == 2 && forced.output.isEmpty && forced.error.contains("No space left"), "\(forced.error)")
        #expect(
            forced.error.hasSuffix("; no log was applied, and what stood at \(undo) stands there as it was" + room),
            "\(forced.error)")
        #expect(!forced.error.contains("-f replaced"))
        let new = try apply("--to", "disk.vhdx", "--undo", small.folder + "/new.hrl", "2.hrl")
        #expect(new.exit == 2 && new.error.hasSuffix("; no log was applied" + room), "\(new.error)")
        #expect(try fileBytes(undo) == saved && file("disk.vhdx") == before)
        #expect(try FileManager.default.contentsOfDirectory(atPath: small.folder).sorted() == ["ballast", "undo.hrl"])
    }

    /// The image's own disk is full: the way on and the way back are told.
    @Test func noRoomForTheImage() throws {
        guard let small = try SmallDisk(byteCount: 8 << 20) else { return }
        let image = small.folder + "/disk.vhdx"
        try HRLSample.makeDisk(image)
        try small.leave(free: 512 << 10)
        let failed = try apply("--to", image, "--undo", "undo.hrl", "1.hrl", "2.hrl")
        #expect(failed.exit == 2 && failed.error.contains("No space left"), "\(failed.error)")
        let hint = "; the image may hold a part of the logs: make room, and run the same command again"
        #expect(failed.error.hasSuffix(hint + ", or apply undo.hrl to go back\n"), "\(failed.error)")
        #expect(try apply("--to", image, "1.hrl", "2.hrl").error.hasSuffix(hint + "\n"))
        try small.removeBallast()
        #expect(try apply("--to", image, "--undo", "undo.hrl", "1.hrl", "2.hrl").exit == 0)
        var expected = [UInt8](repeating: 0, count: 8 << 20)
        HRLSample.apply(Self.writes1 + Self.writes2, to: &expected)
        #expect(try HRLSample.contents(image) == expected)
    }

    @Test func unclosedIsMadeAnew() throws {
        let before = try contents()
        #expect(try apply("--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl").exit == 0)
        #expect(try apply("--to", "disk.vhdx", "undo.hrl").exit == 0)
        let whole = try file("undo.hrl")
        var cut = Array(whole.prefix(20_000))
        try HRLDamage.header(&cut) { $0.eolLocation = 0 }
        _ = try scratch.write("undo.hrl", cut)
        #expect(try apply("--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl").exit == 0)
        #expect(try apply("--to", "disk.vhdx", "undo.hrl").exit == 0)
        #expect(try contents() == before)
        // Closed and rotten: it may hold the only copy of old bytes.
        var rotten = try file("undo.hrl")
        rotten[9000] ^= 1
        _ = try scratch.write("undo.hrl", rotten)
        let refused = try apply("--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl")
        #expect(refused.exit == 2 && refused.error.contains("HRL016"), "\(refused.error)")
        #expect(try contents() == before && file("undo.hrl") == rotten)
    }

    /// Writes at odd places, and the undo log loses its closing or its end.
    @Test(arguments: [0, 2 * 4096]) func recoveredUndoLog(lostByteCount: Int) throws {
        let writes = (0..<300).map {
            HRLSample.Write(offset: UInt64($0 * 9001 + 77), value: 0x5a, count: 1 + $0 * 7)
        }
        _ = try scratch.write("odd.hrl", try HRLSample.log(writes, after: HRLSample.third))
        let before = try contents()
        #expect(try apply("--to", "disk.vhdx", "--undo", "undo.hrl", "odd.hrl").exit == 0)
        var expected = try contents()
        #expect(expected != before)
        var cut = Array(try file("undo.hrl").dropLast(lostByteCount))
        try HRLDamage.header(&cut) { $0.eolLocation = 0 }
        _ = try scratch.write("undo.hrl", cut)
        #expect(try apply("--to", "disk.vhdx", "undo.hrl").exit == 2)
        let recovery = try runTool("hrl-check", ["--recover", "copy.hrl", "undo.hrl"], folder: scratch.folder)
        #expect(recovery.exit == 3, "\(recovery.error)")
        let back = try apply("--to", "disk.vhdx", "copy.hrl")
        #expect(back.exit == (lostByteCount == 0 ? 0 : 3), "\(back.error)")
        #expect(back.error.contains("HRL050: OriginalSize says that ") == (lostByteCount > 0), "\(back.error)")
        #expect(back.error.contains("copy.hrl: HRL051: undo record is missing or damaged"), "\(back.error)")
        let end = Int(try LogReader(try PosixFile(scratch.path("copy.hrl"))).validate().maximumEnd)
        expected.replaceSubrange(0..<end, with: before[0..<end])
        #expect(try contents() == expected)
        #expect((expected == before) == (lostByteCount == 0) && end > 1 << 20)
    }

    /// First with a limit, then without.
    @Test func whatWasSavedMustCoverAll() throws {
        let before = try contents()
        let limited = try apply("--until-record", "1", "--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl")
        #expect(limited.exit == 0, "\(limited.error)")
        let (shown, saved, image) = (try contents(), try file("undo.hrl"), try file("disk.vhdx"))
        let refused = try apply("--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl")
        #expect(
            refused.exit == 2 && refused.error.contains("does not cover all sectors that will be written: byte 1048576")
        )
        #expect(try file("disk.vhdx") == image && file("undo.hrl") == saved)
        #expect(try apply("-f", "--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl").exit == 0)
        #expect(try apply("--to", "disk.vhdx", "undo.hrl").exit == 0)
        #expect(try contents() == shown)
        _ = try scratch.write("undo.hrl", saved)
        #expect(try apply("--to", "disk.vhdx", "undo.hrl").exit == 0)
        #expect(try contents() == before)
        // The other way round: what is saved beyond what is written now was not compared with the disk.
        #expect(try apply("--to", "disk.vhdx", "--undo", "all.hrl", "1.hrl").exit == 0)
        #expect(try apply("--to", "disk.vhdx", "all.hrl").exit == 0)
        let more = try apply("--until-record", "1", "--to", "disk.vhdx", "--undo", "all.hrl", "1.hrl")
        #expect(more.exit == 2 && more.error.contains("bytes of sectors that will not be written now"), "\(more.error)")
        #expect(try contents() == before)
    }

    /// Taken back, used, and the same logs once more: what was saved first is of another time.
    @Test func usedAgainLater() throws {
        #expect(try apply("--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl").exit == 0)
        #expect(try apply("--to", "disk.vhdx", "undo.hrl").exit == 0)
        // Not changed since, it is the right one.
        #expect(try apply("--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl").exit == 0)
        #expect(try apply("--to", "disk.vhdx", "undo.hrl").exit == 0)
        do {
            let chain = try ImageChain.open(writing: scratch.path("disk.vhdx"))
            try chain.write([UInt8](repeating: 0xdd, count: 512), at: 1 << 20)
            try chain.close()
        }
        let (before, image) = (try contents(), try file("disk.vhdx"))
        for dry in [[], ["--dry-run"]] {
            let refused = try runTool(
                "hrl-apply", dry + ["--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl"], folder: scratch.folder)
            #expect(refused.exit == 2 && refused.error.contains("of another time: byte 1048576"), "\(refused.error)")
            #expect(try file("disk.vhdx") == image)
        }
        #expect(try apply("-f", "--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl").exit == 0)
        #expect(try apply("--to", "disk.vhdx", "undo.hrl").exit == 0)
        #expect(try contents() == before)
    }

    @Test func nothingCounts() throws {
        let result = try apply("--until-record", "0", "--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl")
        #expect(result.exit == 0 && result.output.contains("undo.hrl: not made: no write counts"))
        #expect(!(try scratch.names().contains("undo.hrl")))
    }

    @Test func theUndoLogMustBeNoInput() throws {
        var chain = SmallChain(.vhdx, in: scratch, byteCount: 8 << 20)
        try chain.add("base.vhdx")
        try chain.add("child.vhdx")
        try FileManager.default.linkItem(atPath: scratch.path("1.hrl"), toPath: scratch.path("link.hrl"))
        let files = ["1.hrl", "base.vhdx", "child.vhdx"]
        let before = try files.map { try file($0) }
        for (undo, text) in [
            ("1.hrl", "a log to apply"), ("link.hrl", "a log to apply"), ("./child.vhdx", "the image to change"),
            ("base.vhdx", "a parent of the image"), ("case.log", "the case log"),
        ] {
            let result = try apply("-f", "--case-log", "case.log", "--to", "child.vhdx", "--undo", undo, "1.hrl")
            #expect(result.exit == 2 && result.error.contains("the output is \(text)"), "\(result.error)")
        }
        #expect(try files.map { try file($0) } == before)
        #expect(try apply("--to", "child.vhdx", "--undo", "undo.hrl", "1.hrl").exit == 0)
        #expect(try apply("--to", "child.vhdx", "undo.hrl").exit == 0)
        #expect(try file("base.vhdx") == before[1])
        #expect(try contents("child.vhdx") == [UInt8](repeating: 0, count: 8 << 20))
    }

    /// Nothing is saved of an image that somebody else is writing.
    @Test func anotherWriter() throws {
        let held = try PosixFile(scratch.path("disk.vhdx"), .write)
        let result = try apply("--to", "disk.vhdx", "--undo", "undo.hrl", "1.hrl")
        #expect(result.exit == 5)
        #expect(!(try scratch.names().contains("undo.hrl")))
        withExtendedLifetime(held) {}
    }

    /// A pending log of the image counts as replayed: the undo log brings back what it shows.
    @Test func dirtyTarget() throws {
        guard let source = try Corpus.path("vhdx-log-replay.vhdx") else { return }
        try FileManager.default.copyItem(atPath: source, toPath: scratch.path("dirty.vhdx"))
        let chain = try ImageChain.open(scratch.path("dirty.vhdx"))
        let before = try (0..<64).map { try chain.bytes(at: $0 * (chain.geometry.virtualByteCount / 64), count: 65536) }
        let image = try file("dirty.vhdx")
        let full = try apply("--to", "dirty.vhdx", "--undo", "/dev/full", "2.hrl")
        #expect(full.exit == 2)
        #expect(try file("dirty.vhdx") == image, "not even its own log was replayed")
        #expect(try apply("--to", "dirty.vhdx", "--undo", "undo.hrl", "2.hrl").exit == 0)
        #expect(try apply("--to", "dirty.vhdx", "undo.hrl").exit == 0)
        let after = try ImageChain.open(scratch.path("dirty.vhdx"))
        #expect(!after.hasReplayedLog)
        let now = try (0..<64).map { try after.bytes(at: $0 * (after.geometry.virtualByteCount / 64), count: 65536) }
        #expect(now == before)
        let difference = try runTool(
            "hrl-diff", ["--json", source, "dirty.vhdx", "-o", "change.hrl"], folder: scratch.folder)
        let document = try jsonLines(difference.output).first?["result"] as? [String: Any]
        #expect(document?["differing_bytes"] as? Int == 0)
    }
}
