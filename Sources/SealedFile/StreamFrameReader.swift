import BlockIO
import ByteCodec
import Cipher
import DiskModel

/// Takes frames apart: heads and words are checked, ciphertexts go into batches whose owner opens them.
///
/// Nothing that comes of it may be used before all batches loaded so far were found authentic.
struct StreamFrameReader {
    /// Where a whole frame ends.
    struct Mark {
        /// Of the file.
        var offset: UInt64
        /// For the frame to come.
        var chain: StreamChain
        /// Bytes of text in all frames up to here.
        var textByteCount: UInt64
    }

    /// What follows a batch.
    enum Next {
        case more
        /// The stream has its end, or is open.
        case end(isComplete: Bool)
        case failure(DiskError)
    }

    struct Frame {
        let header: FrameHeader
        let key: SecretBytes
        /// Number of the next segment.
        var counter: UInt64 = 0
        /// Of the next segment.
        var word: SegmentWord
    }

    let input: StreamInput
    let path: String
    var frame: Frame?
    /// Behind the last whole frame.
    var mark: Mark

    init(_ input: StreamInput, path: String, _ chain: StreamChain) {
        (self.input, self.path) = (input, path)
        mark = Mark(offset: input.offset, chain: chain, textByteCount: 0)
    }

    /// Where a batch begins, and in which frame.
    struct Place {
        var frame: UInt64 = 0
        var offset: UInt64 = 0
    }

    /// Loads and starts the next batch, which may be none.
    mutating func load(_ batch: SegmentBatch) -> (isStarted: Bool, place: Place, next: Next) {
        var place = Place(frame: mark.chain.frameIndex, offset: input.offset)
        do throws(Stop) {
            if frame == nil { try beginFrame() }
            guard let frame else { return (false, place, .end(isComplete: true)) }
            place.offset = input.offset - UInt64(SegmentWord.byteCount)
            let (isStarted, next) = fill(batch, frame)
            return (isStarted, place, next)
        } catch { return (false, place, error.next) }
    }

    /// Leaves by another way than a frame.
    struct Stop: Error {
        let next: Next
        init(_ next: Next) { self.next = next }
        init(_ error: FormatError, _ path: String) { next = .failure(DiskError(error, path: path)) }
        init(_ error: IOError) { next = .failure(DiskError(error, doing: "reading the sealed stream")) }
        static let cutOff = Stop(.end(isComplete: false))
    }

    // MARK: Heads

    /// Reads a frame's head and the word of its first segment. Without a frame afterwards the stream has ended.
    mutating func beginFrame() throws(Stop) {
        let start = input.offset
        let head = try read(FrameHeader.byteCount)
        let header = try parse(head, start)
        let word = try parse(word: read(SegmentWord.byteCount), counter: 0, header)
        let key = mark.chain.key(of: header)
        if header.kind == FrameKind.end.rawValue { return try checkEnd(key, word, start) }
        frame = Frame(header: header, key: key, word: word)
    }

    private func parse(_ bytes: [UInt8], _ offset: UInt64) throws(Stop) -> FrameHeader {
        let header: FrameHeader
        do throws(FormatError) { header = try FrameHeader(parsing: bytes.rawBytes) } catch { throw Stop(error, path) }
        let index = mark.chain.frameIndex
        guard header.signature == FrameHeader.signature, FrameKind(rawValue: header.kind) != nil, header.reservedIsZero
        else { throw Stop(StreamFailure.frame("FrameHeader", at: offset, "is none where frame \(index) begins"), path) }
        guard header.index == index else {
            throw Stop(StreamFailure.frame("Index", at: offset + 8, "is \(header.index), not \(index)"), path)
        }
        return header
    }

    func parse(word bytes: [UInt8], counter: UInt64, _ header: FrameHeader) throws(Stop) -> SegmentWord {
        let raw: UInt32 = bytes.rawBytes.integer(at: 0, .little)
        guard let word = SegmentWord(raw, counter: counter) else {
            let offset = input.offset - UInt64(SegmentWord.byteCount)
            throw Stop(
                StreamFailure.frame(
                    "SegmentWord", at: offset,
                    "is 0x\(String(raw, radix: 16)), which segment \(counter) of frame \(header.index) cannot have"),
                path)
        }
        return word
    }

    /// The end frame's only segment, and that nothing follows.
    private func checkEnd(_ key: SecretBytes, _ word: SegmentWord, _ start: UInt64) throws(Stop) {
        let index = mark.chain.frameIndex
        guard word == SegmentWord(textByteCount: EndRecord.byteCount, isLast: true) else {
            throw Stop(
                StreamFailure.frame("EndFrame", at: start, "has another length than \(EndRecord.byteCount)"), path)
        }
        let offset = input.offset
        var text = try read(EndRecord.byteCount)
        let tag = try read(AESGCM.tagByteCount)
        var raw = text.mutableRawBytes
        let cipher = SegmentCipher()
        cipher.setKey(key)
        do throws(CipherError) { try cipher.open(&raw, tag: tag.rawBytes, counter: 0, isLast: true) } catch {
            throw Stop(.failure(StreamFailure.notAuthentic(segment: 0, frame: index, at: offset, path: path)))
        }
        let wanted = EndRecord(frameCount: index, textByteCount: mark.textByteCount)
        guard text == wanted.serialized() else {
            throw Stop(
                StreamFailure.frame(
                    "EndFrame", at: start, "does not tell \(index) frames with \(mark.textByteCount) bytes"), path)
        }
        let end = input.offset
        let rest: [UInt8]
        do throws(IOError) { rest = try input.bytes(1) } catch { throw Stop(error) }
        guard rest.isEmpty else { throw Stop(StreamFailure.tail(at: end), path) }
    }

    /// So many bytes; where there are fewer, the stream was cut off.
    func read(_ byteCount: Int) throws(Stop) -> [UInt8] {
        let bytes: [UInt8]
        do throws(IOError) { bytes = try input.bytes(byteCount) } catch { throw Stop(error) }
        guard bytes.count == byteCount else { throw .cutOff }
        return bytes
    }

    // MARK: Segments

    /// Reads segments up to the frame's end or a full batch, and starts the batch.
    mutating func fill(_ batch: SegmentBatch, _ frame: Frame) -> (isStarted: Bool, Next) {
        var frame = frame
        let firstCounter = frame.counter
        let sealed = batch.sealed
        var (textByteCount, endsFrame) = (0, false)
        var next = Next.more
        do throws(Stop) {
            for slot in 0..<SegmentBatch.segmentLimit where !endsFrame {
                let isWhole = try fill(slot, of: batch, frame)
                textByteCount += frame.word.textByteCount
                endsFrame = frame.word.isLast
                guard !endsFrame else { break }
                frame.counter += 1
                guard isWhole else { throw .cutOff }
                let place = (slot + 1) * SegmentBatch.sealedByteCount
                let word = sealed.bytes(place..<place + SegmentWord.byteCount).array(0..<SegmentWord.byteCount)
                frame.word = try parse(word: word, counter: frame.counter, frame.header)
            }
        } catch { next = error.next }
        guard textByteCount > 0 || endsFrame else { return (false, next) }
        batch.setKey(frame.key, frame: frame.header.index)
        batch.start(firstCounter: firstCounter, textByteCount: textByteCount, endsFrame: endsFrame)
        self.frame = endsFrame ? nil : frame
        if endsFrame {
            let tag = batch.lastTag
            mark.chain.advance(over: frame.header, lastTag: tag.rawBytes)
            mark.offset = input.offset
        }
        mark.textByteCount += UInt64(textByteCount)
        return (true, next)
    }

    /// Reads a segment's ciphertext and tag, and the word of the one that follows in the same frame.
    /// - Returns: whether that word is there.
    private func fill(_ slot: Int, of batch: SegmentBatch, _ frame: Frame) throws(Stop) -> Bool {
        let sealed = batch.sealed
        let start = slot * SegmentBatch.sealedByteCount + SegmentWord.byteCount
        let segmentByteCount = frame.word.textByteCount + AESGCM.tagByteCount
        let wanted = segmentByteCount + (frame.word.isLast ? 0 : SegmentWord.byteCount)
        let count: Int
        do throws(IOError) { count = try input.fill(sealed, start..<start + wanted) } catch { throw Stop(error) }
        guard count < segmentByteCount else { return count == wanted }
        // A stream that was cut here cannot have an end frame: the word is wrong.
        let endByteCount = EndRecord.frameByteCount
        if count >= endByteCount,
            let index = FrameHeader.index(lookingAt: sealed.bytes(start..<start + count), count - endByteCount),
            index > frame.header.index
        {
            let offset = input.offset - UInt64(count + SegmentWord.byteCount)
            throw Stop(
                StreamFailure.frame(
                    "SegmentWord", at: offset,
                    "is too long for segment \(frame.counter) of frame \(frame.header.index)"), path)
        }
        throw .cutOff
    }
}
