import BlockIO
import DiskModel
import Glibc
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
            let file = try PosixFile(path)
            try file.keepWritersAway()
            let envelope = try streamEnvelope(of: file)
            let secrets = try sealOptions.openingSecrets(identity, for: envelope, path: path)
            let reader = try SealedStreamReader(secrets: secrets, from: file)
            _ = try StreamContents(reader).run { _, _ in }
            (answer.containerID, answer.keyCount) = (reader.envelope.containerID, reader.envelope.slots.count)
        } else {
            try refuseReplacing()
            answer.keyCount = try sealOptions.secrets(for: outputFile ?? inputName).count
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

    private func refuseReplacing() throws {
        guard !writesToStandardOutput, !replaces, let path = outputFile else { return }
        var status = stat()
        guard unsafe lstat(path, &status) != 0 else { throw IOError("create", path: path, .errno(EEXIST)) }
    }

    /// The envelope of the stream that is to get more.
    func streamEnvelope(of file: PosixFile) throws(DiskError) -> Envelope {
        let envelope = try Envelope.unverified(in: file)
        guard envelope.kind == .stream else {
            throw DiskError(
                .refused, path: file.path, "is a sealed image, which is written in place",
                hint: "only a stream can get more at its end")
        }
        return envelope
    }
}
