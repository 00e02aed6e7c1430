import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import ImageChain
import Testing
import ToolTesting
import VHD
import VHDX

/// The built vhdcheck.
@Suite struct VHDCheckTests {
    private let scratch: Scratch
    private static let size: UInt64 = 8 << 20

    /// `good.vhd` and `good.vhdx`, and each damaged in one place.
    init() throws {
        scratch = try Scratch()
        do {
            try VHDCreator.create(
                on: try PosixFile(scratch.path("good.vhd"), .create), type: .dynamic, virtualByteCount: Self.size,
                uniqueID: .random(), created: DiskTimestamp(rawValue: 1))
            try VHDXCreator.create(
                on: try PosixFile(scratch.path("good.vhdx"), .create), type: .dynamic, virtualByteCount: Self.size,
                blockByteCount: 1 << 20)
        }
        var random = SplitMix(seed: 21)
        for name in ["good.vhd", "good.vhdx"] {
            let chain = try ImageChain.open(writing: scratch.path(name))
            for offset in [0, 3 << 20, (8 << 20) - 4096] { try chain.write(random.bytes(4096), at: UInt64(offset)) }
            try chain.close()
        }
        for damage in Self.damages {
            try FileManager.default.copyItem(
                atPath: scratch.path(damage.original), toPath: scratch.path(damage.name))
            let file = try PosixFile(scratch.path(damage.name), .write)
            try file.write([0x78, 0x79, 0x7a], at: damage.fromEnd ? try file.byteCount() - 512 : damage.offset)
        }
    }

    struct Damage: Sendable, CustomStringConvertible {
        var name: String
        var code: String
        var kind: String
        var offset: UInt64 = 0
        var fromEnd = false
        /// Whether the repair makes the very bytes that were there.
        var isExact = false
        var original: String { name.hasSuffix("x") ? "good.vhdx" : "good.vhd" }
        var description: String { name }
    }

    static let damages = [
        Damage(name: "copy.vhd", code: "VHD002", kind: "footer", isExact: true),
        Damage(name: "footer.vhd", code: "VHD001", kind: "footer", fromEnd: true),
        Damage(name: "identifier.vhdx", code: "VHDX001", kind: "identifier", isExact: true),
        Damage(name: "header1.vhdx", code: "VHDX002", kind: "headers", offset: 65536 + 100),
        Damage(name: "header2.vhdx", code: "VHDX002", kind: "headers", offset: 131_072 + 100),
    ]

    private func run(_ arguments: String...) throws -> ProgramResult {
        try runTool("vhdcheck", arguments, folder: scratch.folder)
    }

    private func bytes(_ name: String) throws -> [UInt8] { try fileBytes(scratch.path(name)) }

    private func result(_ arguments: String..., exit: Int32) throws -> [String: Any] {
        let run = try runTool("vhdcheck", ["--json"] + arguments, folder: scratch.folder)
        #expect(run.exit == exit, "\(run.error)")
        if let complaints = try schemaComplaints(run.output, schema: "vhdcheck") { #expect(complaints == "") }
        let document = try #require(try jsonLines(run.output).first)
        #expect(document["exit"] as? Int32 == exit)
        return document["result"] as? [String: Any] ?? [:]
    }

    private func codes(_ check: Any?) throws -> [String] {
        let findings = try #require((check as? [String: Any])?["findings"] as? [[String: Any]])
        return findings.filter { $0["severity"] as? String != "info" }.compactMap { $0["code"] as? String }
    }

    /// 1 or 3, by the severity of what is found.
    private func exit(_ check: Any?) -> Int32 { (check as? [String: Any])?["errors"] as? Int == 0 ? 3 : 1 }

    @Test func cleanImages() throws {
        let text = try run("good.vhd", "good.vhdx")
        #expect(text.exit == 0 && text.error == "")
        #expect(text.output == "good.vhd: clean\ngood.vhdx: clean\n")
        for name in ["good.vhd", "good.vhdx"] {
            let found = try result("--deep", "-v", name, exit: 0)
            #expect(found["verdict"] as? String == "clean" && found["type"] as? String == "dynamic")
            #expect((found["check"] as? [String: Any])?["readable"] as? Bool == true)
        }
    }

    /// Images of others' making, each rightly read by everybody: no errors.
    @Test func corpusHasNoErrors() throws {
        for expectation in Corpus.expectations {
            // Two were damaged by hand.
            guard let path = try Corpus.path(expectation.file), try runTool("vhdinfo", ["-q", path]).exit != 2 else {
                continue
            }
            let found = try runTool("vhdcheck", ["--json", path])
            #expect([0, 3].contains(found.exit), "\(expectation): \(found.output)")
            if let complaints = try schemaComplaints(found.output, schema: "vhdcheck") { #expect(complaints == "") }
        }
    }

    /// Found, tried, repaired, taken back.
    @Test(arguments: damages) func journey(damage: Damage) throws {
        let (name, undo) = (damage.name, damage.name + ".undo")
        let (before, names) = (try bytes(name), try scratch.names())
        let text = try run(name)
        let lines = text.output.split(separator: "\n")
        let line = try #require(lines.first { $0.hasPrefix(damage.code + " ") })
        #expect(line.contains("0x") && line.hasSuffix(" [repair: \(damage.kind)]"), "\(line)")
        #expect(lines.last == "  to repair: vhdcheck --repair=\(damage.kind) \(name)")
        let found = try runTool("vhdcheck", ["--json", name], folder: scratch.folder)
        let check = try #require(try jsonLines(found.output)[0]["result"] as? [String: Any])["check"]
        #expect(try codes(check) == [damage.code])
        #expect(found.exit == exit(check) && text.exit == found.exit)

        let tried = try result("--repair=safe", "--dry-run", name, exit: found.exit)
        let trial = try #require(tried["repair"] as? [String: Any])
        #expect(try codes(trial["check"]).isEmpty && trial["dry_run"] as? Bool == true)
        let actions = try #require(trial["actions"] as? [[String: Any]])
        #expect(actions.contains { $0["kind"] as? String == damage.kind && $0["code"] as? String == damage.code })
        #expect(trial["undo_file"] is NSNull)
        #expect(try isSame(bytes(name), before) && scratch.names() == names)

        // What was not asked for is not done.
        let other = try run("--repair=geometry", name)
        #expect(other.exit == found.exit && other.output.hasSuffix("\(name): nothing to repair by that\n"))
        #expect(try isSame(bytes(name), before) && scratch.names() == names)

        let repaired = try result("--repair=" + damage.kind, name, exit: 0)
        let repair = try #require(repaired["repair"] as? [String: Any])
        #expect(repair["undo_file"] as? String == undo && repaired["verdict"] as? String == "clean")
        #expect(try codes(repaired["check"]) == [damage.code] && codes(repair["check"]).isEmpty)
        #expect(try run(name).output == "\(name): clean\n")
        let equal = try runTool("vhdcompare", [name, damage.original], folder: scratch.folder)
        #expect(equal.exit == 0, "\(equal.output)\(equal.error)")
        if damage.isExact { #expect(isSame(try bytes(name), try bytes(damage.original))) }
        #expect(try scratch.names() == (names + [undo]).sorted())

        let dry = try run("--undo", undo, "--dry-run", name)
        #expect(dry.exit == 0 && dry.output.contains("\(name) would be as before the repair again"))
        #expect(!isSame(try bytes(name), before))
        let back = try run("--undo", undo, name)
        #expect(back.exit == 0 && back.output.contains("\(name) is as before the repair again"))
        #expect(isSame(try bytes(name), before))
        #expect(try run("--undo", undo, name).output.contains("nothing to put back"))
        // An undo file that is there is never overwritten.
        let old = try bytes(undo)
        #expect(try run("--repair=safe", name).output.contains("--undo \(undo)-2 \(name)"))
        #expect(isSame(try bytes(undo), old))
        let putBack = try result("--undo", undo + "-2", name, exit: 0)
        #expect((putBack["undo"] as? [String: Any])?["was_original"] as? Bool == false)
        #expect(isSame(try bytes(name), before))
    }

    private func isSame(_ a: [UInt8], _ b: [UInt8]) -> Bool { bytesEqual(a.rawBytes, b.rawBytes) }

    @Test func undoIsRefusedWhereItWouldDestroy() throws {
        #expect(try run("--repair=safe", "--undo-file", "saved", "copy.vhd").exit == 0)
        // Repaired, the two would be the same bytes; another disk it is only with other contents.
        do { try PosixFile(scratch.path("footer.vhd"), .write).write([0x55], at: 4096) }
        #expect(try run("--repair=safe", "footer.vhd").exit == 0)
        let other = try run("--undo", "saved", "footer.vhd")
        #expect(other.exit == 2 && other.error.contains("UNDO003"))
        var repaired = try bytes("copy.vhd")
        repaired[100] ^= 1
        _ = try scratch.write("copy.vhd", repaired)
        let changed = try run("--undo", "saved", "copy.vhd")
        #expect(changed.exit == 2 && changed.error.contains("UNDO00"))
        #expect(isSame(try bytes("copy.vhd"), repaired))
        var damaged = try bytes("saved")
        damaged[300] ^= 1
        _ = try scratch.write("damaged", damaged)
        let refused = try run("--undo", "damaged", "copy.vhd")
        #expect(refused.exit == 2 && refused.error.contains("UNDO002"))
        #expect(try run("--undo", "good.vhd", "copy.vhd").error.contains("UNDO001"))
        #expect(try run("--undo", "copy.vhd", "copy.vhd").error.contains("is the image itself, not an undo file"))
        #expect(try run("--undo", "absent", "copy.vhd").exit == 2)
        #expect(isSame(try bytes("copy.vhd"), repaired))
        // An undo file that cannot be made: nothing is repaired.
        let broken = try bytes("header1.vhdx")
        let nowhere = try run("--repair=safe", "--undo-file", "no/such/folder", "header1.vhdx")
        #expect(nowhere.exit == 2 && nowhere.error.contains("no/such/folder: "), "\(nowhere.error)")
        #expect(isSame(try bytes("header1.vhdx"), broken))
        // A place that is taken.
        let before = try bytes("identifier.vhdx")
        let taken = try run("--repair=safe", "--undo-file", "good.vhd", "identifier.vhdx")
        #expect(taken.exit == 2 && taken.error == "vhdcheck: good.vhd: is there already; name a new undo file\n")
        #expect(isSame(try bytes("identifier.vhdx"), before))
    }

    /// Nothing about a file changes, nor about its folder, without --repair.
    @Test func evidenceStaysAsItIs() throws {
        if let source = try Corpus.path("vhdx-log-replay.vhdx") {
            try FileManager.default.copyItem(atPath: source, toPath: scratch.path("dirty.vhdx"))
        }
        func state() throws -> [String] {
            try scratch.names().map { name in
                var status = stat()
                let found = unsafe stat(scratch.path(name), &status)
                #expect(found == 0)
                let times = [status.st_mtim, status.st_ctim].map { "\($0.tv_sec).\($0.tv_nsec)" }
                return "\(name) \(try runProgram("/usr/bin/sha256sum", [scratch.path(name)]).output) \(times)"
            }
        }
        let (before, names) = (try state(), try scratch.names())
        for arguments in [[], ["--deep", "-v"], ["--json"], ["--repair=safe", "--dry-run"]] {
            let found = try runTool("vhdcheck", arguments + names, folder: scratch.folder)
            #expect(found.exit == 1, "\(found.error)")
        }
        #expect(try state() == before)
    }

    @Test func pendingLog() throws {
        guard let source = try Corpus.path("vhdx-log-replay.vhdx") else { return }
        try FileManager.default.copyItem(atPath: source, toPath: scratch.path("dirty.vhdx"))
        let before = try bytes("dirty.vhdx")
        let contents = try runTool("vhdcat", ["dirty.vhdx"], folder: scratch.folder).outputBytes
        let found = try result("dirty.vhdx", exit: 3)
        #expect(try codes(found["check"]) == ["VHDX005"])
        #expect(try run("--repair=log", "dirty.vhdx").exit == 0)
        let replayed = try runTool("vhdcat", ["dirty.vhdx"], folder: scratch.folder)
        #expect(isSame(replayed.outputBytes, contents) && replayed.error == "")
        #expect(try run("--undo", "dirty.vhdx.undo", "dirty.vhdx").exit == 0)
        #expect(isSame(try bytes("dirty.vhdx"), before))
    }

    /// kill -9 at random moments of a repair: the image is what it was, or its undo file makes it so; and a repair still works.
    @Test func killed() throws {
        var images = ["footer.vhd", "header1.vhdx"]
        if let source = try Corpus.path("vhdx-log-replay.vhdx") {
            try FileManager.default.copyItem(atPath: source, toPath: scratch.path("dirty.vhdx"))
            images.append("dirty.vhdx")
        }
        var (killedCount, changedCount) = (0, 0)
        for round in 0..<(Int(ProcessInfo.processInfo.environment["VHDTOOLS_KILL_ROUNDS"] ?? "") ?? 20) {
            let name = images[round % images.count]
            let before = try bytes(name)
            let program = try HeldProgram(toolPath("vhdcheck"), ["--repair=safe", scratch.path(name)])
            // The undo file comes just before the first change.
            while program.isRunning, !FileManager.default.fileExists(atPath: scratch.path(name + ".undo")) {}
            usleep(UInt32.random(in: 0...8000))
            if program.isRunning { killedCount += 1 }
            program.kill()
            let undo = try scratch.names().first { $0.hasPrefix(name + ".undo") }
            if !isSame(try bytes(name), before) {
                changedCount += 1
                let back = try run("--undo", try #require(undo), name)
                #expect(back.exit == 0, "\(back.error)")
            }
            #expect(isSame(try bytes(name), before))
            if let undo { try FileManager.default.removeItem(atPath: scratch.path(undo)) }
        }
        print("vhdcheck --repair: \(killedCount) kills, \(changedCount) images changed until then, all put back")
        #expect(killedCount > 0)
        for name in images { #expect(try run("--repair=safe", name).exit == 0) }
    }

    @Test func parents() throws {
        for format in ["vhd", "vhdx"] {
            let (child, parent) = ("fat-differential.\(format)", "fat-parent.\(format)")
            guard let childSource = try Corpus.path(child), let parentSource = try Corpus.path(parent) else { return }
            try FileManager.default.copyItem(atPath: childSource, toPath: scratch.path(child))
            let code = format == "vhd" ? "VHD029" : "VHDX029"
            let missing = try result(child, exit: 1)
            #expect(try codes(missing["check"]).contains(code))
            #expect(missing["parent"] is NSNull && missing["type"] as? String == "differencing")
            let text = try run(child)
            #expect(text.output.contains("\(code) error") && text.output.contains("was not found"))
            #expect(try [0, 3].contains(run("--accept", code, child).exit))
            try FileManager.default.createDirectory(
                atPath: scratch.path(format), withIntermediateDirectories: true)
            try FileManager.default.copyItem(atPath: parentSource, toPath: scratch.path("\(format)/\(parent)"))
            let found = try run("--json", "--parent-dir", format, child)
            #expect([0, 3].contains(found.exit), "\(found.output)")
            let path = try #require(try jsonLines(found.output)[0]["result"] as? [String: Any])["parent"] as? String
            #expect(path == "\(format)/\(parent)")
            // Another image of that name.
            let other = try #require(try Corpus.path(format == "vhd" ? "ext2.vhd" : "ext2.vhdx"))
            try FileManager.default.removeItem(atPath: scratch.path("\(format)/\(parent)"))
            try FileManager.default.copyItem(atPath: other, toPath: scratch.path("\(format)/\(parent)"))
            let wrong = try run("--parent-dir", format, child)
            #expect(wrong.exit == 1 && wrong.output.contains("must have the id"))
        }
    }

    @Test func busyAndBadInput() throws {
        do {
            let held = try PosixFile(scratch.path("copy.vhd"), .write)
            let busy = try run("--repair=safe", "copy.vhd")
            #expect(busy.exit == 5 && busy.output == "" && busy.error.hasPrefix("vhdcheck: copy.vhd: "))
            #expect(try run("copy.vhd").exit == 1)
            _ = held
        }
        _ = try scratch.write("plain", [UInt8](repeating: 7, count: 8192))
        _ = try scratch.write("empty", [])
        let unknown = try run("plain")
        #expect(unknown.exit == 2)
        #expect(
            unknown.error
                == "vhdcheck: plain: neither a VHD nor a VHDX image: no signature; if it is one and damaged, say which: --format vhd, --format vhdx\n"
        )
        let raw = try run("--format", "raw", "plain")
        #expect(raw.exit == 2 && raw.error.contains("there is nothing to check"))
        #expect(try run("--format", "vhdx", "good.vhd").error.contains("not a VHDX image: the contents are VHD"))
        for format in ["vhd", "vhdx"] {
            for name in ["plain", "empty"] { #expect(try [1, 2].contains(run("--format", format, name).exit)) }
        }
        #expect(try run("empty").exit == 2)
        let lists = try run("--repair=foo", "good.vhd")
        #expect(lists.exit == 64 && lists.error.contains("no repair is called \"foo\"; there are safe, identifier, "))
        for arguments in [
            [], ["--repair"], ["--repair=", "good.vhd"], ["--repair=footer,", "good.vhd"],
            ["--repair=set-bits,zero-sectors", "good.vhd"], ["--dry-run", "good.vhd"],
            ["--undo-file", "x", "good.vhd"], ["--undo", "x", "--repair=safe", "good.vhd"],
            ["--undo", "x", "good.vhd", "good.vhdx"], ["--repair=safe", "--undo-file", "x", "good.vhd", "good.vhdx"],
        ] {
            #expect(try runTool("vhdcheck", arguments, folder: scratch.folder).exit == 64, "\(arguments)")
        }
    }

    /// A document each; the worst exit of all.
    @Test func severalImages() throws {
        let text = try run("--json", "good.vhd", "absent", "copy.vhd")
        #expect(text.exit == 2)
        let documents = try jsonLines(text.output)
        #expect(documents.map { $0["exit"] as? Int } == [0, 2, 1])
        if let complaints = try schemaComplaints(text.output, schema: "vhdcheck") { #expect(complaints == "") }
        let both = try run("--repair=safe", "copy.vhd", "footer.vhd")
        #expect(both.exit == 0)
        #expect(try scratch.names().filter { $0.hasSuffix(".undo") } == ["copy.vhd.undo", "footer.vhd.undo"])
    }

    /// The command that is advised can be pasted as it stands.
    @Test func advisedCommandWorks() throws {
        let name = "it's a \u{1b}[31m disk.vhd"
        for path in ["a b's $HOME.vhd", "-dash.vhd", name] {
            try FileManager.default.copyItem(atPath: scratch.path("copy.vhd"), toPath: scratch.path(path))
            let text = try run("--", path)
            #expect(!text.output.contains("\u{1b}"))
            guard path != name else { continue }
            let line = try #require(text.output.split(separator: "\n").last { $0.contains("to repair: ") })
            let command = line.replacingOccurrences(of: "  to repair: ", with: "")
                .replacingOccurrences(of: "vhdcheck", with: toolPath("vhdcheck"))
            let repaired = try runProgram("/bin/bash", ["-c", command], folder: scratch.folder)
            #expect(repaired.exit == 0, "\(command): \(repaired.error)")
        }
    }
}
