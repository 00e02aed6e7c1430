import ByteCodec
import Digest
import DiskModel
import ImageChain
import Toolbox

/// The description as text: one screen of at most 25 lines, or all of it, closed by a verdict.
struct Screen {
    let description: ImageDescription
    let hashes: [(name: String, hex: String)]
    let plain: Bool
    private static let shownPartitionCount = 4

    init(_ description: ImageDescription, hashes: [(name: String, hex: String)], plain: Bool) {
        (self.description, self.hashes, self.plain) = (description, hashes, plain)
    }

    func lines(all: Bool) -> [String] {
        [printable(description.path)] + about + identities + related(all: all)
            + hashes.map { row($0.name.uppercased(), $0.hex) } + (all ? details : []) + [verdict]
    }

    private func row(_ name: String, _ value: String) -> String {
        "  \(name):" + String(repeating: " ", count: max(1, 16 - name.utf8.count)) + printable(value)
    }

    private var isRaw: Bool { description.leaf.format == .raw }
    func size(_ byteCount: UInt64) -> String { Quantity.bytes(byteCount, plain: plain) }
    func offset(_ offset: UInt64) -> String { plain ? "\(offset)" : Quantity.offset(offset) }

    private var about: [String] {
        let geometry = description.leaf.geometry
        var lines = [
            row("Format", isRaw ? "raw" : "\(description.leaf.format.title), \(description.leaf.type)"),
            row("Virtual size", size(geometry.virtualByteCount)),
            row("File size", size(description.fileByteCount) + (description.isSealed ? ", sealed" : "")),
            row("Allocated", description.allocatedByteCount.map(size) ?? "unknown"),
        ]
        if let blocks = geometry.blockByteCount { lines.append(row("Blocks", blockCounts(blocks))) }
        lines.append(
            row("Sectors", "\(geometry.logicalSectorByteCount) bytes, physical \(geometry.physicalSectorByteCount)"))
        return lines
    }

    private func blockCounts(_ blockByteCount: UInt64) -> String {
        let counts = description.census?.counts ?? []
        let words = counts.filter { $0.count > 0 }.map { state, count in
            "\(count) \(state.split(separator: "_").joined(separator: " "))"
        }
        return "of \(size(blockByteCount))" + (words.isEmpty ? "" : ": \(words.joined(separator: ", "))")
    }

    private var identities: [String] {
        guard let report = description.report else { return [] }
        var lines: [String] = []
        if !report.creator.isEmpty { lines.append(row("Creator", report.creator)) }
        if let created = report.created { lines.append(row("Created", created.description)) }
        lines.append(row("Disk ID", report.diskID.description))
        lines += report.writeIDs.map { row($0.name, $0.id.description) }
        if report.log.state != .none { lines.append(row("Log", log(report.log))) }
        return lines
    }

    private func log(_ log: MetadataLogReport) -> String {
        guard log.state == .dirty else { return log.state.rawValue }
        return "dirty, \(counted(log.entryCount, "entry", "entries")) replayed in memory"
    }

    private func related(all: Bool) -> [String] {
        var lines: [String] = []
        if let parent = description.parent {
            let words =
                switch parent.outcome {
                case .match: "\(parent.path ?? "") (the id matches)"
                case .mismatch: "\(parent.path ?? "") (its id does not match)"
                case .locked: "sealed, and no key that was given opens it: \(parent.path ?? "")"
                case .missing: "missing; the child names \(parent.link.locators.last?.path ?? "no place")"
                }
            lines.append(row("Parent", words))
            if description.links.count > 2 {
                lines.append(row("Chain", counted(description.links.count, "image", "images")))
            }
        }
        guard let glance = description.partitions else { return lines + [row("Partitions", "unknown")] }
        if glance.table == .none {
            let whole = glance.entries.first?.fileSystem.map { "none; the whole disk is \($0.rawValue)" }
            return lines + [row("Partitions", whole ?? "none")]
        }
        lines.append(row("Partitions", "\(glance.table.rawValue.uppercased()), \(glance.entries.count)"))
        lines += glance.entries.prefix(all ? .max : Self.shownPartitionCount).map(partition)
        let rest = glance.entries.count - Self.shownPartitionCount
        if rest > 0, !all { lines.append("    and \(rest) more (--all)") }
        return lines
    }

    private func partition(_ entry: PartitionEntry) -> String {
        let what = [entry.typeName ?? entry.type, entry.fileSystem?.rawValue, entry.name.map { "\"\($0)\"" }]
        return printable(
            "    \(entry.index)  \(what.compactMap { $0 }.joined(separator: ", ")): \(size(entry.byteCount)) at "
                + size(entry.start))
    }

    private var verdict: String {
        let image = isRaw ? "raw image" : "\(description.leaf.type) \(description.leaf.format.title)"
        let problems = description.problems
        let isDamaged = description.censusError != nil || description.partitionsError != nil
        let accepted = problems.filter { $0.severity == .error }.count
        let (errors, warnings) = (accepted + (isDamaged ? 1 : 0), problems.count - accepted)
        let log = description.report?.log.state ?? .none
        var words: [String] = []
        if isDamaged {
            words.append("damaged \(image)")
        } else if log == .dirty {
            words.append("\(image) with a pending log")
        } else {
            words.append(errors == 0 && log != .invalid && !isRaw ? "clean \(image)" : image)
        }
        if log == .invalid { words.append("its log is not valid") }
        if errors > 0 { words.append(counted(errors, "error", "errors")) }
        words.append(warnings == 0 ? "no warnings" : counted(warnings, "warning", "warnings"))
        switch description.parent?.outcome {
        case .match?:
            words.append(description.chainError == nil ? "parent found" : "parent found, the chain is not whole")
        case .mismatch?: words.append("the parent found is not the right one")
        case .missing?: words.append("parent missing")
        case .locked?: words.append("parent sealed")
        case nil: break
        }
        return "Verdict: " + words.joined(separator: ", ")
    }
}
