import BlockIO
import DiskModel
import Toolbox

/// The ranges of an image's file that no structure and no block claims: what was left by power cuts, moved tables and
/// dropped blocks, or put there by somebody.
struct Unclaimed {
    private let run: ToolRun
    private let style: RowWriter.Style
    private let layer: any DiskLayer
    private(set) var byteCount: UInt64 = 0
    private var rangeCount: UInt64 = 0

    static let columnNames = ["file_offset", "length", "contents", "file"]

    init(_ layer: any DiskLayer, run: ToolRun, style: RowWriter.Style) {
        (self.layer, self.run, self.style) = (layer, run, style)
    }

    mutating func write() throws {
        let census = try (layer as? any InspectableLayer)?.census()
        try begin()
        for range in census?.gaps ?? [] {
            let isZero: Bool
            do { isZero = try layer.file.isZero(range) } catch { throw DiskError(error, doing: "looking at gaps") }
            try row(range, isZero ? "zero" : "data")
        }
        let missing = (census?.gapCount ?? 0) - (census?.gaps.count ?? 0)
        if missing > 0 {
            run.warn(layer.file.path, "\(counted(missing, "more range is", "more ranges are")) not listed")
        }
        try end()
    }

    private func begin() throws {
        switch style {
        case .json:
            try run.out.line(
                [
                    "type": "map", "schema": "vhdmap/1", "tool_version": .string(toolVersion),
                    "file": .string(layer.file.path),
                    "virtual_size": .unsigned(layer.geometry.virtualByteCount),
                    "layers": [.string(layer.file.path)],
                ] as JSONValue)
        case .tsv: try run.out.line(Self.columnNames.joined(separator: "\t"))
        case .text: try run.out.line("     FILE OFFSET           LENGTH CONTENTS")
        }
    }

    private mutating func row(_ range: Range<UInt64>, _ contents: String) throws {
        let count = range.upperBound - range.lowerBound
        (byteCount, rangeCount) = (byteCount + count, rangeCount + 1)
        switch style {
        case .json:
            try run.out.line(
                [
                    "type": "unclaimed", "file_offset": .unsigned(range.lowerBound), "length": .unsigned(count),
                    "contents": .string(contents), "file": .string(layer.file.path),
                ] as JSONValue)
        case .tsv:
            try run.out.line("\(range.lowerBound)\t\(count)\t\(contents)\t\(printable(layer.file.path))")
        case .text:
            try run.out.line(RowWriter.pad("\(range.lowerBound)", 16) + RowWriter.pad("\(count)", 16) + contents)
        }
    }

    private func end() throws {
        guard case .text(let plain) = style else { return }
        let size = plain ? "\(byteCount)" : Quantity.short(byteCount)
        try run.out.line("\(counted(rangeCount, "unclaimed range", "unclaimed ranges")): \(size)")
    }

    /// The line that closes a JSON stream.
    static func summary(_ byteCount: UInt64, _ run: ToolRun) -> JSONValue {
        [
            "type": "summary", "extents": 0, "data": 0, "zero": 0, "hole": 0, "parent": 0,
            "unclaimed": .unsigned(byteCount), "exit": .integer(Int64(run.status.rawValue)),
        ]
    }
}
