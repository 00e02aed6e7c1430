import BlockIO
import DiskModel
import Toolbox

/// Writes the map's rows in one of the styles; runs that go on are joined over the limits of single calls.
final class RowWriter {
    enum Style { case text(plain: Bool), tsv, json }

    private let run: ToolRun
    private let style: Style
    private let columns: [String]
    private let image: String
    private var pending: MappedExtent?
    private var rowCount: UInt64 = 0
    private var byteCounts: [String: UInt64] = ["data": 0, "zero": 0, "hole": 0, "parent": 0]

    init(run: ToolRun, style: Style, columns: [String], image: String) {
        (self.run, self.style, self.columns, self.image) = (run, style, columns, image)
    }

    func begin(_ source: MapSource) throws {
        switch style {
        case .json:
            try run.out.line(
                [
                    "type": "map", "schema": "vhdmap/1", "tool_version": .string(toolVersion), "file": .string(image),
                    "virtual_size": .unsigned(source.geometry.virtualByteCount),
                    "layers": .array(source.layers.map { .string($0.file.path) }),
                ] as JSONValue)
        case .tsv: try run.out.line(columns.joined(separator: "\t"))
        case .text:
            try run.out.line(
                Self.pad("START", 16) + Self.pad("LENGTH", 16) + "STATE   LAYER " + Self.pad("FILE OFFSET", 18)
                    + "  FILE")
        }
    }

    func row(_ mapped: MappedExtent) throws {
        if let last = pending, last.layer == mapped.layer {
            var pair = [last.extent]
            pair.appendRun(mapped.extent)
            if pair.count == 1 {
                pending?.extent = pair[0]
                return
            }
        }
        try writePending()
        pending = mapped
    }

    private func state(_ extent: Extent) -> (name: String, fileOffset: UInt64?) {
        switch extent.source {
        case .file(let offset): ("data", offset)
        case .zero: ("zero", nil)
        case .hole: ("hole", nil)
        case .parent: ("parent", nil)
        }
    }

    private func writePending() throws {
        guard let mapped = pending else { return }
        let extent = mapped.extent
        let (state, fileOffset) = state(extent)
        rowCount += 1
        byteCounts[state, default: 0] += extent.byteCount
        switch style {
        case .json:
            try run.out.line(
                [
                    "type": "extent", "start": .unsigned(extent.offset), "length": .unsigned(extent.byteCount),
                    "state": .string(state), "layer": .integer(Int64(mapped.layer)),
                    "file_offset": .optional(fileOffset),
                    "file": .string(mapped.file.path),
                ] as JSONValue)
        case .tsv:
            let values = [
                "start": "\(extent.offset)", "length": "\(extent.byteCount)", "state": state,
                "layer": "\(mapped.layer)", "file_offset": fileOffset.map { "\($0)" } ?? "",
                "file": printable(mapped.file.path),
            ]
            try run.out.line(columns.map { values[$0] ?? "" }.joined(separator: "\t"))
        case .text:
            try run.out.line(
                Self.pad("\(extent.offset)", 16) + Self.pad("\(extent.byteCount)", 16)
                    + state + String(repeating: " ", count: 8 - state.utf8.count) + Self.pad("\(mapped.layer)", 5)
                    + Self.pad(fileOffset.map { "\($0)" } ?? "-", 18) + "  " + printable(mapped.file.path))
        }
    }

    func end() throws {
        try writePending()
        pending = nil
        switch style {
        case .text(let plain):
            let parts = ["data", "zero", "hole", "parent"].compactMap { name -> String? in
                guard let count = byteCounts[name], count > 0 else { return nil }
                return "\(name) \(plain ? "\(count)" : Quantity.short(count))"
            }
            try run.out.line("\(counted(rowCount, "extent", "extents")): \(parts.joined(separator: ", "))")
        case .tsv, .json: break
        }
    }

    /// What was written, as the line that closes a JSON stream, whether the map is whole or not.
    func summary() -> JSONValue {
        [
            "type": "summary", "extents": .unsigned(rowCount), "data": .unsigned(byteCounts["data"] ?? 0),
            "zero": .unsigned(byteCounts["zero"] ?? 0), "hole": .unsigned(byteCounts["hole"] ?? 0),
            "parent": .unsigned(byteCounts["parent"] ?? 0), "unclaimed": nil,
            "exit": .integer(Int64(run.status.rawValue)),
        ]
    }

    /// Right-aligned, with a space before the next column.
    static func pad(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.utf8.count)) + text + " "
    }
}
