import BlockIO
import ByteCodec
import Foundation
import Testing
import ToolTesting

/// What a folder holds after a command ran in it, or was cut off in it.
enum TortureState: Equatable {
    /// As before the command, or on the way: to its users the same as before.
    case before
    case after
    case wrong(String)
}

/// A command that is to leave its folder right, whatever happens to it.
struct TortureCase: CustomStringConvertible {
    var tool: String
    var arguments: [String]
    /// Holds the command's inputs; copied for every run.
    var template: Scratch
    /// How much room a run needs at most.
    var neededByteCount: UInt64
    /// The input that grows, by name; nil where a new file is made.
    var growing: String?
    /// Whether a run that finds all done succeeds; one that makes a file may say that it is there.
    var isRepeatable = true
    /// What a second one at the same time may say instead of being done.
    var contentionCodes: Set<Int32> = [5]
    /// All files that may be there at the end; others only after a kill.
    var names: Set<String>
    var judge: (_ folder: String) throws -> TortureState
    var description: String { "\(tool) \(arguments.joined(separator: " "))" }
}

/// How many runs ended how.
struct TortureTally: CustomStringConvertible {
    var runs = 0
    var done = 0
    var failed = 0
    var killed = 0
    /// Of the killed ones: those that had written nothing.
    var untouched = 0
    /// Of the failed and killed ones: those that had already brought their work to its end.
    var afterAll = 0
    var wrong: [String] = []

    var description: String {
        "\(runs) runs: \(done) done, \(failed) failed, \(killed) killed; of these \(untouched) before the first write, "
            + "\(afterAll) after the last; \(wrong.count) wrong"
    }
}

/// Runs a command under bad conditions, judges the folder each time, then runs it again under good ones, after which all
/// must be done.
struct Torture {
    let command: TortureCase
    private(set) var tally = TortureTally()

    init(_ command: TortureCase) { self.command = command }

    private func fresh(_ folder: String) throws {
        let copy = try runProgram("/bin/cp", ["-a", "--sparse=always", "\(command.template.folder)/.", folder])
        guard copy.exit == 0 else { throw ProgramFailure(description: copy.error) }
    }

    private func empty(_ folder: String) throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
            try FileManager.default.removeItem(atPath: "\(folder)/\(name)")
        }
    }

    private mutating func note(_ what: String) { tally.wrong.append(what) }

    /// Judges what a run left, then runs again.
    private mutating func judge(_ folder: String, _ exit: Int32, error: String, _ condition: String) throws {
        tally.runs += 1
        let state = try command.judge(folder)
        let others = try FileManager.default.contentsOfDirectory(atPath: folder).filter { !command.names.contains($0) }
        if exit != 137, !others.isEmpty { note("\(condition): exit \(exit), left behind: \(others)") }
        switch (exit, state) {
        case (_, .wrong(let why)): note("\(condition): exit \(exit), \(error): \(why)")
        case (0, .before): note("\(condition): exit 0 and not done")
        case (0, .after): tally.done += 1
        case (137, _): tally.killed += 1
        case (2, _):
            tally.failed += 1
            let lines = error.split(separator: "\n")
            if lines.last?.hasPrefix("\(command.tool): ") != true { note("\(condition): says only \(error)") }
        default: note("\(condition): exit \(exit), \(error)")
        }
        if exit != 0, state == .after { tally.afterAll += 1 }
        guard command.isRepeatable || state != .after else { return }
        let again = try runTool(command.tool, command.arguments, folder: folder)
        let end = try command.judge(folder)
        if again.exit != 0 || end != .after {
            note("\(condition): run again: exit \(again.exit), \(again.error): \(end)")
        }
    }

    // MARK: Conditions

    /// From nothing to all that is needed, dense near nothing, where most writes are.
    private func room(_ level: Int, _ levels: Int) -> UInt64 {
        let part = Double(level) / Double(levels)
        return UInt64(Double(command.neededByteCount) * part * part * part * part)
    }

    /// The disk is full after so many bytes, from none to all that are needed. Needs root, for a tmpfs of its own.
    mutating func fullDisk(levels: Int) throws {
        guard let disk = try SmallDisk(byteCount: command.neededByteCount * 2 + (256 << 20)) else { return }
        for level in 0...levels {
            try empty(disk.folder)
            try fresh(disk.folder)
            let part = room(level, levels)
            try disk.leave(free: part.roundedUp(to: 4096))
            let run = try runTool(command.tool, command.arguments, folder: disk.folder)
            try disk.removeBallast()
            try judge(disk.folder, run.exit, error: run.error, "\(part) bytes free")
        }
    }

    /// No file may get larger than so many bytes: every call that lengthens one beyond fails.
    mutating func limitedFile(levels: Int) throws {
        let folder = try Scratch(inMemory: true)
        try fresh(folder.folder)
        let start = try command.growing.map { try PosixFile(folder.path($0)).byteCount() } ?? 0
        for level in 0...levels {
            try empty(folder.folder)
            try fresh(folder.folder)
            // Messages go to a file, too.
            let limit = max(64 << 10, start + room(level, levels)) / 1024
            let line = "trap '' XFSZ; ulimit -f \(limit); exec \"$@\""
            let run = try runProgram(
                "/bin/bash", ["-c", line, "bash", toolPath(command.tool)] + command.arguments, folder: folder.folder)
            try judge(folder.folder, run.exit, error: run.error, "files up to \(limit) KiB")
        }
    }

    /// SIGKILL at random moments: every other one of the whole run, the others of the part that writes.
    mutating func kills(rounds: Int, seed: UInt64) throws {
        var random = TestRandom(state: seed)
        // On a disk, whose flushes take their time.
        let folder = try Scratch()
        let (wholeSeconds, writingSeconds) = try undisturbed(folder.folder)
        for round in 0..<rounds {
            try empty(folder.folder)
            try fresh(folder.folder)
            let untouched = try trace(folder.folder)
            let tool = try RunningTool(command.tool, command.arguments, folder: folder.folder)
            if round % 2 == 0 {
                usleep(UInt32(Double.random(in: 0...wholeSeconds, using: &random) * 1e6))
            } else {
                while tool.isRunning, try !hasWritten(tool, folder.folder, untouched) {}
                let part = Double.random(in: 0...1, using: &random)
                usleep(UInt32(writingSeconds * part * part * 1e6))
            }
            let wasUntouched = try !hasWritten(tool, folder.folder, untouched)
            tool.send(SIGKILL)
            let exit = tool.end() ?? -1
            if exit == 137, wasUntouched, try trace(folder.folder) == untouched { tally.untouched += 1 }
            try judge(folder.folder, exit, error: tool.error, "killed, round \(round), seed \(seed)")
        }
    }

    /// How long the command takes, and how long of that from its first write on.
    private func undisturbed(_ folder: String) throws -> (whole: Double, writing: Double) {
        try fresh(folder)
        let untouched = try trace(folder)
        let tool = try RunningTool(command.tool, command.arguments, folder: folder)
        let started = Date()
        while tool.isRunning, try !hasWritten(tool, folder, untouched) {}
        let touched = Date()
        while tool.isRunning { usleep(100) }
        let ended = Date()
        guard tool.end() == 0 else { throw ProgramFailure(description: "undisturbed: \(tool.error)") }
        return (ended.timeIntervalSince(started), ended.timeIntervalSince(touched))
    }

    /// A new file has no name before it is whole: what the process says counts then.
    private func hasWritten(_ tool: RunningTool, _ folder: String, _ untouched: [Int]) throws -> Bool {
        try trace(folder) != untouched || command.growing == nil && tool.writtenByteCount > 0
    }

    /// What a write changes: the time and the size of the file that grows, or of the folder.
    private func trace(_ folder: String) throws -> [Int] {
        var status = stat()
        guard unsafe lstat(command.growing.map { "\(folder)/\($0)" } ?? folder, &status) == 0 else {
            throw ProgramFailure(description: "\(folder): lstat: errno \(errno)")
        }
        return [Int(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
    }

    /// Several at once on the same files: one does the work, the others are done with nothing to do or told that it is busy.
    mutating func contention(rounds: Int, at once: Int = 3) throws {
        let folder = try Scratch(inMemory: true)
        for round in 0..<rounds {
            try empty(folder.folder)
            try fresh(folder.folder)
            let tools = try (0..<once).map { _ in
                try RunningTool(command.tool, command.arguments, folder: folder.folder)
            }
            let exits = tools.map { $0.end() ?? -1 }
            tally.runs += 1
            tally.done += exits.count { $0 == 0 }
            tally.failed += exits.count { command.contentionCodes.contains($0) }
            if !exits.contains(0) || exits.contains(where: { $0 != 0 && !command.contentionCodes.contains($0) }) {
                note("round \(round): exits \(exits): \(tools.map(\.error))")
            }
            let state = try command.judge(folder.folder)
            if state != .after { note("round \(round): exits \(exits): \(state)") }
        }
    }
}
