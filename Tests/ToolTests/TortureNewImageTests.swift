import Foundation
import Testing
import ToolTesting

/// The tools that make images, on full disks, with limited files, killed, and several at once: the image is there and whole,
/// or not there; and nothing else is left behind but by a kill.
@Suite(.serialized) struct TortureNewImageTests {
    private static let size: UInt64 = 48 << 20

    enum Job: String, CaseIterable, Sendable {
        case createFixedVHD, createVHD, createFixedVHDX, createVHDX
        case convertRaw, convertFixedVHD, convertVHD, convertFixedVHDX, convertVHDX

        var isConversion: Bool { rawValue.hasPrefix("convert") }
        var kind: TestImageKind {
            switch self {
            case .convertRaw: .raw
            case .createFixedVHD, .convertFixedVHD: .fixedVHD
            case .createVHD, .convertVHD: .dynamicVHD
            case .createFixedVHDX, .convertFixedVHDX: .fixedVHDX
            case .createVHDX, .convertVHDX: .dynamicVHDX
            }
        }
    }

    private func command(_ job: Job) throws -> TortureCase {
        let template = try Scratch(inMemory: true)
        var contents = TestContents(byteCount: Self.size)
        if job.isConversion {
            contents = TestContents(byteCount: Self.size, within: Self.size, runs: 60, of: 512 << 10, seed: 78)
            try TestImageKind.dynamicVHDX.make(
                template.path("source.vhdx"), byteCount: Self.size, contents.runs)
        }
        let judge = try TortureJudge(contents)
        let (kind, name) = (job.kind, job.kind.fileName)
        let type = [.fixedVHD, .fixedVHDX].contains(kind) ? ["--fixed"] : []
        return TortureCase(
            tool: job.isConversion ? "vhdconvert" : "vhdcreate",
            arguments: ["-q"] + type + (job.isConversion ? ["source.vhdx", name] : [name, "\(Self.size)"]),
            template: template, neededByteCount: 80 << 20, isRepeatable: false, contentionCodes: [2],
            names: ["source.vhdx", name]
        ) { folder in
            let path = "\(folder)/\(name)"
            guard FileManager.default.fileExists(atPath: path) else { return .before }
            return try judge.fault(of: path, kind).map(TortureState.wrong) ?? .after
        }
    }

    @Test(arguments: TortureCondition.allCases, Job.allCases)
    func survives(condition: TortureCondition, job: Job) throws { try condition.run(job.rawValue, try command(job)) }
}
