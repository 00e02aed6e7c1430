import BlockIO
import ByteCodec
import Foundation
import HRL
import Testing
import ToolTesting

extension SealedLogToolTests {
    /// hrl-apply onto sealed images.
    @Suite struct Applying {
        private let folder: SealedLogFolder
        private let keys = SealedLogFolder.key + ["-i", "../other.txt"]

        init() throws { folder = try SealedLogFolder() }

        private func apply(_ arguments: String..., in place: String = "sealed") throws -> ProgramResult {
            try folder.run("hrl-apply", (place == "sealed" ? keys : []) + arguments, in: place)
        }

        /// What a disk shows.
        private func contents(_ name: String, in place: String = "sealed", _ options: [String] = []) throws -> [UInt8] {
            let result = try folder.run("vhdcat", options + (place == "sealed" ? keys : []) + [name], in: place)
            guard result.exit == 0 else { throw ProgramFailure(description: result.error) }
            return result.outputBytes
        }

        /// The undo log is sealed like the image, found again, and takes back what was written.
        @Test func thereAndBack() throws {
            let before = try contents("old.vhdx", in: "plain")
            #expect(try apply("--to", "old.vhdx", "1.hrl", "2.hrl", in: "plain").exit == 0)
            let after = try contents("old.vhdx", in: "plain")
            #expect(before != after)
            let dry = try apply("--dry-run", "--to", "old.vhdx", "--undo", "undo.hrl", "1.hrl", "2.hrl")
            #expect(dry.exit == 0 && dry.output.contains("would save"), "\(dry.error)")
            let result = try apply("--to", "old.vhdx", "--undo", "undo.hrl", "2.hrl", "1.hrl")
            #expect(result.exit == 0 && result.output.contains("saved what was there before"), "\(result.error)")
            #expect(try contents("old.vhdx") == after)
            #expect(try folder.opens("sealed/undo.hrl", "key.txt") && !folder.opens("sealed/undo.hrl", "other.txt"))
            #expect(try folder.plaintextAnywhere() == [])
            let undo = try fileBytes(folder.path("sealed/undo.hrl"))
            let again = try apply("--to", "old.vhdx", "--undo", "undo.hrl", "1.hrl", "2.hrl")
            #expect(again.exit == 0 && again.output.contains("kept as an earlier run saved it"), "\(again.error)")
            #expect(try fileBytes(folder.path("sealed/undo.hrl")) == undo)
            #expect(try contents("old.vhdx") == after)
            #expect(try apply("--to", "old.vhdx", "undo.hrl").exit == 0)
            #expect(try contents("old.vhdx") == before)
            #expect(try folder.plaintextAnywhere() == [])
            #expect(
                try folder.keys.run("seal-status", ["-q", "--verify", "-i", "key.txt", "sealed/old.vhdx"]).exit == 0)
        }

        /// Raw disks and VHDs, sealed logs onto plain images, and plain logs onto sealed ones.
        @Test func otherImages() throws {
            let text = SealFolder.text(Int(HRLSample.diskByteCount))
            _ = try folder.keys.scratch.write("plain/d.raw", text)
            let made = try folder.run(
                "vhdconvert", ["-q", "--format", "raw", "-O", "vhd", "d.raw", "d.vhd"], in: "plain")
            guard made.exit == 0 else { throw ProgramFailure(description: made.error) }
            var expected = text
            HRLSample.apply(SealedLogFolder.writes, to: &expected)
            for (name, options) in [("d.raw", ["--format", "raw"]), ("d.vhd", [])] {
                try folder.seal("plain/\(name)", as: "sealed/\(name)")
                for (log, image, isSealed) in [
                    ("1.hrl", name, true), ("../plain/1.hrl", name, true), ("1.hrl", "../plain/\(name)", false),
                ] {
                    let before = try contents(image, options)
                    let result = try folder.run(
                        "hrl-apply", keys + options + ["--to", image, "--undo", "../undo", log])
                    #expect(result.exit == 0, "\(result.error)")
                    #expect(try contents(image, options) == expected, "\(log) \(image)")
                    #expect(try (folder.plaintext("undo") == nil) == isSealed, "\(log) \(image)")
                    let back = try folder.run("hrl-apply", keys + options + ["--to", image, "../undo"])
                    #expect(back.exit == 0, "\(back.error)")
                    #expect(try contents(image, options) == before)
                    try FileManager.default.removeItem(atPath: folder.path("undo"))
                }
            }
        }

        /// The links of a chain have keys of their own; the undo log of a plain child holds bytes of its sealed parent.
        @Test func chains() throws {
            let made = try folder.run("vhdsnap", ["-q", "old.vhdx", "child.avhdx"], in: "plain")
            guard made.exit == 0 else { throw ProgramFailure(description: made.error) }
            let plain = try apply("--to", "child.avhdx", "../plain/1.hrl", in: "plain")
            #expect(plain.exit == 0, "\(plain.error)")
            let (before, after) = (
                try contents("old.vhdx", in: "plain"), try contents("child.avhdx", in: "plain")
            )
            try folder.seal("plain/old.vhdx", as: "sealed/old.vhdx", for: ["--key-file", "disk.key"])
            #expect(try apply("--to", "old.vhdx", "1.hrl").exit == 4, "the parent has another key")
            let keyFile = ["--key-file", "../disk.key"]
            for isPlainChild in [false, true] {
                let child = isPlainChild ? "plain.avhdx" : "child.avhdx"
                let snap = try folder.run(
                    "vhdsnap",
                    ["-q"] + keyFile + (isPlainChild ? [] : ["--seal-to", folder.keys.recipient])
                        + ["old.vhdx", "c.avhdx"])
                guard snap.exit == 0 else { throw ProgramFailure(description: snap.error) }
                if isPlainChild {
                    // What the child itself holds, in plain, beside a sealed parent.
                    let opened = try folder.run("unseal", keyFile + ["-o", child, "c.avhdx"])
                    guard opened.exit == 0 else { throw ProgramFailure(description: opened.error) }
                } else {
                    try FileManager.default.copyItem(
                        atPath: folder.path("sealed/c.avhdx"), toPath: folder.path("sealed/\(child)"))
                }
                try FileManager.default.removeItem(atPath: folder.path("sealed/c.avhdx"))
                let wrong = try apply("--to", child, "--undo", "u.hrl", "1.hrl")
                #expect(wrong.exit == 4 && wrong.error.contains("old.vhdx"), "\(wrong.error)")
                let result = try folder.run(
                    "hrl-apply", keys + keyFile + ["--to", child, "--undo", "u.hrl", "1.hrl"])
                #expect(result.exit == 0, "\(result.error)")
                #expect(try contents(child, keyFile) == after)
                #expect(try folder.plaintext("sealed/u.hrl") == nil)
                #expect(try folder.opens("sealed/u.hrl", "key.txt") == !isPlainChild)
                let back = try folder.run("hrl-apply", keys + keyFile + ["--to", child, "u.hrl"])
                #expect(back.exit == 0, "\(back.error)")
                #expect(try contents(child, keyFile) == before)
                try FileManager.default.removeItem(atPath: folder.path("sealed/u.hrl"))
            }
        }

        /// What stands at the undo log's place: kept, made anew or refused as a plain one is.
        @Test func whatStandsThere() throws {
            let image = try fileBytes(folder.path("sealed/old.vhdx"))
            // Another log.
            let other = try apply("--to", "old.vhdx", "--undo", "2.hrl", "1.hrl")
            #expect(other.exit == 2 && other.error.contains("exists and is no undo log"), "\(other.error)")
            // What no key opens may be the undo log.
            try folder.seal("plain/2.hrl", as: "sealed/foreign", for: ["--key-file", "disk.key"])
            let foreign = try fileBytes(folder.path("sealed/foreign"))
            for force in [[], ["-f"]] {
                let refused = try folder.run(
                    "hrl-apply", keys + force + ["--to", "old.vhdx", "--undo", "foreign", "1.hrl"])
                #expect(refused.exit == 4 && refused.error.contains("foreign: "), "\(refused.error)")
            }
            #expect(try fileBytes(folder.path("sealed/foreign")) == foreign)
            #expect(try fileBytes(folder.path("sealed/old.vhdx")) == image)
            // An undo log that was cut off while it was saved.
            let before = try contents("old.vhdx")
            #expect(try apply("--to", "old.vhdx", "--undo", "undo.hrl", "1.hrl").exit == 0)
            _ = try folder.keys.scratch.write("plain/cut", Array(try cutUndo()))
            try folder.seal("plain/cut", as: "sealed/undo.hrl")
            _ = try folder.keys.scratch.write("sealed/old.vhdx", image)
            let anew = try apply("--to", "old.vhdx", "--undo", "undo.hrl", "1.hrl")
            #expect(anew.exit == 0 && anew.output.contains("saved what was there"), "\(anew.error)")
            #expect(try apply("--to", "old.vhdx", "undo.hrl").exit == 0)
            #expect(try contents("old.vhdx") == before)
            // -f replaces another log, by a sealed one.
            let forced = try apply("-f", "--to", "old.vhdx", "--undo", "2.hrl", "1.hrl")
            #expect(forced.exit == 0 && forced.error.contains("-f replaced it"), "\(forced.error)")
            #expect(try apply("--to", "old.vhdx", "2.hrl").exit == 0)
            #expect(try contents("old.vhdx") == before)
            #expect(try folder.plaintextAnywhere() == [])
        }

        /// The undo log's first half, not closed.
        private func cutUndo() throws -> ArraySlice<UInt8> {
            var bytes = try folder.unsealed("sealed/undo.hrl")
            try HRLDamage.header(&bytes) { $0.eolLocation = 0 }
            return bytes.prefix(bytes.count / 2)
        }

        @Test func forWhom() throws {
            let other = try folder.keys.run("seal-keygen", ["-y", "other.txt"]).output
            let recipient = other.trimmingCharacters(in: .newlines)
            for (place, options) in [
                ("sealed", ["--seal-to", recipient]), ("plain", ["-i", "../other.txt", "--seal"]),
            ] {
                let result = try folder.run(
                    "hrl-apply",
                    (place == "sealed" ? keys : []) + options
                        + ["--to", "old.vhdx", "--undo", "undo.hrl", "1.hrl"], in: place)
                #expect(result.exit == 0, "\(result.error)")
                #expect(try folder.plaintext("\(place)/undo.hrl") == nil)
                #expect(try folder.opens("\(place)/undo.hrl", "other.txt"))
                #expect(try !folder.opens("\(place)/undo.hrl", "key.txt"))
            }
            #expect(try apply("--seal", "--to", "old.vhdx", "1.hrl").exit == 64)
        }
    }
}
