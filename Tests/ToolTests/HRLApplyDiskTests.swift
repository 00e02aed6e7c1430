import BlockIO
import ByteCodec
import DiskModel
import HRL
import ImageChain
import Testing
import ToolTesting

/// An undo log belongs to its disk: the built hrl-apply with two images and one UNDO.
@Suite struct HRLApplyDiskTests {
    enum Kind: String, CaseIterable, Sendable {
        case raw, fixedVHD, dynamicVHD, fixedVHDX, dynamicVHDX, childVHD, childVHDX

        var single: TestImageKind? { TestImageKind(rawValue: rawValue) }
        var format: ImageFormat { self == .childVHD ? .vhd : .vhdx }
    }

    private let scratch: Scratch
    init() throws {
        scratch = try Scratch()
        _ = try scratch.write("1.hrl", try HRLSample.log(after: HRLSample.third))
    }

    private func apply(_ arguments: [String]) throws -> ProgramResult {
        try runTool("hrl-apply", arguments, folder: scratch.folder)
    }
    private func file(_ name: String) throws -> [UInt8] { try fileBytes(scratch.path(name)) }

    private func make(_ name: String, _ kind: Kind, _ value: UInt8) throws {
        let path = scratch.path(name)
        if let kind = kind.single {
            try kind.make(path, byteCount: HRLSample.diskByteCount)
        } else {
            var chain = SmallChain(kind.format, in: scratch, byteCount: HRLSample.diskByteCount)
            try chain.add("base of " + name)
            try chain.add(name)
        }
        let chain = try ImageChain.open(writing: path, options(kind))
        try chain.write([UInt8](repeating: value, count: 5 << 20), at: 4096)
        try chain.close()
    }

    private func options(_ kind: Kind) -> OpenOptions { OpenOptions(format: kind == .raw ? .raw : nil) }
    private func contents(_ name: String, _ kind: Kind) throws -> [UInt8] {
        try ImageChain.open(scratch.path(name), options(kind)).bytes(at: 0, count: Int(HRLSample.diskByteCount))
    }

    /// Two images; both show the logs' bytes, and the undo log is the first one's.
    @Test(arguments: Kind.allCases) func ofAnotherDisk(kind: Kind) throws {
        try make("a", kind, 0xaa)
        try make("b", kind, 0xbb)
        let arguments = kind.single?.options ?? []
        let before = try contents("a", kind)
        #expect(try apply(arguments + ["--to", "a", "--undo", "undo.hrl", "1.hrl"]).exit == 0)
        #expect(try apply(arguments + ["--to", "b", "1.hrl"]).exit == 0)
        let (undo, b) = (try file("undo.hrl"), try file("b"))
        for dry in [[], ["--dry-run"]] {
            let refused = try apply(arguments + dry + ["--to", "b", "--undo", "undo.hrl", "1.hrl"])
            let what = kind == .raw ? "is of another disk, or of another time" : "is the undo log of another disk, "
            #expect(refused.exit == 2 && refused.error.contains("undo.hrl: exists and \(what)"), "\(refused.error)")
            #expect(refused.error.contains("; name another file; -f ") && refused.output.isEmpty)
            #expect(try file("undo.hrl") == undo && file("b") == b)
        }
        // Applied to the other one, it would bring the first one's bytes.
        if kind != .raw {
            let wrong = try apply(arguments + ["--to", "b", "undo.hrl"])
            #expect(wrong.exit == 2 && wrong.error.contains("HRL048: DiskId is "), "\(wrong.error)")
            #expect(wrong.error.contains("--accept HRL048 applies it all the same"))
            #expect(try file("b") == b)
            let accepted = try apply(arguments + ["--accept", "HRL048", "--dry-run", "--to", "b", "undo.hrl"])
            #expect(accepted.exit == 0 && accepted.error.contains("HRL048: DiskId is "), "\(accepted.error)")
        }
        // Its own disk it serves on.
        let again = try apply(arguments + ["--to", "a", "--undo", "undo.hrl", "1.hrl"])
        #expect(again.exit == 0 && again.output.contains("kept as an earlier run saved it"), "\(again.error)")
        #expect(try apply(arguments + ["--to", "a", "undo.hrl"]).exit == 0)
        #expect(try contents("a", kind) == before)
    }

    @Test func checkersFindNothing() throws {
        try make("a", .dynamicVHDX, 0xaa)
        #expect(try apply(["--to", "a", "--undo", "undo.hrl", "1.hrl"]).exit == 0)
        let check = try runTool("hrl-check", ["undo.hrl"], folder: scratch.folder)
        #expect(check.exit == 0 && check.output.hasPrefix("undo.hrl: clean\n") && check.error.isEmpty)
        let dump = try runTool("hrl-dump", ["undo.hrl"], folder: scratch.folder)
        #expect(dump.exit == 0 && dump.error.isEmpty, "\(dump.error)")
        let back = try apply(["--to", "a", "undo.hrl"])
        #expect(back.exit == 0 && back.error.isEmpty, "\(back.error)")
    }

    /// Two sectors of an entry change places, which the sums of the format do not see.
    @Test func swappedSectors() throws {
        try make("a", .dynamicVHDX, 0xaa)
        do {
            let chain = try ImageChain.open(writing: scratch.path("a"))
            try chain.write([UInt8](repeating: 0x99, count: 512), at: 1 << 20)
            try chain.close()
        }
        #expect(try apply(["--to", "a", "--undo", "undo.hrl", "1.hrl"]).exit == 0)
        var undo = try file("undo.hrl")
        // One such byte may stand in an id.
        let sector = [UInt8](repeating: 0x99, count: 512)
        let place = try #require(
            stride(from: 0, to: undo.count - 1024, by: 512).first { Array(undo[$0..<$0 + 512]) == sector })
        #expect(undo[place + 512] == 0xaa)
        for index in place..<place + 512 { undo.swapAt(index, index + 512) }
        _ = try scratch.write("undo.hrl", undo)
        let image = try file("a")
        let check = try runTool("hrl-check", ["undo.hrl"], folder: scratch.folder)
        #expect(check.exit == 0, "\(check.output)")
        for command in [["undo.hrl"], ["--undo", "undo.hrl", "1.hrl"]] {
            let refused = try apply(["--to", "a"] + command)
            #expect(refused.exit == 2 && refused.error.contains("HRL049: ContentDigest is not"), "\(refused.error)")
            #expect(try file("a") == image && file("undo.hrl") == undo)
        }
        #expect(try apply(["--accept", "HRL049", "--to", "a", "undo.hrl"]).exit == 0)
    }
}
