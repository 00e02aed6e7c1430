public import ArgumentParser
import ByteCodec
import Glibc

/// A command line that the tool cannot take. Where JSON was asked for it is a document, too, as every other error is; what
/// people read stays on standard error.
struct UsageError {
    let schema: String
    /// Of tools whose JSON is a stream: the error is one of its lines.
    let streamsLines: Bool
    let message: String

    /// Nil for what is no mistake in the command line: help that was asked for, and the end of a run, which has printed its
    /// own document.
    init?(_ error: any Error, of root: any ParsableCommand.Type, _ arguments: [String]) {
        guard !(error is ExitCode), root.exitCode(for: error) == .validationFailure else { return nil }
        let tool = Self.tool(root, arguments)
        schema = tool?.schema ?? "\(root._commandName)/1"
        streamsLines = tool?.streamsLines ?? false
        message = root.message(for: error)
    }

    /// The tool that is meant; of a program with verbs, the verb.
    private static func tool(_ root: any ParsableCommand.Type, _ arguments: [String]) -> (any Tool.Type)? {
        if let tool = root as? any Tool.Type { return tool }
        guard let verb = arguments.first(where: { !$0.hasPrefix("-") }) else { return nil }
        return root.configuration.subcommands.first { $0._commandName == verb } as? any Tool.Type
    }

    var line: JSONValue {
        let error = ToolRun.errorValue(kind: "usage", path: "", message: message)
        let exit = JSONValue.integer(Int64(ExitStatus.usage.rawValue))
        if streamsLines, case .object(let members) = error { return .object([.init("type", "error")] + members) }
        return [
            "schema": .string(schema), "tool_version": .string(toolVersion),
            "time": .string(rfc3339(unixSeconds: ToolRun.now())), "input": .array([]), "result": nil,
            "warnings": .array([]), "error": error, "exit": exit,
        ]
    }
}

/// Parses the program's arguments and runs the command they name. Does not return.
public func runProgram(_ root: any ParsableCommand.Type) -> Never {
    // A file that may not get any longer is an error of the call that writes it.
    signal(SIGXFSZ, SIG_IGN)
    refuseSecretArguments(root)
    do {
        var command = try root.parseAsRoot()
        try command.run()
    } catch { endProgram(root, error) }
    root.exit(withError: nil)
}

/// Ends the program where an argument is an age identity: other users see arguments, and histories and case logs keep them.
/// It is not repeated in the message.
private func refuseSecretArguments(_ root: any ParsableCommand.Type) {
    // What is only named like one, such as a file, is shorter.
    let sign = "AGE-SECRET-KEY-1"
    let isSecret = CommandLine.arguments.contains { argument in
        let text = Array(argument.uppercased().utf8)
        return text.indices.contains { start in
            text[start...].starts(with: sign.utf8)
                && text.dropFirst(start + sign.utf8.count).prefix { $0 != UInt8(ascii: ".") && $0 != UInt8(ascii: "/") }
                    .count
                    >= 30
        }
    }
    guard isSecret else { return }
    let problem =
        "an identity, AGE-SECRET-KEY-1…, was given as an argument, where others can see it: put it into a file for "
        + "--identity, and make a new one"
    printUsageDocument(root, ValidationError(problem))
    printError("\(root._commandName): \(problem)")
    exit(ExitStatus.usage.rawValue)
}

/// Ends the program as its error says; of a mistake in the command line also tells as JSON where that was asked for.
public func endProgram(_ root: any ParsableCommand.Type, _ error: any Error) -> Never {
    printUsageDocument(root, error)
    root.exit(withError: error)
}

/// Where JSON was asked for, and the error is a mistake in the command line.
private func printUsageDocument(_ root: any ParsableCommand.Type, _ error: any Error) {
    let arguments = Array(CommandLine.arguments.dropFirst())
    guard arguments.prefix(while: { $0 != "--" }).contains("--json"),
        let usage = UsageError(error, of: root, arguments)
    else { return }
    let out = OutputStream()
    try? out.line(usage.line)
    try? out.flush()
}

extension Tool {
    public static func main() { runProgram(Self.self) }
}
