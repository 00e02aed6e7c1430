import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import HRL
import Toolbox

extension HRLMerge {
    func report(
        _ effect: LogEffect, _ identity: MergedIdentity, _ header: LogHeader, _ written: MergeResult, _ run: ToolRun
    ) {
        run.result = [
            "output": .string(outputFile), "dry_run": .bool(dryRun), "linked": .bool(!unlinked),
            "logs": .array(zip(effect.logs, effect.summaries).map { document($0, $1) }),
            "unique_id": text(header.uniqueID), "previous_unique_id": text(header.previousUniqueID),
            "data_write_guid": text(header.vhd2DataWriteGUID),
            "created": .string(identity.created.description),
            "last_modified": .string(identity.lastModified.description),
            "write_time": .optional(effect.newestTime?.description),
            "writes_in": .unsigned(effect.writeCount), "bytes_in": .unsigned(effect.byteCount),
            "writes_out": .unsigned(header.totalMetadataEntries), "bytes_out": .unsigned(written.byteCount),
            "zeroed_bytes": .unsigned(written.zeroByteCount),
            "saved_bytes": .unsigned(effect.byteCount - written.byteCount),
            "log_size_in": .unsigned(effect.logs.reduce(0) { $0 + $1.endOfLog }),
            "log_size": .unsigned(header.eolLocation),
        ]
        guard !output.json, !output.quiet else { return }
        let writes = counted(effect.writeCount, "write", "writes")
        let saved = Quantity.bytes(effect.byteCount - written.byteCount, plain: output.bytes)
        try? run.out.line(
            "\(printable(outputFile)): \(dryRun ? "would have " : "")\(header.totalMetadataEntries) of \(writes), "
                + "\(Quantity.bytes(written.byteCount, plain: output.bytes)), of "
                + "\(counted(effect.logs.count, "log", "logs")); \(saved) saved")
        guard dryRun || output.verbose else { return }
        for (log, summary) in zip(effect.logs, effect.summaries) {
            let writes = counted(summary.writeCount, "write", "writes")
            try? run.out.line("  \(printable(log.file.path)): \(writes), id \(log.header.uniqueID)")
        }
    }

    private func document(_ log: LogReader, _ summary: LogSummary) -> JSONValue {
        [
            "path": .string(log.file.path), "unique_id": text(log.header.uniqueID),
            "previous_unique_id": text(log.header.previousUniqueID), "writes": .unsigned(summary.writeCount),
            "bytes": .unsigned(summary.byteCount), "first_time": .optional(summary.firstTime?.description),
            "last_time": .optional(summary.lastTime?.description),
        ]
    }

    private func text(_ id: GUID) -> JSONValue { id == .zero ? nil : .string(id.description) }
}
