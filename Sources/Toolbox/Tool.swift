public import ArgumentParser
public import BlockIO
public import ByteCodec
import Digest
public import DiskModel
import Glibc

/// The version of all tools.
public let toolVersion = "0.1.0"

/// What `--version` prints.
public var versionText: String { "vhdtools \(toolVersion), \(openSSLVersionText)" }

/// A command with the house's conventions: errors as `name: path: what`, one JSON document or a stream of lines, the
/// exit codes of `ExitStatus`.
public protocol Tool: ParsableCommand {
    /// Name and version of the JSON document: `vhdinfo/1`.
    static var schema: String { get }
    /// The program's name, for messages; of a verb, that of the whole program.
    static var programName: String { get }
    /// Of tools whose JSON is a stream of lines that they write themselves; an error then is a line of type `error`.
    static var streamsLines: Bool { get }
    var output: OutputOptions { get }
    /// Does the work. Results go to `run`; what is thrown becomes the error.
    func perform(_ run: ToolRun) throws
}

extension Tool {
    public static var programName: String { _commandName }
    public static var streamsLines: Bool { false }

    public mutating func run() throws {
        let run = ToolRun(
            name: Self.programName, schema: Self.schema, streamsLines: Self.streamsLines, output: output)
        do {
            try run.openCaseLog()
            try perform(run)
        } catch let code as ExitCode { throw code } catch let error as ValidationError {
            throw error
        } catch { run.fail(error) }
        run.closeSealedFiles()
        run.finish()
        if run.status != .done { throw ExitCode(run.status.rawValue) }
    }
}

/// One run of a tool: collects inputs, warnings and the result, and prints them at the end.
public final class ToolRun {
    public let name: String
    public let schema: String
    public let output: OutputOptions
    public let out = OutputStream()
    public private(set) var status = ExitStatus.done
    /// The part of the status that belongs to the document under way.
    private var documentStatus = ExitStatus.done
    private let streamsLines: Bool
    /// Makes the last line of a stream, which an error's line precedes.
    public var closingLine: (() -> JSONValue)?
    /// The document's `result`; with `--json` it is printed at the end.
    public var result: JSONValue = .null

    private var inputList: [JSONValue] = []
    /// Inputs of documents already printed, for the case log.
    private var earlierInputs: [JSONValue] = []
    private var outputList: [JSONValue] = []
    private var warnings: [JSONValue] = []
    /// What standard error takes of the findings of all files.
    public let findingBudget = FindingBudget()
    private var error: JSONValue = .null
    private let started: Int64 = ToolRun.now()

    /// Open before any work is done.
    private var caseLog: CaseLog?

    init(name: String, schema: String, streamsLines: Bool, output: OutputOptions) {
        (self.name, self.schema, self.streamsLines, self.output) = (name, schema, streamsLines, output)
    }

    public static func now() -> Int64 { Int64(time(nil)) }
    /// For what a run makes: seconds since 1970, or 0 where the clock is before.
    public static var creationTime: UInt64 { UInt64(max(0, now())) }

    /// Notes an input file for the document and the case log.
    public func addInput(_ path: String, byteCount: UInt64?, hashes: [(name: String, hex: String)] = []) {
        inputList.append(Self.fileEntry(path, byteCount, hashes))
    }

    /// The same of an open file; the size is that of the host's file, also where its contents are sealed.
    public func addInput(_ file: any BlockFile) {
        addInput(file.path, byteCount: try? (file.storage ?? file).byteCount())
    }

    /// Adds hashes to an input noted before.
    public func addHashes(_ hashes: [(name: String, hex: String)], toInput path: String) {
        inputList = inputList.map { entry in
            guard entry["path"] == .string(path), case .object(let members) = entry else { return entry }
            return .object(members + hashes.map { .init($0.name, .string($0.hex)) })
        }
    }

    public func addOutput(_ path: String, byteCount: UInt64?, hashes: [(name: String, hex: String)] = []) {
        outputList.append(Self.fileEntry(path, byteCount, hashes))
    }

    private static func fileEntry(_ path: String, _ byteCount: UInt64?, _ hashes: [(name: String, hex: String)])
        -> JSONValue
    {
        .object(
            [.init("path", .string(path)), .init("size", .optional(byteCount))]
                + hashes.map { .init($0.name, .string($0.hex)) })
    }

    /// Raises the exit status; never lowers it.
    public func raise(_ status: ExitStatus) {
        self.status = max(self.status, status)
        documentStatus = max(documentStatus, status)
    }

    public func warn(_ path: String, _ message: String, code: String? = nil, offset: UInt64? = nil) {
        warn(path, message, code: code, offset: offset, isShown: true)
    }

    private func warn(_ path: String, _ message: String, code: String?, offset: UInt64?, isShown: Bool) {
        if isShown, !output.quiet { printError("\(name): \(path): \(message)") }
        warnings.append([
            "code": .optional(code), "path": .string(path), "message": .string(message), "offset": .optional(offset),
        ])
    }

    /// Notes what a reader found: warnings and accepted errors; information only with `--verbose`.
    /// - Parameters:
    ///   - dropped: how many more there are that the reader did not keep.
    ///   - shownCount: how many of each kind are printed; the document lists all.
    public func warn(
        _ path: String, _ findings: [Finding], dropped: [Finding.Kind: Int] = [:],
        showing shownCount: Int = FindingDigest.usualShownCount
    ) {
        var digest = FindingDigest(showing: shownCount, of: findingBudget)
        for finding in findings where finding.severity > .information || output.verbose {
            // Said in words of its own by `noteReplayedLog`.
            if finding.severity == .warning, finding.detail.code == Self.pendingLogCode { continue }
            let (isShown, detail) = (digest.admits(finding.kind), finding.detail)
            warn(path, detail.description, code: detail.code.rawValue, offset: detail.offset, isShown: isShown)
        }
        digest.add(dropped: dropped)
        for (code, message) in digest.unlisted {
            warn(path, message, code: code.rawValue, offset: nil, isShown: false)
        }
        warn(path, rests: digest)
    }

    /// Prints how many findings were not shown.
    public func warn(_ path: String, rests digest: FindingDigest) {
        guard !output.quiet else { return }
        for line in digest.rests() { printError("\(name): \(path): \(line)") }
    }

    /// Says once that a dirty log was replayed in memory.
    public func noteReplayedLog(_ path: String) {
        warn(path, "log pending: replayed in memory, the file is unchanged", code: Self.pendingLogCode.rawValue)
    }
    private static let pendingLogCode = FormatError.Code("VHDX005")

    /// Reports an error as one line, as the document's `error`, and in the exit status.
    public func fail(_ thrown: any Error) {
        // Bytes that are not authentic are a matter of keys, whoever reads them.
        var thrown = thrown
        if let error = thrown as? IOError, error.reason == .notAuthentic { thrown = DiskError(error) }
        let (status, path, message, detail) = Self.describe(thrown)
        raise(status)
        if thrown is OutputFailure { outputHasFailed = true }
        printError(path.isEmpty ? "\(name): \(message)" : "\(name): \(path): \(message)")
        error = Self.errorValue(
            kind: (thrown as? DiskError)?.kind.rawValue ?? "io", path: path, message: message, detail)
    }

    /// The document's `error`.
    static func errorValue(kind: String, path: String, message: String, _ detail: FormatError? = nil) -> JSONValue {
        [
            "code": .optional(detail?.code.rawValue), "kind": .string(kind),
            "path": path.isEmpty ? .null : .string(path), "message": .string(message),
            "field": .optional(detail?.field), "offset": .optional(detail?.offset),
        ]
    }

    private static func describe(_ thrown: any Error) -> (ExitStatus, String, String, FormatError?) {
        switch thrown {
        case let error as DiskError: (ExitStatus(error.kind), error.path, error.explanation, error.formatError)
        case let error as IOError:
            (ExitStatus(DiskError(error).kind), error.path, error.explanation + hint(error), nil)
        case let error as FormatError: (.failed, "", error.description, error)
        default: (.failed, "", "\(thrown)", nil)
        }
    }

    /// Only outputs are made without the wish to replace.
    private static func hint(_ error: IOError) -> String {
        let isInTheWay = error.reason == .errno(EEXIST) && ["create", "rename"].contains(error.call)
        return isInTheWay ? "; use -f to replace it" : ""
    }

    /// The document of a single answer.
    public func document() -> JSONValue {
        [
            "schema": .string(schema), "tool_version": .string(toolVersion),
            "time": .string(rfc3339(unixSeconds: Self.now())), "input": .array(inputList), "result": result,
            "warnings": .array(warnings), "error": error, "exit": .integer(Int64(documentStatus.rawValue)),
        ]
    }

    /// Prints the document of one input and starts the next: several inputs give JSON Lines.
    public func endDocument() throws {
        try out.line(document())
        earlierInputs += inputList
        (inputList, warnings, error, result, documentStatus) = ([], [], .null, .null, .done)
        hasPrinted = true
    }
    private var hasPrinted = false
    /// What is left to print would fail again.
    private var outputHasFailed = false

    /// Records the run, and prints what is left: in this order, so that the document says how the run really ended.
    func finish() {
        if !output.quiet { for line in findingBudget.rests { printError("\(name): \(line)") } }
        record()
        let recorded = status
        do { if !outputHasFailed { try printRest() } } catch {
            raise(.failed)
            printError("\(name): \(error)")
        }
        guard status != recorded else { return }
        try? caseLog?.replace(with: caseLogEntry)
    }

    private func printRest() throws {
        if output.json, streamsLines {
            if case .object(let members) = error { try out.line(.object([.init("type", "error")] + members)) }
            if let closingLine { try out.line(closingLine()) }
        } else if output.json, !hasPrinted || error != .null {
            try out.line(document())
        }
        try out.flush()
    }

    /// What was written into sealed files so far is theirs, whatever the run came to, as it is of other files.
    func closeSealedFiles() {
        do throws(DiskError) { try SealedFiles.current?.close() } catch let failure {
            if status == .done || error == .null { fail(failure) }
        }
    }

    /// Before any work: a mistaken name must not cost a run, nor the file its end.
    func openCaseLog() throws(DiskError) {
        guard let path = output.caseLog else { return }
        caseLog = try CaseLog(path)
    }

    /// Refuses an output that would replace the case log.
    public func refuseOverwritingCaseLog(_ path: String) throws(DiskError) {
        if let caseLog { try refuseOverwriting(path, [caseLog.path], "the case log") }
    }

    private var caseLogEntry: CaseLog.Entry {
        CaseLog.Entry(
            tool: name, arguments: CommandLine.arguments, started: started, ended: Self.now(),
            inputs: earlierInputs + inputList, outputs: outputList, exit: status.rawValue)
    }

    private func record() {
        guard let caseLog else { return }
        do throws(DiskError) { try caseLog.append(caseLogEntry) } catch let failure {
            raise(.failed)
            let message = "case log: \(failure.explanation)"
            printError("\(name): \(failure.path): \(message)")
            // What the run failed by before says more.
            guard error == .null else { return }
            error = Self.errorValue(kind: failure.kind.rawValue, path: failure.path, message: message)
        }
    }
}
