import Foundation

/// What a program did.
public struct ProgramResult: Sendable {
    /// Exit code, or 128 + signal.
    public var exit: Int32
    public var outputBytes: [UInt8]
    public var error: String
    public var output: String { String(decoding: outputBytes, as: UTF8.self) }
    public var seconds: Double
}

public struct ProgramFailure: Error, CustomStringConvertible {
    public var description: String
    public init(description: String) { self.description = description }
}

/// Runs a program to its end, with stdout and stderr captured.
/// - Parameter timeout: after so many seconds it is killed, which is an error.
public func runProgram(
    _ path: String, _ arguments: [String], input: [UInt8]? = nil, folder: String? = nil,
    environment: [String: String] = [:], timeout: Double = 120
) throws -> ProgramResult {
    let scratch = try Scratch()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    if let folder { process.currentDirectoryURL = URL(fileURLWithPath: folder) }
    // Files instead of pipes: nothing can block on a full one.
    let (out, err, inp) = (scratch.path("out"), scratch.path("err"), scratch.path("in"))
    try Data().write(to: URL(fileURLWithPath: out))
    try Data().write(to: URL(fileURLWithPath: err))
    try Data(input ?? []).write(to: URL(fileURLWithPath: inp))
    process.standardOutput = FileHandle(forWritingAtPath: out)
    process.standardError = FileHandle(forWritingAtPath: err)
    process.standardInput = FileHandle(forReadingAtPath: inp)
    let started = Date()
    try process.run()
    while process.isRunning {
        if Date().timeIntervalSince(started) > timeout {
            kill(process.processIdentifier, SIGKILL)
            throw ProgramFailure(description: "\(path) \(arguments.joined(separator: " ")): no end after \(timeout) s")
        }
        usleep(1000)
    }
    process.waitUntilExit()
    let code = process.terminationStatus
    return ProgramResult(
        exit: process.terminationReason == .uncaughtSignal ? 128 + code : code,
        outputBytes: [UInt8](try Data(contentsOf: URL(fileURLWithPath: out))),
        error: String(decoding: try Data(contentsOf: URL(fileURLWithPath: err)), as: UTF8.self),
        seconds: Date().timeIntervalSince(started))
}

/// The folder of the built binaries: where the test bundle lies.
public let builtProductsFolder: String = {
    var folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    for _ in 0..<6 {
        if FileManager.default.isExecutableFile(atPath: folder.appendingPathComponent("vhdinfo").path) { break }
        folder.deleteLastPathComponent()
    }
    return folder.path
}()

/// Path of a built tool.
public func toolPath(_ name: String) -> String { builtProductsFolder + "/" + name }

/// Runs a built tool.
public func runTool(
    _ name: String, _ arguments: [String], input: [UInt8]? = nil, folder: String? = nil,
    environment: [String: String] = [:], timeout: Double = 120
) throws -> ProgramResult {
    try runProgram(
        toolPath(name), arguments, input: input, folder: folder, environment: environment, timeout: timeout)
}
