public import ArgumentParser
public import ByteCodec
public import DiskModel
public import ImageChain

/// How results are shown.
public struct OutputOptions: ParsableArguments {
    @Flag(name: .long, help: "Results as JSON (docs/schema), errors included.")
    public var json = false
    @Flag(name: .long, help: "Sizes and offsets in bytes only.")
    public var bytes = false
    @Flag(name: [.short, .long], help: "No warnings and no progress.")
    public var quiet = false
    @Flag(name: [.short, .long], help: "Say more.")
    public var verbose = false
    @Option(
        name: .long, help: ArgumentHelp("Append one JSON line about this run, chained by hash.", valueName: "file"),
        completion: .file())
    public var caseLog: String?
    public init() {}
}

/// How images are opened.
public struct ImageOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("Another folder in which parents may be found; repeatable.", valueName: "dir"),
        completion: .directory)
    public var parentDir: [String] = []
    @Option(
        name: .long,
        help: ArgumentHelp(
            "raw: inputs without a signature are raw disks; vhd, vhdx: insist on that format.", valueName: "format"))
    public var format: ImageFormat?
    @Option(
        name: .long,
        help: ArgumentHelp("Read on past these findings, by code, comma-separated; repeatable.", valueName: "codes"))
    public var accept: [String] = []
    public init() {}

    public var openOptions: OpenOptions {
        OpenOptions(format: format, parentFolders: parentDir, accepted: acceptedCodes(accept))
    }
}

/// The codes of `--accept A,B --accept C`.
public func acceptedCodes(_ lists: [String]) -> Set<FormatError.Code> {
    Set(lists.flatMap { $0.split(separator: ",") }.map { FormatError.Code($0.uppercased()) })
}

extension ImageFormat: ExpressibleByArgument {}
