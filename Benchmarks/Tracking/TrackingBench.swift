import DiskModel
import Glibc

/// Measures what tracking costs a disk's writes, how long a log switch holds them, and what first writes cost where there
/// is a dirty map.
///
/// Usage: tracking-bench FOLDER [MIB [ROUNDS [PART…]]]
///
/// Parts "small" and "large": all of an image of MIB MiB (256), whose space is there already or not, is written in pieces
/// of 4 KiB in a scattered order, or of 1 MiB in order, flushed every second; ROUNDS times (5) without tracking and with
/// it, in turn. Part "switches": log switches of two disks under writes. Part "first": first writes to regions of a dirty map. Prints
/// medians; all parts, unless some are named. Works in a folder of its own inside FOLDER, which needs three times the
/// space, and removes it at the end, also when it is ended by SIGINT or SIGTERM.
@main struct TrackingBench {
    static func main() {
        let arguments = CommandLine.arguments
        guard arguments.count >= 2 else {
            say("usage: tracking-bench FOLDER [MIB [ROUNDS [small|large|switches|first …]]]")
            exit(2)
        }
        let byteCount = max(arguments.count > 2 ? UInt64(arguments[2]) ?? 256 : 256, 4) << 20
        let rounds = max(arguments.count > 3 ? Int(arguments[3]) ?? 5 : 5, 1)
        let parts = arguments.count > 4 ? Set(arguments[4...]) : ["small", "large", "switches", "first"]
        Interruption.watch()
        do {
            let folder = try WorkFolder(in: arguments[1], needing: 3 * byteCount)
            defer { folder.remove() }
            try WriteRates(folder, byteCount, rounds: rounds).run(
                small: parts.contains("small"), large: parts.contains("large"))
            if parts.contains("switches") { try LogSwitches(folder, byteCount).run() }
            if parts.contains("first") { try FirstWrites(folder, rounds: rounds).run() }
        } catch let ended as Interruption {
            exit(128 + ended.signal)
        } catch {
            say("tracking-bench: \(error)")
            exit(1)
        }
    }

    private static func say(_ line: String) {
        let text = line + "\n"
        _ = unsafe write(STDERR_FILENO, text, text.utf8.count)
    }
}

func rounded(_ value: Double) -> String {
    let hundredths = Int((value * 100).rounded())
    return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
