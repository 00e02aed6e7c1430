import Foundation

/// A program that runs beside the test and holds something, until it is told to end or is killed.
public final class HeldProgram {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()

    /// - Parameters:
    ///   - commands: written to its input, which stays open.
    ///   - until: what its output must hold before it counts as ready; at once when empty.
    /// - Throws: when it ends before.
    public init(_ program: String, _ arguments: [String], commands: String = "", until text: String = "") throws {
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        try input.fileHandleForWriting.write(contentsOf: Data(commands.utf8))
        var seen = ""
        while !text.isEmpty, !seen.contains(text) {
            let piece = output.fileHandleForReading.availableData
            guard !piece.isEmpty else { throw ProgramFailure(description: "\(program) ended: \(seen)") }
            seen += String(decoding: piece, as: UTF8.self)
        }
    }

    public var isRunning: Bool { process.isRunning }

    /// Closes its input and waits for its end.
    public func end() {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    /// Kills it with SIGKILL and waits until it is gone.
    public func kill() {
        if process.isRunning { Foundation.kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
    }

    deinit { if process.isRunning { Foundation.kill(process.processIdentifier, SIGKILL) } }
}
