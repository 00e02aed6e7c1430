import Foundation
import Testing
import ToolTesting

/// The built vhdcreate.
@Suite struct VHDCreateTests {
    private let scratch = try! Scratch()

    private func create(_ arguments: String...) throws -> ProgramResult {
        try runTool("vhdcreate", arguments, folder: scratch.folder)
    }

    /// Everybody sees the exact size.
    @Test(
        arguments: [
            (["a.vhd"], 104_857_600), (["a.vhd", "--block", "512K"], 512), (["--fixed", "a.vhd"], 10_485_760),
            (["a.vhd"], 2_190_433_320_960), (["a.vhdx"], 68_719_476_736),
            (["--fixed", "--block", "1M", "a.vhdx"], 5_243_392),
            (["--sector", "4096", "--block", "256M", "a.vhdx"], 70_368_744_177_664), (["-O", "raw", "a"], 1_000_448),
            (["--fixed", "a.vhd"], 3_298_534_883_328),
        ] as [([String], Int)])
    func sizes(_ arguments: [String], _ size: Int) throws {
        let result = try runTool("vhdcreate", arguments + ["\(size)"], folder: scratch.folder)
        #expect(result.exit == 0 && result.error.isEmpty, "\(result.error)")
        let name = try #require(arguments.first { $0.hasPrefix("a") })
        let path = scratch.path(name)
        #expect(try scratch.names() == [name])
        let told = try runTool("vhdinfo", ["--format", "raw", "--field", "virtual_size", path])
        #expect(told.output == "\(size)\n", "\(told)")
        let format = name.hasSuffix("x") ? "vhdx" : name == "a" ? "raw" : "vpc"
        // qemu knows no sectors of 4096 bytes in a VHDX, and no fixed VHD above 2040 GiB.
        if !arguments.contains("4096"), size <= 2_190_433_320_960, let qemu = Peer.find("qemu-img") {
            let seen = try runProgram(qemu, ["info", "-f", format, "--output=json", path])
            #expect(seen.output.contains("\"virtual-size\": \(size)"), "\(seen.output)\(seen.error)")
            if format == "vhdx" { #expect(try runProgram(qemu, ["check", "-q", path]).exit == 0) }
        }
        if let info = Peer.find("vhdiinfo"), format != "raw", size <= 2_190_433_320_960 {
            #expect(try runProgram(info, [path]).output.contains("(\(size) bytes)"))
        }
    }

    @Test func sameByteForByte() throws {
        let fixed = [
            "--id", "11111111-2222-3333-4444-555555555555", "--time", "2026-01-01T00:00:00Z",
        ]
        for (name, more) in [("a.vhd", []), ("b.vhdx", ["--write-id", "{aaaaaaaa-2222-3333-4444-555555555555}"])] {
            #expect(try runTool("vhdcreate", fixed + more + [name, "64M"], folder: scratch.folder).exit == 0)
            let first = try fileBytes(scratch.path(name))
            #expect(try runTool("vhdcreate", fixed + more + ["-f", name, "64M"], folder: scratch.folder).exit == 0)
            #expect(try fileBytes(scratch.path(name)) == first)
            #expect(try create("-f", name, "64M").exit == 0)
            #expect(try fileBytes(scratch.path(name)) != first)
        }
    }

    @Test func refused() throws {
        func expect(_ arguments: [String], _ line: String, exit: Int32 = 2) throws {
            let result = try runTool("vhdcreate", arguments, folder: scratch.folder)
            #expect(result.exit == exit && result.output.isEmpty, "\(arguments): \(result)")
            #expect(result.error == "vhdcreate: \(line)\n" || exit == 64, "\(result.error)")
            #expect(try scratch.names() == ["there.vhdx"])
        }
        _ = try scratch.write("there.vhdx", [1])
        try expect(["there.vhdx", "1G"], "there.vhdx: create: File exists; use -f to replace it")
        try expect(
            ["disk", "1G"], "disk: its name does not say what format it is to have; add -O vhdx, vhd or raw")
        try expect(
            ["a.vhd", "1000"],
            "a.vhd: a disk of 1000 bytes is no whole number of 512-byte sectors; the nearest sizes are 512 and 1024")
        try expect(["a.vhd", "3T"], "a.vhd: a dynamic VHD has 2040 GiB at most; choose VHDX: -O vhdx, or --fixed")
        try expect(["a.vhdx", "65T"], "a.vhdx: a VHDX has 64 TiB at most")
        try expect(
            ["--block", "1M", "a.vhd", "1G"], "a.vhd: a block of 1048576 bytes: a VHD image has 512 KiB or 2 MiB")
        try expect(
            ["--sector", "4096", "a.vhd", "1G"], "a.vhd: VHD images have sectors of 512 bytes; choose VHDX: -O vhdx")
        try expect(["--preallocate", "a.vhdx", "1G"], "a.vhdx: --preallocate goes with --fixed")
        try expect(["--dynamic", "a.raw", "1G"], "a.raw: a raw image is never dynamic")
        try expect(["no/a.vhdx", "1G"], "no/a.vhdx: create: No such file or directory")
        try expect(["--fixed", "--dynamic", "a.vhdx", "1G"], "", exit: 64)
        try expect(["--sector", "520", "a.vhdx", "1G"], "", exit: 64)
        try expect(["a.vhdx", "1Q"], "", exit: 64)
        try expect(["a.vhdx"], "", exit: 64)
        #expect(try fileBytes(scratch.path("there.vhdx")) == [1])
    }

    @Test func dryRunAndReserved() throws {
        let dry = try create("--dry-run", "a.vhdx", "1G")
        #expect(dry.output == "a.vhdx: would make VHDX, dynamic, 1 GiB (1073741824 bytes), blocks of 32 MiB\n")
        #expect(try scratch.names() == [])
        for (name, extra) in [("a.vhd", 512), ("a.vhdx", 0)] {
            #expect(try create("--fixed", "--preallocate", name, "8M").exit == 0)
            let blocks = try runProgram("/usr/bin/stat", ["-c", "%b", scratch.path(name)]).output.dropLast()
            #expect(try #require(Int(blocks)) * 512 >= (8 << 20) + extra)
        }
    }

    @Test func documents() throws {
        let made = try create("--json", "a.vhd", "1G").output + create("--json", "--dry-run", "b.vhdx", "1G").output
        let failed = try create("--json", "a.vhd", "1G")
        #expect(failed.exit == 2)
        guard let complaints = try schemaReport(made + failed.output, schema: "vhdcreate") else { return }
        #expect(complaints == "3 documents\n")
    }
}
