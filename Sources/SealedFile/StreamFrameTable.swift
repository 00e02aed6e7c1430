import ByteCodec

/// The frames of a stream that hold text: where they are, and what gives their keys, but no key. Made once; 88 bytes a
/// frame.
///
/// Head and digest are kept, so that what is read later belongs to the frames found at first, whatever became of the
/// file in between: another version of a frame has another key.
struct StreamFrameTable: Sendable {
    /// 16 MiB.
    static let frameLimit = 16 << 20 / MemoryLayout<Entry>.stride

    struct Entry: Sendable {
        /// Of the head in the file.
        let offset: UInt64
        /// Of the frame's first byte in the text of the stream.
        let textOffset: UInt64
        let index: UInt64
        let salt: [32 of UInt8]
        /// What the chain has for this frame.
        let digest: [32 of UInt8]
    }

    /// Blocks of equal length but the last, so that growing copies nothing.
    private static let blockLength = 1024
    private var blocks: [[Entry]] = []
    private(set) var count = 0
    /// Bytes of text in all frames.
    private(set) var textByteCount: UInt64 = 0

    mutating func append(_ passed: StreamFrameReader.Passed, textByteCount end: UInt64) {
        guard end > textByteCount else { return }
        let (salt, digest) = (passed.header.salt, passed.start.chain.digest)
        let entry = Entry(
            offset: passed.start.offset, textOffset: textByteCount, index: passed.header.index,
            salt: [32 of UInt8] { salt[$0] }, digest: [32 of UInt8] { digest[$0] })
        if count % Self.blockLength == 0 {
            blocks.append([])
            blocks[blocks.count - 1].reserveCapacity(Self.blockLength)
        }
        blocks[blocks.count - 1].append(entry)
        (count, textByteCount) = (count + 1, end)
    }

    private func entry(_ place: Int) -> Entry { blocks[place / Self.blockLength][place % Self.blockLength] }

    /// The frame that has a byte of the text.
    /// - Parameter offset: below `textByteCount`.
    func frame(at offset: UInt64) -> StreamFrame {
        precondition(offset < textByteCount, "within the text")
        var (low, high) = (0, count)
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if entry(middle).textOffset <= offset { low = middle } else { high = middle }
        }
        return StreamFrame(
            entry: entry(low), textEnd: low + 1 < count ? entry(low + 1).textOffset : textByteCount)
    }
}

/// A frame that holds text, and where its segments are.
struct StreamFrame: Sendable {
    let entry: StreamFrameTable.Entry
    /// Where its text ends in that of the stream.
    let textEnd: UInt64

    private static let segmentByteCount = UInt64(SegmentBatch.textByteCount)

    var segmentCount: UInt64 { (textEnd - entry.textOffset).dividedRoundingUp(by: Self.segmentByteCount) }

    /// The segment that has a byte of the text.
    func segment(at offset: UInt64) -> UInt64 { (offset - entry.textOffset) / Self.segmentByteCount }

    /// A segment's text in that of the stream.
    func text(of segment: UInt64) -> Range<UInt64> {
        let start = entry.textOffset + segment * Self.segmentByteCount
        return start..<min(start + Self.segmentByteCount, textEnd)
    }

    /// Of a segment's word in the file.
    func offset(of segment: UInt64) -> UInt64 {
        entry.offset + UInt64(FrameHeader.byteCount) + segment * UInt64(SegmentBatch.sealedByteCount)
    }

    var header: FrameHeader {
        let salt = entry.salt
        return FrameHeader(.data, index: entry.index, salt: salt.indices.map { salt[$0] })
    }

    var digest: [UInt8] {
        let digest = entry.digest
        return digest.indices.map { digest[$0] }
    }
}
