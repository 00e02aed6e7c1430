public import ArgumentParser
public import Digest

/// `--hash LIST`.
public struct HashOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("Hashes computed in the same pass: md5, sha1, sha256, sha512.", valueName: "list"))
    public var hash: HashList?
    public init() {}

    public var algorithms: [DigestAlgorithm] { hash?.algorithms ?? [] }
}

/// A comma-separated list of algorithms, each once.
public struct HashList: ExpressibleByArgument, Sendable {
    public var algorithms: [DigestAlgorithm]

    public init?(argument: String) {
        algorithms = []
        for name in argument.split(separator: ",") {
            guard let algorithm = DigestAlgorithm(rawValue: name.lowercased()), algorithm.isAvailable else {
                return nil
            }
            if !algorithms.contains(algorithm) { algorithms.append(algorithm) }
        }
        guard !algorithms.isEmpty else { return nil }
    }
}
