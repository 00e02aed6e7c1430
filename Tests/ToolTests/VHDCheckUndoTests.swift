import BlockIO
import Foundation
import Testing
import ToolTesting
import VHD

/// Undo files of repairs that ended before they saved anything.
@Suite struct VHDCheckUndoTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func run(_ arguments: String..., folder: String? = nil) throws -> ProgramResult {
        try runTool("vhdcheck", arguments, folder: folder ?? scratch.folder)
    }

    /// A VHD whose copy of the footer is damaged.
    private func makeDamaged(_ path: String) throws -> [UInt8] {
        #expect(try runTool("vhdcreate", ["-q", path, "8M"]).exit == 0)
        do { try PosixFile(path, .write).write([0x78, 0x79], at: 0) }
        return try fileBytes(path)
    }

    /// As a repair leaves it that is killed just after it made its undo file.
    private func makeEmpty(_ name: String, permissions: Int = 0o600) throws {
        let path = try scratch.write(name, [])
        try FileManager.default.setAttributes([.posixPermissions: permissions], ofItemAtPath: path)
    }

    @Test func nothingToPutBack() throws {
        let before = try makeDamaged(scratch.path("disk.vhd"))
        let first = Array(#"{"type":"undo","version":1,"size":2560,"head":"01"#.utf8)
        for (name, bytes) in [("none", []), ("part", first), ("start", Array(first.prefix(3)))] {
            _ = try scratch.write(name, bytes)
            for options in [[], ["--dry-run"]] {
                let text = try runTool("vhdcheck", options + ["--undo", name, "disk.vhd"], folder: scratch.folder)
                #expect(text.exit == 0 && text.error.isEmpty, "\(text.error)")
                #expect(text.output.hasPrefix("disk.vhd: nothing to put back: the repair of \(name) ended before "))
            }
            let document = try run("--json", "--undo", name, "disk.vhd")
            #expect(document.exit == 0)
            if let complaints = try schemaComplaints(document.output, schema: "vhdcheck") { #expect(complaints == "") }
            #expect(document.output.contains(#""saved_bytes":0"#) && document.output.contains(#""image_name":null"#))
            #expect(try fileBytes(scratch.path(name)) == bytes)
        }
        for bytes in [[0, 0, 0], Array("{}".utf8), first + [0], first + Array("\n".utf8)] {
            _ = try scratch.write("other", bytes)
            let refused = try run("--undo", "other", "disk.vhd")
            #expect(refused.exit == 2 && refused.error.contains("UNDO001"), "\(refused.error)")
        }
        #expect(try fileBytes(scratch.path("disk.vhd")) == before)
    }

    @Test func anEmptyOneIsTaken() throws {
        let before = try makeDamaged(scratch.path("disk.vhd"))
        try makeEmpty("disk.vhd.undo")
        #expect(try run("--repair=safe", "disk.vhd").output.contains("--undo disk.vhd.undo disk.vhd"))
        #expect(try scratch.names() == ["disk.vhd", "disk.vhd.undo"])
        #expect(try run("--undo", "disk.vhd.undo", "disk.vhd").exit == 0)
        #expect(try fileBytes(scratch.path("disk.vhd")) == before)
        try makeEmpty("saved")
        #expect(try run("--repair=safe", "--undo-file", "saved", "disk.vhd").exit == 0)
        #expect(try run("--undo", "saved", "disk.vhd").exit == 0)
        #expect(try fileBytes(scratch.path("disk.vhd")) == before)
    }

    /// What may be another's is left alone: open to others, behind a link, with two names, in use, or not empty.
    @Test func othersAreNotTaken() throws {
        let before = try makeDamaged(scratch.path("disk.vhd"))
        try makeEmpty("open", permissions: 0o644)
        try makeEmpty("elsewhere")
        try FileManager.default.createSymbolicLink(atPath: scratch.path("link"), withDestinationPath: "elsewhere")
        try makeEmpty("twice")
        try FileManager.default.linkItem(atPath: scratch.path("twice"), toPath: scratch.path("again"))
        _ = try scratch.write("text", [65])
        try makeEmpty("held")
        let held = try PosixFile(scratch.path("held"), .write)
        let names = try scratch.names()
        for name in ["open", "link", "twice", "text", "held", "."] {
            let refused = try run("--repair=safe", "--undo-file", name, "disk.vhd")
            #expect(refused.exit == 2, "\(name)")
            #expect(refused.error == "vhdcheck: \(name): is there already; name a new undo file\n")
        }
        withExtendedLifetime(held) {}
        #expect(try fileBytes(scratch.path("disk.vhd")) == before && fileBytes(scratch.path("elsewhere")).isEmpty)
        #expect(try scratch.names() == names)
        try FileManager.default.moveItem(atPath: scratch.path("link"), toPath: scratch.path("disk.vhd.undo"))
        #expect(try run("--repair=safe", "disk.vhd").output.contains("--undo disk.vhd.undo-2 disk.vhd"))
        #expect(try fileBytes(scratch.path("elsewhere")).isEmpty)
    }

    /// A full disk: the image is as it was, and no undo file is left.
    @Test func fullDisk() throws {
        guard let disk = try SmallDisk(byteCount: 4 << 20) else { return }
        let before = try makeDamaged(disk.folder + "/disk.vhd")
        try disk.leave(free: 0)
        for options in [[], ["--undo-file", "saved"]] {
            let full = try runTool("vhdcheck", ["--repair=safe"] + options + ["disk.vhd"], folder: disk.folder)
            #expect(full.exit == 2 && full.error.contains("No space left on device"), "\(full.error)")
            #expect(!full.output.contains("what was changed is saved"))
            #expect(try fileBytes(disk.folder + "/disk.vhd") == before)
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: disk.folder).sorted() == ["ballast", "disk.vhd"])
        }
        try disk.removeBallast()
        let repaired = try run("--repair=safe", "disk.vhd", folder: disk.folder)
        #expect(repaired.exit == 0 && repaired.output.contains("--undo disk.vhd.undo disk.vhd"))
    }
}
