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
    var containerID: [UInt8] { appender.envelope.containerID }
    var keyCount: Int { appender.envelope.slots.count }
    private(set) var byteCount: UInt64 = 0
    /// Of the contents, with what was there before.
    var textByteCount: UInt64 { appender.textByteCount }
    var wasComplete: Bool { appender.wasComplete }
    /// Bytes that were no whole frame, and were taken away.
    var discardedByteCount: UInt64 { appender.discardedByteCount }

    /// - Parameter file: under the writer's lock.
    init(on file: PosixFile, secrets: [SlotKey]) throws(DiskError) {
        self.file = file
        appender = try SealedStreamAppender(on: file, secrets: secrets)
    }

    func data(_ offset: UInt64, _ bytes: RawSpan) throws { try appender.write(bytes) }

    func zeros(_ offset: UInt64, _ byteCount: UInt64) throws {
        try forEachRunOfZeros(byteCount) { zeros in try appender.write(zeros) }
    }

    func finish() throws {
        try appender.finish()
        byteCount = try file.byteCount()
    }
}

extension Seal {
    /// Where something fails on the way the stream has no end, and says so: what came until then stays.
    func appendInput(_ source: PosixFile?, to path: String, _ run: ToolRun) throws {
        let file = try PosixFile(path, .write)
        let secrets = try sealOptions.openingSecrets(identity, for: try streamEnvelope(of: file), path: path)
        let made = try AppendedOutput(on: file, secrets: secrets)
        if made.discardedByteCount > 0 {
            let count = counted(made.discardedByteCount, "byte", "bytes")
            run.warn(path, "the stream had been cut off: \(count) of an unfinished frame were taken away")
        }
        let sink = HashingSink(made, hashOptions.algorithms)
        do { report(made, sink, try copy(source, to: sink, run), run) } catch {
            run.warn(path, "the stream has no end now; to end it, append again, if only nothing")
            throw error
        }
    }
}
