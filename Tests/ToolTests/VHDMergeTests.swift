import BlockIO
import ByteCodec
import DiskModel
import Foundation
import ImageChain
import Testing
import ToolTesting
import VHD
import VHDX

/// The built vhdmerge.
@Suite struct VHDMergeTests {
    private let scratch: Scratch
    private static let kinds: [TestImageKind] = [.fixedVHD, .dynamicVHD, .fixedVHDX, .dynamicVHDX]

    init() throws { scratch = try Scratch(inMemory: true) }

    private func merge(_ arguments: String...) throws -> ProgramResult {
        try runTool("vhdmerge", arguments, folder: scratch.folder)
    }
    private func chain(_ kind: TestImageKind, children: Int) throws -> TestChain {
        try TestChain(kind, in: scratch.folder, children: children)
    }
    private func result(_ run: ProgramResult) throws -> [String: Any] {
        #expect(try schemaComplaints(run.output, schema: "vhdmerge") ?? "" == "")
        return try #require(try jsonLines(run.output).first?["result"] as? [String: Any])
    }

    @Test(arguments: kinds) func intoTheParent(_ kind: TestImageKind) throws {
        let chain = try chain(kind, children: 2)
        let run = try merge(chain.leaf)
        #expect(run.exit == 0 && run.error == "", "\(run.error)")
        #expect(run.output.hasSuffix("  removed: \(chain.leaf)\n"), "\(run.output)")
        #expect(try scratch.names() == chain.names.dropLast().sorted())
        #expect(try chain.difference(chain.names[1]) == nil)
    }

    @Test(arguments: kinds) func intoAnAncestor(_ kind: TestImageKind) throws {
        let chain = try chain(kind, children: 4)
        let before = try chain.names.map { try fileHash(scratch.path($0)) }
        let planned = try merge("--dry-run", "--json", "--into", chain.names[0], chain.leaf)
        #expect(planned.exit == 0, "\(planned.error)")
        #expect(try chain.names.map { try fileHash(scratch.path($0)) } == before, "a dry run wrote")
        let plan = try result(planned)
        #expect(plan["done"] as? Bool == false && plan["dry_run"] as? Bool == true)
        #expect((plan["links"] as? [String])?.count == 4)
        #expect((plan["data_bytes"] as? Int ?? 0) > 0 && (plan["zero_bytes"] as? Int ?? 0) > 0)
        let run = try merge("--json", "--into", chain.names[0], chain.leaf)
        #expect(run.exit == 0, "\(run.error)")
        let done = try result(run)
        #expect(done["data_bytes"] as? Int == plan["data_bytes"] as? Int)
        #expect((done["removed"] as? [String])?.count == 4)
        #expect(try scratch.names() == [chain.names[0]])
        #expect(try chain.difference(chain.names[0]) == nil)
        let check = try runTool("vhdcheck", [chain.names[0]], folder: scratch.folder)
        #expect(check.exit == 0, "\(check.output)")
    }

    @Test(arguments: kinds) func keeping(_ kind: TestImageKind) throws {
        let chain = try chain(kind, children: 3)
        let run = try merge("--keep", "--into", chain.names[0], chain.leaf)
        #expect(run.exit == 0, "\(run.error)")
        #expect(try scratch.names() == chain.names.sorted())
        #expect(try chain.difference(chain.names[0]) == nil)
        #expect(try chain.difference(chain.leaf) == nil)
        #expect(try ImageChain.open(chain.leafPath).layers.count == 2)
        // Those between would show a mixture.
        #expect(throws: DiskError.self) { try ImageChain.open(scratch.path(chain.names[1])) }
        #expect(throws: DiskError.self) { try ImageChain.open(scratch.path(chain.names[2])) }
        // Nothing is left to do, and the child goes.
        let again = try merge(chain.leaf)
        #expect(again.exit == 0, "\(again.error)")
        #expect(try !scratch.names().contains(chain.leaf))
        #expect(try chain.difference(chain.names[0]) == nil)
    }

    @Test(arguments: kinds) func otherChildrenAreNotBrokenUnasked(_ kind: TestImageKind) throws {
        let chain = try chain(kind, children: 1)
        let other = chain.names[1].replacingOccurrences(of: "snap1", with: "other")
        try TestChain.makeChild(other, of: chain.names[0], in: scratch.folder)
        let refused = try merge("--json", chain.leaf)
        #expect(refused.exit == 2)
        #expect(try (result(refused)["invalidated"] as? [[String: String]])?.first?["path"] == other)
        #expect(try jsonLines(refused.output).first?["error"] is [String: Any])
        #expect(try chain.difference(chain.leaf) == nil)
        let forced = try merge("--force", chain.leaf)
        #expect(forced.exit == 0 && forced.error.contains("\(other): a child of \(chain.names[0])"), "\(forced.error)")
        #expect(try chain.difference(chain.names[0]) == nil)
        #expect(throws: DiskError.self) { try ImageChain.open(scratch.path(other)) }
    }

    /// Also where the files stay, and where the other child is nowhere near.
    @Test(arguments: kinds) func otherChildrenAreRefusedAfterKeeping(_ kind: TestImageKind) throws {
        let chain = try chain(kind, children: 1)
        try FileManager.default.createDirectory(
            atPath: scratch.path("far"), withIntermediateDirectories: true)
        let other = "far/other.\(kind.fileName.contains("vhdx") ? "vhdx" : "vhd")"
        try TestChain.makeChild(other, of: chain.names[0], in: scratch.folder)
        #expect(try ImageChain.open(scratch.path(other)).layers.count == 2)
        let run = try merge("--keep", chain.leaf)
        #expect(run.exit == 0, "\(run.error)")
        #expect(try chain.difference(chain.leaf) == nil && chain.difference(chain.names[0]) == nil)
        #expect(throws: DiskError.self) { try ImageChain.open(scratch.path(other)) }
    }

    /// An image between that is empty itself may have another child all the same.
    @Test(arguments: kinds) func childrenOfImagesBetween(_ kind: TestImageKind) throws {
        let chain = try chain(kind, children: 0)
        let ending = kind.fileName.contains("vhdx") ? "vhdx" : "vhd"
        try TestChain.makeChild("mid.\(ending)", of: chain.names[0], in: scratch.folder)
        try TestChain.makeChild("leaf.\(ending)", of: "mid.\(ending)", in: scratch.folder)
        try TestChain.makeChild("other.\(ending)", of: "mid.\(ending)", in: scratch.folder)
        let refused = try merge("--into", chain.names[0], "leaf.\(ending)")
        #expect(refused.exit == 2 && refused.error.contains("other.\(ending)"), "\(refused.error)")
        let planned = try merge("--dry-run", "--into", chain.names[0], "leaf.\(ending)")
        #expect(planned.exit == 2, "a dry run says what the run would")
        #expect(try scratch.names().count == 4)
    }

    /// A parent that is cut below its own parent's size, and a larger child.
    @Test(arguments: [TestImageKind.dynamicVHD, .dynamicVHDX]) func aParentBetweenTwoLargerOnes(_ kind: TestImageKind)
        throws
    {
        var chain = try chain(kind, children: 1)
        let resized = { (name: String, size: String) throws in
            let run = try runTool("vhdresize", ["-q", "--shrink", name, size], folder: scratch.folder)
            #expect([0, 3].contains(run.exit), "\(run.error)")
        }
        try resized(chain.names[1], "16M")
        try chain.addChild(byteCount: 16 << 20)
        try resized(chain.leaf, "20M")
        chain.resize(to: 20 << 20)
        #expect(try chain.difference(chain.leaf) == nil)
        let run = try merge(chain.leaf)
        #expect(run.exit == 0, "\(run.error)")
        #expect(try chain.difference(chain.names[1]) == nil)
    }

    /// What had the parent's name at the start has another one at the end: nothing is removed.
    @Test(arguments: [TestImageKind.dynamicVHD, .dynamicVHDX], [false, true])
    func theTargetIsReplaced(_ kind: TestImageKind, byAnother: Bool) throws {
        let chain = try TestChain(kind, in: scratch.folder, children: 1, runs: 8, of: 256 << 10)
        let (base, moved) = (scratch.path(chain.names[0]), scratch.path("moved"))
        let tool = try RunningTool("vhdmerge", ["--throttle", "2M", chain.leaf], folder: scratch.folder)
        usleep(500_000)
        #expect(tool.isRunning)
        try FileManager.default.moveItem(atPath: base, toPath: moved)
        if byAnother { try FileManager.default.copyItem(atPath: moved, toPath: base) }
        #expect(tool.end() == 2 && tool.error.contains("removed, renamed or replaced"), "\(tool.error)")
        try? FileManager.default.removeItem(atPath: base)
        try FileManager.default.moveItem(atPath: moved, toPath: base)
        #expect(try chain.difference(chain.leaf) == nil)
        let again = try merge(chain.leaf)
        #expect(again.exit == 0, "\(again.error)")
        #expect(try chain.difference(chain.names[0]) == nil)
    }

    /// Somebody without the lock cuts the target: all files stay, and a second run does not take it for whole either.
    @Test(arguments: kinds, [false, true]) func theTargetIsCut(_ kind: TestImageKind, keeping: Bool) throws {
        let chain = try TestChain(kind, in: scratch.folder, children: 2, runs: 8, of: 256 << 10)
        let (base, copy) = (scratch.path(chain.names[0]), scratch.folder + "-copy")
        try FileManager.default.copyItem(atPath: base, toPath: copy)
        defer { try? FileManager.default.removeItem(atPath: copy) }
        let arguments = ["--throttle", "2M", "--into", chain.names[0], chain.leaf] + (keeping ? ["--keep"] : [])
        let tool = try RunningTool("vhdmerge", arguments, folder: scratch.folder)
        usleep(500_000)
        #expect(tool.isRunning)
        let byteCount = try fileBytes(base).count
        try #require(unsafe truncate(base, byteCount / 2) == 0)
        #expect(tool.end() == 2 && tool.error.contains("was cut to \(byteCount / 2) bytes"), "\(tool.error)")
        #expect(try scratch.names() == chain.names.sorted())
        let again = try runTool("vhdmerge", ["--into", chain.names[0], chain.leaf], folder: scratch.folder)
        #expect(again.exit == 2 && again.error.hasPrefix("vhdmerge: "), "\(again.error)")
        #expect(try scratch.names() == chain.names.sorted())
        try FileManager.default.removeItem(atPath: base)
        try FileManager.default.copyItem(atPath: copy, toPath: base)
        #expect(try chain.difference(chain.leaf) == nil)
        let last = try merge("--into", chain.names[0], chain.leaf)
        #expect(last.exit == 0, "\(last.error)")
        #expect(try chain.difference(chain.names[0]) == nil)
    }

    @Test(arguments: kinds) func childrenOfTheChild(_ kind: TestImageKind) throws {
        var chain = try chain(kind, children: 1)
        let middle = chain.leaf
        let shown = chain
        try chain.addChild()
        let refused = try merge(middle)
        #expect(refused.exit == 2 && refused.error.contains("--keep"), "\(refused.error)")
        let kept = try merge("--keep", middle)
        #expect(kept.exit == 0, "\(kept.error)")
        #expect(try chain.difference(chain.leaf) == nil)
        #expect(try shown.difference(middle) == nil && shown.difference(chain.names[0]) == nil)
    }

    @Test func refusals() throws {
        let chain = try chain(.dynamicVHDX, children: 1)
        let base = try merge(chain.names[0])
        #expect(base.exit == 2 && base.error.contains("it has no parent"), "\(base.error)")
        let loop = try merge("--into", chain.leaf, chain.leaf)
        #expect(loop.exit == 2 && loop.error.contains("is not an ancestor"), "\(loop.error)")
        let held = try PosixFile(scratch.path(chain.names[0]), .write)
        let busy = try merge(chain.leaf)
        #expect(busy.exit == 5, "\(busy.error)")
        withExtendedLifetime(held) {}
        #expect(try merge("--throttle", "0", chain.leaf).exit == 64)
        try FileManager.default.removeItem(atPath: scratch.path(chain.names[0]))
        let missing = try merge("--json", chain.leaf)
        #expect(missing.exit == 2)
        #expect(try schemaComplaints(missing.output, schema: "vhdmerge") ?? "" == "")
    }

    /// A child that is not ours may lead anywhere by its path: what stands there is nobody's to remove, though it be another
    /// child of the same parent.
    @Test(arguments: kinds, [false, true]) func aPathAloneRemovesNothing(_ kind: TestImageKind, keep: Bool) throws {
        let chain = try chain(kind, children: 1)
        try FileManager.default.createDirectory(atPath: scratch.path("far"), withIntermediateDirectories: true)
        let other = "far/other.\(kind.fileName.contains("vhdx") ? "vhdx" : "vhd")"
        try TestChain.makeChild(other, of: chain.names[0], in: scratch.folder)
        let base = try ImageOpener.layer(reading: PosixFile(scratch.path(chain.names[0])), OpenOptions())
        let crafted = ParentReference(
            identity: base.identity, modified: 1_700_000_000, relativePath: chain.names[0],
            absolutePath: scratch.path(other).replacingOccurrences(of: "/", with: "\\"))
        do {
            let child = try PosixFile(chain.leafPath, .write)
            if base.format == .vhdx {
                try VHDXLinkEditor.relink(child, to: crafted, changesData: false)
            } else {
                try VHDLinkEditor.relink(child, to: crafted)
            }
        }
        let hash = try fileHash(scratch.path(other))
        let run = try merge(keep ? "--keep" : "-q", chain.leaf)
        #expect(run.exit == 0, "\(run.error)")
        #expect(try chain.difference(chain.names[0]) == nil)
        #expect(try fileHash(scratch.path(other)) == hash)
    }

    /// What an image between is mounted over cannot be removed.
    @Test(arguments: [TestImageKind.dynamicVHD, .dynamicVHDX]) func removingFailsHalfway(_ kind: TestImageKind) throws {
        let chain = try chain(kind, children: 3)
        let held = scratch.path(chain.names[2])
        guard try runProgram("/bin/mount", ["--bind", held, held]).exit == 0 else {
            return print("SKIPPED: no bind mounts here: a merge that fails while removing is not tested")
        }
        var isHeld = true
        defer { if isHeld { _ = try? runProgram("/bin/umount", [held]) } }
        let run = try merge("--json", "--into", chain.names[0], chain.leaf)
        #expect(run.exit == 2 && run.error.contains("remove the file by hand"), "\(run.error)")
        let failed = try result(run)
        #expect(failed["removed"] as? [String] == [chain.names[1]] && failed["done"] as? Bool == false)
        #expect(try chain.difference(chain.leaf) == nil)
        // Until the same merge has ended the target is not read by itself.
        let refused = try runTool("vhdcat", ["-o", "/dev/null", "-f", chain.names[0]], folder: scratch.folder)
        #expect(refused.exit == 2 && refused.error.contains("CHAIN002"), "\(refused.error)")
        #expect(try runProgram("/bin/umount", [held]).exit == 0)
        isHeld = false
        let again = try merge("--json", chain.leaf)
        #expect(again.exit == 0, "\(again.error)")
        #expect(try chain.difference(chain.names[0]) == nil)
        // What cannot be shown to belong to the merge stays, and is named.
        #expect(try scratch.names() == [chain.names[0], chain.names[2]].sorted())
        let strays = try #require(try result(again)["left_over"] as? [String])
        #expect(strays.map { URL(fileURLWithPath: $0).lastPathComponent } == [chain.names[2]])
        #expect(try result(again)["removed"] as? [String] == [chain.leaf])
        #expect(again.error.contains("\(chain.names[2]): it seems left over from an earlier merge"), "\(again.error)")
    }

    /// What was renamed meanwhile is not removed, and nobody says that it was.
    @Test(arguments: [TestImageKind.dynamicVHD, .dynamicVHDX], [false, true])
    func aLinkIsRenamed(_ kind: TestImageKind, json: Bool) throws {
        let chain = try TestChain(kind, in: scratch.folder, children: 2, runs: 8, of: 256 << 10)
        let tool = try RunningTool(
            "vhdmerge", ["--throttle", "4M", "--into", chain.names[0], chain.leaf] + (json ? ["--json"] : []),
            folder: scratch.folder)
        usleep(300_000)
        #expect(tool.isRunning)
        try FileManager.default.moveItem(atPath: chain.leafPath, toPath: scratch.path("mine"))
        #expect(tool.end() == 0, "\(tool.error)")
        #expect(
            tool.error == "vhdmerge: \(chain.leaf): it was renamed or replaced during the merge: "
                + "it is not removed, and no longer needed\n")
        if json {
            let document = try #require(try jsonLines(tool.output).first?["result"] as? [String: Any])
            #expect(document["removed"] as? [String] == [chain.names[1]])
        } else {
            #expect(tool.output.contains("\n  removed: \(chain.names[1])\n"), "\(tool.output)")
            #expect(tool.output.hasSuffix("  not removed, renamed or replaced meanwhile: \(chain.leaf)\n"))
        }
        #expect(try scratch.names() == [chain.names[0], "mine"].sorted())
        #expect(try chain.difference(chain.names[0]) == nil)
    }

    /// A record of the run that cannot be kept is known before anything is done.
    @Test(arguments: ["absent/case.log", "", "."]) func theCaseLogComesFirst(_ log: String) throws {
        let chain = try chain(.dynamicVHDX, children: 1)
        let before = try chain.names.map { try fileHash(scratch.path($0)) }
        let run = try merge("--json", "--case-log", log, chain.leaf)
        #expect(run.exit == 2 && run.error.contains("case log"), "\(run.error)")
        #expect(run.error.split(separator: "\n").count == 1)
        let document = try #require(try jsonLines(run.output).first)
        #expect(document["exit"] as? Int == 2 && document["error"] is [String: Any])
        #expect(try chain.names.map { try fileHash(scratch.path($0)) } == before)
        #expect(try scratch.names() == chain.names.sorted())
    }

    @Test func severalImagesAreNamed() throws {
        let chain = try chain(.dynamicVHDX, children: 2)
        let run = try merge(chain.names[0], chain.names[1], chain.names[2])
        #expect(run.exit == 64 && run.output.isEmpty)
        #expect(
            run.error.hasPrefix(
                "Error: 3 images are named: name the top one only, and the lowest, which takes its data, with --into"),
            "\(run.error)")
        #expect(try merge("--help").output.contains("USAGE: vhdmerge [<options>] <child>\n"))
    }

    @Test func throttled() throws {
        let chain = try TestChain(.dynamicVHDX, in: scratch.folder, children: 1, runs: 8, of: 256 << 10)
        let run = try merge("--throttle", "2M", chain.leaf)
        #expect(run.exit == 0, "\(run.error)")
        #expect(run.seconds > 1, "2 to 3 MiB took \(run.seconds) s")
        #expect(try chain.difference(chain.names[0]) == nil)
    }

    /// The pairs that Windows made.
    @Test(arguments: ["fat-differential.vhd", "fat-differential.vhdx"]) func realPairs(_ child: String) throws {
        let parent = child.replacingOccurrences(of: "differential", with: "parent")
        guard let from = try Corpus.path(child), let below = try Corpus.path(parent),
            let expected = Corpus.expectations.first(where: { $0.file == child })
        else { return }
        try FileManager.default.copyItem(atPath: from, toPath: scratch.path(child))
        try FileManager.default.copyItem(atPath: below, toPath: scratch.path(parent))
        let run = try merge(child)
        #expect(run.exit == 0, "\(run.error)")
        #expect(try scratch.names() == [parent])
        let hash = try runTool(
            "vhdcat", ["--json", "--hash", "sha256", "-o", "/dev/null", "-f", parent], folder: scratch.folder)
        let text = hash.output + hash.error
        let raw = try runProgram(
            "/bin/sh", ["-c", "\"$1\" -o - \"$2\" | sha256sum", "sh", toolPath("vhdcat"), parent],
            folder: scratch.folder)
        #expect(raw.output.hasPrefix(expected.contents), "\(raw.output) \(text)")
    }
}
