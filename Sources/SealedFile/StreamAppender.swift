public import BlockIO
import ByteCodec
public import Cipher
public import DiskModel

/// Adds to a sealed stream in a file (docs/formats/sealed.md, Sealed stream).
///
/// Opening reads all of it. What stands behind the last whole frame is taken away: the end frame, or a frame that a
/// loss of power or a kill left unfinished. Then come frames with keys of their own: nothing is sealed twice under one
/// nonce, whatever becomes of the file or its copies.
///
/// Order of writes:
/// 1. the file is cut behind the last whole frame, then a flush: a loss leaves the stream as it was, or open with all
///    its frames.
/// 2. a frame's head and its segments, as they come: a loss leaves an unfinished frame, or bytes that are none, behind
///    the frames before, which the next opening here takes away.
/// 3. the frame's last segment, then a flush, with `flush` or before a further frame or the end: from here on the frame
///    stays.
/// 4. the end frame, then a flush: a loss leaves the stream open with all its frames, or complete.
///
/// A head of a later frame therefore says that those before it were durable: where one of them is not authentic, and
/// such a head stands behind it, the file was damaged or changed, and opening refuses to take anything away.
public final class SealedStreamAppender {
    private let file: any BlockFile
    private let frames: StreamFrameWriter
    private var state = StreamWriterState.open
    public let envelope: Envelope
    /// Whether the stream had its end.
    public let wasComplete: Bool
    /// Bytes of the file that were no whole frame, and were taken away; an end frame does not count.
    public let discardedByteCount: UInt64
    /// Bytes of text in the stream.
    public var textByteCount: UInt64 { frames.textByteCount }

    /// Opens a stream and makes it ready for more (step 1).
    /// - Parameter file: open for writing.
    /// - Throws: as `SealedStreamReader`; then nothing was changed.
    public init(on file: any BlockFile, secrets: [SlotKey], random: RandomSource = .system) throws(DiskError) {
        let reader = try SealedStreamReader(secrets: secrets, from: file)
        do throws(DiskError) { try reader.forEachPiece { _ in } } catch {
            guard try Self.isUnfinished(error, file, reader.verified) else { throw error }
        }
        let mark = reader.verified
        (self.file, envelope, wasComplete) = (file, reader.envelope, reader.isComplete)
        do throws(IOError) {
            let byteCount = try file.byteCount()
            discardedByteCount = reader.isComplete ? 0 : byteCount - mark.offset
            if byteCount > mark.offset {
                try file.resize(to: mark.offset)
                try file.sync()
            }
        } catch { throw DiskError(error, doing: "taking away what is behind the last whole frame") }
        var offset = mark.offset
        frames = StreamFrameWriter(mark.chain, textByteCount: mark.textByteCount, random: random) {
            (bytes) throws(IOError) in
            try file.write(bytes, at: offset)
            offset += UInt64(bytes.byteCount)
        }
    }

    /// Takes more bytes; they are durable after `flush` or `finish` only.
    public func write(_ bytes: RawSpan) throws(DiskError) {
        try state.change(file.path, "sealing") { () throws(IOError) in try frames.write(bytes) }
    }

    /// Makes durable what was written, as a frame (step 3). Each costs 68 bytes.
    public func flush() throws(DiskError) {
        try state.change(file.path, "flushing the stream") { () throws(IOError) in
            try frames.endFrame()
            try file.sync()
        }
    }

    /// Makes durable what was written, and then the end (steps 3 and 4); nothing may be written afterwards.
    public func finish() throws(DiskError) {
        try flush()
        try state.change(file.path, "ending the stream") { () throws(IOError) in
            try frames.end()
            try file.sync()
        }
        state = .finished
    }

    /// Whether what follows the last whole frame may be a frame that was not finished.
    private static func isUnfinished(
        _ error: DiskError, _ file: any BlockFile, _ mark: StreamFrameReader.Mark
    ) throws(DiskError) -> Bool {
        guard error.kind == .key || error.formatError?.code == .sealedFrame else { return false }
        do throws(IOError) {
            return try !hasLaterFrame(file, from: mark.offset, index: mark.chain.frameIndex)
        } catch { throw DiskError(error, doing: "looking for further frames") }
    }

    /// Whether the head of a frame behind the one of this index stands anywhere from an offset on.
    private static func hasLaterFrame(
        _ file: any BlockFile, from start: UInt64, index: UInt64
    ) throws(IOError) -> Bool {
        let (end, look) = (try file.byteCount(), UInt64(FrameHeader.knownByteCount))
        let buffer = IOBuffer(byteCount: 1 << 20)
        var offset = start
        while end - offset >= look {
            let count = Int(min(UInt64(buffer.byteCount), end - offset))
            try buffer.fill(count, from: file, at: offset)
            let bytes = buffer.bytes(0..<count)
            let places = count - FrameHeader.knownByteCount + 1
            for place in 0..<places {
                if let found = FrameHeader.index(lookingAt: bytes, place), found > index, found - index <= 1 << 32 {
                    return true
                }
            }
            offset += UInt64(places)
        }
        return false
    }
}
