public import BlockIO
import ByteCodec
public import Cipher
public import DiskModel

/// Adds to a sealed stream in a file (docs/formats/sealed.md, Sealed stream).
///
/// Opening reads all of it. What stands behind the last whole frame is taken away: the end frame, or a frame that a
/// loss of power or a kill left unfinished; where such a frame has segments that are authentic, only if the caller gives
/// them up. They cannot be kept in place: to end their frame its last segment had to be sealed over itself, which a loss
/// of power would tear. Then come frames with keys of their own: nothing is sealed twice under one nonce, whatever becomes
/// of the file or its copies.
///
/// Order of writes:
/// 1. the file is cut behind the last whole frame, then a flush: a loss leaves the stream as it was, or open with all
///    its frames.
/// 2. a frame's head and its segments, as they come: a loss leaves an unfinished frame, or bytes that are none, behind
///    the frames before. The next opening here takes them away, unless whole segments of them are there.
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
    /// What the stream was before.
    public let tail: StreamTail
    /// Bytes of text in the stream.
    public var textByteCount: UInt64 { frames.textByteCount }
    /// Bytes of text that were added.
    public var addedByteCount: UInt64 { frames.textByteCount - tail.mark.textByteCount }

    /// Opens a stream and makes it ready for more (step 1).
    /// - Parameters:
    ///   - file: open for writing.
    ///   - discardsText: whether authentic text in a frame that was not finished may be taken away.
    /// - Throws: as `StreamTail`; `.refused` where text would be lost. Then nothing was changed.
    public init(
        on file: any BlockFile, secrets: [SlotKey], discardsText: Bool = false, random: RandomSource = .system
    ) throws(DiskError) {
        let tail = try StreamTail(of: file, secrets: secrets)
        if !discardsText { try tail.requireNoText() }
        let mark = tail.mark
        (self.file, self.tail) = (file, tail)
        do throws(IOError) {
            if try file.byteCount() > mark.offset {
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
}
