import ArgumentParser
import BlockIO
import ByteCodec
import Digest
import DiskModel
import ImageChain
import Toolbox

@main
struct VHDConvert: Tool {
    static let configuration = CommandConfiguration(
        commandName: "vhdconvert",
        abstract: "Copy a disk into a new image of any format: raw, VHD, VHDX.",
        discussion: """
            EXAMPLES
              vhdconvert disk.vmdk.raw disk.vhdx --format raw
              vhdconvert --azure snapshot.avhdx upload.vhd
              ssh host cat /dev/sdb | vhdconvert - disk.vhdx --verify

            Chains are flattened and a pending log is replayed, in memory. What the source does not store, and pages of \
            zeros, become holes. The new image appears under its name when it is whole.
            """,
        version: versionText)
    static let schema = "vhdconvert/1"

    @Argument(
        help: "A VHD, VHDX or (with --format raw) raw image; - for a raw disk on standard input.", completion: .file())
    var source: String
    @Argument(help: "The image to make; - for a raw disk on standard output.", completion: .file())
    var target: String
    @Flag(help: "A fixed VHD as Azure takes it: a whole number of MiB, padded with zeros where needed.")
    var azure = false
    @Flag(help: "Read the new image again, from the disk where it can be, and compare sums with the source.")
    var verify = false
    @Flag(help: "Copy everything, instead of sharing blocks with the source where the file system can.")
    var noClone = false
    @Flag(help: "Check everything and say what would be made; write nothing.")
    var dryRun = false
    @OptionGroup var newImage: NewImageOptions
    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var hashes: HashOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var newSeal: NewSealOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        try newImage.validate()
        if newImage.preallocate, newSeal.isGiven { throw ValidationError("--preallocate does not go with sealing") }
        if target == "-", newSeal.isGiven {
            throw ValidationError("standard output is sealed by seal: vhdconvert … - | seal -o FILE")
        }
        if azure, newImage.dynamic { throw ValidationError("--azure makes a fixed image") }
        if azure, let format = newImage.outputFormat, format != .vhd { throw ValidationError("--azure makes a VHD") }
        if target == "-" {
            if output.json { throw ValidationError("--json needs a file: standard output carries the disk's contents") }
            if azure || verify || hashes.hash != nil {
                throw ValidationError("what goes to standard output is raw and cannot be read again")
            }
        }
    }

    func perform(_ run: ToolRun) throws {
        let input = source == "-" ? nil : try SourceDisk(source, imageOptions.openOptions, run)
        guard target != "-" else { return try stream(input, run) }
        let plan = try plan(input, run)
        try refuseOverwriting(input, run)
        guard !dryRun else { return report(plan, nil, run) }
        let progress = Progress(
            "vhdconvert", total: input?.chain.geometry.virtualByteCount ?? 0, output: output, options: progressOptions)
        defer { progress.end() }
        let file = try newSeal.output(target, replaces: newImage.replaces, imageOptions.keyOptions)
        var outcome = try convert(input, plan, file, progress)
        try input?.chain.checkUnchanged(imageOptions.openOptions)
        try file.commit()
        outcome.fileByteCount = try file.host.byteCount()
        progress.end()
        run.addOutput(
            target, byteCount: outcome.fileByteCount,
            hashes: outcome.hashes.map { (name: "contents_\($0.name)", hex: $0.hex) })
        report(plan, outcome, run)
    }

    // MARK: The new image

    private func plan(_ input: SourceDisk?, _ run: ToolRun) throws -> NewImage {
        let format = azure ? .vhd : try newImage.format(of: target)
        var options = newImage
        if azure { options.fixed = true }
        var size = input?.chain.geometry.virtualByteCount
        if azure, let exact = size { size = exact.roundedUp(to: Azure.unit) }
        if let geometry = input?.chain.geometry, options.sector == nil {
            try inherit(geometry, format, &options)
        }
        var plan = try options.newImage(format, virtualByteCount: size, path: target)
        if plan.blockByteCount == nil { plan.blockByteCount = input?.blockByteCount(for: plan) }
        try checkSectors(plan)
        if azure { try Azure.check(plan, target, run) }
        return plan
    }

    /// Sectors as the source has them: a guest's partition table counts in them.
    private func inherit(
        _ geometry: DiskGeometry, _ format: ImageFormat, _ options: inout NewImageOptions
    ) throws(DiskError) {
        guard format == .vhdx else {
            guard geometry.logicalSectorByteCount == 512 || format == .raw else {
                throw DiskError(
                    .refused, path: source,
                    "it has sectors of \(geometry.logicalSectorByteCount) bytes, and a VHD has 512: a guest would not "
                        + "find its partitions", hint: "make a VHDX, or insist with --sector 512")
            }
            return
        }
        options.sector = geometry.logicalSectorByteCount
        if options.physicalSector == nil, geometry.physicalSectorByteCount == 4096 { options.physicalSector = 4096 }
    }

    private func checkSectors(_ plan: NewImage) throws(DiskError) {
        guard let size = plan.virtualByteCount, size % UInt64(plan.logicalSectorByteCount) != 0 else { return }
        throw DiskError(
            .refused, path: target,
            "a disk of \(size) bytes is no whole number of \(plan.logicalSectorByteCount)-byte sectors",
            hint: "leave --sector out, or resize the source before")
    }

    private func refuseOverwriting(_ input: SourceDisk?, _ run: ToolRun) throws {
        if let input {
            try Toolbox.refuseOverwriting(target, [source], "the input")
            try Toolbox.refuseOverwriting(
                target, input.chain.layers.dropFirst().map(\.file.path), "a parent of the input")
        }
        try run.refuseOverwritingCaseLog(target)
    }

    // MARK: Work

    private func convert(
        _ input: SourceDisk?, _ plan: NewImage, _ output: OutputFile, _ progress: Progress
    ) throws -> Outcome {
        let builder = try plan.builder(on: output.file)
        if newImage.preallocate, let size = plan.virtualByteCount {
            try output.host.preallocate(0..<size)
            try output.host.resize(to: 0)
        }
        let started = Progress.seconds()
        var streamSum: [UInt8]?
        let result: ConversionResult
        if let input {
            var options = ConversionOptions()
            options.clones = !noClone && !newImage.preallocate
            result = try fill(builder, from: input.chain, options) { progress.update($0) }
        } else {
            let stream = StreamFill(builder, source: StandardInput.name, digests: verify)
            try stream.run(
                roundedTo: azure ? Azure.unit : 512,
                read: { try StandardInput.read(into: &$0) }, progress: { progress.update($0) })
            (result, streamSum) = (stream.result, stream.digest?.finish())
        }
        try output.file.sync()
        var outcome = Outcome(
            result: result, virtualByteCount: builder.geometry.virtualByteCount,
            fileByteCount: try output.file.byteCount(), seconds: Progress.seconds() - started)
        if azure { try Azure.checkFile(outcome.fileByteCount, target) }
        try readAgain(output.opened, plan.format, input, streamSum, &outcome, progress)
        return outcome
    }

    private func readAgain(
        _ file: OpenedFile, _ format: ImageFormat, _ input: SourceDisk?, _ streamSum: [UInt8]?,
        _ outcome: inout Outcome, _ progress: Progress
    ) throws {
        guard verify || !hashes.algorithms.isEmpty else { return }
        let verification = try Verification(file, format)
        if verify, let input {
            try verification.compare(with: input.chain, progress)
        } else if verify {
            try verification.compare(with: streamSum, progress)
        }
        guard !hashes.algorithms.isEmpty else { return }
        outcome.hashes = try verification.hashes(hashes.algorithms, progress)
            .map { (name: $0.algorithm.rawValue, hex: $0.bytes.hexadecimal) }
    }

    /// A raw disk to standard output.
    private func stream(_ input: SourceDisk?, _ run: ToolRun) throws {
        guard let input else {
            throw DiskError(.refused, path: "-", "from a stream to a stream nothing is converted", hint: "use cat")
        }
        if let format = newImage.outputFormat, format != .raw {
            throw DiskError(
                .refused, path: target, "only a raw disk can be streamed", hint: "name a file, or say -O raw")
        }
        guard !run.out.isTerminal else {
            throw DiskError(.refused, path: source, "bytes are not written to a terminal", hint: "use a pipe or a file")
        }
        guard !dryRun else { return }
        let chain = input.chain
        let progress = Progress(
            "vhdconvert", total: chain.geometry.virtualByteCount, output: output, options: progressOptions)
        defer { progress.end() }
        try StreamSink(run.out).send(chain, chain.wholeRange) { progress.update($0) }
        try chain.checkUnchanged(imageOptions.openOptions)
    }
}
