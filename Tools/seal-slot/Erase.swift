import ArgumentParser
import BlockIO
import DiskModel
import SealedFile
import Toolbox

struct Erase: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Destroy all keys of a sealed file, and with them its contents.",
        discussion: """
            EXAMPLES
              seal-slot erase --dry-run disk.raw.sealed
              seal-slot erase -f disk.raw.sealed
              seal-slot erase -f log.hrl.sealed && rm log.hrl.sealed

            Overwrites the first 128 KiB, where all slots are, in place. No key is needed, and nothing brings them back.
            """)
    static let schema = "seal-slot-erase/1"

    @Argument(help: "A sealed file.", completion: .file())
    var file: String
    @Flag(name: [.customShort("f"), .customLong("force")], help: "Do it: the contents are lost.")
    var insists = false
    @Flag(help: "Check everything and say what would be done; write nothing.")
    var dryRun = false
    @OptionGroup var output: OutputOptions

    func perform(_ run: ToolRun) throws {
        try run.refuseOverwritingCaseLog(file)
        let writes = insists && !dryRun
        let opened = try PosixFile(file, writes ? .write : .read)
        run.addInput(file, byteCount: try opened.byteCount())
        try Envelope.requireContainer(opened)
        guard insists || dryRun else {
            throw DiskError(.refused, path: file, "nobody could open it any more", hint: "insist with -f")
        }
        if writes {
            try Envelope.erase(opened)
            run.addOutput(file, byteCount: try opened.byteCount())
        }
        run.result = ["path": .string(file), "dry_run": .bool(dryRun)]
        if !output.json, !output.quiet {
            try run.out.line(
                "\(printable(file)): its keys \(dryRun ? "would be" : "are") erased: nothing opens it any more")
        }
        run.warn(
            file,
            "copies of it, snapshots, the file system's journal and blocks that the medium has put aside may still have "
                + "its slots")
    }
}
