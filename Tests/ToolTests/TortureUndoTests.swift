import BlockIO
import DiskModel
import Foundation
import HRL
import ImageChain
import Testing
import ToolTesting

/// hrl-apply --undo on full disks, with limited files, killed, and several at once: the disk has its old contents, or there
/// is an undo log that brings them back; and the same command run again applies the logs, with the undo log still right.
@Suite(.serialized) struct TortureUndoTests {
    enum Job: String, CaseIterable, Sendable {
        case raw, dynamicVHD, dynamicVHDX, childVHDX
        var kind: TestImageKind {
            switch self {
            case .raw: .raw
            case .dynamicVHD: .dynamicVHD
            case .dynamicVHDX, .childVHDX: .dynamicVHDX
            }
        }
    }
    private static let byteCount: UInt64 = 24 << 20

    /// Two logs over an image that is half full, some writes over others.
    func template(_ job: Job) throws -> (Scratch, image: String, old: TestContents, new: TestContents) {
        let template = try Scratch(inMemory: true)
        var old = TestContents(byteCount: Self.byteCount, within: 12 << 20, runs: 20, of: 256 << 10, seed: 21)
        var image = job.kind.fileName
        if job == .childVHDX {
            let chain = try TestChain(
                .dynamicVHDX, in: template.folder, byteCount: Self.byteCount, children: 1, runs: 25, of: 48 << 10,
                seed: 5)
            (old, image) = (chain.contents, chain.leaf)
        } else {
            try job.kind.make(template.path(image), byteCount: Self.byteCount, old.runs)
        }
        var random = TestRandom(state: 22)
        var new = old
        var previous = HRLSample.third
        for id in [HRLSample.first, HRLSample.second] {
            let writes = (0..<150).map { number in
                let count = Int.random(in: 1...96, using: &random) * 512
                let last = (Self.byteCount - UInt64(count)) / 512
                return HRLSample.Write(
                    offset: UInt64.random(in: 0...last, using: &random) * 512, value: UInt8(number), count: count)
            }
            new.runs += writes.map { ($0.offset, [UInt8](repeating: $0.value, count: $0.count)) }
            _ = try template.write(
                id == HRLSample.first ? "1.hrl" : "2.hrl", try HRLSample.log(writes, id: id, after: previous))
            previous = id
        }
        return (template, image, old, new)
    }

    private func command(_ job: Job) throws -> TortureCase {
        let (template, image, old, new) = try template(job)
        let (oldJudge, newJudge) = (try TortureJudge(old), try TortureJudge(new))
        let kind = job.kind
        return TortureCase(
            tool: "hrl-apply", arguments: ["-q", "--to", image, "--undo", "undo.hrl", "2.hrl", "1.hrl"] + kind.options,
            template: template, neededByteCount: 40 << 20, growing: image,
            names: Set(try template.names() + ["undo.hrl"])
        ) { folder in
            let isOld = try oldJudge.fault(of: "\(folder)/\(image)", kind) == nil
            let newFault = try newJudge.fault(of: "\(folder)/\(image)", kind)
            guard FileManager.default.fileExists(atPath: "\(folder)/undo.hrl") else {
                return isOld ? .before : .wrong("changed without an undo log")
            }
            // A copy, brought back.
            let copy = try Scratch(inMemory: true)
            let made = try runProgram("/bin/cp", ["-a", "--sparse=always", "\(folder)/.", copy.folder])
            guard made.exit == 0 else { throw ProgramFailure(description: made.error) }
            let back = try runTool(
                "hrl-apply", ["-q", "--to", image, "undo.hrl"] + kind.options, folder: copy.folder)
            if back.exit != 0 { return .wrong("undo: exit \(back.exit), \(back.error)") }
            if let fault = try oldJudge.fault(of: copy.path(image), kind) { return .wrong("undo: \(fault)") }
            return newFault == nil ? .after : .before
        }
    }

    @Test(arguments: TortureCondition.allCases, Job.allCases)
    func survives(condition: TortureCondition, job: Job) throws {
        try condition.run("hrl-apply --undo \(job.rawValue)", try command(job))
    }
}
