import DiskModel
import Foundation
import ImageChain
import Testing
import ToolTesting

/// What is done to a command.
///
/// Five levels of room, four kills a command and three rounds of contention; `VHDTOOLS_TORTURE_LEVELS=20` and
/// `VHDTOOLS_KILL_ROUNDS=50` make the first two more.
enum TortureCondition: String, CaseIterable, Sendable {
    case fullDisk, limitedFile, kills, contention

    private static func number(_ name: String, or fallback: Int) -> Int {
        ProcessInfo.processInfo.environment[name].flatMap(Int.init) ?? fallback
    }

    /// Runs a command so, prints how it went, and expects that nothing was wrong.
    func run(_ name: String, _ command: TortureCase) throws {
        var torture = Torture(command)
        let seed = UInt64.random(in: 0 ... .max)
        let levels = Self.number("VHDTOOLS_TORTURE_LEVELS", or: 5)
        switch self {
        case .fullDisk: try torture.fullDisk(levels: levels)
        case .limitedFile: try torture.limitedFile(levels: levels)
        case .kills: try torture.kills(rounds: Self.number("VHDTOOLS_KILL_ROUNDS", or: 4), seed: seed)
        case .contention: try torture.contention(rounds: 3)
        }
        print("torture, \(rawValue)\(self == .kills ? ", seed \(seed)" : ""), \(name): \(torture.tally)")
        #expect(torture.tally.wrong.isEmpty, "\(torture.tally.wrong.prefix(3).joined(separator: "\n"))")
    }
}

/// Compares images with what they should hold, made once.
final class TortureJudge {
    private let disk: ImageChain
    init(_ contents: TestContents) throws { disk = try contents.disk() }

    /// Why an image is wrong; nil when it is right.
    func fault(of path: String, _ kind: TestImageKind) throws -> String? {
        do {
            let chain = try ImageChain.open(path, OpenOptions(format: kind == .raw ? .raw : nil))
            guard chain.geometry.virtualByteCount == disk.geometry.virtualByteCount else { return "another size" }
            return try firstDifferingByte(between: chain, and: disk).map { "byte \($0) differs" }
        } catch { return error.description }
    }
}
