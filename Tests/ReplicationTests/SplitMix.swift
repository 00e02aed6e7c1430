import ByteCodec
import Replication

/// SplitMix64: the same sequence for the same seed, everywhere.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func chance(_ percent: Int) -> Bool { Int(next() % 100) < percent }
    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
}

/// Log number `n` of disk `disk`; n = 0 is none.
func logID(_ n: Int, disk: Int = 0) -> LogID? {
    let digits = String(n, radix: 16)
    let text = "0000000\(disk)-0000-0000-0000-" + String(repeating: "0", count: 12 - digits.count) + digits
    return n == 0 ? nil : GUID(text).flatMap(LogID.init)
}

func id(_ n: Int, disk: Int = 0) -> LogID { logID(n, disk: disk)! }

/// A good log `n` after `previous` (0: none).
func log(
    _ n: Int, after previous: Int, name: String? = nil, ending: LogDescriptor.Ending = .closed,
    problem: String? = nil, end: UInt64 = 0, bytes: UInt64 = 1, disk: Int = 0
) -> LogDescriptor {
    LogDescriptor(
        name: name ?? "log\(n)", uniqueID: logID(n, disk: disk), previousID: logID(previous, disk: disk),
        ending: ending, problem: problem, diskEnd: end, byteCount: bytes)
}

let disks = ["system", "data", "archive"].map { DiskIdentity(name: $0, size: 64) }
