import ArgumentParser
import Toolbox

/// The root of the verbs.
@main
struct SealSlot: ParsableCommand {
    static let programName = "seal-slot"

    static let configuration = CommandConfiguration(
        commandName: programName,
        abstract: "Change who can open a sealed file: add and remove keys, give it a new data key, destroy all keys.",
        discussion: """
            EXAMPLES
              seal-slot add -i key.txt -R age1… disk.raw.sealed
              seal-slot remove -i key.txt disk.raw.sealed 2
              seal-slot rotate -i key.txt -R operators.txt disk.raw.sealed

            add and remove change a sealed image in place, and leave its contents alone. Whoever could open it once may \
            have kept its data key: rotate gives the contents a new one, and a stream new keys. erase destroys all \
            keys. seal-status shows the slots.
            """,
        version: versionText,
        subcommands: [Add.self, Remove.self, Rotate.self, Erase.self])

    static func main() { runProgram(Self.self) }

    mutating func run() throws {
        throw ValidationError("a verb is missing: add, remove, rotate or erase")
    }
}
