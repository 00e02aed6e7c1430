import BlockIO
import DiskModel
import Foundation
import ImageChain
import Testing
import ToolTesting

/// vhdmerge on full disks, with limited files, killed, and several at once: the child shows what it showed, or is gone and
/// its ancestor shows it; and the same command run again completes the merge.
@Suite(.serialized) struct TortureMergeTests {
    enum Job: String, CaseIterable, Sendable {
        case vhd, fixedVHD, vhdx, keptVHD, keptVHDX
        var kind: TestImageKind {
            switch self {
            case .vhd, .keptVHD: .dynamicVHD
            case .fixedVHD: .fixedVHD
            case .vhdx, .keptVHDX: .dynamicVHDX
            }
        }
        var keeps: Bool { self == .keptVHD || self == .keptVHDX }
    }

    private func command(_ job: Job) throws -> TortureCase {
        let template = try Scratch(inMemory: true)
        let chain = try TestChain(
            job.kind, in: template.folder, byteCount: 24 << 20, children: 3, runs: 25, of: 48 << 10, seed: 5)
        let judge = try TortureJudge(chain.contents)
        let (base, leaf) = (chain.names[0], chain.leaf)
        return TortureCase(
            tool: "vhdmerge", arguments: ["-q"] + (job.keeps ? ["--keep"] : []) + ["--into", base, leaf],
            template: template, neededByteCount: 24 << 20, growing: base, isRepeatable: job.keeps,
            contentionCodes: [2, 5], names: Set(chain.names)
        ) { folder in
            let baseFault = try judge.fault(of: "\(folder)/\(base)", job.kind)
            guard FileManager.default.fileExists(atPath: "\(folder)/\(leaf)") else {
                return baseFault.map { .wrong("the leaf is gone, and the base wrong: \($0)") } ?? .after
            }
            if let fault = try judge.fault(of: "\(folder)/\(leaf)", job.kind) { return .wrong("the leaf: \(fault)") }
            let isDone = try baseFault == nil && ImageChain.open("\(folder)/\(leaf)").layers.count == 2
            return isDone && job.keeps ? .after : .before
        }
    }

    @Test(arguments: TortureCondition.allCases, Job.allCases)
    func survives(condition: TortureCondition, job: Job) throws {
        try condition.run("merge \(job.rawValue)", try command(job))
    }
}
