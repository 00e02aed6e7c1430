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
    @OptionGroup public var acceptOptions: AcceptOptions
    @OptionGroup public var keyOptions: KeyOptions
    public init() {}

    public var openOptions: OpenOptions {
        OpenOptions(
            format: format, parentFolders: parentDir, accepted: acceptOptions.codes, files: keyOptions.files)
    }
}

/// How images are opened by tools that refuse raw disks.
public struct BlockImageOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("Another folder in which parents may be found; repeatable.", valueName: "dir"),
        completion: .directory)
    public var parentDir: [String] = []
    // Parsed by a closure, so that the help does not list raw as a value; it is refused with its reason.
    @Option(
        name: .long, help: ArgumentHelp("vhd or vhdx: insist on that format.", valueName: "format"),
        completion: .list(["vhd", "vhdx"]),
        transform: { text in
            guard let format = ImageFormat(rawValue: text) else { throw ValidationError("there are vhd and vhdx") }
            return format
        })
    public var format: ImageFormat?
    @OptionGroup public var acceptOptions: AcceptOptions
    @OptionGroup public var keyOptions: KeyOptions
    public init() {}

    public var openOptions: OpenOptions {
        OpenOptions(
            format: format, parentFolders: parentDir, accepted: acceptOptions.codes, files: keyOptions.files)
    }
}

/// `--accept A,B --accept C`.
public struct AcceptOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("Read on past these findings, by code, comma-separated; repeatable.", valueName: "codes"))
    public var accept: [String] = []
    public init() {}

    private static let families = ["VHD", "VHDX", "HRL", "CHAIN", "UNDO"]

    private var names: [String] { accept.flatMap { $0.split(separator: ",") }.map { $0.uppercased() } }
    public var codes: Set<FormatError.Code> { Set(names.map { FormatError.Code($0) }) }

    public func validate() throws {
        for name in names {
            let digits = name.utf8.suffix(3)
            guard digits.count == 3, digits.allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "9")).contains),
                Self.families.contains(String(name.dropLast(3)))
            else {
                throw ValidationError(
                    "--accept: no finding has the code \(name); codes are such as VHD012, VHDX012, HRL012, CHAIN001")
            }
        }
    }
}

extension ImageFormat: ExpressibleByArgument {}
