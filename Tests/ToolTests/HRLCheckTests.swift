import BlockIO
import ByteCodec
import DiskModel
import Foundation
import HRL
import ImageChain
import Testing
import ToolTesting

/// The built hrl-check.
@Suite struct HRLCheckTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
        _ = try scratch.write("1.hrl", try HRLSample.log())
        _ = try scratch.write("2.hrl", try HRLSample.log(id: HRLSample.second, after: HRLSample.first))
        _ = try scratch.write("3.hrl", try HRLSample.log(id: HRLSample.third, after: HRLSample.second))
        _ = try scratch.write("unclosed.hrl", try HRLSample.log(isClosed: false))
        try HRLSample.makeDisk(scratch.path("disk.vhdx"))
    }

    private func check(_ arguments: String...) throws -> ProgramResult {
        try runTool("hrl-check", arguments, folder: scratch.folder)
    }

    private func document(_ result: ProgramResult) throws -> [String: Any] {
        try #require(try jsonLines(result.output).first)
    }

    @Test func cleanChain() throws {
        let result = try check("3.hrl", "1.hrl", "2.hrl", "--base", "disk.vhdx")
        #expect(result.exit == 0 && result.error.isEmpty)
        #expect(result.output.contains("chain: in order: 1.hrl, 2.hrl, 3.hrl"))
        #expect(result.output.contains("1.hrl: clean") && result.output.contains("fits disk.vhdx of 8 MiB"))
    }

    @Test(arguments: HRLDamage.all)
    func damage(damage: HRLDamage) throws {
        _ = try scratch.write("bad.hrl", try damage.brokenLog())
        let names = try scratch.names()
        let result = try runTool("hrl-check", ["--json", "bad.hrl"], folder: scratch.folder, timeout: 5)
        #expect(result.exit == damage.check, "\(result.output)")
        let document = try document(result)
        #expect(document["exit"] as? Int == Int(damage.check))
        if damage.check == 2 {
            #expect((document["error"] as? [String: Any])?["code"] as? String == damage.code)
            #expect(result.error.hasPrefix("hrl-check: bad.hrl: \(damage.code): \(damage.field) "))
            #expect(result.error.split(separator: "\n").count == 1 && result.error.contains("(offset 0x"))
        } else {
            let log = (document["result"] as? [String: Any])?["logs"] as? [[String: Any]]
            let findings = log?.first?["findings"] as? [[String: Any]] ?? []
            #expect(
                findings.contains { $0["code"] as? String == damage.code && $0["field"] as? String == damage.field })
        }
        #expect(try scratch.names() == names)
    }

    @Test func warnings() throws {
        var log = try HRLSample.log()
        try HRLDamage.header(&log) { $0.totalMetadataEntries = 9 }
        _ = try scratch.write("bad.hrl", log)
        let result = try check("bad.hrl")
        #expect(result.exit == 3)
        #expect(result.output.contains("warning: HRL021: TotalMetadataEntries is 9"))
        let accepted = try check("--accept", "HRL021", "bad.hrl")
        #expect(accepted.exit == 0 && accepted.output.contains("accepted: HRL021"))
    }

    @Test func versionOne() throws {
        var log = try HRLSample.log()
        try HRLDamage.header(&log) { $0.logFormatVersion = LogHeader.version1 }
        _ = try scratch.write("old.hrl", log)
        #expect(try check("old.hrl").exit == 3)
        #expect(try check("--accept", "HRL002", "old.hrl").exit == 0)
    }

    @Test func gapsAndForksAreNamed() throws {
        let gap = try check("--json", "1.hrl", "3.hrl")
        #expect(gap.exit == 1)
        let chain = (try document(gap)["result"] as? [String: Any])?["chain"] as? [String: Any]
        #expect(chain?["verdict"] as? String == "gap")
        #expect(
            (chain?["message"] as? String)?.contains(
                "gap: 3.hrl follows \(HRLSample.second), which is not there: the chain ends with 1.hrl") == true)
        let text = try check("3.hrl", "1.hrl")
        #expect(text.exit == 1 && text.output.contains("chain: HRL025: ") && text.output.contains("ends with 1.hrl"))
        _ = try scratch.write("other.hrl", try HRLSample.log(id: GUID(9), after: HRLSample.first))
        let fork = try check("1.hrl", "2.hrl", "other.hrl")
        #expect(fork.exit == 1)
        #expect(fork.output.contains("HRL025") && fork.output.contains("fork: 2.hrl and other.hrl both follow"))
        _ = try scratch.write("copy.hrl", try HRLSample.log())
        #expect(try check("1.hrl", "copy.hrl").output.contains("duplicate: 1.hrl has the same UniqueId"))
    }

    @Test func writesPastTheBase() throws {
        try HRLSample.makeDisk(scratch.path("small.vhdx"), byteCount: 4 << 20)
        let result = try check("--base", "small.vhdx", "1.hrl")
        #expect(result.exit == 1)
        #expect(
            result.output.contains("HRL019: ByteOffset of write 4 8388096 plus 512 bytes ends past the disk's 4194304"))
        let raw = try scratch.write("disk.raw", [UInt8](repeating: 1, count: 8 << 20))
        #expect(try check("--base", raw, "1.hrl").exit == 2)
        #expect(try check("--base", raw, "--format", "raw", "1.hrl").exit == 0)
    }

    /// A log whose tracked disk is the base, and one whose is not: told, and no fault.
    @Test func theBaseIsTheTrackedDisk() throws {
        let id = try ImageChain.open(scratch.path("disk.vhdx")).leaf.identity.id
        var log = try HRLSample.log()
        try HRLDamage.header(&log) { $0.vhd2DataWriteGUID = id }
        _ = try scratch.write("tracked.hrl", log)
        let same = try check("-v", "--base", "disk.vhdx", "tracked.hrl")
        #expect(same.exit == 0 && same.output.contains("info: HRL026: Vhd2DataWriteGuid is the image's"))
        let json = try document(try check("--json", "--base", "disk.vhdx", "tracked.hrl"))
        let base = (json["result"] as? [String: Any])?["base"] as? [String: Any]
        #expect(base?["virtual_size"] as? Int == 8 << 20 && base?["data_write_guid"] as? String == id.description)
    }

    /// An unclosed log ends the chain: those after it cannot be used.
    @Test func anUnclosedLogInAChain() throws {
        let id = HRLSample.second
        _ = try scratch.write("open.hrl", try HRLSample.log(id: id, after: HRLSample.first, isClosed: false))
        let last = try check("1.hrl", "open.hrl")
        #expect(last.exit == 3 && last.output.contains("chain: in order: 1.hrl"))
        #expect(last.output.contains("warning: HRL004: EOLLocation of open.hrl is 0"))
        let middle = try check("3.hrl", "open.hrl", "1.hrl")
        #expect(middle.exit == 1 && middle.output.contains("1 logs after it cannot be used"))
    }

    /// Findings that no tool test shows otherwise, with the severity of the rule and the exit status of the worst.
    @Test(arguments: [
        ("HRL001", "warning", Int32(3)), ("HRL006", "info", 0), ("HRL008", "warning", 3), ("HRL009", "error", 1),
        ("HRL010", "warning", 3), ("HRL014", "warning", 3), ("HRL018", "warning", 3), ("HRL020", "warning", 3),
        ("HRL022", "warning", 3), ("HRL016", "info", 0),
    ])
    func severities(code: String, severity: String, exit: Int32) throws {
        var log = try HRLSample.log(checksums: code != "HRL016")
        switch code {
        case "HRL001": try HRLDamage.header(&log) { $0.cookie[7] = 0x41 }
        case "HRL006": log += [UInt8](repeating: 1, count: 512)
        case "HRL008": try HRLDamage.header(&log) { $0.errorCode = -5 }
        case "HRL009": try HRLDamage.header(&log) { $0.fileType = 1 }
        case "HRL010": try HRLDamage.header(&log) { $0.flags = 1 }
        case "HRL014": log[log.count - 1] = 1
        case "HRL018": try HRLDamage.entry(&log, 2) { $0.byteOffset += 1 }
        case "HRL020": try HRLDamage.entry(&log, 2) { $0.timeStamp -= 100 }
        case "HRL022": try HRLDamage.header(&log) { $0.currentSize = 1 }
        default: break
        }
        _ = try scratch.write("odd.hrl", log)
        let result = try check("--json", "odd.hrl")
        #expect(result.exit == exit, "\(result.output)")
        let logs = (try document(result)["result"] as? [String: Any])?["logs"] as? [[String: Any]]
        let findings = logs?.first?["findings"] as? [[String: Any]] ?? []
        #expect(findings.contains { $0["code"] as? String == code && $0["severity"] as? String == severity })
    }

    @Test func theTrackedDiskIsInformation() throws {
        let result = try check("-v", "--base", "disk.vhdx", "1.hrl")
        #expect(result.exit == 0 && result.output.contains("info: HRL026: Vhd2DataWriteGuid is 0000"))
    }

    @Test func recovery() throws {
        let before = try fileBytes(scratch.path("unclosed.hrl"))
        let seen = try check("unclosed.hrl")
        #expect(seen.exit == 3 && seen.output.contains("recoverable: 4 writes, last block at 78848 (0x13400)"))
        let trial = try check("--recover", "closed.hrl", "--dry-run", "unclosed.hrl")
        #expect(trial.exit == 3)
        #expect(!(try scratch.names().contains("closed.hrl")))
        let result = try check("--recover", "closed.hrl", "unclosed.hrl")
        #expect(result.exit == 3 && result.output.contains("closed.hrl: a closed log of 4 writes"))
        #expect(try fileBytes(scratch.path("unclosed.hrl")) == before)
        #expect(try check("closed.hrl").exit == 0)
        let data = try fileBytes(scratch.path("closed.hrl"))
        #expect(data[4096...] == before[4096...])
        // There now: only with -f.
        #expect(try check("--recover", "closed.hrl", "unclosed.hrl").exit == 2)
        #expect(try check("--recover", "closed.hrl", "-f", "unclosed.hrl").exit == 3)
        let same = try check("--recover", "unclosed.hrl", "-f", "unclosed.hrl")
        #expect(same.exit == 2 && same.error.contains("the output is the input"))
        #expect(try fileBytes(scratch.path("unclosed.hrl")) == before)
        #expect(try check("--recover", "x.hrl", "1.hrl").error.contains("nothing to recover"))
        #expect(!(try scratch.names().contains { $0.hasPrefix("x.hrl") || $0.hasPrefix(".") }))
    }

    @Test func recoveryMustNotReplaceWhatIsRead() throws {
        let before = try fileBytes(scratch.path("disk.vhdx"))
        let result = try check("--base", "disk.vhdx", "--recover", "./disk.vhdx", "-f", "unclosed.hrl")
        #expect(result.exit == 2 && result.error.contains("./disk.vhdx: the output is the base; choose another"))
        #expect(try fileBytes(scratch.path("disk.vhdx")) == before)
        let names = ["fat-parent.vhdx", "fat-differential.vhdx"]
        for name in names {
            guard let source = try Corpus.path(name) else { return }
            try FileManager.default.copyItem(atPath: source, toPath: scratch.path(name))
        }
        let parent = try check("--base", names[1], "--recover", names[0], "-f", "unclosed.hrl")
        #expect(parent.exit == 2 && parent.error.contains("\(names[0]): the output is a parent of the base"))
        #expect(try fileBytes(scratch.path(names[0])) == fileBytes(try #require(try Corpus.path(names[0]))))
    }

    /// A guest can write what looks like a block; before the crash nothing tells which end is right.
    @Test func aForgedBlockIsNotGuessedAway() throws {
        var log = try HRLSample.log(isClosed: false)
        // In the data of write 2: a block that would follow the first, with data up to itself.
        let place = 8192 + 4096 + 1024
        var entry = MetadataEntry()
        (entry.byteOffset, entry.dataLength, entry.timeStamp) = (0, UInt32(place - 8192), HRLSample.time)
        var head = MetadataHeader()
        (head.previousMetadataLocation, head.validMetadataEntries) = (UInt64(place - 4096), 1)
        log.replaceSubrange(place..<place + 32, with: head.sealed())
        log.replaceSubrange(place + 32..<place + 64, with: entry.sealed())
        _ = try scratch.write("forged.hrl", log)
        let seen = try check("--json", "forged.hrl")
        let logs = (try document(seen)["result"] as? [String: Any])?["logs"] as? [[String: Any]]
        #expect((logs?.first?["recoverable"] as? [Any])?.count == 2)
        let refused = try check("--recover", "out.hrl", "forged.hrl")
        #expect(refused.exit == 2 && refused.error.contains("HRL044") && refused.error.contains("--pick 0x13400"))
        #expect(refused.error.contains("0x3400") && refused.error.contains("0x13400"))
        #expect(!(try scratch.names().contains("out.hrl")))
        #expect(try runTool("hrl-dump", ["forged.hrl"], folder: scratch.folder).exit == 2)
        #expect(try check("--recover", "out.hrl", "--pick", "0x13400", "forged.hrl").exit == 3)
        #expect(
            try runTool("hrl-dump", ["--tsv", "out.hrl"], folder: scratch.folder).output.split(separator: "\n").count
                == 5)
        #expect(try check("--recover", "out.hrl", "-f", "--pick", "77", "forged.hrl").exit == 2)
    }

    @Test func inputsThatAreMissing() throws {
        let result = try check("absent.hrl", "1.hrl")
        #expect(result.exit == 2 && result.output.contains("1.hrl: clean"))
        #expect(result.error == "hrl-check: absent.hrl: open: No such file or directory\n")
        #expect(try check().exit == 64)
        #expect(try check("--pick", "1", "1.hrl").exit == 64)
        #expect(try check("--recover", "x", "1.hrl", "2.hrl").exit == 64)
    }
}
