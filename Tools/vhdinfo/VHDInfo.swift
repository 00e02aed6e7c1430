import ArgumentParser
import BlockIO
import DiskModel
import ImageChain
import Toolbox

@main
struct VHDInfo: Tool {
    static let configuration = CommandConfiguration(
        commandName: "vhdinfo",
        abstract: "Show everything a VHD or VHDX file says about itself.",
        discussion: """
            EXAMPLES
              vhdinfo disk.vhdx
              vhdinfo --field virtual_size disk.vhdx
              vhdinfo --chain snapshot.avhdx
              vhdinfo --json --hash md5,sha256 evidence/*.vhd

            Files are only read. A pending VHDX log is replayed in memory; a parent that is missing or is not the right \
            one is reported, and the image itself is still described (exit status 3).
            """,
        version: versionText)
    static let schema = "vhdinfo/1"

    @Argument(help: "VHD, VHDX or (with --format raw) raw images.", completion: .file())
    var images: [String]
    @Flag(help: "All fields of all structures, gaps, findings, and where parents were looked for.")
    var all = false
    @Flag(help: "The chain: every image checked, every link with its parent, and what would mend what is wrong.")
    var chain = false
    @Option(
        help: ArgumentHelp(
            "Print one value of the JSON result, such as virtual_size or log.state.", valueName: "path"))
    var field: String?
    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var hashes: HashOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard let field else { return }
        if output.json || all { throw ValidationError("--field goes with neither --json nor --all") }
        if let problem = FieldPath(field).unknownKey { throw ValidationError("--field \(field): \(problem)") }
    }

    func perform(_ run: ToolRun) throws {
        for (index, image) in images.enumerated() {
            if index > 0, !output.json, field == nil { try run.out.line() }
            do { try show(image, run) } catch let error as OutputFailure { throw error } catch { run.fail(error) }
            if output.json, images.count > 1 { try run.endDocument() }
        }
    }

    private func show(_ image: String, _ run: ToolRun) throws {
        let host: PosixFile
        do { host = try PosixFile(image) } catch { throw DiskError(error) }
        let byteCount = try host.byteCount()
        let digests = try fileHashes(host, byteCount, run)
        run.addInput(image, byteCount: byteCount, hashes: digests)
        let description = try ImageDescription(
            image, host, imageOptions.openOptions, wanting: wantedKeys, diagnosesChain: chain)
        description.report(to: run)
        if output.json {
            run.result = description.json
        } else if let field {
            try printField(FieldPath(field), of: description, run)
        } else {
            for line in lines(description, digests) { try run.out.line(line) }
        }
        // What was said on standard error about the next image must not come before this.
        try run.out.flush()
    }

    private func lines(_ description: ImageDescription, _ digests: [(name: String, hex: String)]) -> [String] {
        var lines: [String] = []
        if all || description.diagnosis == nil {
            lines = Screen(description, hashes: digests, plain: output.bytes).lines(all: all)
        }
        guard let diagnosis = description.diagnosis else { return lines }
        let screen = ChainScreen(diagnosis, path: description.path, plain: output.bytes)
        return (lines.isEmpty ? [] : lines + [""]) + screen.lines
    }

    private var wantedKeys: Set<ResultKey> {
        if let field { return [FieldPath(field).key].compactMap { $0 }.reduce(into: []) { $0.insert($1) } }
        if chain, !all, !output.json { return [] }
        return output.json || all ? Set(ResultKey.allCases) : Set(ResultKey.allCases).subtracting([.gaps])
    }

    private func fileHashes(_ file: PosixFile, _ byteCount: UInt64, _ run: ToolRun) throws
        -> [(name: String, hex: String)]
    {
        guard !hashes.algorithms.isEmpty else { return [] }
        let progress = Progress("hashing", total: byteCount, output: output, options: progressOptions)
        defer { progress.end() }
        let digests = try FileHash(hashes.algorithms).run(file, byteCount) { progress.update($0) }
        try ReadWitness.check(file)
        return digests
    }

    private func printField(_ path: FieldPath, of description: ImageDescription, _ run: ToolRun) throws {
        guard let key = path.key else { return }
        switch path.find(in: description.value(of: key)) {
        case .found(.string(let text)): try run.out.line(text)
        case .found(let value): try run.out.line(value)
        case .unknown(let problem):
            printError("\(run.name): --field \(path.text): \(problem)")
            run.raise(.usage)
        }
    }
}
