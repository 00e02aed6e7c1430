import BlockIO
import DiskModel
import Foundation
import ImageChain
import Testing
import ToolTesting

/// vhdsnap and vhdrebase on full disks, with limited files, killed, and several at once: a child is there and whole or not
/// there; one that moves shows the same over its old parent or its new one.
@Suite(.serialized) struct TortureChildTests {
    private static let size: UInt64 = 24 << 20

    enum Job: String, CaseIterable, Sendable {
        case snapVHD, snapVHDX, moveVHD, moveVHDX, rebaseVHD, rebaseVHDX

        var kind: TestImageKind { rawValue.hasSuffix("X") ? .dynamicVHDX : .dynamicVHD }
        var ending: String { rawValue.hasSuffix("X") ? "vhdx" : "vhd" }
        var isSnapshot: Bool { rawValue.hasPrefix("snap") }
        var isRebase: Bool { rawValue.hasPrefix("rebase") }
    }

    private static let contents = TestContents(byteCount: size, within: size, runs: 40, of: 256 << 10, seed: 79)

    private func command(_ job: Job) throws -> TortureCase {
        let template = try Scratch(inMemory: true)
        let (old, new, child) = ("old.\(job.ending)", "new.\(job.ending)", "child.\(job.ending)")
        try job.kind.make(template.path(old), byteCount: Self.size, Self.contents.runs)
        return job.isSnapshot
            ? try snapshot(template, old, child)
            : try rebase(job, template, old, new, child)
    }

    private func snapshot(_ template: Scratch, _ parent: String, _ child: String) throws -> TortureCase {
        let judge = try TortureJudge(Self.contents)
        return TortureCase(
            tool: "vhdsnap", arguments: ["-q", parent, child], template: template, neededByteCount: 8 << 20,
            isRepeatable: false, contentionCodes: [2], names: [parent, child]
        ) { folder in
            let path = "\(folder)/\(child)"
            guard FileManager.default.fileExists(atPath: path) else { return .before }
            return try judge.fault(of: path, .dynamicVHDX).map(TortureState.wrong) ?? .after
        }
    }

    /// To another parent that has other contents, or to its own one at another place.
    private func rebase(
        _ job: Job, _ template: Scratch, _ old: String, _ new: String, _ child: String
    ) throws -> TortureCase {
        #expect(try runTool("vhdsnap", ["-q", old, child], folder: template.folder).exit == 0)
        if job.isRebase {
            try job.kind.make(
                template.path(new), byteCount: Self.size,
                TestContents(byteCount: Self.size, within: Self.size, runs: 25, of: 128 << 10, seed: 80).runs)
        } else {
            // Both places hold it, so that either link leads to it.
            try FileManager.default.linkItem(atPath: template.path(old), toPath: template.path(new))
        }
        let judge = try TortureJudge(Self.contents)
        return TortureCase(
            tool: "vhdrebase", arguments: ["-q"] + (job.isRebase ? ["--safe"] : []) + ["--parent", new, child],
            template: template, neededByteCount: job.isRebase ? 40 << 20 : 1 << 20, growing: child,
            names: [old, new, child]
        ) { folder in
            let path = "\(folder)/\(child)"
            if let fault = try judge.fault(of: path, job.kind) { return .wrong(fault) }
            // Done when another run finds nothing to do.
            let dry = try runTool(
                "vhdrebase", ["--dry-run"] + (job.isRebase ? ["--safe"] : []) + ["--parent", new, child], folder: folder
            )
            guard dry.exit == 0 else { return .wrong(dry.error) }
            return dry.output.contains("nothing to do") ? .after : .before
        }
    }

    @Test(arguments: TortureCondition.allCases, Job.allCases)
    func survives(condition: TortureCondition, job: Job) throws { try condition.run(job.rawValue, try command(job)) }
}
