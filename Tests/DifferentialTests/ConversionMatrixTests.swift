import BlockIO
import ByteCodec
import DiskModel
import Foundation
import ImageChain
import Testing
import ToolTesting

/// Every real image and every fixture into every format and back, by the built vhdconvert; whoever can read the results
/// must read the same.
@Suite struct ConversionMatrixTests {
    struct Source: CustomStringConvertible, Sendable {
        var path: @Sendable () throws -> String?
        var description: String
    }

    static let sources: [Source] =
        Corpus.expectations.map { expectation in
            Source(path: { try Corpus.path(expectation.file) }, description: expectation.file)
        } + Fixture.names.map { name in Source(path: { try Fixture.path(name) }, description: "Fixtures/\(name)") }

    /// Arguments that make a target, and its format.
    static let targets: [(name: String, arguments: [String], format: ImageFormat)] = [
        ("raw", ["-O", "raw"], .raw), ("dynamic.vhd", [], .vhd), ("small.vhd", ["--block", "512K"], .vhd),
        ("fixed.vhd", ["--fixed"], .vhd), ("dynamic.vhdx", [], .vhdx), ("small.vhdx", ["--block", "1M"], .vhdx),
        ("fixed.vhdx", ["--fixed", "--block", "8M"], .vhdx),
    ]
    /// Hand-edited footers, and a child whose parent's footer was edited.
    private static let accepted = ["--accept", "VHD001,VHD002,VHD003,VHD005,CHAIN001"]
    /// Peers that read every byte do not get larger disks; qemu does so with fixed images.
    private static let peerByteCount: UInt64 = 300 << 20

    @Test(arguments: sources) func everyFormatAndBack(_ source: Source) throws {
        let path = try #require(try source.path())
        let before = try fileBytes(path)
        let scratch = try Scratch(inMemory: true)
        var options = OpenOptions()
        options.accepted = Set(["VHD001", "VHD002", "VHD003", "VHD005", "CHAIN001"].map { FormatError.Code($0) })
        let original = try ImageChain.open(path, options)
        var made: [String] = []
        for target in Self.targets {
            let image = scratch.path(target.name)
            if target.format == .vhd, original.geometry.logicalSectorByteCount != 512 { continue }
            let result = try runTool("vhdconvert", ["-q", path, image] + target.arguments + Self.accepted)
            try #require(result.exit == 0, "\(target.name): \(result.error)")
            try expectEqual(original, image, target.format)
            made.append(target.name)
        }
        // And back: each into each of the others' formats.
        for (from, to) in zip(made, made.dropFirst() + made.prefix(1)) {
            let back = scratch.path("back-" + to)
            let format = Self.targets.first { $0.name == to }!.format
            let result = try runTool(
                "vhdconvert",
                [
                    "-q", "--format", from == "raw" ? "raw" : "vhd\(from.hasSuffix("x") ? "x" : "")",
                    "-O", format.rawValue, scratch.path(from), back,
                ])
            try #require(result.exit == 0, "\(from) to \(to): \(result.error)")
            try expectEqual(original, back, format)
            try FileManager.default.removeItem(atPath: back)
        }
        #expect(try fileBytes(path) == before, "converting changed the source")
        try judge(made, scratch, original.geometry.virtualByteCount)
    }

    private func expectEqual(_ original: ImageChain, _ image: String, _ format: ImageFormat) throws {
        let disk = try ImageChain.open(image, OpenOptions(format: format))
        #expect(disk.geometry.virtualByteCount == original.geometry.virtualByteCount, "\(image)")
        let difference = try firstDifferingByte(between: original, and: disk)
        #expect(difference == nil, "\(image) differs from byte \(difference ?? 0) on")
        #expect(disk.leaf.findings.allSatisfy { $0.severity == .information }, "\(image): \(disk.leaf.findings)")
    }

    private func judge(_ made: [String], _ scratch: Scratch, _ byteCount: UInt64) throws {
        let raw = scratch.path("raw")
        if let qemu = Qemu.find() {
            for name in made where name != "raw" && (!name.hasPrefix("fixed") || byteCount <= Self.peerByteCount) {
                let format: ImageFormat = name.hasSuffix("x") ? .vhdx : .vhd
                try qemu.check(scratch.path(name), format)
                try qemu.compare(scratch.path(name), format, raw: raw)
            }
        }
        guard byteCount <= Self.peerByteCount else { return }
        let expected = try fileBytes(raw)
        if let sevenZip = Peer.find("7z") {
            // 7-Zip opens no VHDX of a size that is not whole MiB, whoever made it.
            for name in made where name.hasSuffix(".vhd") || (name != "raw" && byteCount % (1 << 20) == 0) {
                let type = name.hasSuffix("x") ? "VHDX" : "VHD"
                let result = try runProgram(sevenZip, ["e", "-so", "-t\(type)", scratch.path(name)])
                let same = result.outputBytes == expected
                #expect(result.exit == 0 && same, "\(name): 7z \(result.exit) \(result.error)")
            }
        }
        if let info = Peer.find("vhdiinfo") {
            for name in made where name != "raw" {
                let result = try runProgram(info, [scratch.path(name)])
                #expect(result.exit == 0 && result.output.contains("(\(byteCount) bytes)"), "\(name): \(result.output)")
            }
        }
        try Dissect.expect(made.filter { $0 != "raw" }.map(scratch.path), contents: raw)
    }
}

/// The fixtures, unpacked once.
enum Fixture {
    static let names: [String] = {
        let text = (try? String(contentsOfFile: repositoryFolder + "/Fixtures/MANIFEST.tsv", encoding: .utf8)) ?? ""
        return text.split(separator: "\n").dropFirst().compactMap { $0.split(separator: "\t").first.map(String.init) }
    }()

    private static let folder = try! Scratch()

    static func path(_ name: String) throws -> String {
        let path = folder.path(name)
        if !FileManager.default.fileExists(atPath: path) {
            let unpacked = try runProgram("/bin/gzip", ["-dc", "\(repositoryFolder)/Fixtures/\(name).gz"])
            _ = try folder.write(name, unpacked.outputBytes)
        }
        return path
    }
}

/// dissect.hypervisor, a reader in Python, where `scripts/bootstrap` has put it.
enum Dissect {
    private static let modules = repositoryFolder + "/.build-peers/python"

    /// Expects every image to hold the bytes of a raw file.
    static func expect(_ images: [String], contents raw: String) throws {
        guard FileManager.default.fileExists(atPath: modules + "/.installed") else {
            print("SKIPPED: no dissect.hypervisor in \(modules): comparisons with it do not run (scripts/bootstrap)")
            return
        }
        let program = """
            import sys
            from dissect.hypervisor.disk.vhd import VHD
            from dissect.hypervisor.disk.vhdx import VHDX
            expected = open(sys.argv[1], "rb").read()
            for path in sys.argv[2:]:
                with open(path, "rb") as file:
                    disk = VHDX(file) if path.endswith("x") else VHD(file)
                    disk.seek(0)
                    found = disk.read(disk.size)
                    # It takes a fixed VHD's footer for a part of the disk.
                    if found != expected and found[:len(expected)] + b"" != expected:
                        print(path, len(found), len(expected))
            """
        let result = try runProgram(
            "/usr/bin/python3", ["-c", program, raw] + images, environment: ["PYTHONPATH": modules])
        #expect(result.exit == 0 && result.output.isEmpty, "dissect: \(result.output)\(result.error)")
    }
}
