import ByteCodec
import Digest
import DiskModel
import ImageChain
import Toolbox

/// What `--all` adds.
extension Screen {
    var details: [String] { parentSearch + chain + structures + gaps + findings + remarks }

    private func section(_ title: String, _ lines: [String]) -> [String] {
        lines.isEmpty ? [] : ["", "\(title):"] + lines.map { "  " + printable($0) }
    }

    private var parentSearch: [String] {
        guard let parent = description.parent else { return [] }
        var lines = ["expected id  " + parent.link.identities.map(\.description).joined(separator: " or ")]
        if let found = parent.found { lines.append("found id     \(found)") }
        for entry in parent.locators {
            lines.append("\(entry.locator.key) (\(entry.locator.kind.rawValue))  \(entry.locator.path)")
            for candidate in entry.tried {
                let (outcome, detail) = candidate.words
                lines.append("    \(candidate.path): \(outcome)" + (detail.map { ": \($0)" } ?? ""))
            }
        }
        return section("Parent", lines)
    }

    private var chain: [String] {
        guard description.links.count > 1 else { return [] }
        return section(
            "Chain, leaf first",
            description.links.map {
                "\($0.path)  \($0.layer.format.title), \($0.layer.type), id \($0.layer.identity)"
            })
    }

    private var structures: [String] {
        (description.report?.structures ?? []).flatMap { structure in
            let state = "\(structure.isValid ? "valid" : "not valid"), \(structure.isActive ? "in use" : "not in use")"
            let reason = structure.reason.isEmpty ? "" : " (\(structure.reason))"
            return section(
                "\(printable(structure.name)) at \(offset(structure.offset)), \(structure.byteCount) bytes, \(state)"
                    + printable(reason), structure.fields.map(field))
        }
    }

    private func field(_ field: FieldDump) -> String {
        let value =
            switch field.value {
            case .integer(let number): number < 10 ? "\(number)" : "\(number) (0x\(String(number, radix: 16)))"
            case .guid(let id): id.description
            case .bytes(let bytes): readable(bytes)
            case .reserved(let allZero): allZero ? "zero" : "not zero"
            }
        func column(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(0, width - text.utf8.count))
        }
        return "\(column("+\(field.offset)", 6)) \(column(field.name, 24)) \(value)"
    }

    private var gaps: [String] {
        var lines = description.gaps.map { gap in
            let contents = gap.isZero.map { $0 ? "zero" : "not zero" } ?? "not looked at"
            return "\(offset(gap.range.lowerBound)): \(size(gap.range.upperBound - gap.range.lowerBound)), \(contents)"
        }
        let rest = (description.census?.gapCount ?? 0) - lines.count
        if rest > 0 { lines.append("and \(rest) more") }
        return section("Gaps that nothing claims", lines)
    }

    private var findings: [String] {
        section("Findings", description.findings.map { "\($0.severity.rawValue): \($0.detail)" })
    }

    private var remarks: [String] { section("Partition table", description.partitions?.remarks ?? []) + [""] }
}

/// Bytes as text where they are text, padded with zeros or blanks, else in hexadecimal, the end of long ones left out.
func readable(_ bytes: [UInt8]) -> String {
    let text = bytes.reversed().drop { $0 == 0 }.reversed()
    if text.isEmpty { return "zero" }
    if text.allSatisfy({ (0x20...0x7e).contains($0) }) { return "\"\(String(decoding: text, as: UTF8.self))\"" }
    for order in [ByteOrder.little, .big] where bytes.count >= 64 {
        let decoded = lenientUTF16(bytes.rawBytes, order)
        if let first = decoded.unicodeScalars.first, first.isASCII, first.value >= 0x20,
            !decoded.unicodeScalars.contains("\u{fffd}")
        {
            return "\"\(decoded)\""
        }
    }
    return bytes.count <= 32 ? bytes.hexadecimal : "\(Array(bytes.prefix(32)).hexadecimal)… (\(bytes.count) bytes)"
}
