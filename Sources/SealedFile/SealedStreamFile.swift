public import BlockIO
import ByteCodec
public import DiskModel
import Cipher
import Dispatch
import Synchronization

/// The text of a sealed stream in a file, read anywhere (docs/formats/sealed.md, Sealed stream). Nothing is written.
///
/// Opening goes over the frames: of each, the head and the last segment are read, and found authentic, as is the end
/// frame. From then on it is known where each byte is. A segment is found authentic when it is read: a byte of it comes as
/// it was sealed, or there is an error with `.notAuthentic`. So a stream can be opened that has a damaged place, which all
/// others can be read around.
///
/// The frames are those found at opening: a file that is changed meanwhile, even into another version of the stream, gives
/// errors, not bytes of both.
///
/// Memory is bounded: 16 MiB of frames, 2 MiB of text, 1 MiB for each thread that reads. Safe from several threads.
public final class SealedStreamFile: BlockFile {
    private let file: any BlockFile
    public let envelope: Envelope
    private let chain: StreamChain
    let frames: StreamFrameTable
    private let texts = Mutex(SegmentTexts())
    private let idle = Mutex<[SegmentBatch]>([])
    private static let idleLimit = 4

    public var path: String { file.path }
    public var storage: PosixFile? { file.storage }

    /// Opens a stream.
    /// - Parameter secrets: those at hand, in any order; passphrases are tried last.
    /// - Throws: `.format` for what is no sealed stream (SEAL001 to SEAL006, SEAL011), frames that do not follow each other
    ///   (SEAL007), bytes behind the end (SEAL008), or a stream that has no end (SEAL010); `.key` when no secret opens it,
    ///   or a frame is not authentic; `.refused` when more frames hold text than memory is given to; `.io`.
    public convenience init(reading file: any BlockFile, secrets: [SlotKey]) throws(DiskError) {
        try self.init(reading: file, secrets: secrets, frameLimit: StreamFrameTable.frameLimit)
    }

    /// - Parameter frameLimit: frames that may hold text.
    init(reading file: any BlockFile, secrets: [SlotKey], frameLimit: Int) throws(DiskError) {
        let input: StreamInput
        do throws(IOError) { input = StreamInput(try StreamWindow(file)) } catch {
            throw DiskError(error, doing: "opening")
        }
        let start = try StreamStart(input, secrets: secrets, path: file.path)
        (self.file, envelope, chain) = (file, start.envelope, start.chain)
        var reader = StreamFrameReader(input, path: file.path, start.chain)
        let batch = SealedStreamFile.makeBatch()
        var frames = StreamFrameTable()
        while let passed = try reader.passFrame(batch) {
            frames.append(passed, textByteCount: reader.mark.textByteCount)
            guard frames.count <= frameLimit else {
                throw DiskError(
                    .refused, path: file.path, "more than \(frameLimit) of its frames hold text",
                    hint: "unseal it, or seal it anew: it is one frame then")
            }
        }
        self.frames = frames
    }

    public func byteCount() -> UInt64 { frames.textByteCount }

    // MARK: Reading

    /// - Throws: `.endOfFile`; `.notAuthentic` with the place in the text where the segment begins; then the buffer's
    ///   contents are text or what was there before or zeros.
    public func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        guard buffer.byteCount > 0 else { return }
        let end = byteCount()
        guard let range = checkedRange(offset, UInt64(buffer.byteCount)), range.upperBound <= end else {
            throw IOError("read", path: path, .endOfFile(byteCount: end), offset: offset)
        }
        var done = 0
        while done < buffer.byteCount {
            done += try buffer.withPart(done..<buffer.byteCount) { (rest) throws(IOError) in
                try readSome(&rest, at: offset + UInt64(done))
            }
        }
    }

    /// Reads a part of a segment, or as many whole ones as there is room for.
    /// - Returns: how many bytes.
    private func readSome(_ buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) -> Int {
        let frame = frames.frame(at: offset)
        let segment = frame.segment(at: offset)
        let text = frame.text(of: segment)
        let end = offset + UInt64(buffer.byteCount)
        guard offset == text.lowerBound, end >= text.upperBound else {
            let start = Int(offset - text.lowerBound)
            let part = start..<start + Int(min(end, text.upperBound) - offset)
            let all = try self.text(of: segment, in: frame)
            buffer.copy(all.rawBytes.extracting(part), at: 0)
            return part.count
        }
        var next = segment + 1
        while next < frame.segmentCount, next - segment < UInt64(SegmentBatch.segmentLimit),
            frame.text(of: next).upperBound <= end
        { next += 1 }
        let count = Int(frame.text(of: next - 1).upperBound - offset)
        try buffer.withPart(0..<count) { (whole) throws(IOError) in
            try open(segment..<next, of: frame, into: &whole)
        }
        return count
    }

    /// All text of a segment.
    private func text(of segment: UInt64, in frame: StreamFrame) throws(IOError) -> [UInt8] {
        let range = frame.text(of: segment)
        if let text = texts.withLock({ $0.text(from: range.lowerBound) }) { return text }
        var text = [UInt8].zeros(range.count)
        var raw = text.mutableRawBytes
        try open(segment..<segment + 1, of: frame, into: &raw)
        texts.withLock { $0.insert(text, from: range.lowerBound) }
        return text
    }

    // MARK: Segments

    /// Reads and opens whole segments: one straight into the buffer, several on two threads.
    /// - Parameter segments: as many as a batch takes at most.
    private func open(
        _ segments: Range<UInt64>, of frame: StreamFrame, into buffer: inout MutableRawSpan
    ) throws(IOError) {
        let batch = idle.withLock { $0.popLast() } ?? Self.makeBatch()
        defer { idle.withLock { if $0.count < Self.idleLimit { $0.append(batch) } } }
        try load(segments, of: frame, batch)
        batch.setKey(chain.key(of: frame.header, digest: frame.digest), frame: frame.entry.index)
        let endsFrame = segments.upperBound == frame.segmentCount
        guard segments.count > 1 else {
            do throws(CipherError) {
                return try batch.openOne(counter: segments.lowerBound, isLast: endsFrame, into: &buffer)
            } catch { throw notAuthentic(segments.lowerBound, of: frame) }
        }
        batch.start(firstCounter: segments.lowerBound, textByteCount: buffer.byteCount, endsFrame: endsFrame)
        let count = batch.wait()
        guard count == segments.count else { throw notAuthentic(segments.lowerBound + UInt64(count), of: frame) }
        batch.copyText(into: &buffer)
    }

    /// Reads sealed segments into a batch, and compares their words.
    private func load(_ segments: Range<UInt64>, of frame: StreamFrame, _ batch: SegmentBatch) throws(IOError) {
        let textByteCount =
            frame.text(of: segments.upperBound - 1).upperBound - frame.text(of: segments.lowerBound).lowerBound
        let byteCount = Int(textByteCount) + segments.count * SegmentBatch.addedByteCount
        try batch.sealed.fill(byteCount, from: file, at: frame.offset(of: segments.lowerBound))
        let sealed = batch.sealed
        let bytes = sealed.bytes(0..<byteCount)
        for (place, segment) in segments.enumerated() {
            let word = SegmentWord(
                textByteCount: frame.text(of: segment).count, isLast: segment + 1 == frame.segmentCount)
            guard bytes.integer(at: place * SegmentBatch.sealedByteCount, .little) == word.rawValue else {
                throw notAuthentic(segment, of: frame)
            }
        }
    }

    private func notAuthentic(_ segment: UInt64, of frame: StreamFrame) -> IOError {
        IOError(
            "reading a segment of the sealed stream", path: path, .notAuthentic,
            offset: frame.text(of: segment).lowerBound)
    }

    private static func makeBatch() -> SegmentBatch { SegmentBatch(.open, DispatchQueue(label: "unsealing")) }

    // MARK: Changes

    public func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) { throw refusal("write", offset) }

    public func resize(to byteCount: UInt64) throws(IOError) { throw refusal("resize") }

    public func zero(_ range: Range<UInt64>) throws(IOError) { throw refusal("zero", range.lowerBound) }

    /// There is nothing to flush.
    public func sync() {}

    private func refusal(_ call: String, _ offset: UInt64? = nil) -> IOError {
        IOError(call, path: path, .readOnly, offset: offset)
    }
}
