import ArgumentParser
import BlockIO
import DiskModel
import ImageChain
import Toolbox

@main
struct VHDRebase: Tool {
    static let configuration = CommandConfiguration(
        commandName: "vhdrebase",
        abstract: "Tell a differencing image where its parent is, or give it another one.",
        discussion: """
            EXAMPLES
              vhdrebase --parent /new/place/base.vhdx child.avhdx
              vhdrebase --safe --dry-run --parent older.vhdx child.avhdx
              vhdrebase --safe --parent older.vhdx child.avhdx

            My parent moved: the first example. The parent must be the one that the child names, by its id, and only the \
            paths in the child change. With --safe another image becomes its parent, and the contents stay: what differs \
            is written into the child first. --unsafe and --force-identity take your word that the contents may change, or \
            that the parent is right although its id is not.
            """,
        version: versionText)
    static let schema = "vhdrebase/1"

    @Argument(help: "A differencing VHD or VHDX.", completion: .file())
    var child: String
    @Option(help: ArgumentHelp("The parent it is to have.", valueName: "image"), completion: .file())
    var parent: String
    @Flag(help: "Any parent; the contents stay, what differs is written into the child first.")
    var safe = false
    @Flag(help: "Any parent; the contents change to what it holds.")
    var unsafe = false
    @Flag(help: "The parent is the right one although its id has changed.")
    var forceIdentity = false
    @OptionGroup var naming: ParentNamingOptions
    @Flag(help: "Check everything and say what would be done; write nothing.")
    var dryRun = false
    @OptionGroup var imageOptions: BlockImageOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard [safe, unsafe, forceIdentity].count(where: \.self) <= 1 else {
            throw ValidationError("--safe, --unsafe and --force-identity exclude each other")
        }
        guard imageOptions.format != .raw else {
            throw ValidationError("--format raw: a raw disk has no parent and can be none; there are vhd and vhdx")
        }
    }

    private var mode: RebaseMode { safe ? .safe : self.unsafe ? .unsafe : forceIdentity ? .forceIdentity : .moved }

    func perform(_ run: ToolRun) throws {
        let file = try imageOptions.openOptions.files.open(child, dryRun ? .read : .write)
        run.addInput(child, byteCount: try file.host.byteCount())
        run.addInput(parent, byteCount: try PosixFile(parent).byteCount())
        let rebasing = try Rebasing(file, to: parent, mode, naming: naming.naming, imageOptions.openOptions)
        warn(rebasing, run)
        let progress = Progress("vhdrebase", total: 0, output: output, options: progressOptions)
        defer { progress.end() }
        func show(_ done: UInt64, _ total: UInt64) { progress.update(done, of: total) }
        run.result = document(rebasing, HeldByteCount(), changed: false)
        let held = try dryRun ? rebasing.plan(progress: show) : rebasing.perform(progress: show)
        progress.end()
        let changed = !dryRun && !rebasing.isLinked
        if changed { run.addOutput(child, byteCount: try file.host.byteCount()) }
        run.result = document(rebasing, held, changed: changed)
        try report(rebasing, held, run)
    }

    private func warn(_ rebasing: Rebasing, _ run: ToolRun) {
        for (path, finding) in rebasing.findings { run.warn(path, [finding]) }
        for path in rebasing.replayedPaths { run.noteReplayedLog(path) }
        if rebasing.hasPendingLog {
            if dryRun || rebasing.isLinked {
                run.noteReplayedLog(child)
            } else {
                run.warn(child, "log pending: replayed into the file first", code: "VHDX005")
            }
        }
        for note in rebasing.notes { run.warn(child, note.message, code: note.code.rawValue) }
    }

    private func report(_ rebasing: Rebasing, _ held: HeldByteCount, _ run: ToolRun) throws {
        guard !output.json, !output.quiet else { return }
        func size(_ byteCount: UInt64) -> String { Quantity.bytes(byteCount, plain: output.bytes) }
        let place = "\(printable(rebasing.reference.relativePath)), id \(rebasing.reference.identity)"
        guard !rebasing.isLinked else {
            return try run.out.line("\(printable(child)): its parent is \(place) already: nothing to do")
        }
        try run.out.line("\(printable(child)): its parent \(dryRun ? "would be" : "is now") \(place)")
        if rebasing.mode == .safe {
            try run.out.line(
                "  its contents stay: \(size(held.copied)) \(dryRun ? "to be copied" : "copied") into it, "
                    + "\(size(held.zeroed)) \(dryRun ? "to be zeroed" : "zeroed")")
        }
        try run.out.line("  a chain of \(rebasing.chainPaths.count + 1) images")
    }

    private func document(_ rebasing: Rebasing, _ held: HeldByteCount, changed: Bool) -> JSONValue {
        [
            "path": .string(child), "format": .string(rebasing.format.rawValue),
            "virtual_size": .unsigned(rebasing.virtualByteCount), "mode": .string(rebasing.mode.rawValue),
            "dry_run": .bool(dryRun), "changed": .bool(changed), "already_linked": .bool(rebasing.isLinked),
            "old_parent": [
                "ids": .array(rebasing.oldLink.identities.map { .string($0.description) }),
                "locators": .array(
                    rebasing.oldLink.locators.map { ["key": .string($0.key), "path": .string($0.path)] }),
            ],
            "new_parent": rebasing.reference.document(path: parent),
            "copied_bytes": .unsigned(held.copied), "zeroed_bytes": .unsigned(held.zeroed),
            "chain": .array(([child] + rebasing.chainPaths).map(JSONValue.string)),
        ]
    }
}
