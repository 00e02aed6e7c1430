import BlockIO
import SealedFile
import Toolbox

extension Seal {
    /// Checks what can be checked without writing: the input, the keys, and the output's name; what is to get more is read
    /// to its end.
    func rehearse(_ source: PosixFile?, _ run: ToolRun) throws {
        let byteCount = try source?.byteCount()
        var answer = Answer(
            kind: image ? "image" : "stream", byteCount: byteCount,
            chunkByteCount: chunk.map { Int($0.byteCount) }
                ?? (image ? Envelope.defaultImageChunkByteCount : Envelope.streamSegmentByteCount), keyCount: 0)
        if append, let path = outputFile {
            let (file, secrets) = try openStream(path, .read)
            try file.keepWritersAway()
            let tail = try StreamTail(of: file, secrets: secrets)
            if !replaces { try tail.requireNoText() }
            note(tail, path, "would be taken away", run)
            (answer.containerID, answer.keyCount) = (tail.envelope.containerID, tail.envelope.slots.count)
        } else {
            try rehearseOutput { answer.keyCount = try sealOptions.secrets(for: outputFile ?? inputName).count }
        }
        run.result = document(answer, nil)
        guard !output.json, !output.quiet else { return }
        let size = byteCount.map { Quantity.bytes($0, plain: output.bytes) } ?? "what comes"
        let keys = counted(answer.keyCount, "key", "keys")
        let line =
            append
            ? "would add \(size) to the sealed stream, for \(keys)"
            : "would seal \(size) as \(answer.kind), for \(keys)"
        try run.out.line("\(printable(outputFile ?? inputName)): \(line)")
    }

    /// What a run would refuse the output for, before and after keys are read.
    private func rehearseOutput(_ readKeys: () throws -> Void) throws {
        guard !writesToStandardOutput, let path = outputFile else { return try readKeys() }
        try PendingFile.check(path, replaces: replaces)
        try readKeys()
        try KeysInUse.refuseReplacing(path)
    }
}
