import BlockIO
import ByteCodec
import Digest
import DiskModel
import FaultInjection
import Foundation
import ImageChain
import Testing
import ToolTesting
import VHD
import VHDX

/// The built vhdcompare.
@Suite struct VHDCompareTests {
    private let scratch: Scratch
    private static let size = 8 << 20
    /// What the disks hold.
    private let model: [UInt8]

    init() throws {
        scratch = try Scratch()
        var random = SplitMix(seed: 11)
        var bytes = [UInt8].zeros(Self.size)
        for (offset, count) in [(0, 3000), (1_500_000, 700_000), (5 << 20, 1 << 20), (Self.size - 512, 512)] {
            bytes.replaceSubrange(offset..<offset + count, with: random.bytes(count))
        }
        model = bytes
        try make("disk.vhdx", bytes)
        try make("disk.vhd", bytes)
        try make("disk.raw", bytes)
    }

    /// A sparse image with these contents.
    private func make(_ name: String, _ contents: [UInt8]) throws {
        let path = scratch.path(name)
        try? FileManager.default.removeItem(atPath: path)
        do {
            let file = try PosixFile(path, .create)
            let size = UInt64(contents.count)
            if name.hasSuffix("vhdx") {
                try VHDXCreator.create(on: file, type: .dynamic, virtualByteCount: size, blockByteCount: 1 << 20)
            } else if name.hasSuffix("vhd") {
                try VHDCreator.create(
                    on: file, type: .dynamic, virtualByteCount: size, uniqueID: .random(),
                    created: DiskTimestamp(rawValue: 1))
            } else {
                try file.resize(to: size)
            }
        }
        let chain = try ImageChain.open(writing: path, OpenOptions(format: name.hasSuffix("raw") ? .raw : nil))
        for start in stride(from: 0, to: contents.count, by: 4096) {
            let piece = Array(contents[start..<min(start + 4096, contents.count)])
            if !isZero(piece.rawBytes) { try chain.write(piece, at: UInt64(start)) }
        }
        try chain.close()
    }

    private func run(_ arguments: String...) throws -> ProgramResult {
        try runTool("vhdcompare", ["--format", "raw"] + arguments, folder: scratch.folder)
    }

    private func result(_ arguments: String..., exit: Int32) throws -> [String: Any] {
        let run = try runTool("vhdcompare", ["--json", "--format", "raw"] + arguments, folder: scratch.folder)
        #expect(run.exit == exit, "\(run.error)")
        if let complaints = try schemaComplaints(run.output, schema: "vhdcompare") { #expect(complaints == "") }
        let document = try #require(try jsonLines(run.output).first)
        #expect(document["exit"] as? Int32 == exit)
        return document["result"] as? [String: Any] ?? [:]
    }

    static let names = ["disk.raw", "disk.vhd", "disk.vhdx"]

    @Test(arguments: names, names)
    func equalDisks(a: String, b: String) throws {
        let before = try Self.names.map { try fileBytes(scratch.path($0)) }
        let text = try run(a, b)
        #expect(text.exit == 0 && text.error == "")
        #expect(text.output.hasPrefix("\(a) and \(b) are equal\n  compared: "))
        #expect(try run("-q", a, b).output == "\(a) and \(b) are equal\n")
        #expect(try run("--first", a, b).exit == 0)
        let result = try result(a, b, exit: 0)
        #expect(result["equal"] as? Bool == true && result["first_difference"] is NSNull)
        #expect(result["differing_bytes"] as? Int == 0)
        let counts = ["compared_bytes", "zero_bytes", "shared_bytes"].compactMap { result[$0] as? Int }
        #expect(counts.reduce(0, +) == Self.size)
        #expect((counts[2] > 0) == (a == b))
        #expect(try Self.names.map { try fileBytes(scratch.path($0)) } == before)
        #expect(try scratch.names() == Self.names)
    }

    /// One byte, at the first and the last byte of the disk, of a sector, of what is read at once; in stored bytes and in
    /// holes; both ways round.
    @Test(arguments: [0, 511, 512, 4096, 262_143, 262_144, (1 << 20) - 1, 1 << 20, 1_500_000, 8_388_607])
    func oneByte(place: Int) throws {
        var bytes = model
        bytes[place] ^= 0x10
        try make("other.vhdx", bytes)
        for image in Self.names {
            for pair in [[image, "other.vhdx"], ["other.vhdx", image]] {
                let text = try run("--list", "5", pair[0], pair[1])
                #expect(text.exit == 1 && text.error == "")
                let lines = text.output.split(separator: "\n")
                #expect(lines[0] == "\(pair[0]) and \(pair[1]) differ")
                #expect(
                    lines[1]
                        == "  first difference: at \(place)\(place == 0 ? " (0x0)" : " (0x\(String(place, radix: 16)))")"
                )
                #expect(lines[2] == "  differing: 1 byte in 1 sector of 512 bytes, in 1 range")
                #expect(lines[3] == "  \(place / 512 * 512)+512")
            }
        }
        #expect(try run("-q", "--first", "disk.vhdx", "other.vhdx").output == "disk.vhdx and other.vhdx differ\n")
        let first = try result("--first", "disk.vhd", "other.vhdx", exit: 1)
        #expect(first["first_difference"] as? Int == place && first["differing_bytes"] is NSNull)
    }

    /// Sizes that differ: by a sector, with zeros or with data there.
    @Test func sizes() throws {
        try make("longer.vhdx", model + .zeros(512))
        var stored = model + .zeros(512)
        stored[stored.count - 1] = 1
        try make("stored.vhdx", stored)
        try make("shorter.raw", Array(model.dropLast(512)))

        let text = try run("disk.vhd", "longer.vhdx")
        #expect(text.exit == 1)
        #expect(
            text.output.hasPrefix(
                """
                disk.vhd and longer.vhdx differ
                  sizes: 8 MiB (8388608 bytes) and 8 MiB (8389120 bytes)
                  contents: equal up to the shorter one's end, and zeros from there on
                """))
        let ignored = try run("--ignore-size", "longer.vhdx", "disk.raw")
        #expect(ignored.exit == 0 && ignored.output.contains("(8388608 bytes), ignored\n"))
        for (other, first) in [("stored.vhdx", stored.count - 1), ("shorter.raw", Self.size - 512)] {
            for pair in [["disk.vhd", other], [other, "disk.vhd"]] {
                for arguments in [[], ["--ignore-size"]] {
                    let run = try runTool(
                        "vhdcompare", ["--json", "--format", "raw"] + arguments + pair, folder: scratch.folder)
                    #expect(run.exit == 1)
                    let found = try #require(try jsonLines(run.output).first?["result"] as? [String: Any])
                    #expect(found["first_difference"] as? Int == first, "\(pair)")
                }
            }
        }
        // Nothing is read where the sizes tell.
        let quick = try result("--first", "disk.vhd", "longer.vhdx", exit: 1)
        #expect(quick["compared_bytes"] as? Int == 0 && quick["sizes_equal"] as? Bool == false)
        #expect(try run("--first", "disk.vhd", "longer.vhdx").output.contains("contents: not compared"))
        // A range must lie on both.
        #expect(try run("--range", "0+8M", "disk.vhd", "stored.vhdx").exit == 0)
        let outside = try run("--range", "8M+512", "disk.vhd", "stored.vhdx")
        #expect(outside.exit == 2)
        #expect(
            outside.error
                == "vhdcompare: disk.vhd: --range 8388608+512 goes past the end of this disk of 8388608 bytes; "
                + "--ignore-size takes what lies past an end as zeros\n")
        #expect(try run("--ignore-size", "--range", "8M+512", "disk.vhd", "stored.vhdx").exit == 1)
        #expect(try run("--ignore-size", "--range", "8M+1024", "disk.vhd", "stored.vhdx").exit == 2)
    }

    /// Random sparse disks: the same verdict as qemu-img, and as cmp(1) of the contents.
    @Test(arguments: [UInt64(1), UInt64.random(in: 0 ... .max)])
    func peersAgree(seed: UInt64) throws {
        guard let qemu = Peer.find("qemu-img"), let cmp = Peer.find("cmp") else { return }
        var random = SplitMix(seed: seed)
        for round in 0..<6 {
            var a = [UInt8].zeros(512 * Int.random(in: 1...8000, using: &random))
            for _ in 0..<Int.random(in: 0...5, using: &random) { fill(&a, &random) }
            var b = a
            if Bool.random(using: &random) { fill(&b, &random) }
            if Int.random(in: 0..<3, using: &random) == 0 { b += .zeros(512 * Int.random(in: 1...300, using: &random)) }
            let names = (0..<2).map { _ in ["raw", "vhd", "vhdx"].randomElement(using: &random)! }
            let (nameA, nameB) = ("a.\(names[0])", "b.\(names[1])")
            try make(nameA, a)
            try make(nameB, b)
            let note: Comment = "seed \(seed), round \(round): \(nameA) \(nameB)"
            let drivers = names.map { $0 == "vhd" ? "vpc" : $0 }
            for arguments in [[], ["--ignore-size"]] {
                let ours = try runTool(
                    "vhdcompare", ["--format", "raw"] + arguments + [nameA, nameB], folder: scratch.folder)
                let wanted = a == b || (arguments != [] && a + .zeros(b.count - a.count) == b)
                #expect(ours.exit == (wanted ? 0 : 1), note)
                #expect(ours.error == "", note)
            }
            // qemu goes by the geometry of dynamic VHDs, unless told otherwise.
            let theirs = try runProgram(
                qemu,
                ["compare", "--image-opts"]
                    + zip(drivers, [nameA, nameB]).map { driver, name in
                        "driver=\(driver),file.filename=\(name)\(driver == "vpc" ? ",force_size_calc=current_size" : "")"
                    }, folder: scratch.folder)
            #expect(theirs.exit == (try run("--ignore-size", nameA, nameB).exit), note)
            _ = try scratch.write("a.bytes", a)
            _ = try scratch.write("b.bytes", b + .zeros(max(0, a.count - b.count)))
            let bytes = try runProgram(cmp, ["-l", "-n", "\(a.count)", "a.bytes", "b.bytes"], folder: scratch.folder)
            let range = "0+\(a.count)"
            let found = try result("--range", range, nameA, nameB, exit: bytes.exit)
            let lines = bytes.output.split(separator: "\n")
            #expect(found["differing_bytes"] as? Int == lines.count, note)
            #expect(
                found["first_difference"] as? Int
                    == lines.first.flatMap { Int($0.split(separator: " ")[0]) }.map { $0 - 1 }, note)
        }
    }

    private func fill(_ bytes: inout [UInt8], _ random: inout SplitMix) {
        let start = Int.random(in: 0..<bytes.count, using: &random)
        let count = min(bytes.count - start, Int.random(in: 1...200_000, using: &random))
        bytes.replaceSubrange(start..<start + count, with: random.bytes(count))
    }

    @Test func hashesAreThoseOfTheContents() throws {
        try make("longer.vhdx", model + .zeros(512))
        let found = try result("--hash", "sha256,md5", "disk.vhd", "longer.vhdx", exit: 1)
        let images = try #require(found["images"] as? [[String: Any]])
        for (image, contents) in zip(images, [model, model + .zeros(512)]) {
            let hashes = try #require(image["hashes"] as? [String: String])
            #expect(hashes["sha256"] == Digest.hash(.sha256, contents.rawBytes).hexadecimal)
            #expect(hashes["md5"] == Digest.hash(.md5, contents.rawBytes).hexadecimal)
        }
        let text = try run("--hash", "sha1", "disk.raw", "disk.raw")
        let sum = Digest.hash(.sha1, model.rawBytes).hexadecimal
        #expect(text.output.hasSuffix("  \(sum)  disk.raw  (sha1)\n  \(sum)  disk.raw  (sha1)\n"))
    }

    /// A child against its parent: what they share is not read.
    @Test func chainsShareTheirParents() throws {
        for name in ["fat-parent.vhdx", "fat-differential.vhdx"] {
            guard let source = try Corpus.path(name) else { return }
            try FileManager.default.copyItem(atPath: source, toPath: scratch.path(name))
        }
        let child = try result("fat-differential.vhdx", "fat-differential.vhdx", exit: 0)
        #expect(child["compared_bytes"] as? Int == 0)
        let found = try runTool(
            "vhdcompare", ["--json", "fat-parent.vhdx", "fat-differential.vhdx"], folder: scratch.folder)
        let document = try #require(try jsonLines(found.output).first?["result"] as? [String: Any])
        let contents = try ["fat-parent.vhdx", "fat-differential.vhdx"].map {
            try runTool("vhdcat", [$0], folder: scratch.folder).outputBytes
        }
        #expect(found.exit == (contents[0] == contents[1] ? 0 : 1))
        #expect(document["differing_bytes"] as? Int == zip(contents[0], contents[1]).count { $0 != $1 })
        #expect(try #require(document["shared_bytes"] as? Int) > 0)
        try FileManager.default.removeItem(atPath: scratch.path("fat-parent.vhdx"))
        let missing = try run("disk.raw", "fat-differential.vhdx")
        #expect(missing.exit == 2 && missing.error.contains("its parent"))
    }

    @Test func pendingLogs() throws {
        guard let source = try Corpus.path("vhdx-log-replay.vhdx") else { return }
        let text = try runTool("vhdcompare", [source, source])
        #expect(text.exit == 0)
        let note = "vhdcompare: \(source): log pending: replayed in memory, the file is unchanged\n"
        #expect(text.error == note + note)
    }

    @Test func badInput() throws {
        let noFormat = try runTool("vhdcompare", ["disk.vhd", "disk.raw"], folder: scratch.folder)
        #expect(noFormat.exit == 2 && noFormat.output == "")
        #expect(noFormat.error.contains("disk.raw: neither a VHD nor a VHDX image: no signature; if it is a raw"))
        let one = try runTool("vhdcompare", ["--format-b", "raw", "disk.vhd", "disk.raw"], folder: scratch.folder)
        #expect(one.exit == 0)
        #expect(
            try runTool("vhdcompare", ["--format-a", "raw", "disk.vhd", "disk.raw"], folder: scratch.folder).exit == 2)
        #expect(try run("--format-a", "vhdx", "disk.vhd", "disk.raw").exit == 2)
        #expect(try result("absent", "disk.vhd", exit: 2).isEmpty)
        for arguments in [
            ["disk.vhd"], ["--list", "0", "disk.vhd", "disk.vhd"], ["--list", "10001", "disk.vhd", "disk.vhd"],
            ["--first", "--list", "1", "disk.vhd", "disk.vhd"], ["--first", "--hash", "md5", "disk.vhd", "disk.vhd"],
            ["--range", "x", "disk.vhd", "disk.vhd"],
        ] {
            #expect(try runTool("vhdcompare", arguments, folder: scratch.folder).exit == 64, "\(arguments)")
        }
    }

    @Test func progressLinesAndCaseLog() throws {
        let command = "\(toolPath("vhdcompare")) --case-log case.log --progress 3 disk.vhd disk.vhdx 3>&1 >/dev/null"
        let lines = try runProgram("/bin/bash", ["-c", command], folder: scratch.folder).output.split(separator: "\n")
        #expect(lines.last == "100/100" && lines.allSatisfy { $0.hasSuffix("/100") })
        let log = try String(contentsOfFile: scratch.path("case.log"), encoding: .utf8)
        #expect(
            log.contains(#""path":"disk.vhd""#) && log.contains(#""path":"disk.vhdx""#) && log.contains(#""exit":0"#))
    }
}
