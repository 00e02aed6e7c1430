import BlockIO
import ByteCodec
import DiskModel
import Foundation
import ImageChain
import Testing
import ToolTesting

/// The tools that change images in place, on full disks, with limited files, killed, and several at once: the disk has its
/// old contents or its new ones, and the same command run again brings it to its end.
@Suite(.serialized) struct TortureTests {
    private static let size: UInt64 = 48 << 20

    enum Job: String, CaseIterable, Sendable {
        case growRaw, growFixedVHD, growVHD, growFixedVHDX, growVHDX
        case shrinkRaw, shrinkFixedVHD, shrinkVHD, shrinkFixedVHDX, shrinkVHDX
        case compactVHD, compactVHDX

        var kind: TestImageKind {
            switch self {
            case .growRaw, .shrinkRaw: .raw
            case .growFixedVHD, .shrinkFixedVHD: .fixedVHD
            case .growVHD, .shrinkVHD, .compactVHD: .dynamicVHD
            case .growFixedVHDX, .shrinkFixedVHDX: .fixedVHDX
            case .growVHDX, .shrinkVHDX, .compactVHDX: .dynamicVHDX
            }
        }
        var isCompaction: Bool { self == .compactVHD || self == .compactVHDX }
        /// Dynamic images grow until their block table needs another place.
        var newByteCount: UInt64 {
            switch self {
            case .growVHD: 200 << 30
            case .growVHDX: 2 << 40
            case .growRaw, .growFixedVHD, .growFixedVHDX: 80 << 20
            case .compactVHD, .compactVHDX: TortureTests.size
            default: (20 << 20) + 333 * 512
            }
        }
    }

    private func command(_ job: Job) throws -> TortureCase {
        let kind = job.kind
        let template = try Scratch(inMemory: true)
        let contents = Self.contents(job)
        try kind.make(template.path(kind.fileName), byteCount: Self.size, contents.runs)
        let (old, new) = (try TortureJudge(contents), try TortureJudge(contents.resized(to: job.newByteCount)))
        let target = job.isCompaction ? try compactedByteCount(template, kind) : nil
        return TortureCase(
            tool: job.isCompaction ? "vhdcompact" : "vhdresize",
            arguments: ["-q"] + kind.options
                + (job.isCompaction ? [kind.fileName] : ["--shrink", kind.fileName, "\(job.newByteCount)"]),
            template: template, neededByteCount: 40 << 20, growing: kind.fileName, names: [kind.fileName]
        ) { folder in
            let path = "\(folder)/\(kind.fileName)"
            guard let fault = try new.fault(of: path, kind) else {
                guard let target else { return .after }
                return try PosixFile(path).byteCount() == target ? .after : .before
            }
            guard let oldFault = try old.fault(of: path, kind) else { return .before }
            return .wrong("neither new: \(fault), nor old: \(oldFault)")
        }
    }

    /// Runs of bytes all over the disk; for compaction every second stretch is zeros again.
    private static func contents(_ job: Job) -> TestContents {
        var contents = TestContents(byteCount: size, within: size, runs: 45, of: 64 << 10, seed: 77)
        guard job.isCompaction else { return contents }
        for start in stride(from: UInt64(4) << 20, to: size, by: 8 << 20) {
            contents.runs.append((start, [UInt8](repeating: 0, count: 4 << 20)))
        }
        return contents
    }

    /// How long the file is when nobody interferes.
    private func compactedByteCount(_ template: Scratch, _ kind: TestImageKind) throws -> UInt64 {
        let copy = try Scratch(inMemory: true)
        try FileManager.default.copyItem(
            atPath: template.path(kind.fileName), toPath: copy.path(kind.fileName))
        let run = try runTool("vhdcompact", [copy.path(kind.fileName)])
        #expect(run.exit == 0, "\(run.error)")
        return try PosixFile(copy.path(kind.fileName)).byteCount()
    }

    @Test(arguments: TortureCondition.allCases, Job.allCases)
    func survives(condition: TortureCondition, job: Job) throws { try condition.run(job.rawValue, try command(job)) }
}
