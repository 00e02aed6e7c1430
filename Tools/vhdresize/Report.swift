import DiskModel
import ImageChain
import Toolbox

extension VHDResize {
    /// What is lost with a tail, in words.
    func describe(_ tail: TailUse) -> String {
        var parts: [String] = []
        if let first = tail.firstNonzero {
            parts.append(
                "data from \(Quantity.offset(first)) on, \(Quantity.bytes(tail.storedByteCount, plain: output.bytes)) "
                    + "stored past the new end")
        }
        parts += tail.partitions.map(describe) + tail.remarks
        return parts.joined(separator: "; ")
    }

    private func describe(_ entry: PartitionEntry) -> String {
        let names = [entry.fileSystem?.rawValue ?? entry.typeName, entry.name.map { "\"\($0)\"" }].compactMap(\.self)
        let what = names.isEmpty ? "" : " (\(names.joined(separator: ", ")))"
        guard entry.index > 0 else { return "the file system of the whole disk\(what), which may need all of it" }
        let (end, wraps) = entry.start.addingReportingOverflow(entry.byteCount)
        return "partition \(entry.index)\(what), which ends at \(wraps ? "an impossible place" : "\(end)")"
    }

    func report(_ resizing: Resizing, _ plan: ResizePlan, _ run: ToolRun) throws {
        guard !output.json, !output.quiet else { return }
        func size(_ byteCount: UInt64) -> String { Quantity.bytes(byteCount, plain: output.bytes) }
        let name = printable(image)
        guard resizing.changesSize else {
            try run.out.line("\(name): the disk already has \(size(plan.oldVirtualByteCount))")
            guard plan.oldFileByteCount != plan.newFileByteCount else { return }
            let file = "\(size(plan.oldFileByteCount)) before, \(size(plan.newFileByteCount)) after"
            return try run.out.line("  file, which a resize had not cut yet: \(file)")
        }
        let isLarger = plan.newVirtualByteCount > plan.oldVirtualByteCount
        let verb =
            switch (isLarger, dryRun) {
            case (true, false): "grown"
            case (true, true): "would grow"
            case (false, false): "shrunk"
            case (false, true): "would shrink"
            }
        try run.out.line("\(name): \(verb) from \(size(plan.oldVirtualByteCount)) to \(size(plan.newVirtualByteCount))")
        try run.out.line("  file: \(size(plan.oldFileByteCount)) before, \(size(plan.newFileByteCount)) after")
        if plan.movesTable { try run.out.line("  the block table \(dryRun ? "moves" : "was moved")") }
        if plan.droppedBlockCount > 0 {
            try run.out.line("  \(counted(plan.droppedBlockCount, "block", "blocks")) past the new end given up")
        }
        // The others are said before anything is done.
        for note in resizing.notes where note.code != .largerParent { try run.out.line("  note: \(note.message)") }
    }

    /// - Parameter done: what was done; nil before, and where nothing is.
    func document(_ resizing: Resizing, _ done: ResizePlan?) -> JSONValue {
        let plan = done ?? resizing.plan
        return [
            "path": .string(image), "format": .string(resizing.format.rawValue),
            "type": .string(resizing.type.rawValue),
            "dry_run": .bool(dryRun),
            "changed": .bool(done.map { $0.oldVirtualByteCount != $0.newVirtualByteCount } ?? false),
            "old_virtual_size": .unsigned(plan.oldVirtualByteCount),
            "new_virtual_size": .unsigned(plan.newVirtualByteCount),
            "old_file_size": .unsigned(plan.oldFileByteCount), "new_file_size": .unsigned(plan.newFileByteCount),
            "table_moved": .bool(plan.movesTable), "dropped_blocks": .unsigned(plan.droppedBlockCount),
            "tail": .optional(resizing.tail, document),
            "notes": .array(
                resizing.notes.map { ["code": .string($0.code.rawValue), "message": .string($0.message)] }),
        ]
    }

    private func document(_ tail: TailUse) -> JSONValue {
        [
            "offset": .unsigned(tail.range.lowerBound),
            "length": .unsigned(tail.range.upperBound - tail.range.lowerBound),
            "unused": .bool(tail.isUnused), "stored_bytes": .unsigned(tail.storedByteCount),
            "first_nonzero": .optional(tail.firstNonzero), "gpt": .bool(tail.hasGPT),
            "partitions": .array(tail.partitions.map(document)),
            "table_remarks": .array(tail.remarks.map(JSONValue.string)),
        ]
    }

    private func document(_ entry: PartitionEntry) -> JSONValue {
        [
            "index": .integer(Int64(entry.index)), "start": .unsigned(entry.start),
            "length": .unsigned(entry.byteCount), "type": .optional(entry.type), "type_name": .optional(entry.typeName),
            "name": .optional(entry.name), "file_system": .optional(entry.fileSystem?.rawValue),
        ]
    }
}
