import ArgumentParser
import DiskModel
import Glibc
import Replication
import Replicator
import Toolbox

/// Options of every verb.
struct StateOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Where the source's records are; else $VHDREPLICA_STATE, else /var/lib/vhdreplica.", valueName: "dir"),
        completion: .directory)
    var state: String?

    static let usual = "/var/lib/vhdreplica"

    var folder: StateFolder {
        if let state { return StateFolder(state) }
        if let named = unsafe getenv("VHDREPLICA_STATE") {
            let path = unsafe String(cString: named)
            if !path.isEmpty { return StateFolder(path) }
        }
        return StateFolder(Self.usual)
    }
}

/// `30s`, `5m`, `15m`, `1h`, or seconds.
struct Interval: ExpressibleByArgument {
    var seconds: UInt32

    init(seconds: UInt32) { self.seconds = seconds }

    init?(argument: String) {
        let digits = argument.prefix { $0.isASCII && $0.isNumber }
        let units: [Substring: UInt32] = ["": 1, "s": 1, "m": 60, "h": 3600]
        guard let number = UInt32(digits), let unit = units[argument.dropFirst(digits.count)] else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: unit)
        guard !overflow, product >= 1, product <= 86_400 else { return nil }
        seconds = product
    }

    /// As it is given.
    var defaultValueDescription: String { seconds % 60 == 0 ? "\(seconds / 60)m" : "\(seconds)s" }

    static func text(_ seconds: UInt32) -> String {
        if seconds % 3600 == 0 { return "\(seconds / 3600) h" }
        return seconds % 60 == 0 ? "\(seconds / 60) min" : "\(seconds) s"
    }
}

/// A verb that works on a relationship.
protocol Verb: Tool {
    var stateOptions: StateOptions { get }
    /// Nil for verbs that open no disk.
    var keys: KeyOptions? { get }
}

extension Verb {
    var keys: KeyOptions? { nil }
    static var programName: String { VHDReplica.programName }

    /// The performers' surroundings, with progress and messages on standard error.
    func surroundings(_ run: ToolRun, _ progress: Progress?) -> Surroundings {
        var result = Surroundings()
        if let keys {
            result.files = keys.files
            result.openingKey = { (host) throws(DiskError) in try keys.key(of: host) }
        }
        result.watcher.warn = { run.warn($0, $1) }
        result.watcher.doubt = {
            run.warn($0, $1)
            run.raise(.partial)
        }
        result.watcher.say = { if output.verbose { printError("\(run.name): \($0)") } }
        if let progress {
            result.watcher.begin = { progress.begin($0, total: $1) }
            result.watcher.advance = { progress.update($0) }
        }
        return result
    }

    /// Runs a body that may work for long. What it throws that is no `DiskError` gets the machine's name as its place.
    func working<Result>(
        _ run: ToolRun, _ name: String, _ options: ProgressOptions?, _ body: (Surroundings) throws -> Result
    ) throws -> Result {
        let progress = options.map { Progress(name, total: 0, output: output, options: $0) }
        defer { progress?.end() }
        do { return try body(surroundings(run, progress)) } catch let refusal as Refusal {
            throw DiskError(.refused, path: name, refusal.description)
        }
    }
}
