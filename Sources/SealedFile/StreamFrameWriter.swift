import BlockIO
import ByteCodec
import Cipher
import Dispatch

/// Seals text into frames and gives their bytes to a sink, in order. Memory: two batches.
///
/// While one batch is sealed, on another thread, the next is filled.
final class StreamFrameWriter {
    typealias Sink = (RawSpan) throws(IOError) -> Void

    private let random: RandomSource
    private let sink: Sink
    private let queue = DispatchQueue(label: "sealing")
    private var chain: StreamChain
    /// Bytes of text in all frames of the stream.
    private(set) var textByteCount: UInt64

    private struct Frame {
        let header: FrameHeader
        let key: SecretBytes
        /// Number of the next segment.
        var counter: UInt64 = 0
    }
    private var frame: Frame?
    private lazy var filling = SegmentBatch(.seal, queue)
    private lazy var spare = SegmentBatch(.seal, queue)
    private var filledByteCount = 0
    /// Whether `spare` is being sealed.
    private var isSealing = false

    /// - Parameters:
    ///   - chain: from the last frame that is there.
    ///   - textByteCount: in the frames that are there.
    init(_ chain: StreamChain, textByteCount: UInt64 = 0, random: RandomSource, to sink: @escaping Sink) {
        (self.chain, self.textByteCount, self.random, self.sink) = (chain, textByteCount, random, sink)
    }

    /// Continues the frame, or begins one.
    func write(_ bytes: RawSpan) throws(IOError) {
        var done = 0
        while done < bytes.byteCount {
            if frame == nil { try begin() }
            // Only now it is known that the last segment at hand is not the frame's last.
            if filledByteCount == SegmentBatch.textCapacity { try passOn() }
            let count = min(bytes.byteCount - done, SegmentBatch.textCapacity - filledByteCount)
            filling.put(bytes.extracting(done..<done + count), at: filledByteCount)
            filledByteCount += count
            done += count
        }
        textByteCount += UInt64(bytes.byteCount)
    }

    /// Ends the frame, if there is one: all text has gone to the sink then.
    func endFrame() throws(IOError) {
        guard let frame else { return }
        try drain()
        filling.setKey(frame.key, frame: frame.header.index)
        filling.start(firstCounter: frame.counter, textByteCount: filledByteCount, endsFrame: true)
        let lastTag = try pass(filling).lastTag
        chain.advance(over: frame.header, lastTag: lastTag.rawBytes)
        (self.frame, filledByteCount) = (nil, 0)
    }

    /// Writes the end frame, in one piece; no frame may be open.
    func end() throws(IOError) {
        precondition(frame == nil, "the frame ends first")
        let header = chain.header(.end, random)
        let record = EndRecord(frameCount: chain.frameIndex, textByteCount: textByteCount).serialized()
        let cipher = SegmentCipher()
        cipher.setKey(chain.key(of: header))
        var (text, tag) = (record, [UInt8].zeros(AESGCM.tagByteCount))
        var rawText = text.mutableRawBytes
        var rawTag = tag.mutableRawBytes
        cipher.seal(&rawText, counter: 0, isLast: true, tag: &rawTag)
        var word = [UInt8].zeros(SegmentWord.byteCount)
        var rawWord = word.mutableRawBytes
        rawWord.store(SegmentWord(textByteCount: record.count, isLast: true).rawValue, at: 0, .little)
        let bytes = header.serialized() + word + text + tag
        try sink(bytes.rawBytes)
    }

    private func begin() throws(IOError) {
        let header = chain.header(.data, random)
        frame = Frame(header: header, key: chain.key(of: header))
        let bytes = header.serialized()
        try sink(bytes.rawBytes)
    }

    /// Begins to seal the full batch; the one before goes to the sink meanwhile.
    private func passOn() throws(IOError) {
        guard var frame else { return }
        if isSealing { _ = spare.wait() }
        filling.setKey(frame.key, frame: frame.header.index)
        filling.start(firstCounter: frame.counter, textByteCount: filledByteCount, endsFrame: false)
        frame.counter += UInt64(SegmentBatch.segmentLimit)
        self.frame = frame
        let (full, before, hadBefore) = (filling, spare, isSealing)
        (filling, spare, isSealing, filledByteCount) = (before, full, true, 0)
        if hadBefore { try pass(before) }
    }

    /// Gives what is being sealed to the sink.
    private func drain() throws(IOError) {
        guard isSealing else { return }
        isSealing = false
        try pass(spare)
    }

    /// Gives a batch to the sink, when it is done.
    @discardableResult
    private func pass(_ batch: SegmentBatch) throws(IOError) -> SegmentBatch {
        _ = batch.wait()
        let sealed = batch.sealed
        try sink(sealed.bytes(batch.sealedRange))
        return batch
    }
}
