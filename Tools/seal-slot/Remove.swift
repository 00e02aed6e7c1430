import ArgumentParser
import SealedFile
import Toolbox

struct Remove: SlotVerb {
    static let configuration = CommandConfiguration(
        abstract: "Let a key open a sealed image no more.",
        discussion: """
            EXAMPLES
              seal-slot remove -i key.txt disk.raw.sealed 2
              seal-slot remove --passphrase-file secret disk.raw.sealed 1 3
              seal-slot remove --dry-run -i key.txt disk.raw.sealed 2

            The image is changed in place; its contents are not touched. Slots have the numbers that seal-status shows; \
            those behind a removed one move up. The last one stays.
            """)
    static let schema = "seal-slot-remove/1"

    @Argument(help: "A sealed image.", completion: .file())
    var file: String
    @Argument(help: ArgumentHelp("Numbers of slots, from 1, as seal-status shows them.", valueName: "slot"))
    var numbers: [Int]
    @Flag(help: "Check everything and say what would be done; write nothing.")
    var dryRun = false
    @OptionGroup var keyOptions: KeyOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let wrong = numbers.first(where: { $0 < 1 }) { throw ValidationError("slots count from 1: \(wrong)") }
    }

    func perform(_ run: ToolRun) throws {
        var slots = try open(run)
        let before = slots.envelope.slots
        let indices = Set(numbers.map { $0 - 1 })
        try slots.remove(indices)
        let removed = indices.sorted().map { (number: $0 + 1, slot: before[$0]) }
        try finish(&slots, removed, "removed", run)
        if indices.contains(slots.openedSlot) {
            run.warn(file, "slot \(slots.openedSlot + 1) was the one that the key given opens")
        }
        run.warn(
            file,
            "whoever opened it by that slot may have kept its data key, and copies of the file still have the slot; "
                + "seal-slot rotate makes a new data key")
    }
}
