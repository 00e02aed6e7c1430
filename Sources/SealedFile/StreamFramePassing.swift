import BlockIO
import ByteCodec
import Cipher
import DiskModel

extension StreamFrameReader {
    /// A data frame that was gone over.
    struct Passed {
        var header: FrameHeader
        /// Where it begins, and what is before it.
        var start: Mark
    }

    /// Goes over the next frame, of which only the head and the last segment are read. The input must be a window.
    ///
    /// The nonce of the last segment has its number: when it is authentic, its frame was sealed with so many full
    /// segments before it. Their words need not be seen for that; whoever reads a segment compares its word.
    ///
    /// The last one is searched for by doubling and halving, as behind it words seldom look like that of a full segment.
    /// Where they do, or something is wrong, one word after the other is looked at.
    /// Only who seals can put a segment behind its frame's end that is authentic as the last; then the chain of the further
    /// frames is another one, and the stream is refused.
    /// - Parameter batch: for opening.
    /// - Returns: nil where the end frame was, and it was right.
    /// - Throws: `.format` SEAL007, SEAL008, SEAL010 for a stream that is open, `.key`, `.io`.
    mutating func passFrame(_ batch: SegmentBatch) throws(DiskError) -> Passed? {
        do throws(Stop) {
            try beginFrame()
            guard let frame else { return nil }
            let passed = Passed(header: frame.header, start: mark)
            let begun = self
            do throws(Stop) { try passEnd(frame, at: searchLast(), batch) } catch {
                if case .failure(let failure) = error.next, failure.kind == .io { throw error }
                self = begun
                try passEnd(frame, at: countToLast(frame), batch)
            }
            return passed
        } catch { throw failure(error.next) }
    }

    private func failure(_ next: Next) -> DiskError {
        if case .failure(let error) = next { return error }
        return DiskError(
            StreamFailure.open(at: mark.offset), path: path,
            hint: "take a complete copy, or what is there with unseal --allow-open")
    }

    // MARK: The last segment

    /// Where the word of a segment of the frame at `mark` is; behind the end of every file when that is no number.
    private func wordOffset(_ counter: UInt64) -> UInt64 {
        let start = mark.offset + UInt64(FrameHeader.byteCount)
        return counter.multiplied(by: UInt64(SegmentBatch.sealedByteCount))?.adding(start) ?? .max
    }

    /// The segment that seems to be the last one: not full, behind one that is.
    private func searchLast() throws(Stop) -> UInt64 {
        var (full, other): (UInt64?, UInt64) = (nil, 0)
        while try isFull(other) { (full, other) = (other, 2 * other + 1) }
        guard var below = full else { return 0 }
        while other - below > 1 {
            let middle = below + (other - below) / 2
            if try isFull(middle) { below = middle } else { other = middle }
        }
        return other
    }

    /// Whether a word says that its segment is full and others follow it.
    private func isFull(_ counter: UInt64) throws(Stop) -> Bool {
        input.move(to: wordOffset(counter))
        do throws(IOError) {
            let bytes = try input.bytes(SegmentWord.byteCount)
            guard bytes.count == SegmentWord.byteCount else { return false }
            return bytes.rawBytes.integer(at: 0, .little) == SegmentWord.full.rawValue
        } catch { throw Stop(error) }
    }

    /// The frame's last segment, or the one behind which the file ends.
    private func countToLast(_ frame: Frame) throws(Stop) -> UInt64 {
        var (counter, word) = (frame.counter, frame.word)
        while !word.isLast {
            input.move(to: wordOffset(counter + 1))
            let bytes: [UInt8]
            do throws(IOError) { bytes = try input.bytes(SegmentWord.byteCount) } catch { throw Stop(error) }
            guard bytes.count == SegmentWord.byteCount else { break }
            counter += 1
            word = try parse(word: bytes, counter: counter, frame.header)
        }
        return counter
    }

    /// Reads and opens a frame's last segment.
    private mutating func passEnd(_ frame: Frame, at counter: UInt64, _ batch: SegmentBatch) throws(Stop) {
        var frame = frame
        let offset = wordOffset(counter)
        input.move(to: offset)
        (frame.counter, frame.word) = (
            counter, try parse(word: read(SegmentWord.byteCount), counter: counter, frame.header)
        )
        mark.textByteCount += counter * UInt64(SegmentBatch.textByteCount)
        let (isStarted, next) = fill(batch, frame)
        guard isStarted else { throw Stop(next) }
        let count = batch.wait()
        guard count == batch.segmentCount else {
            throw Stop(
                .failure(
                    StreamFailure.notAuthentic(
                        segment: counter + UInt64(count), frame: frame.header.index,
                        at: offset + UInt64(count * SegmentBatch.sealedByteCount), path: path)))
        }
        if case .more = next, batch.endsFrame { return }
        // Only a file that somebody writes to meanwhile gets a word that is not the last.
        if case .more = next { throw .cutOff }
        throw Stop(next)
    }
}
