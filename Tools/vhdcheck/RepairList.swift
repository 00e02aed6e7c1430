import ArgumentParser
import DiskModel

/// `--repair=LIST`: kinds of repair, comma-separated; `safe` stands for all that can cost nothing.
struct RepairList: ExpressibleByArgument, Sendable {
    private(set) var kinds: Set<RepairKind> = []
    /// The first name that is none.
    private(set) var unknown: String?

    init?(argument: String) {
        for name in argument.split(separator: ",", omittingEmptySubsequences: false).map(String.init) {
            if name == "safe" {
                kinds.formUnion(RepairKind.lossless)
            } else if let kind = RepairKind(rawValue: name) {
                kinds.insert(kind)
            } else if unknown == nil {
                unknown = name
            }
        }
    }

    /// Why these cannot be done; nil when they can.
    var problem: String? {
        if let unknown {
            return "no repair is called \"\(unknown)\"; there are safe, " + Self.names(Array(RepairKind.allCases))
        }
        guard !kinds.isSuperset(of: [.setBits, .zeroSectors]) else {
            return "set-bits and zero-sectors exclude each other: one keeps the data under clear bits, one drops them"
        }
        return nil
    }

    static func names(_ kinds: some Sequence<RepairKind>) -> String { kinds.map(\.rawValue).joined(separator: ", ") }
}
