import Foundation
import Testing
import ToolTesting

/// hrl-apply --undo onto sealed images on full disks, with limited files, and killed: as onto plain ones, and what is on
/// the disk stays sealed all the time. The links of a chain have different keys.
@Suite(.serialized) struct TortureSealedUndoTests {
    private static let keys = ["--key-file", "leaf.key", "--key-file", "base.key"]

    /// The template of the plain images, sealed; the images of a chain but for the leaf by another key.
    private func seal(_ template: Scratch, leaf: String) throws {
        for key in ["leaf.key", "base.key"] {
            let made = try runTool("seal-keygen", ["--key-file", "-o", key], folder: template.folder)
            guard made.exit == 0 else { throw ProgramFailure(description: made.error) }
        }
        for name in try template.names() where !name.hasSuffix(".hrl") && !name.hasSuffix(".key") {
            let key = name == leaf ? "leaf.key" : "base.key"
            let sealed = try runTool(
                "seal", ["-q", "--image", "--key-file", key, "-o", "sealed", name], folder: template.folder)
            guard sealed.exit == 0 else { throw ProgramFailure(description: sealed.error) }
            try FileManager.default.removeItem(atPath: template.path(name))
            try FileManager.default.moveItem(atPath: template.path("sealed"), toPath: template.path(name))
        }
    }

    /// Why the disk of a sealed image is wrong; nil when it is right.
    private func fault(_ folder: String, _ image: String, _ options: [String], _ judge: TortureJudge) throws -> String?
    {
        let copy = try Scratch(inMemory: true)
        let out = try runTool(
            "vhdcat", ["-q"] + Self.keys + options + ["-o", copy.path("disk"), image], folder: folder)
        return out.exit == 0 ? try judge.fault(of: copy.path("disk"), .raw) : out.error
    }

    private func command(_ job: TortureUndoTests.Job) throws -> TortureCase {
        let (template, image, old, new) = try TortureUndoTests().template(job)
        let (oldJudge, newJudge) = (try TortureJudge(old), try TortureJudge(new))
        try seal(template, leaf: image)
        let options = job.kind.options
        return TortureCase(
            tool: "hrl-apply",
            arguments: ["-q", "--to", image, "--undo", "undo.hrl", "2.hrl", "1.hrl"] + options + Self.keys,
            template: template, neededByteCount: 80 << 20, growing: image,
            names: Set(try template.names() + ["undo.hrl"])
        ) { folder in
            let isOld = try self.fault(folder, image, options, oldJudge) == nil
            let isNew = try self.fault(folder, image, options, newJudge) == nil
            guard FileManager.default.fileExists(atPath: "\(folder)/undo.hrl") else {
                return isOld ? .before : .wrong("changed without an undo log")
            }
            if occurs(Array("msctlog".utf8), in: try fileBytes("\(folder)/undo.hrl")) {
                return .wrong("the undo log is plain")
            }
            // A copy, brought back.
            let copy = try Scratch(inMemory: true)
            let made = try runProgram("/bin/cp", ["-a", "--sparse=always", "\(folder)/.", copy.folder])
            guard made.exit == 0 else { throw ProgramFailure(description: made.error) }
            let back = try runTool(
                "hrl-apply", ["-q", "--to", image, "undo.hrl"] + options + Self.keys, folder: copy.folder)
            if back.exit != 0 { return .wrong("undo: exit \(back.exit), \(back.error)") }
            if let fault = try self.fault(copy.folder, image, options, oldJudge) { return .wrong("undo: \(fault)") }
            return isNew ? .after : .before
        }
    }

    @Test(arguments: [TortureCondition.fullDisk, .limitedFile, .kills], TortureUndoTests.Job.allCases)
    func survives(condition: TortureCondition, job: TortureUndoTests.Job) throws {
        try condition.run("hrl-apply --undo \(job.rawValue), sealed", try command(job))
    }
}
