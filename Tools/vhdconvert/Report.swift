import DiskModel
import ImageChain
import Toolbox

/// What was made.
struct Outcome {
    var result: ConversionResult
    var virtualByteCount: UInt64
    var fileByteCount: UInt64
    var seconds: Double
    /// Of the contents, read again.
    var hashes: [(name: String, hex: String)] = []
}

extension VHDConvert {
    func report(_ plan: NewImage, _ outcome: Outcome?, _ run: ToolRun) {
        var plan = plan
        if let outcome { plan.virtualByteCount = outcome.virtualByteCount }
        guard case .object(let members) = plan.document else { return }
        run.result = .object(
            [
                .init("source", .optional(source == "-" ? nil : source)), .init("path", .string(target)),
                .init("dry_run", .bool(dryRun)),
            ] + members + [
                .init("file_size", .optional(outcome?.fileByteCount)),
                .init("copied", .optional(outcome?.result.copiedByteCount)),
                .init("cloned", .optional(outcome?.result.clonedByteCount)),
                .init("zeros_left_out", .optional(outcome?.result.zeroByteCount)),
                .init("skipped", .optional(outcome?.result.skippedByteCount)),
                .init("verified", .bool(outcome != nil && verify)),
                .init("hashes", .object((outcome?.hashes ?? []).map { .init($0.name, .string($0.hex)) })),
            ])
        guard !output.json, !output.quiet else { return }
        let what = plan.description(plain: output.bytes)
        try? run.out.line("\(printable(target)): \(dryRun ? "would make" : "made") \(what)")
        guard let outcome else { return }
        try? run.out.line("  " + parts(outcome).joined(separator: ", "))
        if verify { try? run.out.line("  verified: it reads back as what was written") }
        for (name, hex) in outcome.hashes { try? run.out.line("\(hex)  \(printable(target))  (\(name))") }
    }

    private func parts(_ outcome: Outcome) -> [String] {
        let result = outcome.result
        var parts: [String] = []
        for (count, what) in [
            (result.copiedByteCount, "copied"), (result.clonedByteCount, "shared with the source"),
            (result.zeroByteCount, "of stored zeros left out"), (result.skippedByteCount, "not stored, skipped"),
        ] where count > 0 { parts.append("\(Quantity.bytes(count, plain: output.bytes)) \(what)") }
        if outcome.seconds > 0.001, result.copiedByteCount > 0 {
            parts.append("\(Quantity.short(UInt64(Double(result.copiedByteCount) / outcome.seconds)))/s")
        }
        return parts.isEmpty ? ["nothing but zeros"] : parts
    }
}
