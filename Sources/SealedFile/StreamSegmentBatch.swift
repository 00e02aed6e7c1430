import BlockIO
import ByteCodec
import Cipher
import Dispatch
import Synchronization

/// Successive segments of a frame, sealed or opened in place by two threads: a helper, and the owner when it comes to wait.
///
/// Nothing is allocated for a segment. Memory: 1 MiB, so that two fit the processor's cache. On one processor there is no
/// helper, and a batch is small enough to stay in the fastest cache from where it is filled to where it is passed on.
///
/// `@unchecked`: the owner alone touches everything but between `start` and `wait`; there both threads take segments by
/// an atomic number, each with a cipher of its own, and segments do not overlap.
final class SegmentBatch: @unchecked Sendable {
    enum Direction: Sendable { case seal, open }

    static let segmentLimit = hasSecondProcessor ? 16 : 4
    static let textByteCount = Envelope.streamSegmentByteCount
    /// Bytes of a full segment with its word and its tag.
    static let sealedByteCount = SegmentWord.byteCount + textByteCount + AESGCM.tagByteCount
    static let addedByteCount = sealedByteCount - textByteCount
    static let textCapacity = segmentLimit * textByteCount

    /// Words, ciphertexts or text, and tags, one segment behind the other; and room for the word that follows.
    let sealed = IOBuffer(byteCount: segmentLimit * sealedByteCount + SegmentWord.byteCount)

    private let direction: Direction
    private let queue: DispatchQueue
    private let (own, helping) = (SegmentCipher(), SegmentCipher())
    /// The frame whose key the ciphers have.
    private var keyedFrame: UInt64?

    /// Number in the frame of the first segment here.
    private(set) var firstCounter: UInt64 = 0
    private(set) var segmentCount = 0
    /// Bytes of text in all segments.
    private(set) var filledByteCount = 0
    /// Whether the last segment here is the frame's last.
    private(set) var endsFrame = false

    private let next = Atomic(0)
    /// The first segment that is not authentic.
    private let failed = Atomic(Int.max)
    private let helperIsDone = DispatchSemaphore(value: 0)
    private var hasHelper = false

    /// - Parameter queue: serial; where the helper runs.
    init(_ direction: Direction, _ queue: DispatchQueue) { (self.direction, self.queue) = (direction, queue) }

    /// Bytes of `sealed` that the segments take.
    var sealedRange: Range<Int> {
        0..<filledByteCount + segmentCount * Self.addedByteCount
    }

    /// The tag of the last segment.
    var lastTag: [UInt8] {
        let end = sealedRange.upperBound
        let sealed = sealed
        return sealed.bytes(end - AESGCM.tagByteCount..<end).array(0..<AESGCM.tagByteCount)
    }

    // MARK: Text

    /// Where text stands in `sealed`: from its offset in the batch to the end of its segment.
    /// - Parameter offset: in the text of all segments, one behind the other.
    static func place(ofText offset: Int) -> Range<Int> {
        let segment = offset / textByteCount
        let start = segment * sealedByteCount + SegmentWord.byteCount
        return start + offset % textByteCount..<start + textByteCount
    }

    /// Puts text into segments that are to be sealed.
    /// - Parameter offset: as for `place`.
    func put(_ text: RawSpan, at offset: Int) {
        var done = 0
        while done < text.byteCount {
            let place = Self.place(ofText: offset + done)
            let count = min(place.count, text.byteCount - done)
            sealed.withMutableBytes(place.prefix(count)) { $0.copy(text.extracting(done..<done + count), at: 0) }
            done += count
        }
    }

    /// Takes the text out of segments that were opened.
    /// - Parameter buffer: no longer than the text.
    func copyText(into buffer: inout MutableRawSpan) {
        let sealed = sealed
        var done = 0
        while done < buffer.byteCount {
            let place = Self.place(ofText: done)
            let part = place.prefix(min(place.count, buffer.byteCount - done))
            buffer.copy(sealed.bytes(part), at: done)
            done += part.count
        }
    }

    // MARK: Work

    /// Takes the key of a frame, if it has that of another.
    func setKey(_ key: @autoclosure () -> SecretBytes, frame: UInt64) {
        guard keyedFrame != frame else { return }
        let key = key()
        own.setKey(key)
        helping.setKey(key)
        keyedFrame = frame
    }

    /// Begins the work.
    /// - Parameter textByteCount: whole segments, unless the frame ends.
    func start(firstCounter: UInt64, textByteCount: Int, endsFrame: Bool) {
        precondition(endsFrame || textByteCount % Self.textByteCount == 0, "whole segments")
        (self.firstCounter, filledByteCount, self.endsFrame) = (firstCounter, textByteCount, endsFrame)
        segmentCount = (textByteCount + Self.textByteCount - 1) / Self.textByteCount
        if endsFrame { segmentCount = max(1, segmentCount) }
        next.store(0, ordering: .relaxed)
        failed.store(.max, ordering: .relaxed)
        hasHelper = segmentCount > 1 && hasSecondProcessor
        guard hasHelper else { return }
        queue.async {
            self.work(self.helping)
            self.helperIsDone.signal()
        }
    }

    /// Does what is left, and waits for the helper.
    /// - Returns: how many segments are done, from the first; fewer than all where one is not authentic.
    func wait() -> Int {
        work(own)
        if hasHelper { helperIsDone.wait() }
        hasHelper = false
        return min(segmentCount, failed.load(ordering: .relaxed))
    }

    /// Opens the first segment, alone and elsewhere; nothing may be started.
    /// - Parameter text: as long as the segment's; zeros where it is not authentic.
    func openOne(counter: UInt64, isLast: Bool, into text: inout MutableRawSpan) throws(CipherError) {
        let (sealed, place) = (sealed, textRange(0, of: text.byteCount))
        text.copy(sealed.bytes(place), at: 0)
        let tag = sealed.bytes(place.upperBound..<place.upperBound + AESGCM.tagByteCount)
        try own.open(&text, tag: tag, counter: counter, isLast: isLast)
    }

    private func work(_ cipher: SegmentCipher) {
        while true {
            let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
            guard index < segmentCount else { return }
            switch direction {
            case .seal: seal(index, cipher)
            case .open: open(index, cipher)
            }
        }
    }

    private func isLast(_ index: Int) -> Bool { endsFrame && index == segmentCount - 1 }

    /// The text of a segment, in `sealed`; its tag stands behind it.
    /// - Parameter byteCount: of text in all segments.
    private func textRange(_ index: Int, of byteCount: Int) -> Range<Int> {
        let start = index * Self.textByteCount
        return Self.place(ofText: start).prefix(min(Self.textByteCount, byteCount - start))
    }
    private func textRange(_ index: Int) -> Range<Int> { textRange(index, of: filledByteCount) }

    private func seal(_ index: Int, _ cipher: SegmentCipher) {
        let (sealed, isLast, range) = (self.sealed, isLast(index), textRange(index))
        let word = SegmentWord(textByteCount: range.count, isLast: isLast)
        sealed.withMutableBytes(range.lowerBound - SegmentWord.byteCount..<range.lowerBound) {
            $0.store(word.rawValue, at: 0, .little)
        }
        sealed.withMutableBytes(range) { text in
            sealed.withMutableBytes(range.upperBound..<range.upperBound + AESGCM.tagByteCount) { tag in
                cipher.seal(&text, counter: firstCounter + UInt64(index), isLast: isLast, tag: &tag)
            }
        }
    }

    private func open(_ index: Int, _ cipher: SegmentCipher) {
        let (sealed, isLast, range) = (self.sealed, isLast(index), textRange(index))
        let tag = sealed.bytes(range.upperBound..<range.upperBound + AESGCM.tagByteCount)
        do throws(CipherError) {
            try sealed.withMutableBytes(range) { (text) throws(CipherError) in
                try cipher.open(&text, tag: tag, counter: firstCounter + UInt64(index), isLast: isLast)
            }
        } catch { failed.min(index, ordering: .relaxed) }
    }
}
