import ArgumentParser
import BlockIO
import ByteCodec
import DiskModel
import ImageChain
import Toolbox

@main
struct VHDCreate: Tool {
    static let configuration = CommandConfiguration(
        commandName: "vhdcreate",
        abstract: "Make a new, empty disk image of an exact size.",
        discussion: """
            EXAMPLES
              vhdcreate disk.vhdx 64G
              vhdcreate --fixed disk.vhd 20G
              vhdcreate --block 1M --sector 4096 -O vhdx big.avhdx 64T

            SIZE is in bytes, or with K, M, G, T in powers of 1024, and is kept exactly. The image appears under its name \
            when it is whole.
            """,
        version: versionText)
    static let schema = "vhdcreate/1"

    @Argument(help: "The image to make.", completion: .file())
    var image: String
    @Argument(help: "The size of the disk, such as 64G.", transform: ByteQuantity.parse)
    var size: ByteQuantity
    @Flag(help: "Check everything and say what would be made; write nothing.")
    var dryRun = false
    @OptionGroup var newImage: NewImageOptions
    @OptionGroup var newSeal: NewSealOptions
    @OptionGroup var keyOptions: KeyOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if keyOptions.isGiven, !newSeal.isGiven { throw ValidationError("a key goes with --seal") }
        if newImage.preallocate, newSeal.isGiven { throw ValidationError("--preallocate does not go with sealing") }
    }

    func perform(_ run: ToolRun) throws {
        let plan = try newImage.newImage(
            try newImage.format(of: image), virtualByteCount: size.byteCount, path: image)
        try checkSize(plan)
        try run.refuseOverwritingCaseLog(image)
        var fileByteCount: UInt64?
        if dryRun {
            _ = try plan.builder(on: MemoryFile())
        } else {
            let file = try newSeal.output(image, replaces: newImage.replaces, keyOptions)
            try plan.create(on: file.file)
            if newImage.preallocate { try file.host.preallocate(0..<file.host.byteCount()) }
            try file.commit()
            let byteCount = try file.host.byteCount()
            fileByteCount = byteCount
            run.addOutput(image, byteCount: byteCount)
        }
        report(plan, fileByteCount, run)
    }

    private func checkSize(_ plan: NewImage) throws(DiskError) {
        let sector = UInt64(plan.logicalSectorByteCount)
        guard size.byteCount > 0, size.byteCount % sector != 0 else { return }
        throw DiskError(
            .refused, path: image, "a disk of \(size.byteCount) bytes is no whole number of \(sector)-byte sectors",
            hint: "the nearest sizes are \(size.byteCount.roundedDown(to: sector)) and "
                + "\(size.byteCount.roundedDown(to: sector) &+ sector)")
    }

    private func report(_ plan: NewImage, _ fileByteCount: UInt64?, _ run: ToolRun) {
        guard case .object(let members) = plan.document else { return }
        run.result = .object(
            [.init("path", .string(image)), .init("dry_run", .bool(dryRun))] + members
                + [.init("file_size", .optional(fileByteCount))])
        guard !output.json, !output.quiet else { return }
        let what = plan.description(plain: output.bytes)
        try? run.out.line("\(printable(image)): \(dryRun ? "would make" : "made") \(what)")
    }
}
