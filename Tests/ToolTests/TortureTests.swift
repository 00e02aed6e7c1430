import BlockIO
import ByteCodec
import DiskModel
import Foundation
import ImageChain
import Testing
import ToolTesting

/// The tools that change images in place, on full disks, with limited files, killed, and several at once: the disk has its
/// old contents or its new ones, and the same command run again brings it to its end.
///
/// Ten levels of room and eight kills a command; `VHDTOOLS_TORTURE_LEVELS=20` and `VHDTOOLS_KILL_ROUNDS=50` make them more.
@Suite(.serialized) struct TortureTests {
    private static let rounds = ProcessInfo.processInfo.environment["VHDTOOLS_KILL_ROUNDS"].flatMap(Int.init) ?? 8
    private static let levels =
        ProcessInfo.processInfo.environment["VHDTOOLS_TORTURE_LEVELS"].flatMap(Int.init) ?? 10
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
        let (old, new) = (try Judge(contents), try Judge(contents.resized(to: job.newByteCount)))
        let target = job.isCompaction ? try compactedByteCount(template, kind) : nil
        return TortureCase(
            tool: job.isCompaction ? "vhdcompact" : "vhdresize",
            arguments: ["-q"] + kind.options
                + (job.isCompaction ? [kind.fileName] : ["--shrink", kind.fileName, "\(job.newByteCount)"]),
            template: template, neededByteCount: 40 << 20, growing: kind.fileName
        ) { folder in
            let path = "\(folder)/\(kind.fileName)"
            guard try FileManager.default.contentsOfDirectory(atPath: folder) == [kind.fileName] else {
                return .wrong("other files are there")
            }
            let chain: ImageChain
            do { chain = try ImageChain.open(path, OpenOptions(format: kind == .raw ? .raw : nil)) } catch {
                return .wrong("\(error)")
            }
            let isNew = chain.geometry.virtualByteCount == job.newByteCount
            if let why = try (isNew ? new : old).difference(from: chain) { return .wrong(why) }
            guard let target else { return isNew ? .after : .before }
            return try PosixFile(path).byteCount() == target ? .after : .before
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

    /// Compares with a disk made once.
    private final class Judge {
        private let disk: ImageChain
        init(_ contents: TestContents) throws { disk = try contents.disk() }
        func difference(from chain: ImageChain) throws -> String? {
            try firstDifferingByte(between: chain, and: disk).map { "byte \($0) differs" }
        }
    }

    private func report(_ job: Job, _ condition: String, _ torture: Torture) {
        print("torture, \(condition), \(job.rawValue): \(torture.tally)")
        #expect(torture.tally.wrong.isEmpty, "\(torture.tally.wrong.prefix(3).joined(separator: "\n"))")
    }

    @Test(arguments: Job.allCases) func fullDisk(job: Job) throws {
        var torture = Torture(try command(job))
        try torture.fullDisk(levels: Self.levels)
        report(job, "full disk", torture)
    }

    @Test(arguments: Job.allCases) func limitedFile(job: Job) throws {
        var torture = Torture(try command(job))
        try torture.limitedFile(levels: Self.levels)
        report(job, "limited file", torture)
    }

    @Test(arguments: Job.allCases) func kills(job: Job) throws {
        var torture = Torture(try command(job))
        let seed = UInt64.random(in: 0 ... .max)
        try torture.kills(rounds: Self.rounds, seed: seed)
        report(job, "kill -9, seed \(seed)", torture)
    }

    @Test(arguments: Job.allCases) func contention(job: Job) throws {
        var torture = Torture(try command(job))
        try torture.contention(rounds: 6)
        report(job, "three at once", torture)
    }
}
