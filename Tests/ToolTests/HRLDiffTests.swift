import BlockIO
import ByteCodec
import DiskModel
import Foundation
import HRL
import ImageChain
import Testing
import ToolTesting

/// The built hrl-diff.
@Suite struct HRLDiffTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
        for name in ["old.vhdx", "new.vhdx"] {
            try HRLSample.makeDisk(scratch.path(name))
            let chain = try ImageChain.open(writing: scratch.path(name))
            try chain.write([UInt8](repeating: 0x10, count: 1 << 16), at: 3 << 20)
            if name == "new.vhdx" {
                for write in HRLSample.writes {
                    try chain.write([UInt8](repeating: write.value, count: write.count), at: write.offset)
                }
                try chain.writeZeroes((3 << 20)..<(3 << 20) + 8192)
            }
            try chain.close()
        }
    }

    private func diff(_ arguments: String...) throws -> ProgramResult {
        try runTool("hrl-diff", arguments, folder: scratch.folder)
    }

    private func header(_ name: String) throws -> LogHeader {
        try LogReader(try PosixFile(scratch.path(name))).header
    }

    @Test func theLogTurnsOldIntoNew() throws {
        let inputs = try ["old.vhdx", "new.vhdx"].map { try fileBytes(scratch.path($0)) }
        let result = try diff("old.vhdx", "new.vhdx", "-o", "change.hrl")
        #expect(result.exit == 0 && result.error.isEmpty)
        #expect(result.output.hasPrefix("change.hrl: 4 writes, 76.5 KiB (78336 bytes) that differ"), "\(result.output)")
        #expect(try runTool("hrl-check", ["--base", "old.vhdx", "change.hrl"], folder: scratch.folder).exit == 0)
        #expect(try inputs == ["old.vhdx", "new.vhdx"].map { try fileBytes(scratch.path($0)) })
        #expect(
            try header("change.hrl").vhd2DataWriteGUID == ImageChain.open(scratch.path("new.vhdx")).leaf.identity.id)
        #expect(try runTool("hrl-apply", ["--to", "old.vhdx", "change.hrl"], folder: scratch.folder).exit == 0)
        #expect(try HRLSample.contents(scratch.path("old.vhdx")) == HRLSample.contents(scratch.path("new.vhdx")))
        let none = try diff("old.vhdx", "new.vhdx", "-o", "none.hrl")
        #expect(none.exit == 0 && none.output.contains("without writes"))
        #expect(try runTool("hrl-check", ["none.hrl"], folder: scratch.folder).exit == 0)
    }

    @Test func rawAndImagesMix() throws {
        _ = try scratch.write("new.raw", try HRLSample.contents(scratch.path("new.vhdx")))
        #expect(try diff("old.vhdx", "new.raw", "-o", "change.hrl").exit == 2)
        #expect(try diff("--format", "raw", "old.vhdx", "new.raw", "-o", "change.hrl").exit == 0)
        #expect(try header("change.hrl").vhd2DataWriteGUID == .zero)
        #expect(try runTool("hrl-apply", ["--to", "old.vhdx", "change.hrl"], folder: scratch.folder).exit == 0)
        #expect(try HRLSample.contents(scratch.path("old.vhdx")) == fileBytes(scratch.path("new.raw")))
    }

    @Test func chained() throws {
        _ = try scratch.write("1.hrl", try HRLSample.log())
        _ = try scratch.write("open.hrl", try HRLSample.log(isClosed: false))
        #expect(try diff("--after", "1.hrl", "old.vhdx", "new.vhdx", "-o", "2.hrl").exit == 0)
        #expect(try header("2.hrl").previousUniqueID == HRLSample.first)
        #expect(try runTool("hrl-check", ["2.hrl", "1.hrl"], folder: scratch.folder).exit == 0)
        let refused = try diff("--after", "open.hrl", "old.vhdx", "new.vhdx", "-o", "3.hrl")
        #expect(
            refused.exit == 2 && refused.error.contains("HRL004") && refused.error.contains("nothing can be chained"))
        #expect(!(try scratch.names().contains { $0.contains("3.hrl") }))
    }

    @Test func timeIdentityAndChecksumsMakeItRepeatable() throws {
        let id = "01234567-89ab-4def-8123-456789abcdef"
        for name in ["a.hrl", "b.hrl"] {
            let result = try diff(
                "--time", "2026-11-22T20:14:03Z", "--unique-id", id, "--data-checksums", "old.vhdx", "new.vhdx", "-o",
                name)
            #expect(result.exit == 0)
        }
        #expect(try fileBytes(scratch.path("a.hrl")) == fileBytes(scratch.path("b.hrl")))
        #expect(try header("a.hrl").uniqueID == GUID(id))
        let lines = try jsonLines(try runTool("hrl-dump", ["--json", "a.hrl"], folder: scratch.folder).output)
        #expect(lines[1]["time"] as? String == "2026-11-22T20:14:03Z" && lines[1]["data_checksum"] as? String == "ok")
    }

    @Test func wholeOrAbsent() throws {
        let old = try fileBytes(scratch.path("old.vhdx"))
        for output in ["old.vhdx", "new.vhdx", "./old.vhdx"] {
            let result = try diff("-f", "old.vhdx", "new.vhdx", "-o", output)
            #expect(result.exit == 2 && result.error.contains("the output is the input"))
        }
        #expect(try fileBytes(scratch.path("old.vhdx")) == old)
        _ = try scratch.write("there.hrl", [1, 2, 3])
        #expect(try diff("old.vhdx", "new.vhdx", "-o", "there.hrl").exit == 2)
        #expect(try fileBytes(scratch.path("there.hrl")) == [1, 2, 3])
        #expect(try diff("-f", "old.vhdx", "new.vhdx", "-o", "there.hrl").exit == 0)
        try HRLSample.makeDisk(scratch.path("small.vhdx"), byteCount: 4 << 20)
        let sizes = try diff("small.vhdx", "new.vhdx", "-o", "sizes.hrl")
        #expect(sizes.exit == 2 && sizes.error.contains("a log cannot change a disk's size"))
        #expect(try diff("absent.vhdx", "new.vhdx", "-o", "sizes.hrl").exit == 2)
        let trial = try diff("--dry-run", "old.vhdx", "new.vhdx", "-o", "trial.hrl")
        #expect(trial.exit == 0 && trial.output.contains("trial.hrl: would have 4 writes"))
        #expect(try scratch.names() == ["new.vhdx", "old.vhdx", "small.vhdx", "there.hrl"])
    }

    @Test func usage() throws {
        for arguments in [
            ["old.vhdx", "new.vhdx"], ["old.vhdx", "-o", "x"], ["--unique-id", "7", "old.vhdx", "new.vhdx", "-o", "x"],
            ["--time", "1999-01-01T00:00:00Z", "old.vhdx", "new.vhdx", "-o", "x"],
        ] {
            #expect(try runTool("hrl-diff", arguments, folder: scratch.folder).exit == 64)
        }
    }
}
