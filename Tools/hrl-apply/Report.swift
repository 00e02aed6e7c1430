import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import HRL
import Toolbox

extension HRLApply {
    func report(_ effect: LogEffect, writtenByteCount: UInt64, _ saved: UndoOutcome?, _ run: ToolRun) {
        let order = effect.logs
        run.result = [
            "target": .string(to), "dry_run": .bool(dryRun), "linked": .bool(!unlinked), "strict": .bool(strict),
            "logs": .array(zip(order, effect.summaries).map { document($0, $1) }),
            "writes": .unsigned(effect.writeCount), "bytes": .unsigned(effect.byteCount),
            "written_bytes": .unsigned(writtenByteCount),
            "stopped_early": .bool(effect.stoppedEarly), "newest_time": .optional(effect.newestTime?.description),
            "undo": saved.map(document) ?? nil,
        ]
        guard !output.json, !output.quiet else { return }
        let what = counted(effect.writeCount, "write", "writes")
        let logs = counted(order.count, "log", "logs")
        try? run.out.line(
            "\(printable(to)): \(dryRun ? "would apply" : "applied") \(what), "
                + "\(Quantity.bytes(effect.byteCount, plain: output.bytes)), of \(logs)"
                + (effect.stoppedEarly ? limitText(effect) : ""))
        if let undo { try? run.out.line("\(printable(undo)): \(text(saved))") }
        guard dryRun || output.verbose else { return }
        for (log, summary) in zip(order, effect.summaries) {
            let writes = counted(summary.writeCount, "write", "writes")
            try? run.out.line("  \(printable(log.file.path)): \(writes), id \(log.header.uniqueID)")
        }
    }

    /// Which state of the disk a limit leads to.
    private func limitText(_ effect: LogEffect) -> String {
        if let newest = effect.newestTime { return ", up to \(newest); the writes after the limit were left out" }
        let first = effect.summaries.lazy.compactMap(\.firstTime).first
        return "; the limit is before the first write" + (first.map { ", of \($0)" } ?? "")
    }

    private func text(_ saved: UndoOutcome?) -> String {
        guard let saved else { return "not made: no write counts, so that there is nothing to undo" }
        let size = Quantity.bytes(saved.byteCount, plain: output.bytes)
        if saved.isReused { return "\(dryRun ? "would be kept" : "kept") as an earlier run saved it, \(size)" }
        return "\(dryRun ? "would save" : "saved") what was there before, \(size)"
    }

    private func document(_ saved: UndoOutcome) -> JSONValue {
        [
            "path": .string(saved.path), "unique_id": .optional(saved.uniqueID?.description),
            "previous_unique_id": .string(saved.previousUniqueID.description), "bytes": .unsigned(saved.byteCount),
            "reused": .bool(saved.isReused), "saved_time": .optional(saved.time?.description),
        ]
    }

    /// What a log holds; with a limit, more than was applied of it.
    private func document(_ log: LogReader, _ summary: LogSummary) -> JSONValue {
        let header = log.header
        return [
            "path": .string(log.file.path), "unique_id": .string(header.uniqueID.description),
            "previous_unique_id": header.previousUniqueID == .zero
                ? nil : .string(header.previousUniqueID.description),
            "writes": .unsigned(summary.writeCount), "bytes": .unsigned(summary.byteCount),
            "first_time": .optional(summary.firstTime?.description),
            "last_time": .optional(summary.lastTime?.description),
        ]
    }
}
