import BlockIO
import ByteCodec
import DiskModel
import SealedFile
import Toolbox

/// A sealed stream that gets more, in place.
final class AppendedOutput: SealedOutput {
    private let file: PosixFile
    private let appender: SealedStreamAppender
    let kind = "stream"
    let chunkByteCount = Envelope.streamSegmentByteCount
    let anchor: Anchor? = nil
    var containerID: [UInt8] { appender.tail.envelope.containerID }
    var keyCount: Int { appender.tail.envelope.slots.count }
    private(set) var byteCount: UInt64 = 0
    /// Bytes of text that were added.
    var addedByteCount: UInt64 { appender.addedByteCount }
    var tail: StreamTail { appender.tail }

    /// - Parameters:
    ///   - file: under the writer's lock.
    ///   - discardsText: whether text of a frame that was not finished may be taken away.
    init(on file: PosixFile, secrets: [SlotKey], discardsText: Bool) throws(DiskError) {
        self.file = file
        appender = try SealedStreamAppender(on: file, secrets: secrets, discardsText: discardsText)
    }

    func data(_ offset: UInt64, _ bytes: RawSpan) throws { try appender.write(bytes) }

    func zeros(_ offset: UInt64, _ byteCount: UInt64) throws {
        try forEachRunOfZeros(byteCount) { zeros in try appender.write(zeros) }
    }

    func finish() throws {
        try appender.finish()
        byteCount = try file.byteCount()
    }

    /// Makes durable what came, without an end.
    func keep() throws(DiskError) { try appender.flush() }
}

extension Seal {
    /// Where something fails on the way the stream has no end, and says so: what came until then stays.
    func appendInput(_ source: PosixFile?, to path: String, _ run: ToolRun) throws {
        let (file, secrets) = try openStream(path, .write)
        let made = try AppendedOutput(on: file, secrets: secrets, discardsText: replaces)
        note(made.tail, path, "were taken away", run)
        let sink = HashingSink(made, hashOptions.algorithms)
        do { report(made, sink, try copy(source, to: sink, run), run) } catch {
            noteNoEnd(made, path, run)
            throw error
        }
    }

    /// The stream that is to get more, and what opens it. Neither what is added nor a key may come from it.
    func openStream(_ path: String, _ access: PosixFile.Access) throws -> (file: PosixFile, secrets: [SlotKey]) {
        try KeysInUse.refuseReplacing(path)
        let file = try PosixFile(path, access)
        let secrets = try sealOptions.openingSecrets(identity, for: try streamEnvelope(of: file), path: path)
        try KeysInUse.refuseReplacing(path)
        return (file, secrets)
    }

    /// The envelope of the stream that is to get more.
    private func streamEnvelope(of file: PosixFile) throws(DiskError) -> Envelope {
        let envelope = try Envelope.unverified(in: file)
        guard envelope.kind == .stream else {
            throw DiskError(
                .refused, path: file.path, "is a sealed image, which is written in place",
                hint: "only a stream can get more at its end")
        }
        return envelope
    }

    /// Says what is lost.
    /// - Parameter fate: what becomes of the bytes.
    func note(_ tail: StreamTail, _ path: String, _ fate: String, _ run: ToolRun) {
        guard tail.discardedByteCount > 0 else {
            if !tail.isComplete { run.warn(path, "the stream had no end: what may have stood behind it is not known") }
            return
        }
        let count = counted(tail.discardedByteCount, "byte", "bytes")
        let text = tail.unfinishedTextByteCount
        let lost = text > 0 ? ", with \(counted(text, "byte", "bytes")) of text" : ""
        run.warn(path, "the stream had been cut off: \(count) of an unfinished frame \(fate)\(lost)")
        run.raise(.partial)
    }

    private func noteNoEnd(_ made: AppendedOutput, _ path: String, _ run: ToolRun) {
        do throws(DiskError) {
            try made.keep()
            let count = counted(made.addedByteCount, "byte", "bytes")
            run.warn(
                path,
                "the stream keeps the \(count) that came, and has no end now; to end it, append again, if only nothing")
        } catch {
            run.warn(path, "the stream has no end now, and its last frame is not finished; unseal gives what is there")
        }
    }
}
