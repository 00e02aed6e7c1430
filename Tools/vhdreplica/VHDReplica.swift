import ArgumentParser
import Toolbox

/// The root of the verbs.
@main
struct VHDReplica: ParsableCommand {
    static let programName = "vhdreplica"

    static let configuration = CommandConfiguration(
        commandName: programName,
        abstract: "Replicate a machine's VHD and VHDX disks to a folder, and keep the copies up to date by its logs.",
        discussion: """
            EXAMPLES
              vhdreplica protect web --disk /vm/web.vhdx --to /mnt/replica
              vhdreplica start web && vhdreplica sync web
              vhdreplica status

            protect checks both ends and makes the relationship; start copies the disks, one at a time; sync sends the \
            closed logs (IMAGE*.hrl) beside each disk and merges them into the replica; status tells how it is; \
            unprotect ends it. Any verb may be killed at any moment and run again.
            """,
        version: versionText,
        subcommands: [Protect.self, Start.self, Sync.self, Status.self, Unprotect.self])

    static func main() { runProgram(Self.self) }

    mutating func run() throws {
        throw ValidationError("a verb is missing: protect, start, sync, status or unprotect")
    }
}
