import DiskModel
import ImageChain
import Toolbox

// What is said about two disks, as text and as JSON.

extension VHDCompare {
    func report(_ comparison: Comparison, _ run: ToolRun) {
        run.result = document(comparison)
        guard !output.json else { return }
        let verdict = comparison.isEqual ? "are equal" : "differ"
        try? run.out.line("\(printable(a)) and \(printable(b)) \(verdict)")
        guard !output.quiet else { return }
        for line in details(comparison) { try? run.out.line("  " + line) }
    }

    private func details(_ comparison: Comparison) -> [String] {
        let (mine, theirs) = (byteCount(comparison, 0), byteCount(comparison, 1))
        var lines: [String] = []
        if mine != theirs {
            lines.append("sizes: \(size(mine)) and \(size(theirs))\(comparison.sizesDiffer ? "" : ", ignored")")
        }
        guard let result = comparison.result else { return lines + ["contents: not compared"] }
        if let offset = result.firstDifference {
            lines.append("first difference: at \(output.bytes ? "\(offset)" : Quantity.offset(offset))")
            if !comparison.isPartial { lines.append("differing: \(amounts(result))") }
        } else if comparison.sizesDiffer {
            lines.append("contents: equal up to the shorter one's end, and zeros from there on")
        }
        for range in result.differingRanges {
            lines.append("\(range.lowerBound)+\(range.upperBound - range.lowerBound)")
        }
        let more = result.differingRangeCount - UInt64(result.differingRanges.count)
        if list != nil, more > 0 { lines.append("and \(counted(more, "more range", "more ranges"))") }
        lines.append(
            "compared: \(size(result.comparedByteCount)); zeros in both: \(short(result.zeroByteCount)); shared: "
                + short(result.sharedByteCount))
        for (path, hashes) in zip([a, b], comparison.hashes) {
            lines += hashes.map { "\($0.hex)  \(printable(path))  (\($0.name))" }
        }
        return lines
    }

    private func amounts(_ result: ComparisonResult) -> String {
        "\(counted(result.differingByteCount, "byte", "bytes")) in "
            + "\(counted(result.differingSectorCount, "sector", "sectors")) of 512 bytes, in "
            + counted(result.differingRangeCount, "range", "ranges")
    }

    private func byteCount(_ comparison: Comparison, _ side: Int) -> UInt64 {
        comparison.sides[side].geometry.virtualByteCount
    }

    private func size(_ byteCount: UInt64) -> String { Quantity.bytes(byteCount, plain: output.bytes) }
    private func short(_ byteCount: UInt64) -> String { output.bytes ? "\(byteCount)" : Quantity.short(byteCount) }

    private func document(_ comparison: Comparison) -> JSONValue {
        let result = comparison.result
        let counts = comparison.isPartial ? nil : result
        let ranges = result?.differingRanges ?? []
        return [
            "equal": .bool(comparison.isEqual),
            "sizes_equal": .bool(byteCount(comparison, 0) == byteCount(comparison, 1)),
            "sizes_ignored": .bool(ignoreSize || range != nil), "stopped_at_first": .bool(first),
            "range": [
                "offset": .unsigned(comparison.range.lowerBound),
                "length": .unsigned(comparison.range.upperBound - comparison.range.lowerBound),
            ],
            "first_difference": .optional(result?.firstDifference),
            "differing_bytes": .optional(counts?.differingByteCount),
            "differing_sectors": .optional(counts?.differingSectorCount),
            "differing_ranges": .optional(counts?.differingRangeCount),
            "differences": .array(
                ranges.map {
                    ["offset": .unsigned($0.lowerBound), "length": .unsigned($0.upperBound - $0.lowerBound)]
                }),
            "compared_bytes": .unsigned(result?.comparedByteCount ?? 0),
            "zero_bytes": .unsigned(result?.zeroByteCount ?? 0),
            "shared_bytes": .unsigned(result?.sharedByteCount ?? 0),
            "images": .array([document(comparison, 0, a), document(comparison, 1, b)]),
        ]
    }

    private func document(_ comparison: Comparison, _ side: Int, _ path: String) -> JSONValue {
        let chain = comparison.sides[side]
        return [
            "path": .string(path), "format": .string(chain.leaf.format.rawValue),
            "type": .string(chain.leaf.type.rawValue), "virtual_size": .unsigned(byteCount(comparison, side)),
            "layers": .integer(Int64(chain.layers.count)), "log_replayed": .bool(chain.hasReplayedLog),
            "hashes": .object(comparison.hashes[side].map { .init($0.name, .string($0.hex)) }),
        ]
    }
}
