import Digest
import SealedFile
import Toolbox

extension Seal {
    func report(_ made: any SealedOutput, _ sink: HashingSink, _ byteCount: UInt64, _ run: ToolRun) {
        run.addHashes(sink.hashes.map { (name: "contents_\($0.name)", hex: $0.hex) }, toInput: inputName)
        guard !writesToStandardOutput, let path = outputFile else {
            for line in sink.lines(inputName) { printError(line) }
            return
        }
        run.addOutput(path, byteCount: made.byteCount)
        run.result = document(
            Answer(
                kind: made.kind, containerID: made.containerID, byteCount: byteCount, fileByteCount: made.byteCount,
                chunkByteCount: made.chunkByteCount, keyCount: made.keyCount, anchor: made.anchor), sink)
        guard !output.json else { return }
        for line in sink.lines(inputName) { try? run.out.line(line) }
        guard !output.quiet else { return }
        let (size, keys) = (Quantity.bytes(byteCount, plain: output.bytes), counted(made.keyCount, "key", "keys"))
        try? run.out.line(
            append
                ? "\(printable(path)): \(size) added to the sealed \(made.kind), for \(keys)"
                : "\(printable(path)): sealed \(made.kind) of \(size), for \(keys)")
        if let anchor = made.anchor { try? run.out.line("  anchor \(anchor)") }
    }

    /// What is told of a run, or would be; what is not known yet is absent.
    struct Answer {
        var kind: String
        var containerID: [UInt8]?
        var byteCount: UInt64?
        var fileByteCount: UInt64?
        var chunkByteCount: Int
        var keyCount: Int
        var anchor: Anchor?
    }

    func document(_ answer: Answer, _ sink: HashingSink?) -> JSONValue {
        [
            "output": .optional(outputFile), "dry_run": .bool(dryRun), "append": .bool(append),
            "kind": .string(answer.kind), "container_id": .optional(answer.containerID?.hexadecimal),
            "length": .optional(answer.byteCount), "file_size": .optional(answer.fileByteCount),
            "chunk_size": .integer(Int64(answer.chunkByteCount)), "keys": .integer(Int64(answer.keyCount)),
            "anchor": .optional(answer.anchor?.description), "hashes": sink?.document ?? .object([]),
        ]
    }
}
