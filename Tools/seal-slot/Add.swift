import ArgumentParser
import SealedFile
import Toolbox

struct Add: SlotVerb {
    static let configuration = CommandConfiguration(
        abstract: "Let another key open a sealed image.",
        discussion: """
            EXAMPLES
              seal-slot add -i key.txt -R age1… disk.raw.sealed
              seal-slot add --passphrase-file old -p disk.raw.sealed
              seal-slot add --key-file disk.key --new-key-file second.key disk.raw.sealed

            The image is changed in place; its contents are not touched. Every slot opens it alone.
            """)
    static let schema = "seal-slot-add/1"

    @Argument(help: "A sealed image.", completion: .file())
    var file: String
    @Flag(help: "Check everything and say what would be done; write nothing.")
    var dryRun = false
    @OptionGroup var newKeys: NewKeyOptions
    @OptionGroup var keyOptions: KeyOptions
    @OptionGroup var output: OutputOptions

    func perform(_ run: ToolRun) throws {
        var slots = try open(run)
        let count = slots.envelope.slots.count
        for secret in try newKeys.secrets(for: file) { try slots.add(secret) }
        let added = slots.envelope.slots.enumerated().dropFirst(count)
        try finish(&slots, added.map { (number: $0.offset + 1, slot: $0.element) }, "added", run)
    }
}
