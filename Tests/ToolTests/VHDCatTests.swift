import BlockIO
import ByteCodec
import Digest
import DiskModel
import Foundation
import ImageChain
import Testing
import ToolTesting
import VHD
import VHDX

/// The built vhdcat and vhdmap.
@Suite struct VHDCatTests {
    private let scratch: Scratch
    private let size: UInt64 = 8 << 20
    /// What the disk holds.
    private let model: [UInt8]

    init() throws {
        scratch = try Scratch()
        var bytes = [UInt8](repeating: 0, count: Int(size))
        for (offset, value) in [(0, UInt8(1)), (1_500_000, 2), (5 << 20, 3), (Int(size) - 512, 4)] {
            for index in offset..<min(offset + 70_000, Int(size)) { bytes[index] = value &+ UInt8(index % 97) }
        }
        model = bytes
        try make("disk.vhdx") { file in
            try VHDXCreator.create(on: file, type: .dynamic, virtualByteCount: size, blockByteCount: 1 << 20)
        }
        try make("disk.vhd") { file in
            try VHDCreator.create(
                on: file, type: .dynamic, virtualByteCount: size, uniqueID: .random(),
                created: DiskTimestamp(rawValue: 1))
        }
    }

    private func make(_ name: String, _ create: (PosixFile) throws -> Void) throws {
        do { try create(try PosixFile(scratch.path(name), .create)) }
        let chain = try ImageChain.open(writing: scratch.path(name))
        for start in stride(from: 0, to: model.count, by: 4096) {
            let piece = Array(model[start..<start + 4096])
            if !isZero(piece.rawBytes) { try chain.write(piece, at: UInt64(start)) }
        }
        try chain.close()
    }

    private func cat(_ arguments: String...) throws -> ProgramResult {
        try runTool("vhdcat", arguments, folder: scratch.folder)
    }

    @Test(arguments: ["disk.vhdx", "disk.vhd"])
    func contents(image: String) throws {
        let before = try fileBytes(scratch.path(image))
        let result = try cat(image)
        #expect(result.exit == 0 && result.error.isEmpty)
        #expect(result.outputBytes == model)
        let part = try cat("--range", "1499999+3", image)
        #expect(part.outputBytes == Array(model[1_499_999..<1_500_002]))
        #expect(try fileBytes(scratch.path(image)) == before)
        #expect(try scratch.names() == ["disk.vhd", "disk.vhdx"])
    }

    @Test func outputFileIsSparseAndHashed() throws {
        let result = try cat("--hash", "sha256,md5", "-o", "out.raw", "disk.vhdx")
        #expect(result.exit == 0)
        #expect(try fileBytes(scratch.path("out.raw")) == model)
        let sum = Digest.hash(.sha256, model.rawBytes).hexadecimal
        #expect(result.output.hasPrefix("\(sum)  disk.vhdx  (sha256)\n"))
        let attributes = try runProgram("/usr/bin/stat", ["-c", "%b", scratch.path("out.raw")])
        #expect(try #require(Int(attributes.output.dropLast())) * 512 < model.count / 4)
        // An existing output is kept unless -f.
        let again = try cat("-o", "out.raw", "disk.vhd")
        #expect(again.exit == 2 && again.error == "vhdcat: out.raw: create: File exists; use -f to replace it\n")
        #expect(try cat("-f", "-o", "out.raw", "disk.vhd").exit == 0)
    }

    @Test func outputMustNotBeTheInput() throws {
        let before = try fileBytes(scratch.path("disk.vhd"))
        let result = try cat("-f", "-o", "./disk.vhd", "disk.vhd")
        #expect(result.exit == 2)
        #expect(result.error == "vhdcat: ./disk.vhd: the output is the input; choose another output file\n")
        #expect(try fileBytes(scratch.path("disk.vhd")) == before)
    }

    @Test func outputMustNotBeAParent() throws {
        let names = ["fat-parent.vhdx", "fat-differential.vhdx"]
        for name in names {
            guard let source = try Corpus.path(name) else { return }
            try FileManager.default.copyItem(atPath: source, toPath: scratch.path(name))
        }
        let before = try fileBytes(scratch.path(names[0]))
        for style in [[], ["-C"]] {
            let arguments = style + ["-f", "-o", names[0], names[1]]
            let result = try runTool("vhdcat", arguments, folder: scratch.folder)
            #expect(result.exit == 2)
            #expect(
                result.error.hasSuffix(
                    "vhdcat: \(names[0]): the output is a parent of the input; choose another output file\n"))
        }
        #expect(try fileBytes(scratch.path(names[0])) == before)
    }

    @Test func hexdumpIsThatOfHexdump() throws {
        guard let peer = Peer.find("hexdump") ?? Peer.find("hd") else { return }
        let raw = try scratch.write("model.raw", model)
        let wanted = try runProgram(peer, ["-C", raw])
        #expect(try cat("-C", "disk.vhdx").output == wanted.output)
    }

    @Test func badInput() throws {
        _ = try scratch.write("not.vhd", [UInt8](repeating: 7, count: 4096))
        let unknown = try cat("not.vhd")
        #expect(unknown.exit == 2 && unknown.outputBytes.isEmpty)
        #expect(
            unknown.error
                == "vhdcat: not.vhd: neither a VHD nor a VHDX image: no signature; if it is a raw disk image, say --format raw\n"
        )
        #expect(try cat("--format", "raw", "not.vhd").outputBytes == [UInt8](repeating: 7, count: 4096))
        #expect(try cat("missing.vhd").error == "vhdcat: missing.vhd: open: No such file or directory\n")
        #expect(try cat("--format", "vhd", "disk.vhdx").exit == 2)
        #expect(try cat("--range", "8M+1", "disk.vhd").exit == 2)
        #expect(try cat("--range", "nonsense", "disk.vhd").exit == 64)
        #expect(try cat().exit == 64)
        #expect(try cat("--json", "disk.vhd").exit == 64)
        #expect(try cat("--hash", "crc7", "disk.vhd").exit == 64)
    }

    @Test func failureLeavesNoOutput() throws {
        var bytes = try fileBytes(scratch.path("disk.vhdx"))
        // The first block's table entry points past the end of the file.
        bytes[(3 << 20) + 7] = 0x7f
        _ = try scratch.write("bad.vhdx", bytes)
        let result = try cat("-o", "out.raw", "bad.vhdx")
        #expect(result.exit == 2 && result.error.contains("VHDX"))
        #expect(try scratch.names() == ["bad.vhdx", "disk.vhd", "disk.vhdx"])
    }

    @Test func jsonFitsItsSchema() throws {
        let good = try cat("--json", "--hash", "sha1", "-o", "out.raw", "disk.vhdx")
        #expect(good.exit == 0)
        if let complaints = try schemaComplaints(good.output, schema: "vhdcat") { #expect(complaints == "") }
        let bad = try cat("--json", "-o", "out2.raw", "missing.vhdx")
        #expect(bad.exit == 2)
        if let complaints = try schemaComplaints(bad.output, schema: "vhdcat") { #expect(complaints == "") }
    }

    @Test func caseLogIsChained() throws {
        for _ in 0..<2 {
            #expect(try cat("--case-log", "case.log", "--hash", "md5", "-o", "x", "-f", "disk.vhd").exit == 0)
        }
        let lines = try String(contentsOfFile: scratch.path("case.log"), encoding: .utf8).split(separator: "\n")
        #expect(lines.count == 2)
        let sum = Digest.hash(.sha256, Array(lines[0].utf8).rawBytes).hexadecimal
        #expect(lines[0].contains(#""previous_sha256":null"#) && lines[1].contains(#""previous_sha256":"\#(sum)""#))
    }

    @Test func caseLogMustBeOne() throws {
        let text = try scratch.write("notes", Array("one\ntwo\n".utf8))
        let line = #"{"tool":"x","previous_sha256":null}"#
        let unended = try scratch.write("unended", Array(line.utf8))
        let raw = try scratch.write("disk.raw", Array("\(line)\n".utf8) + [UInt8](repeating: 7, count: 3 << 20))
        for path in [text, unended, raw, scratch.path("disk.vhd"), scratch.path("disk.vhdx")] {
            let before = try fileBytes(path)
            let result = try cat("--case-log", path, "-o", "x", "disk.vhd")
            #expect(result.exit == 2)
            #expect(result.error == "vhdcat: \(path): is not a case log; name a new file or a case log\n")
            #expect(try fileBytes(path) == before)
        }
        #expect(!(try scratch.names().contains("x")))
        // What looks like one, or is not there yet, must not be a file of the run. A raw disk has whole sectors.
        let sector = #"{"tool":"\#(String(repeating: "x", count: 480))","previous_sha256":0}"# + "\n"
        let record = try scratch.write("record", Array(sector.utf8))
        let before = try fileBytes(record)
        let asInput = try cat("--case-log", "record", "--format", "raw", "-o", "x", "record")
        #expect(asInput.exit == 2 && asInput.error.contains("record: case log: is a file of this run"))
        #expect(try fileBytes(record) == before)
        let asOutput = try cat("--case-log", "record", "-f", "-o", "./record", "disk.vhd")
        #expect(asOutput.exit == 2 && asOutput.error.contains("./record: the output is the case log"))
        // The refusal is on record.
        #expect(try fileBytes(record).count > before.count)
        #expect(try cat("--case-log", "new", "-o", "new", "disk.vhd").exit == 2)
        #expect(try fileBytes(scratch.path("new")).starts(with: Array(#"{"tool":"#.utf8)))
        #expect(try cat("--case-log", "record", "-o", "y", "disk.vhd").exit == 0)
        #expect(try fileBytes(record).starts(with: before))
    }

    @Test func messagesAreOneSafeLine() throws {
        let name = "a\u{1b}[31m\nb\u{85}.vhd"
        let result = try cat(name)
        #expect(result.error == "vhdcat: a\\u{1b}[31m\\u{a}b\\u{85}.vhd: open: No such file or directory\n")
        try FileManager.default.copyItem(atPath: scratch.path("disk.vhd"), toPath: scratch.path("a\tb\nc.vhd"))
        let rows = try map("--tsv", "--columns", "file,start", "a\tb\nc.vhd").output.split(separator: "\n")
        #expect(rows.dropFirst().allSatisfy { $0.hasPrefix("a\\u{9}b\\u{a}c.vhd\t") && $0.utf8.count < 40 })
    }

    @Test func aPendingLogIsSaidOnce() throws {
        guard let source = try Corpus.path("vhdx-log-replay.vhdx") else { return }
        let result = try map("--tsv", source)
        #expect(result.exit == 0)
        #expect(result.error == "vhdmap: \(source): log pending: replayed in memory, the file is unchanged\n")
    }

    @Test func brokenPipeIsQuiet() throws {
        let result = try runProgram(
            "/bin/bash", ["-c", "\(toolPath("vhdcat")) disk.vhd | head -c 10 | wc -c; echo ${PIPESTATUS[0]}"],
            folder: scratch.folder)
        #expect(result.output == "10\n141\n" && result.error.isEmpty)
    }

    // vhdmap

    private func map(_ arguments: String...) throws -> ProgramResult {
        try runTool("vhdmap", arguments, folder: scratch.folder)
    }

    @Test(arguments: ["disk.vhdx", "disk.vhd"])
    func mapCoversTheDisk(image: String) throws {
        let result = try map("--json", image)
        #expect(result.exit == 0)
        if let complaints = try schemaComplaints(result.output, schema: "vhdmap") {
            #expect(complaints == "")
        }
        let file = try fileBytes(scratch.path(image))
        var position: UInt64 = 0
        for line in result.output.split(separator: "\n").dropFirst().dropLast() {
            let row = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            let (start, length) = (try #require(row["start"] as? UInt64), try #require(row["length"] as? UInt64))
            #expect(start == position)
            let bytes = model[Int(start)..<Int(start + length)]
            if let offset = row["file_offset"] as? UInt64 {
                #expect(row["state"] as? String == "data")
                #expect(file[Int(offset)..<Int(offset + length)].elementsEqual(bytes))
            } else {
                #expect(!bytes.contains { $0 != 0 })
            }
            position = start + length
        }
        #expect(position == size)
    }

    @Test func mapStyles() throws {
        let text = try map("disk.vhdx")
        #expect(text.exit == 0 && text.output.split(separator: "\n").last?.contains("extents: data") == true)
        let tsv = try map("--tsv", "--columns", "state,length", "--range", "2M+1M", "disk.vhdx")
        #expect(tsv.output == "state\tlength\nhole\t1048576\n")
        #expect(try map("--tsv", "--columns", "nothing", "disk.vhdx").exit == 64)
        #expect(try map("--json", "--tsv", "disk.vhdx").exit == 64)
        let missing = try map("--json", "missing")
        #expect(missing.exit == 2)
        let lines = try jsonLines(missing.output)
        #expect(lines.map { $0["type"] as? String } == ["error", "summary"] && lines.last?["exit"] as? Int == 2)
        if let complaints = try schemaComplaints(missing.output, schema: "vhdmap") {
            #expect(complaints == "")
        }
    }

    /// What nothing claims: none in our images; what somebody puts behind a VHDX's last block, and qemu's own gap.
    @Test func unclaimed() throws {
        let none = try map("--unclaimed", "disk.vhdx")
        #expect(none.output == "     FILE OFFSET           LENGTH CONTENTS\n0 unclaimed ranges: 0 B\n")
        var bytes = try fileBytes(scratch.path("disk.vhdx"))
        let end = bytes.count
        bytes += [UInt8].zeros(1 << 20) + [UInt8](repeating: 7, count: 1 << 20)
        _ = try scratch.write("longer.vhdx", bytes)
        let rows = try map("--unclaimed", "--tsv", "longer.vhdx")
        #expect(rows.output == "file_offset\tlength\tcontents\tfile\n\(end)\t2097152\tdata\tlonger.vhdx\n")
        let lines = try map("--unclaimed", "--json", "longer.vhdx")
        #expect(lines.output.contains(#""unclaimed":2097152"#))
        let failed = try map("--unclaimed", "--json", "absent.vhdx")
        #expect(failed.exit == 2)
        if let complaints = try schemaComplaints(lines.output + failed.output, schema: "vhdmap") {
            #expect(complaints.isEmpty, "\(complaints)")
        }
        #expect(try map("--unclaimed", "--chain", "disk.vhdx").exit == 64)
    }
}
