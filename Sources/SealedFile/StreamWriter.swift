public import BlockIO
import ByteCodec
public import Cipher
public import DiskModel

/// Seals a stream of bytes: envelope, one frame, end frame (docs/formats/sealed.md, Sealed stream). Memory: a few MiB.
///
/// One owner at a time. Until `finish` has returned the output is an open stream: whoever opens it gets what is there,
/// and is told that the end is missing. The output is the sink's to make durable; one that is to be whole or absent
/// goes into a `PendingFile`. A stream on a file that others add to later is a matter of `SealedStreamAppender`.
public final class SealedStreamWriter {
    /// Gets the container's bytes in order.
    public typealias Sink = (RawSpan) throws(IOError) -> Void

    private let path: String
    private let frames: StreamFrameWriter
    private var state = StreamWriterState.open
    /// 16 bytes.
    public let containerID: [UInt8]
    /// Bytes taken.
    public var byteCount: UInt64 { frames.textByteCount }

    /// Writes the envelope.
    /// - Parameters:
    ///   - secrets: 1 to 32; each of them, or its private part, will open the stream.
    ///   - creationTime: seconds since 1970, or 0.
    ///   - path: of the output, for messages.
    ///   - sink: gets the bytes; after it threw, the writer does no more.
    /// - Throws: `.refused` for no or too many secrets, `.key` for a recipient's key that is none, `.io`.
    public init(
        for secrets: [SlotKey], creationTime: UInt64 = 0, random: RandomSource = .system, path: String = "(stream)",
        to sink: @escaping Sink
    ) throws(DiskError) {
        guard (1...Envelope.slotLimit).contains(secrets.count) else {
            throw DiskError(
                .refused, path: path, "\(secrets.count) keys to seal for", hint: "give 1 to \(Envelope.slotLimit)")
        }
        let made: (envelope: Envelope, keys: ContainerKeys)
        do throws(CipherError) {
            made = try Envelope.create(
                .stream, chunkByteCount: Envelope.streamSegmentByteCount, for: secrets, creationTime: creationTime,
                random: random)
        } catch { throw EnvelopeFailure.key(error, path: path) }
        let bytes = made.envelope.bytes(made.keys)
        self.path = path
        containerID = made.envelope.containerID
        let chain = StreamChain(envelope: bytes.rawBytes, containerID: containerID, keys: made.keys)
        frames = StreamFrameWriter(chain, random: random, to: sink)
        do throws(IOError) { try sink(bytes.rawBytes) } catch { throw DiskError(error, doing: "writing the envelope") }
    }

    /// Takes more bytes. They reach the sink in whole segments, some MiB later.
    /// - Throws: `.io`; from then on every call does.
    public func write(_ bytes: RawSpan) throws(DiskError) {
        try state.change(path, "sealing") { () throws(IOError) in try frames.write(bytes) }
    }

    /// Seals the rest and writes the end frame; nothing may be written afterwards.
    public func finish() throws(DiskError) {
        try state.change(path, "ending the stream") { () throws(IOError) in
            try frames.endFrame()
            try frames.end()
        }
        state = .finished
    }
}

/// Whether a writer may go on: after a failure what reached the output is not known, and nothing may follow it.
enum StreamWriterState: Equatable {
    case open, finished
    case failed(IOError)

    /// Runs a change, unless there was a failure or the end before.
    mutating func change(_ path: String, _ doing: String, _ body: () throws(IOError) -> Void) throws(DiskError) {
        switch self {
        case .open: break
        case .finished: preconditionFailure("the stream has its end")
        case .failed(let error): throw DiskError(error, doing: doing)
        }
        do throws(IOError) { try body() } catch {
            self = .failed(error)
            throw DiskError(error, doing: doing)
        }
    }
}
